/* SPDX-License-Identifier: MIT */
/* The pull reader: what it accepts, what it refuses, and what it says of both. */
#include <cqrs/json.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads a whole document into words, one for each token: "[ 1 'a' ]". */
static const char *words_of(const void *text, size_t len)
{
	static char words[4000];
	static const char *const fixed[] = {
	    [CQRS_JSON_NULL] = "null", [CQRS_JSON_FALSE] = "false", [CQRS_JSON_TRUE] = "true",
	    [CQRS_JSON_ARRAY] = "[",   [CQRS_JSON_OBJECT] = "{",    [CQRS_JSON_END] = "end"};
	/* Of its own size, so that the sanitizer sees a read beyond it. */
	char *copy = malloc(len ? len : 1);
	memcpy(copy, text, len);
	struct cqrs_json_reader r;
	enum cqrs_json_kind kind;
	size_t n = 0;
	cqrs_json_reader_init(&r, copy, len);
	while ((kind = cqrs_json_next(&r)) != CQRS_JSON_DONE && kind != CQRS_JSON_ERROR) {
		char *to = words + n;
		size_t left = sizeof words - n;
		if (kind == CQRS_JSON_INTEGER)
			n += (size_t)snprintf(to, left, "%lld ", (long long)r.integer);
		else if (kind == CQRS_JSON_REAL)
			n += (size_t)snprintf(to, left, "%.17g ", r.real);
		else if (kind == CQRS_JSON_STRING)
			n += (size_t)snprintf(to, left, "'%.*s' ", (int)r.text_len, r.text);
		else
			n += (size_t)snprintf(to, left, "%s ", fixed[kind]);
		ck_assert_uint_lt(n, sizeof words);
	}
	snprintf(words + n, sizeof words - n, "%s", kind == CQRS_JSON_DONE ? "done" : r.error);
	ck_assert_int_eq(cqrs_json_next(&r), kind);
	cqrs_json_reader_release(&r);
	free(copy);
	return words;
}

#define READS(text, words) ck_assert_str_eq(words_of(text, strlen(text)), words)

START_TEST(reads_a_message_of_readings)
{
	READS(
	    "[{\"ts\":1646409307,\"sensor_id\":1,\"temperature\":30.25,\"cpu\":null},{}]",
	    "[ { 'ts' 1646409307 'sensor_id' 1 'temperature' 30.25 'cpu' null end { end end done");
}
END_TEST

START_TEST(passes_over_white_space_and_only_that)
{
	READS(" \t\r\n[ 1 ,\n2 ]\r\n", "[ 1 2 end done");
	READS(" { \"a\" : [ ] , \"b\" : { } } ", "{ 'a' [ end 'b' { end end done");
	READS("\v[]", "an array or an object was expected");
	READS("[1\f]", "[ 1 ',' or ']' was expected");
	READS("\xef\xbb\xbf[]", "an array or an object was expected");
}
END_TEST

START_TEST(refuses_what_is_no_array_and_no_object)
{
	READS("", "an array or an object was expected");
	READS("  ", "an array or an object was expected");
	READS("1", "an array or an object was expected");
	READS("\"a\"", "an array or an object was expected");
	READS("null", "an array or an object was expected");
}
END_TEST

START_TEST(refuses_what_follows_the_document)
{
	READS("[] []", "[ end something follows the document");
	READS("{}x", "{ end something follows the document");
	ck_assert_str_eq(words_of("[]\0", 3), "[ end something follows the document");
}
END_TEST

