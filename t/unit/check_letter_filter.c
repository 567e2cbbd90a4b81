/* SPDX-License-Identifier: MIT */
/* Which dead letters are meant, as people say it and as PostgreSQL is asked. */
#include "letter_filter.h"

#include "letter_query.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define NOW INT64_C(1646409307000000) /* 2022-03-04T15:55:07Z */

static struct letter_filter filter;
static struct letter_params params;
static struct buf error;

static void setup(void)
{
	filter = (struct letter_filter){.n_ids = 0};
	error = (struct buf)BUF_INIT;
}

static void teardown(void)
{
	letter_params_release(&params);
	letter_filter_release(&filter);
	buf_release(&error);
}

static bool set(const char *name, const char *text)
{
	buf_clear(&error);
	return letter_filter_set(&filter, name, text, NOW, &error);
}

static void refuses(const char *name, const char *text, const char *says)
{
	ck_assert_msg(!set(name, text), "%s=%s is taken", name, text);
	ck_assert_msg(strstr(buf_str(&error), says) != NULL, "%s", buf_str(&error));
}

START_TEST(says_nothing_at_first)
{
	ck_assert(letter_filter_is_open(&filter));
	ck_assert(letter_params_init(&params, &filter, "g"));
	ck_assert_int_eq(params.n, 8);
	ck_assert_str_eq(params.values[0], "g");
	for (int i = 1; i < 6; i++)
		ck_assert_ptr_null(params.values[i]);
	ck_assert_str_eq(params.values[6], "false");
	ck_assert_str_eq(params.values[7], "9223372036854775807");
}
END_TEST

START_TEST(a_limit_alone_does_not_say_which)
{
	ck_assert(set("limit", "5") && set("all", ""));
	ck_assert(letter_filter_is_open(&filter));
	ck_assert_int_eq((int)filter.limit, 5);
}
END_TEST

START_TEST(every_condition_says_which)
{
	static const char *const conditions[][2] = {{"id", "7"},     {"topic", "t"},
	                                            {"reason", "r"}, {"sqlstate", "23505"},
	                                            {"since", "2h"}, {"before", "9"}};
	for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++) {
		letter_filter_release(&filter);
		filter = (struct letter_filter){.n_ids = 0};
		ck_assert(set(conditions[i][0], conditions[i][1]));
		ck_assert(!letter_filter_is_open(&filter));
	}
}
END_TEST

START_TEST(values_go_in_as_parameters_as_they_are)
{
	ck_assert(set("id", "7") && set("id", "9000000000000000000"));
	ck_assert(set("topic", "it's") && set("reason", "%_'; DROP TABLE x; --"));
	ck_assert(set("sqlstate", "module") && set("since", "2h") && set("before", "12"));
	ck_assert(letter_params_init(&params, &filter, "g'"));
	ck_assert_str_eq(params.values[0], "g'");
	ck_assert_str_eq(params.values[1], "{7,9000000000000000000}");
	ck_assert_str_eq(params.values[2], "it's");
	ck_assert_str_eq(params.values[3], "%_'; DROP TABLE x; --");
	ck_assert_str_eq(params.values[4], "module");
	ck_assert_str_eq(params.values[5], "2022-03-04T13:55:07Z");
	ck_assert_str_eq(params.values[7], "12");
	ck_assert_ptr_nonnull(strstr(letter_query_discard(&params, 0, "by"), "UPDATE"));
	ck_assert_int_eq(params.n, 10);
	ck_assert_str_eq(params.values[8], "9223372036854775807");
	ck_assert_int_eq(params.lengths[9], 2);
}
END_TEST

START_TEST(a_time_is_one_of_the_past_or_how_long_ago)
{
	ck_assert(set("since", "2022-03-04T15:00:00+01:00"));
	ck_assert_str_eq(filter.since, "2022-03-04T14:00:00Z");
	ck_assert(set("since", "1d"));
	ck_assert_str_eq(filter.since, "2022-03-03T15:55:07Z");
	refuses("since", "yesterday", "2h");
	refuses("since", "", "2h");
	refuses("since", "99999999999d", "2h");
}
END_TEST

START_TEST(refuses_what_is_no_value)
{
	static char long_text[600];
	memset(long_text, 'x', sizeof long_text - 1);
	refuses("id", "0", "above 0");
	refuses("id", "-1", "above 0");
	refuses("id", "1e3", "above 0");
	refuses("id", " 1", "above 0");
	refuses("id", "9223372036854775808", "above 0");
	refuses("limit", "", "above 0");
	refuses("topic", "", "1 to 249");
	refuses("topic", long_text, "1 to 249");
	refuses("reason", long_text, "1 to 511");
	refuses("reason", "\xff", "text");
	refuses("sqlstate", "toolongone", "1 to 7");
	refuses("all", "yes", "true or false");
	refuses("colour", "red", "no condition");
	ck_assert(letter_filter_is_open(&filter));
}
END_TEST

START_TEST(ids_have_an_end)
{
	for (int i = 0; i < LETTER_IDS_MAX; i++)
		ck_assert(set("id", "1"));
	refuses("id", "1", "more than");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("letter_filter");
	TCase *cases = tcase_create("letter_filter");
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, says_nothing_at_first);
	tcase_add_test(cases, a_limit_alone_does_not_say_which);
	tcase_add_test(cases, every_condition_says_which);
	tcase_add_test(cases, values_go_in_as_parameters_as_they_are);
	tcase_add_test(cases, a_time_is_one_of_the_past_or_how_long_ago);
	tcase_add_test(cases, refuses_what_is_no_value);
	tcase_add_test(cases, ids_have_an_end);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
