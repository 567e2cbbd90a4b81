/* SPDX-License-Identifier: MIT */
/* What a request may say, and what it is told when it says something else. */
#include "param.h"

#include <check.h>
#include <cqrs/query.h>
#include <stdlib.h>

#define NOW INT64_C(1646409307000000)

static struct param_table table;
static struct cqrs_request req;
static struct param_error error;

static const struct cqrs_param params[] = {
    {.name = "id", .type = CQRS_PARAM_INTEGER, .min = 1, .max = INT32_MAX},
    {.name = "big", .type = CQRS_PARAM_INTEGER},
    {.name = "sensor_id", .type = CQRS_PARAM_INTEGER, .repeatable = true, .min = 1, .max = 99},
    {.name = "name", .type = CQRS_PARAM_TEXT, .min = 1, .max = 5},
    {.name = "tag", .type = CQRS_PARAM_TEXT, .repeatable = true},
    {.name = "order", .type = CQRS_PARAM_CHOICE, .initial = "time", .choices = "time|-time"},
    {.name = "from", .type = CQRS_PARAM_TIME, .initial = "now-1h"},
    {.name = "uuid", .type = CQRS_PARAM_UUID},
    {.name = "bucket", .type = CQRS_PARAM_DURATION, .min = 1000, .max = INT64_C(86400000000)},
    {.name = NULL},
};

static void setup(void)
{
	struct buf why = BUF_INIT;
	struct param_text name = {"id", 2};
	ck_assert_msg(param_table_init(&table, params, &name, 1, PARAM_N_CORE, &why), "%s",
	              buf_str(&why));
}

static void teardown(void)
{
	param_release(&req);
}

static bool parse(const char *id, const char *query)
{
	struct param_text path = {id, strlen(id)};
	return param_parse(&table, &req, &path, query, NOW, &error);
}

/* The sentence that refuses a query string; "accepted" if there is none. */
static const char *refusal(const char *query)
{
	return parse("1", query) ? "accepted" : error.text;
}

START_TEST(gives_defaults_and_nulls_when_nothing_is_said)
{
	ck_assert_msg(parse("7", ""), "%s", error.text);
	ck_assert_int_eq(cqrs_param(&req, "id")->i, 7);
	ck_assert_int_eq(cqrs_param(&req, "id")->type, CQRS_INT4);
	ck_assert(cqrs_param(&req, "big")->is_null && cqrs_param(&req, "big")->type == CQRS_INT8);
	ck_assert(cqrs_param(&req, "sensor_id")->is_null);
	ck_assert_int_eq(cqrs_param(&req, "sensor_id")->type, CQRS_INT4_ARRAY);
	ck_assert_int_eq(cqrs_param(&req, "tag")->type, CQRS_TEXT_ARRAY);
	ck_assert_int_eq(cqrs_param(&req, "from")->i, NOW - INT64_C(3600000000));
	ck_assert(!memcmp(cqrs_param(&req, "order")->s.data, "time", 4));
	ck_assert_int_eq(param_core(&req, PARAM_LIMIT)->i, 100);
	ck_assert(!param_core_given(&req, PARAM_LIMIT));
	ck_assert_ptr_null(cqrs_cursor(&req));
}
END_TEST

START_TEST(reads_every_type)
{
	ck_assert_msg(parse("1", "big=-9223372036854775808&name=h%C3%A9&order=-time&"
	                         "from=2022-03-04T15%3A55%3A07Z&bucket=30m&limit=5"),
	              "%s", error.text);
	ck_assert_int_eq(cqrs_param(&req, "big")->i, INT64_MIN);
	ck_assert(cqrs_param(&req, "name")->s.len == 3);
	ck_assert_int_eq((int)cqrs_param(&req, "order")->s.len, 5);
	ck_assert_int_eq(cqrs_param(&req, "from")->i, NOW);
	ck_assert_int_eq(cqrs_param(&req, "bucket")->i, INT64_C(1800000000));
	ck_assert_int_eq(param_core(&req, PARAM_LIMIT)->i, 5);
	ck_assert(param_core_given(&req, PARAM_LIMIT));
}
END_TEST

START_TEST(collects_what_is_repeated)
{
	ck_assert(parse("1", "sensor_id=3&tag=a&sensor_id=1&tag=&sensor_id=3"));
	const struct cqrs_value *ids = cqrs_param(&req, "sensor_id");
	ck_assert_uint_eq(ids->a.n, 3);
	ck_assert_int_eq(ids->a.items[1].i, 1);
	ck_assert_int_eq(ids->a.items[2].i, 3);
	ck_assert_int_eq(ids->a.items[0].type, CQRS_INT4);
	const struct cqrs_value *tags = cqrs_param(&req, "tag");
	ck_assert(tags->a.n == 2 && tags->a.items[0].s.len == 1 && tags->a.items[1].s.len == 0);
}
END_TEST