START_TEST(refuses_commas_and_colons_out_of_place)
{
	READS("[1,]", "[ 1 a value was expected");
	READS("[,1]", "[ a value was expected");
	READS("[1 2]", "[ 1 ',' or ']' was expected");
	READS("[1}", "[ 1 ',' or ']' was expected");
	READS("{\"a\":1]", "{ 'a' 1 ',' or '}' was expected");
	READS("{\"a\":1,}", "{ 'a' 1 a name in quotes was expected");
	READS("{\"a\" 1}", "{ ':' was expected behind a name");
	READS("{\"a\"}", "{ ':' was expected behind a name");
	READS("{1:2}", "{ a name in quotes was expected");
	READS("{\"a\":}", "{ 'a' a value was expected");
	READS("{", "{ a name in quotes was expected");
	READS("[", "[ the text ends too early");
	READS("[1", "[ 1 ',' or ']' was expected");
}
END_TEST

START_TEST(reads_literals_and_nothing_like_them)
{
	READS("[null,true,false]", "[ null true false end done");
	READS("[nul", "[ a value was expected");
	READS("[nullx]", "[ null ',' or ']' was expected");
	READS("[True]", "[ a value was expected");
	ck_assert_str_eq(words_of("[1\0]", 4), "[ 1 ',' or ']' was expected");
}
END_TEST

START_TEST(reads_integers_up_to_64_bits)
{
	READS("[0,-0,7,-7,9223372036854775807,-9223372036854775808]",
	      "[ 0 0 7 -7 9223372036854775807 -9223372036854775808 end done");
	READS("[9223372036854775808]", "[ an integer is beyond 64 bits");
	READS("[-9223372036854775809]", "[ an integer is beyond 64 bits");
	READS("[18446744073709551617]", "[ an integer is beyond 64 bits");
	READS("[99999999999999999999999999]", "[ an integer is beyond 64 bits");
	READS("[01]", "[ a number begins with 0");
	READS("[-]", "[ a digit was expected behind '-'");
	READS("[+1]", "[ a value was expected");
	READS("[1", "[ 1 ',' or ']' was expected");
}
END_TEST

START_TEST(gives_integers_as_reals_too)
{
	struct cqrs_json_reader r;
	cqrs_json_reader_init(&r, "[-30]", 5);
	cqrs_json_next(&r);
	ck_assert_int_eq(cqrs_json_next(&r), CQRS_JSON_INTEGER);
	ck_assert_double_eq(r.real, -30.0);
	cqrs_json_reader_release(&r);
}
END_TEST

START_TEST(reads_reals)
{
	READS("[30.25,-4.5,1e2,1E+2,25e-1,0.0]", "[ 30.25 -4.5 100 100 2.5 0 end done");
	READS("[1e-400]", "[ 0 end done");
	READS("[-0.0]", "[ -0 end done");
	READS("[1e400]", "[ a number is too large");
	READS("[-1e99999999999999999999999]", "[ a number is too large");
	READS("[0e99999999999999999999999]", "[ 0 end done");
	READS("[1e-99999999999999999999999]", "[ 0 end done");
	READS("[1.]", "[ a digit was expected behind '.'");
	READS("[.5]", "[ a value was expected");
	READS("[1.e5]", "[ a digit was expected behind '.'");
	READS("[1e]", "[ a digit was expected in an exponent");
	READS("[1e+]", "[ a digit was expected in an exponent");
}
END_TEST

START_TEST(unescapes_strings)
{
	READS("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]", "[ '\"\\/\b\f\n\r\t' end done");
	READS("[\"a\\u0041\\u00e9\\u20AC\\ud83d\\ude00z\"]",
	      "[ 'aA\u00e9\u20ac\U0001F600z' end done");
	READS("{\"\\u0074s\":1}", "{ 'ts' 1 end done");
	READS("[\"\\x\"]", "[ unknown escape in a string");
	READS("[\"\\", "[ unknown escape in a string");
	READS("[\"\\u12\"]", "[ \\u needs four hexadecimal digits");
	READS("[\"\\u12g4\"]", "[ \\u needs four hexadecimal digits");
	READS("[\"\\u0000\"]", "[ \\u0000 cannot be stored");
	READS("[\"\\ud800\"]", "[ half a surrogate pair");
	READS("[\"\\ud800\\u0041\"]", "[ half a surrogate pair");
	READS("[\"\\udc00\"]", "[ half a surrogate pair");
}
END_TEST

