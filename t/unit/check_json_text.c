/* SPDX-License-Identifier: MIT */
/* A tree of jansson as text, all of it or none. */
#include "json_text.h"

#include <check.h>

static json_t *json;

static void setup(void)
{
	json = json_pack("{s:[i,i], s:s}", "a", 1, 2, "b", "c");
}

static void teardown(void)
{
	json_decref(json);
}

START_TEST(text_is_appended)
{
	struct buf out = BUF_INIT;
	buf_putc(&out, 'x');
	json_text(&out, json, JSON_COMPACT);
	ck_assert_str_eq(buf_str(&out), "x{\"a\":[1,2],\"b\":\"c\"}");
	buf_release(&out);
}
END_TEST

START_TEST(what_does_not_fit_fails_as_a_whole)
{
	for (size_t max = 1; max < 18; max++) {
		struct buf out = {.max = max};
		json_text(&out, json, JSON_COMPACT);
		ck_assert(out.failed);
		buf_release(&out);
	}
}
END_TEST

START_TEST(what_was_not_made_fails)
{
	struct buf out = BUF_INIT;
	json_text(&out, NULL, 0);
	ck_assert(out.failed);
	buf_release(&out);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("json_text");
	TCase *cases = tcase_create("json_text");
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, text_is_appended);
	tcase_add_test(cases, what_does_not_fit_fails_as_a_whole);
	tcase_add_test(cases, what_was_not_made_fails);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
