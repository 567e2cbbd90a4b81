/* SPDX-License-Identifier: MIT */
/* UUIDs by the time: their form, their order. */
#include "uuid.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* RFC 9562, appendix A.6: 2022-02-22T19:22:22.00Z, in microseconds. */
#define EXAMPLE_US INT64_C(1645557742000000)

START_TEST(begins_with_the_time)
{
	char id[UUID_TEXT];
	ck_assert(uuid_v7(id, EXAMPLE_US));
	ck_assert_uint_eq(strlen(id), UUID_TEXT - 1);
	ck_assert_msg(!strncmp(id, "017f22e2-79b0-7000-", 19), "%s", id);
	ck_assert_msg(strchr("89ab", id[19]) != NULL, "%s", id);
	ck_assert_uint_eq(strspn(id, "0123456789abcdef-"), UUID_TEXT - 1);
	for (const int *dash = (const int[]){8, 13, 18, 23, 0}; *dash; dash++)
		ck_assert_int_eq(id[*dash], '-');
}
END_TEST

/* A millisecond later, and a microsecond. */
START_TEST(sorts_by_the_microsecond)
{
	char before[UUID_TEXT], id[UUID_TEXT];
	ck_assert(uuid_v7(before, EXAMPLE_US));
	for (int us = 1; us < 3000; us++) {
		ck_assert(uuid_v7(id, EXAMPLE_US + us));
		ck_assert_msg(strcmp(before, id) < 0, "%s is not before %s", before, id);
		memcpy(before, id, sizeof id);
	}
}
END_TEST

START_TEST(is_another_one_each_time)
{
	static char ids[1000][UUID_TEXT];
	for (int i = 0; i < 1000; i++)
		ck_assert(uuid_v7(ids[i], EXAMPLE_US));
	qsort(ids, 1000, sizeof *ids, (int (*)(const void *, const void *))strcmp);
	for (int i = 1; i < 1000; i++)
		ck_assert_str_ne(ids[i - 1], ids[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("uuid");
	TCase *tc = tcase_create("uuid");
	tcase_add_test(tc, begins_with_the_time);
	tcase_add_test(tc, sorts_by_the_microsecond);
	tcase_add_test(tc, is_another_one_each_time);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
