/* SPDX-License-Identifier: MIT */
/* Writing JSON: commas, escapes, numbers. */
#include "json_writer.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct buf out = BUF_INIT;
static struct cqrs_json w;

static void begin(void)
{
	buf_release(&out);
	json_writer_init(&w, &out);
}

START_TEST(puts_commas_where_they_belong)
{
	begin();
	cqrs_json_open_object(&w);
	cqrs_json_name(&w, "a");
	cqrs_json_integer(&w, 1);
	cqrs_json_name(&w, "b");
	cqrs_json_open_array(&w);
	cqrs_json_open_array(&w);
	cqrs_json_close_array(&w);
	cqrs_json_bool(&w, true);
	cqrs_json_open_object(&w);
	cqrs_json_close_object(&w);
	cqrs_json_null(&w);
	cqrs_json_close_array(&w);
	cqrs_json_name(&w, "c");
	json_writer_raw(&w, "12.990", 6);
	cqrs_json_close_object(&w);
	ck_assert_str_eq(buf_str(&out), "{\"a\":1,\"b\":[[],true,{},null],\"c\":12.990}");
}
END_TEST

START_TEST(writes_values_one_after_the_other_outside_of_all)
{
	begin();
	cqrs_json_open_object(&w);
	cqrs_json_close_object(&w);
	buf_putc(&out, '\n');
	cqrs_json_integer(&w, 1);
	buf_putc(&out, '\n');
	cqrs_json_open_array(&w);
	cqrs_json_close_array(&w);
	ck_assert_str_eq(buf_str(&out), "{}\n1\n[]");
}
END_TEST

START_TEST(escapes_what_must_be)
{
	begin();
	cqrs_json_string(&w, "\"\\/\b\f\n\r\t\x01\x1f\x7f\0.", 13);
	ck_assert_str_eq(buf_str(&out), "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\\u0000.\"");
	begin();
	cqrs_json_string(&w, "", 0);
	ck_assert_str_eq(buf_str(&out), "\"\"");
	begin();
	cqrs_json_open_object(&w);
	cqrs_json_name(&w, "a\"b");
	cqrs_json_null(&w);
	cqrs_json_close_object(&w);
	ck_assert_str_eq(buf_str(&out), "{\"a\\\"b\":null}");
}
END_TEST

START_TEST(replaces_what_is_not_utf8)
{
	const char *text = "\u00e9\xff\xe2\x82.\U0001F600\xed\xa0\x80";
	begin();
	cqrs_json_string(&w, text, strlen(text));
	ck_assert_str_eq(buf_str(&out),
	                 "\"\u00e9\ufffd\ufffd\ufffd.\U0001F600\ufffd\ufffd\ufffd\"");
}
END_TEST

START_TEST(writes_numbers)
{
	begin();
	cqrs_json_open_array(&w);
	cqrs_json_integer(&w, INT64_MIN);
	cqrs_json_integer(&w, 0);
	cqrs_json_real(&w, 30.0);
	cqrs_json_real(&w, 30.25);
	cqrs_json_real(&w, -0.0);
	cqrs_json_real(&w, 1e300);
	cqrs_json_real(&w, NAN);
	cqrs_json_real(&w, -INFINITY);
	cqrs_json_close_array(&w);
	ck_assert_str_eq(buf_str(&out), "[-9223372036854775808,0,30,30.25,-0.0,1e+300,null,null]");
}
END_TEST

START_TEST(formats_reals_for_others)
{
	char text[32];
	ck_assert_uint_eq(json_format_real(text, 20.5), 4);
	ck_assert_mem_eq(text, "20.5", 4);
	ck_assert_uint_eq(json_format_real(text, NAN), 0);
}
END_TEST

START_TEST(nests_beyond_one_word_of_bits)
{
	begin();
	for (int i = 0; i < 100; i++) {
		cqrs_json_open_object(&w);
		cqrs_json_name(&w, "o");
		cqrs_json_open_array(&w);
	}
	for (int i = 0; i < 100; i++) {
		cqrs_json_close_array(&w);
		cqrs_json_name(&w, "p");
		cqrs_json_null(&w);
		cqrs_json_close_object(&w);
	}
	ck_assert_uint_eq(out.len, 100 * (strlen("{\"o\":[],\"p\":null}")));
	struct cqrs_json_reader r;
	cqrs_json_reader_init(&r, out.data, out.len);
	ck_assert(cqrs_json_skip(&r, cqrs_json_next(&r)));
	ck_assert_int_eq(cqrs_json_next(&r), CQRS_JSON_DONE);
	cqrs_json_reader_release(&r);
}
END_TEST

START_TEST(does_nothing_more_when_the_buffer_is_full)
{
	begin();
	out.max = 8;
	cqrs_json_open_array(&w);
	for (int i = 0; i < 100; i++)
		cqrs_json_string(&w, "0123456789", 10);
	cqrs_json_close_array(&w);
	ck_assert(out.failed);
	ck_assert_uint_le(out.len, 8);
	out.max = 0;
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("json_writer");
	TCase *tcase = tcase_create("json_writer");
	tcase_add_test(tcase, puts_commas_where_they_belong);
	tcase_add_test(tcase, writes_values_one_after_the_other_outside_of_all);
	tcase_add_test(tcase, escapes_what_must_be);
	tcase_add_test(tcase, replaces_what_is_not_utf8);
	tcase_add_test(tcase, writes_numbers);
	tcase_add_test(tcase, formats_reals_for_others);
	tcase_add_test(tcase, nests_beyond_one_word_of_bits);
	tcase_add_test(tcase, does_nothing_more_when_the_buffer_is_full);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
