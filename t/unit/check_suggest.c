/* SPDX-License-Identifier: MIT */
/* Tests of src/core/suggest.c. */
#include "suggest.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"max_rows", "max_delay", "listen", "timeout", "id"};

static const char *near(const char *wrong)
{
	return suggest(wrong, names, sizeof names / sizeof names[0]);
}

START_TEST(finds_a_missing_a_wrong_an_extra_and_a_swapped_letter)
{
	ck_assert_pstr_eq(near("max_row"), "max_rows");
	ck_assert_pstr_eq(near("max-rows"), "max_rows");
	ck_assert_pstr_eq(near("listenn"), "listen");
	ck_assert_pstr_eq(near("lisetn"), "listen");
	ck_assert_pstr_eq(near("tiemuot"), "timeout");
}
END_TEST

START_TEST(does_not_care_about_upper_and_lower_case)
{
	ck_assert_pstr_eq(near("MAX_DELAY"), "max_delay");
	ck_assert_pstr_eq(near("Id"), "id");
}
END_TEST

START_TEST(says_nothing_when_nothing_is_near)
{
	ck_assert_ptr_null(near("colour"));
	ck_assert_ptr_null(near(""));
	ck_assert_ptr_null(near("xy"));
	ck_assert_ptr_null(near("x"));
	ck_assert_ptr_null(suggest("listen", NULL, 0));
}
END_TEST

START_TEST(allows_a_third_of_a_name_and_at_most_three_letters)
{
	static const char *const other[] = {"abcdefghijklmnop", "abc"};
	ck_assert_ptr_null(suggest("axx", other, 2));
	ck_assert_pstr_eq(suggest("axc", other, 2), "abc");
	ck_assert_pstr_eq(suggest("acb", other, 2), "abc");
	ck_assert_ptr_null(suggest("cba", other, 2));
	ck_assert_pstr_eq(suggest("xxxdefghijklmnop", other, 2), "abcdefghijklmnop");
	ck_assert_ptr_null(suggest("xxxxefghijklmnop", other, 2));
}
END_TEST

START_TEST(takes_the_nearest_and_of_two_the_first)
{
	static const char *const other[] = {"sensor_ids", "sensor_id", "sensor_ix"};
	ck_assert_pstr_eq(suggest("sensor_i", other, 3), "sensor_id");
	ck_assert_pstr_eq(suggest("sensor_ids", other, 3), "sensor_ids");
}
END_TEST

START_TEST(is_not_impressed_by_long_names)
{
	char text[5000];
	memset(text, 'a', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	const char *const other[] = {text, "max_rows"};
	ck_assert_ptr_null(suggest(text, other, 2));
	ck_assert_pstr_eq(suggest("max_row", other, 2), "max_rows");
	text[64] = '\0';
	ck_assert_pstr_eq(suggest(text + 1, other, 2), text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("suggest");
	TCase *tc = tcase_create("suggest");
	tcase_add_test(tc, finds_a_missing_a_wrong_an_extra_and_a_swapped_letter);
	tcase_add_test(tc, does_not_care_about_upper_and_lower_case);
	tcase_add_test(tc, says_nothing_when_nothing_is_near);
	tcase_add_test(tc, allows_a_third_of_a_name_and_at_most_three_letters);
	tcase_add_test(tc, takes_the_nearest_and_of_two_the_first);
	tcase_add_test(tc, is_not_impressed_by_long_names);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
