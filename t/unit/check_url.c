/* SPDX-License-Identifier: MIT */
/* Percent escapes, query strings, base64url. */
#include "url.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const char *decoded(const char *text)
{
	static char copy[200];
	size_t len = strlen(text);
	memcpy(copy, text, len + 1);
	if (!url_decode(copy, &len))
		return NULL;
	copy[len] = '\0';
	return copy;
}

START_TEST(decodes_once)
{
	ck_assert_str_eq(decoded("a%20b%2Bc+d"), "a b+c+d");
	ck_assert_str_eq(decoded("%C3%a9"), "\xc3\xa9");
	ck_assert_str_eq(decoded("%2520"), "%20");
	ck_assert_str_eq(decoded(""), "");
}
END_TEST

START_TEST(refuses_what_is_no_escape)
{
	static const char *const bad[] = {"%",   "%4",   "a%",  "%zz", "%4g",
	                                  "%g4", "%%41", "%+1", "% 1", "%-1"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(!decoded(bad[i]), "%s", bad[i]);
}
END_TEST

START_TEST(refuses_nul_and_what_is_not_utf8)
{
	static const char *const bad[] = {"%00",       "a%00b",     "%ff",   "%C3",
	                                  "%c0%af",    "%ed%a0%80", "\xff",  "%f4%90%80%80",
	                                  "%e2%28%a1", "%80",       "%c3%28"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(!decoded(bad[i]), "%s", bad[i]);
}
END_TEST

START_TEST(encodes_a_path_so_that_it_decodes_to_itself)
{
	struct buf out = BUF_INIT;
	url_encode_path(&out, "/a b/%\"<>?#\xc3\xa9/-._~!$&'()*+,;=:@\n");
	ck_assert_str_eq(buf_str(&out), "/a%20b/%25%22%3C%3E%3F%23%C3%A9/-._~!$&'()*+,;=:@%0A");
	ck_assert_str_eq(decoded(buf_str(&out)), "/a b/%\"<>?#\xc3\xa9/-._~!$&'()*+,;=:@\n");
	buf_release(&out);
}
END_TEST

/* The pairs as "name=value;…", with "!" behind a bad one. */
static const char *pairs(const char *query)
{
	static char copy[400], text[400];
	char *rest = strcpy(copy, query);
	const char *name, *value;
	enum url_pair kind;
	text[0] = '\0';
	while ((kind = url_query_next(&rest, &name, &value)) != URL_PAIR_END) {
		strcat(strcat(strcat(text, name), "="), value);
		strcat(text, kind == URL_PAIR_BAD ? "!;" : ";");
	}
	ck_assert_int_eq(url_query_next(&rest, &name, &value), URL_PAIR_END);
	return text;
}

START_TEST(reads_pairs_as_forms_are_read)
{
	ck_assert_str_eq(pairs("a=1&b=2"), "a=1;b=2;");
	ck_assert_str_eq(pairs("a=1&a=2&a"), "a=1;a=2;a=;");
	ck_assert_str_eq(pairs("a+b=c+d%2B"), "a b=c d+;");
	ck_assert_str_eq(pairs("a=b=c"), "a=b=c;");
	ck_assert_str_eq(pairs("%61%3d=%26"), "a==&;");
	ck_assert_str_eq(pairs("=x&="), "=x;=;");
	ck_assert_str_eq(pairs("a;b=c"), "a;b=c;");
}
END_TEST

START_TEST(passes_over_empty_pairs)
{
	ck_assert_str_eq(pairs(""), "");
	ck_assert_str_eq(pairs("&&"), "");
	ck_assert_str_eq(pairs("&a&&b=&"), "a=;b=;");
}
END_TEST

START_TEST(names_the_pair_that_is_bad_and_goes_on)
{
	ck_assert_str_eq(pairs("a=%zz+&b=2"), "a=%zz+!;b=2;");
	ck_assert_str_eq(pairs("a%00=1&b=2"), "a%00=1!;b=2;");
	ck_assert_str_eq(pairs("a=%ff&b=2"), "a=\xff!;b=2;");
	ck_assert_str_eq(pairs("a=%"), "a=%!;");
}
END_TEST

START_TEST(knows_the_examples_of_rfc_4648)
{
	static const char *const examples[][2] = {
	    {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
	    {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff", "-_8"}};
	for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
		char text[20], back[20];
		size_t len;
		ck_assert_uint_eq(base64url_encode(text, examples[i][0], strlen(examples[i][0])),
		                  strlen(examples[i][1]));
		ck_assert_str_eq(text, examples[i][1]);
		ck_assert(base64url_decode(back, &len, text, strlen(text)));
		ck_assert_uint_eq(len, strlen(examples[i][0]));
		ck_assert_int_eq(memcmp(back, examples[i][0], len), 0);
	}
}
END_TEST

START_TEST(takes_back_what_it_wrote_within_the_promised_room)
{
	for (size_t n = 0; n < 100; n++) {
		unsigned char *in = malloc(n ? n : 1);
		for (size_t i = 0; i < n; i++)
			in[i] = (unsigned char)(i * 37 + n * 101);
		char *out = malloc(BASE64URL_SIZE(n));
		size_t len = base64url_encode(out, in, n), back_len;
		unsigned char *back = malloc(len * 3 / 4 ? len * 3 / 4 : 1);
		ck_assert(base64url_decode(back, &back_len, out, len));
		ck_assert_uint_eq(back_len, n);
		ck_assert_int_eq(memcmp(in, back, n), 0);
		free(in);
		free(out);
		free(back);
	}
}
END_TEST

START_TEST(refuses_other_base64)
{
	static const char *const bad[] = {"Zg==", "Zh",  "Z",     "Zm9v Zg", "Zm+v",
	                                  "Zm/v", "Zm9", "Zm9vY", "Zm9v\n"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char back[20];
		size_t len;
		ck_assert_msg(!base64url_decode(back, &len, bad[i], strlen(bad[i])), "%s", bad[i]);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("url");
	TCase *tc = tcase_create("url");
	tcase_add_test(tc, decodes_once);
	tcase_add_test(tc, refuses_what_is_no_escape);
	tcase_add_test(tc, refuses_nul_and_what_is_not_utf8);
	tcase_add_test(tc, encodes_a_path_so_that_it_decodes_to_itself);
	tcase_add_test(tc, reads_pairs_as_forms_are_read);
	tcase_add_test(tc, passes_over_empty_pairs);
	tcase_add_test(tc, names_the_pair_that_is_bad_and_goes_on);
	tcase_add_test(tc, knows_the_examples_of_rfc_4648);
	tcase_add_test(tc, takes_back_what_it_wrote_within_the_promised_room);
	tcase_add_test(tc, refuses_other_base64);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