START_TEST(refuses_strings_that_are_no_text)
{
	READS("[\"abc", "[ a string is not closed");
	READS("[\"abc\\n", "[ a string is not closed");
	READS("[\"a\nb\"]", "[ a control character in a string");
	READS("[\"12345678\x1f\"]", "[ a control character in a string");
	ck_assert_str_eq(words_of("[\"\0\"]", 5), "[ a control character in a string");
	READS("[\"\x7f\"]", "[ '\x7f' end done");
	READS("[\"\xc3\xa9\xf0\x9f\x98\x80\"]", "[ '\u00e9\U0001F600' end done");
	READS("[\"\xc0\x80\"]", "[ a string is not UTF-8");
	READS("[\"\xed\xa0\x80\"]", "[ a string is not UTF-8");
	READS("[\"\xf4\x90\x80\x80\"]", "[ a string is not UTF-8");
	READS("[\"\xe2\x82\"]", "[ a string is not UTF-8");
	READS("[\"\x80\"]", "[ a string is not UTF-8");
}
END_TEST

START_TEST(finds_the_end_of_strings_of_any_length)
{
	/* Every length and every place of the escape around the eight bytes of a step. */
	for (int len = 0; len < 30; len++)
		for (int at = 0; at <= len; at++) {
			char text[96], expected[96];
			int n = snprintf(text, sizeof text, "[\"%.*s\\t%.*s\"]", at,
			                 "abcdefghijklmnopqrstuvwxyzabcdef", len - at,
			                 "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF");
			snprintf(expected, sizeof expected, "[ '%.*s\t%.*s' end done", at,
			         "abcdefghijklmnopqrstuvwxyzabcdef", len - at,
			         "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF");
			ck_assert_str_eq(words_of(text, (size_t)n), expected);
		}
}
END_TEST

START_TEST(refuses_a_bad_byte_at_any_place)
{
	static const char bad[] = {'\0', '\x1f', '\n', '\x80', '\xff'};
	for (size_t len = 1; len < 30; len++)
		for (size_t at = 0; at < len; at++)
			for (size_t i = 0; i < sizeof bad; i++) {
				char text[40] = "[\"";
				memset(text + 2, 'x', len);
				text[2 + at] = bad[i];
				memcpy(text + 2 + len, "\"]", 2);
				ck_assert_str_eq(words_of(text, len + 4),
				                 bad[i] & 0x80
				                     ? "[ a string is not UTF-8"
				                     : "[ a control character in a string");
			}
}
END_TEST

START_TEST(does_not_copy_strings_without_escapes)
{
	const char text[] = "[\"floor\"]";
	struct cqrs_json_reader r;
	cqrs_json_reader_init(&r, text, sizeof text - 1);
	cqrs_json_next(&r);
	ck_assert_int_eq(cqrs_json_next(&r), CQRS_JSON_STRING);
	ck_assert_ptr_eq(r.text, text + 2);
	ck_assert_uint_eq(r.text_len, 5);
	ck_assert_ptr_null(r.scratch);
	cqrs_json_reader_release(&r);
}
END_TEST

/* `depth` arrays in each other with `inner` in the last. */
static const char *last_word_at_depth(size_t depth, const char *inner)
{
	size_t n = strlen(inner);
	char *text = malloc(2 * depth + n);
	memset(text, '[', depth);
	memcpy(text + depth, inner, n);
	memset(text + depth + n, ']', depth);
	struct cqrs_json_reader r;
	enum cqrs_json_kind kind;
	cqrs_json_reader_init(&r, text, 2 * depth + n);
	do
		kind = cqrs_json_next(&r);
	while (kind != CQRS_JSON_DONE && kind != CQRS_JSON_ERROR);
	cqrs_json_reader_release(&r);
	free(text);
	return kind == CQRS_JSON_DONE ? "done" : r.error;
}

