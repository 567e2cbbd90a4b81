/* SPDX-License-Identifier: MIT */
#include "shadow.h"

#include <check.h>
#include <stdlib.h>

static void ck_shadow(const char *sql, const char *expected)
{
	char *text = shadow_sql("view", sql);
	ck_assert_str_eq(text, expected);
	free(text);
}

START_TEST(changes_the_schema)
{
	ck_shadow("SELECT view.f($1, view.g())", "SELECT view_rebuild.f($1, view_rebuild.g())");
	ck_shadow("view.t", "view_rebuild.t");
	ck_shadow("", "");
}
END_TEST

START_TEST(changes_nothing_else)
{
	static const char sql[] =
	    "SELECT my_view.f(), a.view, view, views.t, 'view:1' FROM other.t";
	ck_shadow(sql, sql);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shadow");
	TCase *tcase = tcase_create("all");
	tcase_add_test(tcase, changes_the_schema);
	tcase_add_test(tcase, changes_nothing_else);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
