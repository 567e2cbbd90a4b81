/* SPDX-License-Identifier: MIT */
/* A dead letter as JSON, and its fence as SQL. */
#include "dead_letter.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct dead_letter whole = {.id = 17,
                                         .topic = "t",
                                         .partition = 3,
                                         .offset = INT64_C(9000000000),
                                         .part_index = -1,
                                         .is_whole = true,
                                         .key = "k",
                                         .key_len = 1,
                                         .payload = "gr\xc3\xbc\xc3\x9f"
                                                    "e",
                                         .payload_len = 7,
                                         .headers = "{\"a\":\"b\"}",
                                         .reason = "why",
                                         .sqlstate = "",
                                         .created_us = INT64_C(1646409307000000)};

static void is(const struct dead_letter *letter, bool with_contents, const char *expected)
{
	json_t *json = dead_letter_json(letter, with_contents);
	char *text = json_dumps(json, JSON_COMPACT);
	ck_assert_str_eq(text, expected);
	free(text);
	json_decref(json);
}

#define BEFORE_CONTENTS                                                                         \
	"{\"id\":17,\"topic\":\"t\",\"partition\":3,\"offset\":9000000000,\"part_index\":null," \
	"\"reason\":\"why\",\"sqlstate\":null,\"created_at\":\"2022-03-04T15:55:07Z\","         \
	"\"redrive_of\":null,\"resolution\":null,\"resolved_at\":null,\"resolved_by\":null,"    \
	"\"payload_bytes\":7"

START_TEST(says_what_it_is)
{
	is(&whole, false, BEFORE_CONTENTS "}");
	is(&whole, true,
	   BEFORE_CONTENTS ",\"key\":\"k\",\"headers\":{\"a\":\"b\"},\"payload_is_whole\":true,"
	                   "\"payload\":\"gr\xc3\xbc\xc3\x9f"
	                   "e\"}");
}
END_TEST

START_TEST(says_what_has_become_of_it)
{
	struct dead_letter letter = whole;
	letter.part_index = 0;
	letter.sqlstate = "23514";
	letter.redrive_of = 5;
	letter.resolution = "redriven";
	letter.resolved_by = "me";
	letter.resolved_us = letter.created_us + 500000;
	is(&letter, false,
	   "{\"id\":17,\"topic\":\"t\",\"partition\":3,\"offset\":9000000000,\"part_index\":0,"
	   "\"reason\":\"why\",\"sqlstate\":\"23514\",\"created_at\":\"2022-03-04T15:55:07Z\","
	   "\"redrive_of\":5,\"resolution\":\"redriven\",\"resolved_at\":"
	   "\"2022-03-04T15:55:07.500Z\",\"resolved_by\":\"me\",\"payload_bytes\":7}");
}
END_TEST

START_TEST(what_is_no_text_is_hexadecimal)
{
	struct dead_letter letter = whole;
	letter.key = NULL;
	letter.headers = NULL;
	letter.payload = "a\0\xff";
	letter.payload_len = 3;
	json_t *json = dead_letter_json(&letter, true);
	ck_assert_str_eq(json_string_value(json_object_get(json, "payload_hex")), "6100ff");
	ck_assert_ptr_null(json_object_get(json, "payload"));
	ck_assert(json_is_null(json_object_get(json, "key")));
	ck_assert(json_is_null(json_object_get(json, "headers")));
	json_decref(json);
}
END_TEST

START_TEST(writes_the_fence_with_names_quoted)
{
	static const int64_t ids[] = {1, 2};
	struct buf sql = BUF_INIT;
	dead_letter_redrive_sql(&sql, "it's", ids, 2, "o'me");
	ck_assert_str_eq(buf_str(&sql),
	                 "SELECT cqrs.redrive('it''s', ARRAY[1, 2]::bigint[], 'o''me')");
	buf_release(&sql);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dead_letter");
	TCase *cases = tcase_create("dead_letter");
	tcase_add_test(cases, says_what_it_is);
	tcase_add_test(cases, says_what_has_become_of_it);
	tcase_add_test(cases, what_is_no_text_is_hexadecimal);
	tcase_add_test(cases, writes_the_fence_with_names_quoted);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