START_TEST(nests_as_deeply_as_jansson_does)
{
	const char *refusal = "arrays and objects are nested too deeply";
	ck_assert_str_eq(last_word_at_depth(2047, "1"), "done");
	ck_assert_str_eq(last_word_at_depth(2048, ""), "done");
	ck_assert_str_eq(last_word_at_depth(2048, "1"), refusal);
	ck_assert_str_eq(last_word_at_depth(2049, ""), refusal);
}
END_TEST

START_TEST(remembers_what_each_level_is)
{
	READS("[{\"a\":[{\"b\":[[]]}]},[[]],{}]",
	      "[ { 'a' [ { 'b' [ [ end end end end end [ [ end end { end end done");
}
END_TEST

START_TEST(skips_values_of_any_kind)
{
	const char text[] = "{\"a\":[1,{\"b\":[]},2],\"c\":{},\"d\":\"x\",\"e\":7}";
	struct cqrs_json_reader r;
	cqrs_json_reader_init(&r, text, sizeof text - 1);
	cqrs_json_next(&r);
	for (const char *name = "acd"; *name; name++) {
		ck_assert_int_eq(cqrs_json_next(&r), CQRS_JSON_STRING);
		ck_assert_int_eq(*r.text, *name);
		ck_assert(cqrs_json_skip(&r, cqrs_json_next(&r)));
	}
	ck_assert_int_eq(cqrs_json_next(&r), CQRS_JSON_STRING);
	ck_assert_int_eq(cqrs_json_next(&r), CQRS_JSON_INTEGER);
	ck_assert_int_eq(r.integer, 7);
	cqrs_json_reader_release(&r);

	cqrs_json_reader_init(&r, "[[1,x]]", 7);
	cqrs_json_next(&r);
	ck_assert(!cqrs_json_skip(&r, cqrs_json_next(&r)));
	cqrs_json_reader_release(&r);
}
END_TEST

START_TEST(says_where_it_stands)
{
	struct cqrs_json_reader r;
	cqrs_json_reader_init(&r, "[12, x]", 7);
	cqrs_json_next(&r);
	cqrs_json_next(&r);
	ck_assert_uint_eq(cqrs_json_offset(&r), 3);
	ck_assert_int_eq(cqrs_json_next(&r), CQRS_JSON_ERROR);
	ck_assert_uint_eq(cqrs_json_offset(&r), 5);
	cqrs_json_reader_release(&r);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("json_reader");
	TCase *tcase = tcase_create("json_reader");
	tcase_add_test(tcase, reads_a_message_of_readings);
	tcase_add_test(tcase, passes_over_white_space_and_only_that);
	tcase_add_test(tcase, refuses_what_is_no_array_and_no_object);
	tcase_add_test(tcase, refuses_what_follows_the_document);
	tcase_add_test(tcase, refuses_commas_and_colons_out_of_place);
	tcase_add_test(tcase, reads_literals_and_nothing_like_them);
	tcase_add_test(tcase, reads_integers_up_to_64_bits);
	tcase_add_test(tcase, gives_integers_as_reals_too);
	tcase_add_test(tcase, reads_reals);
	tcase_add_test(tcase, unescapes_strings);
	tcase_add_test(tcase, refuses_strings_that_are_no_text);
	tcase_add_test(tcase, finds_the_end_of_strings_of_any_length);
	tcase_add_test(tcase, refuses_a_bad_byte_at_any_place);
	tcase_add_test(tcase, does_not_copy_strings_without_escapes);
	tcase_add_test(tcase, nests_as_deeply_as_jansson_does);
	tcase_add_test(tcase, remembers_what_each_level_is);
	tcase_add_test(tcase, skips_values_of_any_kind);
	tcase_add_test(tcase, says_where_it_stands);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
