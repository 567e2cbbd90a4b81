/* SPDX-License-Identifier: MIT */
/* Preferences as they come, and as they should not. */
#include "prefer.h"

#include <check.h>
#include <stdlib.h>

static const struct {
	const char *text;
	struct prefer expected;
} cases[] = {
    {NULL, {.wait_s = 0}},
    {"", {.wait_s = 0}},
    {"respond-async", {.respond_async = true}},
    {"Respond-Async", {.respond_async = true}},
    {"respond-async=\"\"", {.respond_async = true}},
    {"wait=10", {.wait_s = 10}},
    {"WAIT = 10", {.wait_s = 10}},
    {"wait=\"10\"", {.wait_s = 10}},
    {"wait=0", {.wait_s = 0}},
    {"wait=+1", {.wait_s = 0}},
    {"wait=1.5", {.wait_s = 0}},
    {"wait=999999", {.wait_s = 999999}},
    {"wait=1000000", {.wait_s = 0}},
    {"wait", {.wait_s = 0}},
    {"waits=3", {.wait_s = 0}},
    {"wait=3, wait=4", {.wait_s = 3}},
    {"respond-async, wait=100", {.respond_async = true, .wait_s = 100}},
    {"respond-async,wait=100,handling=lenient",
     {.respond_async = true, .wait_s = 100, .lenient = true}},
    {"handling=strict", {.strict = true}},
    {"handling=strict, handling=lenient", {.strict = true}},
    {"handling=lenient, handling=strict", {.lenient = true}},
    {"handling=other", {.wait_s = 0}},
    {"handling", {.wait_s = 0}},
    /* Parameters, and what is not ours, are passed over. */
    {"foo; bar=\"a, wait=7\"; wait=8, wait=9", {.wait_s = 9}},
    {"foo=\"x\\\", wait=7\", wait=9", {.wait_s = 9}},
    {"wait=2; why=\"never\"", {.wait_s = 2}},
    {"respond-async; wait=5", {.respond_async = true}},
    /* So is what is no preference at all. */
    {",,wait=1", {.wait_s = 1}},
    {"=3, wait=1", {.wait_s = 1}},
    {"@, wait=1", {.wait_s = 1}},
    {"wait=", {.wait_s = 0}},
    {"foo=\"unended, wait=1", {.wait_s = 0}},
    {"\"", {.wait_s = 0}},
    {"\\", {.wait_s = 0}},
};

START_TEST(knows_what_a_client_prefers)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct prefer got = prefer_parse(cases[i].text), expected = cases[i].expected;
		const char *text = cases[i].text ? cases[i].text : "(none)";
		ck_assert_msg(got.wait_s == expected.wait_s, "%s: %d", text, (int)got.wait_s);
		ck_assert_msg(got.respond_async == expected.respond_async, "%s", text);
		ck_assert_msg(got.strict == expected.strict, "%s", text);
		ck_assert_msg(got.lenient == expected.lenient, "%s", text);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("prefer");
	TCase *tc = tcase_create("prefer");
	tcase_add_test(tc, knows_what_a_client_prefers);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
