/* SPDX-License-Identifier: MIT */
/* Fingerprints of messages. */
#include "message_mark.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct cqrs_message message(const char *key, const char *value, int64_t timestamp_us)
{
	return (struct cqrs_message){.timestamp_us = timestamp_us,
	                             .key = key,
	                             .key_len = key ? strlen(key) : 0,
	                             .value = value,
	                             .value_len = value ? strlen(value) : 0};
}

/* They are kept in the database: a new version must find the same. */
START_TEST(is_the_same_for_good)
{
	struct cqrs_message m = message("key", "a value of some bytes", INT64_C(1646409000000000));
	m.offset = 12; /* another place, another topic: no matter */
	m.topic = "t";
	ck_assert(message_mark(&m) == INT64_C(-3482268077899083163));
}
END_TEST

START_TEST(differs_when_anything_differs)
{
	struct cqrs_message list[] = {
	    message("k", "v", 1), message("k", "v", 2),  message("k", "w", 1),
	    message("l", "v", 1), message("", "v", 1),   message(NULL, "v", 1),
	    message("k", "", 1),  message("k", NULL, 1), message("kv", "", 1),
	    message("", "kv", 1), message("k", "vv", 1), message("k", "12345678", 1),
	};
	size_t n = sizeof list / sizeof *list;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++)
			ck_assert(message_mark(&list[i]) != message_mark(&list[k]));
}
END_TEST

START_TEST(looks_at_both_ends_of_a_long_one)
{
	size_t len = 10000000;
	char *bytes = calloc(1, len);
	struct cqrs_message m = {.value = bytes, .value_len = len};
	int64_t mark = message_mark(&m);
	bytes[0] = 1;
	ck_assert(message_mark(&m) != mark);
	bytes[0] = 0;
	bytes[len - 1] = 1;
	ck_assert(message_mark(&m) != mark);
	bytes[len - 1] = 0;
	ck_assert(message_mark(&m) == mark);
	m.value_len--;
	ck_assert(message_mark(&m) != mark);
	free(bytes);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("message_mark");
	TCase *cases = tcase_create("mark");
	tcase_add_test(cases, is_the_same_for_good);
	tcase_add_test(cases, differs_when_anything_differs);
	tcase_add_test(cases, looks_at_both_ends_of_a_long_one);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
