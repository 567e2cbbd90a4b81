/* SPDX-License-Identifier: MIT */
/* The loop: timers fire once, in order, and not from inside the call that armed them. */
#include "loop.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct loop *loop;
static char order[32];

static void begin(void)
{
	loop = loop_new();
	ck_assert_ptr_nonnull(loop);
	order[0] = '\0';
}

static void end(void)
{
	loop_free(loop);
}

static void note(void *arg)
{
	strcat(order, arg);
}

static void stop(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

/* Runs until `delay_us` from now. */
static void run_for(int64_t delay_us)
{
	struct timer *timer = timer_new(loop, stop, NULL);
	timer_arm(timer, delay_us);
	loop_run(loop);
	timer_free(timer);
}

START_TEST(fires_in_the_order_of_time)
{
	struct timer *late = timer_new(loop, note, "late ");
	struct timer *early = timer_new(loop, note, "early ");
	timer_arm(late, 20000);
	timer_arm(early, 5000);
	run_for(60000);
	ck_assert_str_eq(order, "early late ");
	timer_free(late);
	timer_free(early);
}
END_TEST

START_TEST(fires_once_each_time_it_was_armed)
{
	struct timer *timer = timer_new(loop, note, "x");
	timer_arm(timer, 1000);
	ck_assert(timer_is_armed(timer));
	run_for(20000);
	ck_assert(!timer_is_armed(timer));
	ck_assert_str_eq(order, "x");
	timer_arm(timer, 1000);
	run_for(20000);
	ck_assert_str_eq(order, "xx");
	timer_free(timer);
}
END_TEST

START_TEST(counts_from_the_last_arming)
{
	struct timer *timer = timer_new(loop, note, "x");
	timer_arm(timer, 1000);
	timer_arm(timer, 10000000);
	run_for(20000);
	ck_assert_str_eq(order, "");
	timer_free(timer);
}
END_TEST

START_TEST(does_not_fire_when_disarmed_or_freed)
{
	struct timer *disarmed = timer_new(loop, note, "d"), *freed = timer_new(loop, note, "f");
	timer_arm(disarmed, 1000);
	timer_arm(freed, 1000);
	timer_disarm(disarmed);
	timer_disarm(disarmed);
	timer_free(freed);
	ck_assert(!timer_is_armed(disarmed));
	run_for(20000);
	ck_assert_str_eq(order, "");
	timer_free(disarmed);
	timer_free(NULL);
}
END_TEST

START_TEST(calls_back_in_the_next_turn_when_there_is_no_delay)
{
	struct timer *timer = timer_new(loop, note, "x");
	timer_arm(timer, 0);
	ck_assert_str_eq(order, "");
	run_for(0);
	run_for(0);
	ck_assert_str_eq(order, "x");
	timer_free(timer);
}
END_TEST

START_TEST(never_fires_too_early)
{
	int64_t before = loop_now(loop);
	run_for(30000);
	ck_assert_int_ge(loop_now(loop) - before, 30000);
	ck_assert_int_lt(loop_now(loop) - before, 5000000);
}
END_TEST

START_TEST(knows_the_time)
{
	ck_assert_int_le(llabs(loop_wall_clock(loop) / 1000000 - time(NULL)), 1);
}
END_TEST

START_TEST(gives_random_numbers_below_a_bound)
{
	int seen[10] = {0};
	for (int i = 0; i < 10000; i++) {
		uint32_t n = loop_random(loop, 10);
		ck_assert_uint_lt(n, 10);
		seen[n]++;
	}
	for (int i = 0; i < 10; i++)
		ck_assert_int_gt(seen[i], 500);
	ck_assert_uint_eq(loop_random(loop, 1), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("loop");
	TCase *tcase = tcase_create("loop");
	tcase_add_checked_fixture(tcase, begin, end);
	tcase_add_test(tcase, fires_in_the_order_of_time);
	tcase_add_test(tcase, fires_once_each_time_it_was_armed);
	tcase_add_test(tcase, counts_from_the_last_arming);
	tcase_add_test(tcase, does_not_fire_when_disarmed_or_freed);
	tcase_add_test(tcase, calls_back_in_the_next_turn_when_there_is_no_delay);
	tcase_add_test(tcase, never_fires_too_early);
	tcase_add_test(tcase, knows_the_time);
	tcase_add_test(tcase, gives_random_numbers_below_a_bound);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
