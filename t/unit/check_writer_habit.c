/* SPDX-License-Identifier: MIT */
/* In which way ranges are begun, after what befell those before. */
#include "pg_writer_internal.h"

#include <check.h>

#define BOTH (ATTEMPT_SIFT | ATTEMPT_STORE)

static struct writer_habit habit;

static void setup(void)
{
	habit = (struct writer_habit){.usual = ATTEMPT_DIRECT};
}

static void store(int times, unsigned needed)
{
	for (int i = 0; i < times; i++)
		writer_habit_stored(&habit, needed);
}

/* How many good ranges it takes until less is tried. */
static int ranges_until(unsigned way)
{
	for (int n = 0; n < 10000; n++) {
		if (habit.usual == way)
			return n;
		store(1, ATTEMPT_DIRECT);
	}
	return -1;
}

START_TEST(copies_while_all_is_well)
{
	store(100, ATTEMPT_DIRECT);
	ck_assert_int_eq(habit.usual, ATTEMPT_DIRECT);
}
END_TEST

START_TEST(sifts_as_long_as_there_is_something_to_take_out)
{
	store(1, ATTEMPT_DIRECT);
	writer_habit_refused(&habit, ATTEMPT_SIFT);
	for (int i = 0; i < 100; i++) {
		store(3, ATTEMPT_DIRECT);
		store(1, ATTEMPT_SIFT);
		ck_assert_int_eq(habit.usual, ATTEMPT_SIFT);
	}
	ck_assert_int_eq(ranges_until(ATTEMPT_DIRECT), 4);
}
END_TEST

START_TEST(goes_down_to_what_was_needed_and_no_further)
{
	writer_habit_refused(&habit, ATTEMPT_SIFT);
	writer_habit_refused(&habit, BOTH);
	store(1, BOTH);
	ck_assert_int_eq(habit.usual, BOTH);
	store(2, ATTEMPT_DIRECT);
	store(2, ATTEMPT_SIFT);
	ck_assert_int_eq(habit.usual, ATTEMPT_SIFT);
	store(1, ATTEMPT_SIFT);
	ck_assert_int_eq(ranges_until(ATTEMPT_DIRECT), 4);
}
END_TEST

START_TEST(learns_what_was_not_known_when_it_was_refused)
{
	writer_habit_refused(&habit, ATTEMPT_STORE);
	store(1, BOTH);
	ck_assert_int_eq(habit.usual, BOTH);
	store(2, ATTEMPT_STORE);
	store(2, ATTEMPT_DIRECT);
	ck_assert_int_eq(habit.usual, ATTEMPT_STORE);
	store(1, ATTEMPT_SIFT);
	ck_assert_int_eq(habit.usual, BOTH);
	store(3, ATTEMPT_SIFT);
	ck_assert_int_eq(habit.usual, ATTEMPT_SIFT);
}
END_TEST

START_TEST(waits_longer_each_time_when_less_will_not_do)
{
	static const int expected[] = {4, 8, 16, 32, 64, 128, 256, 256, 256};
	store(1, ATTEMPT_DIRECT);
	writer_habit_refused(&habit, BOTH);
	for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
		ck_assert_int_eq(ranges_until(ATTEMPT_DIRECT), expected[i]);
		writer_habit_refused(&habit, BOTH);
	}
	/* And no longer once it did. */
	ck_assert_int_eq(ranges_until(ATTEMPT_DIRECT), 256);
	store(1, ATTEMPT_DIRECT);
	writer_habit_refused(&habit, ATTEMPT_SIFT);
	ck_assert_int_eq(ranges_until(ATTEMPT_DIRECT), 4);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("writer_habit");
	TCase *cases = tcase_create("writer_habit");
	tcase_add_checked_fixture(cases, setup, NULL);
	tcase_add_test(cases, copies_while_all_is_well);
	tcase_add_test(cases, sifts_as_long_as_there_is_something_to_take_out);
	tcase_add_test(cases, goes_down_to_what_was_needed_and_no_further);
	tcase_add_test(cases, learns_what_was_not_known_when_it_was_refused);
	tcase_add_test(cases, waits_longer_each_time_when_less_will_not_do);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
