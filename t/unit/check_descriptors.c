/* SPDX-License-Identifier: MIT */
/* Limits are raised when they can be, and clients get what is left over. */
#include "descriptors.h"

#include <check.h>
#include <sys/resource.h>

/* Each test has a process of its own, so nothing is put back. */
static void limit(rlim_t soft, rlim_t hard)
{
	struct rlimit l = {.rlim_cur = soft, .rlim_max = hard};
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
}

static rlim_t soft_limit(void)
{
	struct rlimit l;
	getrlimit(RLIMIT_NOFILE, &l);
	return l.rlim_cur;
}

START_TEST(raises_the_limit_to_what_clients_need)
{
	limit(100, 4000);
	ck_assert_int_eq(descriptors_for_clients(1000), 1000);
	ck_assert_uint_ge(soft_limit(), 1000 + 300);
	ck_assert_uint_lt(soft_limit(), 4000);
}
END_TEST

START_TEST(leaves_a_limit_that_is_high_enough)
{
	limit(3000, 4000);
	ck_assert_int_eq(descriptors_for_clients(10), 10);
	ck_assert_uint_eq(soft_limit(), 3000);
}
END_TEST

START_TEST(gives_clients_what_others_do_not_need)
{
	limit(100, 2000);
	int64_t clients = descriptors_for_clients(10000);
	ck_assert_uint_eq(soft_limit(), 2000);
	ck_assert_int_ge(clients, 1000);
	ck_assert_int_le(clients, 2000 - 300);
}
END_TEST

START_TEST(shares_a_very_low_limit)
{
	limit(64, 64);
	ck_assert_int_eq(descriptors_for_clients(10000), 32);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("descriptors");
	TCase *tc = tcase_create("descriptors");
	tcase_add_test(tc, raises_the_limit_to_what_clients_need);
	tcase_add_test(tc, leaves_a_limit_that_is_high_enough);
	tcase_add_test(tc, gives_clients_what_others_do_not_need);
	tcase_add_test(tc, shares_a_very_low_limit);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
