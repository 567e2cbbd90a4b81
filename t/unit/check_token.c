/* SPDX-License-Identifier: MIT */
/* Consistency tokens: what is one, and what is not. */
#include "token.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static struct token_place places[TOKEN_PLACES_MAX];

static void expect(const struct token_place *place, const char *topic, int partition,
                   int64_t offset)
{
	ck_assert_uint_eq(place->topic_len, strlen(topic));
	ck_assert_mem_eq(place->topic, topic, strlen(topic));
	ck_assert_int_eq(place->partition, partition);
	ck_assert_int_eq(place->offset, offset);
}

START_TEST(names_places)
{
	ck_assert_uint_eq(token_parse("logger.sensor.ts:2@17", places), 1);
	expect(&places[0], "logger.sensor.ts", 2, 17);
	ck_assert_uint_eq(token_parse("a:0@0,b-_.:2147483647@9223372036854775806", places), 2);
	expect(&places[0], "a", 0, 0);
	expect(&places[1], "b-_.", 2147483647, INT64_MAX - 1);
	ck_assert_uint_eq(token_parse(" a:1@2 ,\tb:3@4 ", places), 2);
	expect(&places[1], "b", 3, 4);
}
END_TEST

START_TEST(names_as_many_as_there_is_room_for)
{
	char text[TOKEN_PLACES_MAX * 6 + 10] = "";
	for (int i = 0; i < TOKEN_PLACES_MAX; i++)
		snprintf(text + strlen(text), 8, "%st:0@1", i ? "," : "");
	ck_assert_uint_eq(token_parse(text, places), TOKEN_PLACES_MAX);
	strcat(text, ",t:0@1");
	ck_assert_uint_eq(token_parse(text, places), 0);
	char topic[TOKEN_TOPIC_MAX + 8];
	memset(topic, 'x', TOKEN_TOPIC_MAX);
	strcpy(topic + TOKEN_TOPIC_MAX, ":0@1");
	ck_assert_uint_eq(token_parse(topic, places), 1);
	topic[TOKEN_TOPIC_MAX] = 'x';
	strcpy(topic + TOKEN_TOPIC_MAX + 1, ":0@1");
	ck_assert_uint_eq(token_parse(topic, places), 0);
}
END_TEST

START_TEST(is_strict)
{
	static const char *const bad[] = {"",
	                                  " ",
	                                  "t",
	                                  "t:",
	                                  "t:0",
	                                  "t:0@",
	                                  "t:@1",
	                                  ":0@1",
	                                  "t:0@1,",
	                                  ",t:0@1",
	                                  "t:0@1 b",
	                                  "t:0@1;t:0@2",
	                                  "t:-1@1",
	                                  "t:+1@1",
	                                  "t:0@-1",
	                                  "t:0@1x",
	                                  "t u:0@1",
	                                  "t/:0@1",
	                                  "\xc3\xa4:0@1",
	                                  "t:2147483648@1",
	                                  "t:0 @1",
	                                  "t: 0@1",
	                                  "t:0@ 1",
	                                  "t:0@9223372036854775807"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(token_parse(bad[i], places) == 0, "\"%s\" is no token", bad[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("token");
	TCase *cases = tcase_create("text");
	tcase_add_test(cases, names_places);
	tcase_add_test(cases, names_as_many_as_there_is_room_for);
	tcase_add_test(cases, is_strict);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
