/* SPDX-License-Identifier: MIT */
/* Escapes: every character there and back. */
#include "json_escape.h"

#include "utf8.h"
#include <cqrs/json.h>

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Decodes `escape`, given without its backslash; NULL if it is refused. */
static const char *decode(const char *escape)
{
	static char text[8];
	char *to = text;
	const char *p = escape;
	if (json_unescape(&p, escape + strlen(escape), &to))
		return NULL;
	ck_assert_ptr_eq(p, escape + strlen(escape));
	*to = '\0';
	return text;
}

START_TEST(decodes_every_character_of_unicode)
{
	for (uint32_t c = 1; c <= 0x10ffff; c++) {
		char escape[16], expected[5] = "";
		if (c >= 0xd800 && c <= 0xdfff)
			continue;
		if (c < 0x10000)
			snprintf(escape, sizeof escape, "u%04x", c);
		else
			snprintf(escape, sizeof escape, "u%04X\\u%04X",
			         0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
		utf8_encode(expected, c);
		if (strcmp(decode(escape), expected) != 0)
			ck_abort_msg("U+%04X", c);
	}
}
END_TEST

START_TEST(refuses_half_pairs_and_zero)
{
	char escape[16];
	for (unsigned c = 0xd800; c <= 0xdfff; c++) {
		snprintf(escape, sizeof escape, "u%04x", c);
		ck_assert_ptr_null(decode(escape));
	}
	ck_assert_ptr_null(decode("u0000"));
	ck_assert_ptr_null(decode("ud800\\ue000"));
	ck_assert_ptr_null(decode("ud800\\udbff"));
	ck_assert_ptr_null(decode("ud800/udc00"));
	ck_assert_ptr_null(decode("ud800\\udc0"));
	ck_assert_ptr_null(decode(""));
	ck_assert_ptr_null(decode("a"));
	ck_assert_ptr_null(decode("U0041"));
}
END_TEST

START_TEST(escapes_any_bytes_so_that_they_read_back)
{
	for (int c = 1; c < 256; c++) {
		char text[] = {'[', 'x', (char)c, 'y', '\0'};
		struct buf out = BUF_INIT;
		struct cqrs_json_reader r;
		buf_putc(&out, '[');
		json_escape(&out, text, 4);
		buf_putc(&out, ']');
		cqrs_json_reader_init(&r, out.data, out.len);
		cqrs_json_next(&r);
		ck_assert_int_eq(cqrs_json_next(&r), CQRS_JSON_STRING);
		if (c < 0x80)
			ck_assert(r.text_len == 4 && memcmp(r.text, text, 4) == 0);
		else
			ck_assert(r.text_len == 6 && memcmp(r.text, "[x\ufffdy", 6) == 0);
		cqrs_json_reader_release(&r);
		buf_release(&out);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("json_escape");
	TCase *tcase = tcase_create("json_escape");
	tcase_add_test(tcase, decodes_every_character_of_unicode);
	tcase_add_test(tcase, refuses_half_pairs_and_zero);
	tcase_add_test(tcase, escapes_any_bytes_so_that_they_read_back);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
