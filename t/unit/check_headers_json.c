/* SPDX-License-Identifier: MIT */
/* Headers to JSON and back, whatever bytes they have. */
#include "headers_json.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static void reads_as(const char *json, const struct cqrs_header *expected, size_t n)
{
	size_t found;
	struct cqrs_header *headers;
	ck_assert(headers_json_read(json, &headers, &found));
	ck_assert_uint_eq(found, n);
	for (size_t i = 0; i < n; i++) {
		ck_assert_str_eq(headers[i].name, expected[i].name);
		ck_assert_uint_eq(headers[i].value_len, expected[i].value_len);
		ck_assert_int_eq(headers[i].value == NULL, expected[i].value == NULL);
		if (headers[i].value)
			ck_assert_mem_eq(headers[i].value, expected[i].value,
			                 expected[i].value_len);
	}
	free(headers);
}

static void there_and_back(const struct cqrs_header *headers, size_t n, const char *expected)
{
	struct buf json = BUF_INIT;
	headers_json_write(&json, headers, n);
	ck_assert_str_eq(buf_str(&json), expected);
	reads_as(json.data, headers, n);
	buf_release(&json);
}

START_TEST(text_null_and_repeated_names_come_back)
{
	static const struct cqrs_header headers[] = {{"a", "1\"", 2},
	                                             {"none", NULL, 0},
	                                             {"empty", "", 0},
	                                             {"twice", "x", 1},
	                                             {"twice", "y", 1}};
	there_and_back(headers, 5,
	               "{\"a\":\"1\\\"\",\"none\":null,\"empty\":\"\",\"twice\":[\"x\",\"y\"]}");
}
END_TEST

START_TEST(bytes_come_back)
{
	static const struct cqrs_header headers[] = {{"raw", "\xff\x01", 2}, {"nul", "a\0b", 3}};
	there_and_back(headers, 2, "{\"raw\":\"\\\\xff01\",\"nul\":\"\\\\x610062\"}");
}
END_TEST

START_TEST(text_that_looks_like_bytes_stays_what_it_is)
{
	static const struct cqrs_header header = {"a", "\\x41", 4};
	there_and_back(&header, 1, "{\"a\":\"\\\\x5c783431\"}");
}
END_TEST

START_TEST(names_that_are_no_text_come_back)
{
	static const struct cqrs_header headers[] = {
	    {"\xff", "1", 1}, {"\xfe", "2", 1}, {"\\xff", "3", 1}};
	there_and_back(headers, 3, "{\"\\\\xff\":\"1\",\"\\\\xfe\":\"2\",\"\\\\x5c786666\":\"3\"}");
}
END_TEST

START_TEST(there_may_be_none)
{
	reads_as(NULL, NULL, 0);
	reads_as("{}", NULL, 0);
	reads_as("{\"a\":[]}", NULL, 0);
}
END_TEST

START_TEST(what_is_no_object_cannot_be_read)
{
	struct cqrs_header *headers;
	size_t n;
	ck_assert(!headers_json_read("[1]", &headers, &n));
	ck_assert(!headers_json_read("{", &headers, &n));
}
END_TEST

START_TEST(what_others_wrote_is_read_as_text)
{
	static const struct cqrs_header headers[] = {
	    {"odd", "\\x4", 3}, {"upper", "\\xAA", 4}, {"number", NULL, 0}, {"\\x4100", "", 0}};
	reads_as("{\"odd\":\"\\\\x4\",\"upper\":\"\\\\xAA\",\"number\":7,\"\\\\x4100\":\"\"}",
	         headers, 4);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("headers_json");
	TCase *cases = tcase_create("headers_json");
	tcase_add_test(cases, text_null_and_repeated_names_come_back);
	tcase_add_test(cases, bytes_come_back);
	tcase_add_test(cases, text_that_looks_like_bytes_stays_what_it_is);
	tcase_add_test(cases, names_that_are_no_text_come_back);
	tcase_add_test(cases, there_may_be_none);
	tcase_add_test(cases, what_is_no_object_cannot_be_read);
	tcase_add_test(cases, what_others_wrote_is_read_as_text);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
