/* SPDX-License-Identifier: MIT */
/* Waiting longer each time, and not in step. */
#include "backoff.h"

#include <check.h>

#define LEAST 100000
#define MOST  5000000
#define SEEDS 200

static int64_t bound(unsigned failures)
{
	int64_t d = LEAST;
	for (unsigned i = 1; i < failures && d < MOST; i++)
		d *= 2;
	return d < MOST ? d : MOST;
}

START_TEST(waits_between_half_and_all_of_what_doubles)
{
	for (int seed = 0; seed < SEEDS; seed++) {
		struct loop *loop = loop_new();
		for (unsigned failures = 0; failures < 70; failures++) {
			int64_t us = backoff_us(loop, failures, LEAST, MOST);
			ck_assert_int_ge(us, bound(failures) / 2);
			ck_assert_int_le(us, bound(failures));
		}
		loop_free(loop);
	}
}
END_TEST

START_TEST(no_two_processes_wait_in_step)
{
	int64_t waits[SEEDS];
	int same = 0;
	for (int seed = 0; seed < SEEDS; seed++) {
		struct loop *loop = loop_new();
		waits[seed] = backoff_us(loop, 10, LEAST, MOST);
		loop_free(loop);
	}
	for (int a = 0; a < SEEDS; a++)
		for (int b = 0; b < a; b++)
			same += waits[a] == waits[b];
	/* 19,900 pairs in 2.5 million places. */
	ck_assert_int_lt(same, 5);
	/* Spread over all of the half: a fifth of them in each fifth, more or less. */
	int fifths[5] = {0};
	for (int i = 0; i < SEEDS; i++)
		fifths[(waits[i] - MOST / 2) * 5 / (MOST / 2 + 1)]++;
	for (int i = 0; i < 5; i++)
		ck_assert_int_gt(fifths[i], SEEDS / 20);
}
END_TEST

START_TEST(one_failure_after_the_other_waits_differently)
{
	struct loop *loop = loop_new();
	int same = 0;
	int64_t last = 0;
	for (int i = 0; i < 1000; i++) {
		int64_t us = backoff_us(loop, 10, LEAST, MOST);
		same += us == last;
		last = us;
	}
	ck_assert_int_lt(same, 3);
	loop_free(loop);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("backoff");
	TCase *t = tcase_create("backoff");
	tcase_add_test(t, waits_between_half_and_all_of_what_doubles);
	tcase_add_test(t, no_two_processes_wait_in_step);
	tcase_add_test(t, one_failure_after_the_other_waits_differently);
	suite_add_tcase(s, t);
	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
