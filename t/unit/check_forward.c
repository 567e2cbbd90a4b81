/* SPDX-License-Identifier: MIT */
/* What a command module makes of a request: one message, or a refusal, or a mistake. */
#include "forward.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>

static struct cqrs_forward f;

static void setup(void)
{
	forward_clear(&f);
}

static void teardown(void)
{
	forward_release(&f);
}

static const char *text(struct forward_piece piece)
{
	return forward_text(&f, piece);
}

START_TEST(has_what_the_module_said)
{
	struct cqrs_header headers[FORWARD_HEADERS_MAX];
	char value[] = "the value", name[] = "command";
	cqrs_forward_header(&f, "command-id", "1");
	cqrs_forward(&f, "topic", "key", 3, value, 9);
	cqrs_forward_header(&f, name, "create");
	cqrs_forward_answer(&f, "/things/7", "{}");
	/* All is copied. */
	value[0] = name[0] = 'X';
	ck_assert_int_eq(f.state, FORWARD_SENT);
	ck_assert(forward_is_whole(&f));
	ck_assert_str_eq(text(f.topic), "topic");
	ck_assert_str_eq(text(f.key), "key");
	ck_assert_uint_eq(f.key.len, 3);
	ck_assert_str_eq(text(f.value), "the value");
	ck_assert_uint_eq(f.value.len, 9);
	ck_assert_str_eq(text(f.location), "/things/7");
	ck_assert_str_eq(text(f.json), "{}");
	ck_assert_uint_eq(forward_headers(&f, headers), 2);
	ck_assert_str_eq(headers[0].name, "command-id");
	ck_assert_str_eq(headers[1].name, "command");
	ck_assert_uint_eq(headers[1].value_len, 6);
	ck_assert_int_eq(memcmp(headers[1].value, "create", 6), 0);
}
END_TEST

START_TEST(tells_nothing_from_what_is_empty)
{
	cqrs_forward(&f, "topic", NULL, 0, "", 0);
	ck_assert_ptr_null(text(f.key));
	ck_assert_str_eq(text(f.value), "");
	ck_assert_ptr_null(text(f.location));
	ck_assert_ptr_null(text(f.json));
	cqrs_forward_answer(&f, NULL, NULL);
	ck_assert_ptr_null(text(f.location));
	forward_clear(&f);
	cqrs_forward(&f, "topic", "", 0, NULL, 0);
	ck_assert_str_eq(text(f.key), "");
	ck_assert_ptr_null(text(f.value)); /* a tombstone */
}
END_TEST

START_TEST(takes_json)
{
	json_t *json = json_pack("{s:i, s:[s]}", "a", 1, "b", "ü");
	cqrs_forward_json(&f, "topic", "k", 1, json);
	json_decref(json);
	ck_assert_str_eq(text(f.value), "{\"a\":1,\"b\":[\"ü\"]}");
	forward_clear(&f);
	/* What there was no memory for. */
	cqrs_forward_json(&f, "topic", "k", 1, NULL);
	ck_assert(!forward_is_whole(&f));
	forward_clear(&f);
	ck_assert(forward_is_whole(&f));
}
END_TEST

START_TEST(refuses_with_the_first_reason)
{
	cqrs_forward_refuse(&f, 422, "too_long", "name", "name has %d characters", 251);
	cqrs_forward_refuse(&f, 409, "other", NULL, "another reason");
	/* A module that goes on after that sends nothing. */
	cqrs_forward(&f, "topic", NULL, 0, "v", 1);
	ck_assert_int_eq(f.state, FORWARD_REFUSED);
	ck_assert_int_eq(f.status, 422);
	ck_assert_str_eq(f.code, "too_long");
	ck_assert_str_eq(f.why.param, "name");
	ck_assert_str_eq(f.why.text, "name has 251 characters");
	forward_clear(&f);
	cqrs_forward(&f, "topic", NULL, 0, "v", 1);
	cqrs_forward_refuse(&f, 400, "late", NULL, "after it was forwarded");
	ck_assert_int_eq(f.state, FORWARD_REFUSED);
	ck_assert_str_eq(f.why.param, "");
}
END_TEST

START_TEST(refuses_what_no_topic_takes)
{
	char *value = calloc(1, FORWARD_MAX + 1);
	cqrs_forward(&f, "topic", NULL, 0, value, FORWARD_MAX + 1);
	ck_assert_int_eq(f.state, FORWARD_REFUSED);
	ck_assert_int_eq(f.status, 413);
	forward_clear(&f);
	cqrs_forward(&f, "topic", "k", 1, value, FORWARD_MAX);
	ck_assert_int_eq(f.status, 413);
	ck_assert_int_eq(f.state, FORWARD_REFUSED);
	forward_clear(&f);
	cqrs_forward(&f, "topic", "k", 1, value, FORWARD_MAX - 1);
	ck_assert_int_eq(f.state, FORWARD_SENT);
	free(value);
}
END_TEST

START_TEST(knows_the_mistakes_of_modules)
{
	cqrs_forward(&f, "topic", NULL, 0, "v", 1);
	cqrs_forward(&f, "topic", NULL, 0, "v", 1);
	ck_assert_int_eq(f.state, FORWARD_BROKEN);
	ck_assert_str_eq(f.why.text, "it forwarded two messages");
	forward_clear(&f);
	cqrs_forward_refuse(&f, 500, "x", NULL, "x");
	ck_assert_int_eq(f.state, FORWARD_BROKEN);
	forward_clear(&f);
	cqrs_forward(&f, "topic", NULL, 0, "v", 1);
	for (int i = 0; i <= FORWARD_HEADERS_MAX; i++)
		cqrs_forward_header(&f, "a", "b");
	ck_assert_int_eq(f.state, FORWARD_BROKEN);
	ck_assert_uint_eq(f.n_headers, FORWARD_HEADERS_MAX);
	/* A refusal does not hide it. */
	cqrs_forward_refuse(&f, 400, "x", NULL, "x");
	ck_assert_int_eq(f.state, FORWARD_BROKEN);
	forward_clear(&f);
	ck_assert_int_eq(f.state, FORWARD_EMPTY);
	ck_assert_uint_eq(f.n_headers, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("forward");
	TCase *tc = tcase_create("forward");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, has_what_the_module_said);
	tcase_add_test(tc, tells_nothing_from_what_is_empty);
	tcase_add_test(tc, takes_json);
	tcase_add_test(tc, refuses_with_the_first_reason);
	tcase_add_test(tc, refuses_what_no_topic_takes);
	tcase_add_test(tc, knows_the_mistakes_of_modules);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
