/* SPDX-License-Identifier: MIT */
/* Entity tags: which If-None-Match names one.  Those of values: check_query_bus.c. */
#include "etag.h"

#include <check.h>
#include <stdlib.h>

START_TEST(finds_a_tag_in_a_list)
{
	ck_assert(etag_is_named("\"7\"", "\"7\""));
	ck_assert(etag_is_named(" \"6\" , \"7\"", "\"7\""));
	ck_assert(etag_is_named("\"a,b\",\"7\"", "\"7\""));
	ck_assert(etag_is_named("*", "\"7\""));
	ck_assert(etag_is_named(" * ", "\"7\""));
}
END_TEST

START_TEST(compares_weakly)
{
	ck_assert(etag_is_named("W/\"7\"", "\"7\""));
	ck_assert(etag_is_named("\"6\",W/\"7\"", "\"7\""));
}
END_TEST

START_TEST(takes_nothing_else_for_the_tag)
{
	ck_assert(!etag_is_named("", "\"7\""));
	ck_assert(!etag_is_named("7", "\"7\""));
	ck_assert(!etag_is_named("\"77\"", "\"7\""));
	ck_assert(!etag_is_named("\"7", "\"7\""));
	ck_assert(!etag_is_named("w/\"7\"", "\"7\""));
	ck_assert(!etag_is_named("*, \"6\"", "\"7\""));
	ck_assert(!etag_is_named("W/", "\"7\""));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("etag");
	TCase *tcase = tcase_create("etag");
	tcase_add_test(tcase, finds_a_tag_in_a_list);
	tcase_add_test(tcase, compares_weakly);
	tcase_add_test(tcase, takes_nothing_else_for_the_tag);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
