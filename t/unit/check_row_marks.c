/* SPDX-License-Identifier: MIT */
/* Two bits for each row of a table, as far as the memory goes. */
#include "row_marks.h"

#include <check.h>
#include <stdlib.h>

static struct row_marks marks;

static void setup(void)
{
	row_marks_init(&marks, 1 << 20);
}

static void teardown(void)
{
	row_marks_release(&marks);
}

START_TEST(nothing_is_marked_at_first)
{
	ck_assert_int_eq(row_marks_get(&marks, 1, 0, 1), ROW_UNSEEN);
	ck_assert_int_eq(row_marks_count(&marks, ROW_SAME), 0);
}
END_TEST

START_TEST(neighbours_keep_their_marks)
{
	for (uint16_t slot = 0; slot < 292; slot++)
		row_marks_set(&marks, 7, 3, slot, (enum row_mark)(slot % 4));
	row_marks_set(&marks, 7, 3, 17, ROW_EXTRA);
	for (uint16_t slot = 0; slot < 292; slot++)
		ck_assert_int_eq(row_marks_get(&marks, 7, 3, slot),
		                 slot == 17 ? ROW_EXTRA : (enum row_mark)(slot % 4));
	/* The same place in another table, and in another page. */
	ck_assert_int_eq(row_marks_get(&marks, 8, 3, 1), ROW_UNSEEN);
	ck_assert_int_eq(row_marks_get(&marks, 7, 4, 1), ROW_UNSEEN);
	ck_assert_int_eq(row_marks_count(&marks, ROW_EXTRA), 74);
}
END_TEST

START_TEST(remembers_many_pages)
{
	for (uint32_t block = 0; block < 4000; block++)
		row_marks_set(&marks, block % 3, block, (uint16_t)(block % 200 + 1), ROW_OTHER);
	for (uint32_t block = 0; block < 4000; block++)
		ck_assert_int_eq(
		    row_marks_get(&marks, block % 3, block, (uint16_t)(block % 200 + 1)),
		    ROW_OTHER);
	ck_assert_int_eq(row_marks_count(&marks, ROW_OTHER), 4000);
	ck_assert(!marks.is_full);
}
END_TEST

START_TEST(forgets_the_new_when_memory_is_used_up)
{
	for (uint32_t block = 0; block < 100000; block++)
		row_marks_set(&marks, 1, block, 1, ROW_SAME);
	ck_assert(marks.is_full);
	ck_assert_int_eq(row_marks_get(&marks, 1, 0, 1), ROW_SAME);
	ck_assert_int_eq(row_marks_get(&marks, 1, 99999, 1), ROW_UNSEEN);
	/* What has a page is still marked. */
	row_marks_set(&marks, 1, 0, 1, ROW_EXTRA);
	ck_assert_int_eq(row_marks_get(&marks, 1, 0, 1), ROW_EXTRA);
	ck_assert_int_gt(row_marks_count(&marks, ROW_SAME), 1000);
}
END_TEST

START_TEST(a_slot_that_no_page_has_is_ignored)
{
	row_marks_set(&marks, 1, 1, 65535, ROW_SAME);
	ck_assert_int_eq(row_marks_get(&marks, 1, 1, 65535), ROW_UNSEEN);
	ck_assert_int_eq(row_marks_count(&marks, ROW_SAME), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("row_marks");
	TCase *cases = tcase_create("row_marks");
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, nothing_is_marked_at_first);
	tcase_add_test(cases, neighbours_keep_their_marks);
	tcase_add_test(cases, remembers_many_pages);
	tcase_add_test(cases, forgets_the_new_when_memory_is_used_up);
	tcase_add_test(cases, a_slot_that_no_page_has_is_ignored);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
