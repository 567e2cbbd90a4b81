/* SPDX-License-Identifier: MIT */
/* Trees of jansson that are whole, or are not; what memory has to do with it is in t/injection/. */
#include "json_tree.h"

#include <check.h>
#include <string.h>

START_TEST(reads_what_is_json_and_says_what_is_not)
{
	static const char good[] = "{\"a\": [1]} and more";
	json_error_t error;
	json_t *json = json_tree_load(good, 10, &error);
	ck_assert_int_eq((int)json_array_size(json_object_get(json, "a")), 1);
	json_decref(json);
	ck_assert_ptr_null(json_tree_load(good, strlen(good), &error));
	ck_assert_int_ne(*error.text, '\0');
	ck_assert_ptr_null(json_tree_load("", 0, &error));
	ck_assert_int_ne(*error.text, '\0');
	ck_assert_ptr_null(json_tree_load("{\"a\":1,\"a\":1}", 13, NULL));
}
END_TEST

START_TEST(what_lacks_something_is_nothing_and_stays_so)
{
	json_t *object = json_object(), *array = json_array();
	json_tree_set(&object, "a", json_integer(1));
	ck_assert_int_eq((int)json_object_size(object), 1);
	json_tree_append(&array, object);
	ck_assert_int_eq((int)json_array_size(array), 1);
	json_tree_append(&array, NULL);
	ck_assert_ptr_null(array);
	json_tree_append(&array, json_integer(1));
	ck_assert_ptr_null(array);
	object = json_object();
	json_tree_set(&object, "a", NULL);
	ck_assert_ptr_null(object);
	json_tree_set(&object, "b", json_integer(1));
	ck_assert_ptr_null(object);
}
END_TEST

START_TEST(leaves_the_allocator_of_others_alone)
{
	json_malloc_t before, after;
	json_free_t unused;
	json_get_alloc_funcs(&before, &unused);
	json_decref(json_tree_load("{}", 2, NULL));
	json_get_alloc_funcs(&after, &unused);
	ck_assert(before == after);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("json_tree");
	TCase *cases = tcase_create("json_tree");
	tcase_add_test(cases, reads_what_is_json_and_says_what_is_not);
	tcase_add_test(cases, what_lacks_something_is_nothing_and_stays_so);
	tcase_add_test(cases, leaves_the_allocator_of_others_alone);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