START_TEST(says_what_is_known_and_what_was_meant)
{
	ck_assert_str_eq(
	    refusal("ordr=time"),
	    "unknown parameter \"ordr\", did you mean \"order\"? This route takes: big, "
	    "sensor_id, name, tag, order, from, uuid, bucket, time_format, limit, cursor, page, "
	    "page_size, count");
	ck_assert_str_eq(error.param, "ordr");
	ck_assert_ptr_nonnull(strstr(refusal("zzzzzzzz=1"), "\"zzzzzzzz\". This route takes: big"));
	/* What the path says cannot be said again. */
	ck_assert_ptr_nonnull(strstr(refusal("id=2"), "unknown parameter \"id\""));
}
END_TEST

START_TEST(refuses_wrong_values_with_what_is_right)
{
	static const char *const cases[][2] = {
	    {"limit=0", "limit must be an integer from 1 to 1000, not \"0\""},
	    {"limit=1001", "limit must be an integer from 1 to 1000, not \"1001\""},
	    {"limit=", "limit must be an integer from 1 to 1000, not \"\""},
	    {"limit=1e2", "limit must be an integer from 1 to 1000, not \"1e2\""},
	    {"limit=%2B5", "limit must be an integer from 1 to 1000, not \"+5\""},
	    {"limit=5&limit=5", "limit is given more than once"},
	    {"big=9223372036854775808", "big must be an integer, not \"9223372036854775808\""},
	    {"big=--1", "big must be an integer, not \"--1\""},
	    {"big=-", "big must be an integer, not \"-\""},
	    {"name=", "name must be text of 1 to 5 characters, not \"\""},
	    {"name=abcdef", "name must be text of 1 to 5 characters, not \"abcdef\""},
	    {"name=%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9", "accepted"},
	    {"order=tim", "order must be one of \"time\", \"-time\", not \"tim\""},
	    {"order=", "order must be one of \"time\", \"-time\", not \"\""},
	    {"order=time|-time", "order must be one of \"time\", \"-time\", not \"time|-time\""},
	    {"bucket=2d", "bucket must be a duration from 1ms to 1d, as in 30m, not \"2d\""},
	    {"bucket=5", "bucket must be a duration from 1ms to 1d, as in 30m, not \"5\""},
	    {"from=yesterday", "from must be a time from 1970 to 2200, as in 2022-03-04T16:00:00Z, "
	                       "1646409600 or now-6h, not \"yesterday\""},
	    {"sensor_id=1&sensor_id=100", "sensor_id must be an integer from 1 to 99, not \"100\""},
	    {"name=%zz", "the query string has a broken percent escape, or text that is not UTF-8"},
	    {"name=%ff", "the query string has a broken percent escape, or text that is not UTF-8"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		ck_assert_str_eq(refusal(cases[i][0]), cases[i][1]);
	ck_assert(!parse("x", ""));
	ck_assert_str_eq(error.text, "id must be an integer from 1 to 2147483647, not \"x\"");
	ck_assert_str_eq(error.param, "id");
}
END_TEST

START_TEST(bounds_repetition)
{
	struct buf query = BUF_INIT;
	for (int i = 0; i < 100; i++)
		buf_puts(&query, "sensor_id=1&");
	ck_assert_str_eq(refusal(buf_str(&query)), "accepted");
	ck_assert_uint_eq(cqrs_param(&req, "sensor_id")->a.n, 100);
	buf_puts(&query, "sensor_id=1&");
	ck_assert_str_eq(refusal(buf_str(&query)), "sensor_id is given more than 100 times");
	for (int i = 0; i < 100; i++)
		buf_puts(&query, "tag=1&");
	ck_assert_str_eq(refusal(buf_str(&query)), "the query string has too many parameters");
	buf_release(&query);
}
END_TEST

START_TEST(hashes_what_chooses_rows_and_nothing_else)
{
	ck_assert(parse("1", "tag=a&tag=b&limit=3"));
	uint64_t hash = req.hash;
	ck_assert(parse("1", "tag=a&limit=4&tag=b&time_format=unix"));
	ck_assert(req.hash == hash);
	static const char *const others[] = {"tag=ab", "tag=b&tag=a", "tag=a", "name=a&tag=b", ""};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		ck_assert(parse("1", others[i]));
		ck_assert(req.hash != hash);
	}
	ck_assert(parse("2", "tag=a&tag=b"));
	ck_assert(req.hash != hash);
}
END_TEST

START_TEST(knows_a_uuid_by_its_small_letters)
{
	static const char small[] = "0f8fad5b-d9cb-469f-a165-70867728950e";
	ck_assert(parse("1", "") && cqrs_param(&req, "uuid")->is_null);
	ck_assert(parse("1", "uuid=0F8FAD5B-D9CB-469F-A165-70867728950E&tag=A"));
	ck_assert_int_eq(cqrs_param(&req, "uuid")->type, CQRS_UUID);
	ck_assert_uint_eq(cqrs_param(&req, "uuid")->s.len, 36);
	ck_assert(!memcmp(cqrs_param(&req, "uuid")->s.data, small, 36));
	ck_assert(*cqrs_param(&req, "tag")->a.items[0].s.data == 'A');
	static const char *const others[] = {"uuid=",
	                                     "uuid=0f8fad5b-d9cb-469f-a165-70867728950",
	                                     "uuid=0f8fad5b-d9cb-469f-a165-70867728950e0",
	                                     "uuid=0f8fad5bd-9cb-469f-a165-70867728950e",
	                                     "uuid={0f8fad5b-d9cb-469f-a165-70867728950e}",
	                                     "uuid=0f8fad5b-d9cb-469f-a165-70867728950g"};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		ck_assert_msg(strstr(refusal(others[i]), "must be a UUID") != NULL, "%s",
		              others[i]);
}
END_TEST

static const char *mistake(const struct cqrs_param *list, const char *path)
{
	static struct buf why;
	struct param_text name = {path, strlen(path)};
	buf_clear(&why);
	return param_table_init(&table, list, &name, *path != 0, PARAM_N_CORE, &why)
	           ? ""
	           : buf_str(&why);
}

START_TEST(refuses_tables_with_mistakes)
{
	const struct cqrs_param twice[] = {{.name = "a"}, {.name = "a"}, {.name = NULL}};
	const struct cqrs_param core[] = {{.name = "limit"}, {.name = NULL}};
	const struct cqrs_param initial[] = {{.name = "a", .initial = "x"}, {.name = NULL}};
	const struct cqrs_param array[] = {{.name = "a", .repeatable = true}, {.name = NULL}};
	const struct cqrs_param choice[] = {{.name = "a", .type = CQRS_PARAM_CHOICE},
	                                    {.name = NULL}};
	struct cqrs_param many[CQRS_PARAMS_MAX + 2] = {{.name = NULL}};
	static char names[CQRS_PARAMS_MAX + 1][2];
	for (int i = 0; i <= CQRS_PARAMS_MAX; i++) {
		names[i][0] = (char)('a' + i);
		many[i].name = names[i];
	}
	ck_assert_str_eq(mistake(twice, ""), "two parameters are called \"a\"");
	ck_assert_str_eq(mistake(core, ""), "two parameters are called \"limit\"");
	ck_assert_str_eq(mistake(initial, ""),
	                 "default of parameter \"a\": a must be an integer, not \"x\"");
	ck_assert_ptr_nonnull(strstr(mistake(array, ""), "can be repeatable"));
	ck_assert_str_eq(mistake(choice, ""), "parameter \"a\" has no choices");
	ck_assert_str_eq(mistake(many, ""), "more than 16 parameters");
	ck_assert_ptr_nonnull(strstr(mistake(NULL, "id"), "needs a parameter of that name"));
	many[CQRS_PARAMS_MAX].name = NULL;
	ck_assert_str_eq(mistake(many, ""), "");
	ck_assert_str_eq(mistake(NULL, ""), "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("param");
	TCase *tc = tcase_create("param");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, gives_defaults_and_nulls_when_nothing_is_said);
	tcase_add_test(tc, reads_every_type);
	tcase_add_test(tc, collects_what_is_repeated);
	tcase_add_test(tc, says_what_is_known_and_what_was_meant);
	tcase_add_test(tc, refuses_wrong_values_with_what_is_right);
	tcase_add_test(tc, bounds_repetition);
	tcase_add_test(tc, hashes_what_chooses_rows_and_nothing_else);
	tcase_add_test(tc, knows_a_uuid_by_its_small_letters);
	tcase_add_test(tc, refuses_tables_with_mistakes);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
