/* SPDX-License-Identifier: MIT */
/* The SQL of cqrs.offsets, as text and in a real PostgreSQL. */
#include "offsets.h"

#include "core_schema.h"
#include "message_mark.h"

#include <check.h>

static const char *const topics[] = {"a", "it's \\ odd"};
static const struct kafka_position places[] = {{0, 0, 5}, {1, 3, INT64_C(9000000000)}};
static struct buf sql;
static PGconn *pg;

static void setup(void)
{
	sql = (struct buf)BUF_INIT;
	pg = PQconnectdb(pg_server_dsn);
	PQclear(PQexec(pg, "DROP SCHEMA IF EXISTS cqrs CASCADE; CREATE SCHEMA cqrs"));
	core_schema(pg);
}

static void teardown(void)
{
	PQfinish(pg);
	buf_release(&sql);
}

static PGresult *run(void)
{
	PGresult *result = PQexec(pg, buf_str(&sql));
	buf_clear(&sql);
	return result;
}

static void insert(void)
{
	offsets_insert_sql(&sql, "g'", topics, places, 2);
	PGresult *result = run();
	ck_assert_msg(PQresultStatus(result) == PGRES_COMMAND_OK, "%s", PQerrorMessage(pg));
	PQclear(result);
}

/* The SQLSTATE of cqrs.advance(), "" when it went well. */
static const char *advance(const struct offsets_step *steps, size_t n)
{
	static char state[6];
	offsets_advance_sql(&sql, "g'", topics, steps, n);
	PGresult *result = run();
	const char *said = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	snprintf(state, sizeof state, "%s", said ? said : "");
	PQclear(result);
	return state;
}

static int64_t where(const char *topic, int32_t partition)
{
	int64_t next = -1;
	offsets_read_sql(&sql, "g'");
	PGresult *result = run();
	bool found = offsets_find(result, topic, partition, &next);
	PQclear(result);
	return found ? next : -1;
}

START_TEST(adds_offsets_where_there_are_none)
{
	ck_assert_int_eq(where("a", 0), -1);
	insert();
	ck_assert_int_eq(where("a", 0), 5);
	ck_assert_int_eq(where(topics[1], 3), INT64_C(9000000000));
	ck_assert_int_eq(where("a", 3), -1);
	PQclear(PQexec(pg, "UPDATE cqrs.offsets SET next_offset = 6 WHERE topic = 'a'"));
	insert();
	ck_assert_int_eq(where("a", 0), 6);
}
END_TEST

START_TEST(moves_all_or_none)
{
	insert();
	struct offsets_step steps[] = {{.from = places[0], .to = 7},
	                               {.from = places[1], .to = INT64_C(9000000009)}};
	ck_assert_str_eq(advance(steps, 2), "");
	ck_assert_int_eq(where("a", 0), 7);
	ck_assert_int_eq(where(topics[1], 3), INT64_C(9000000009));
	/* The second stands where we believe, the first does not. */
	steps[1] =
	    (struct offsets_step){.from = {1, 3, INT64_C(9000000009)}, .to = INT64_C(9000000010)};
	ck_assert_str_eq(advance(steps, 2), OFFSETS_FENCE);
	ck_assert_int_eq(where("a", 0), 7);
	ck_assert_int_eq(where(topics[1], 3), INT64_C(9000000009));
	ck_assert_str_eq(advance(steps + 1, 1), "");
}
END_TEST

START_TEST(fences_what_is_behind_ahead_and_not_there)
{
	insert();
	struct offsets_step step = {.from = {0, 0, 4}, .to = 9};
	ck_assert_str_eq(advance(&step, 1), OFFSETS_FENCE);
	step.from.offset = 6;
	ck_assert_str_eq(advance(&step, 1), OFFSETS_FENCE);
	step = (struct offsets_step){.from = {0, 1, 5}, .to = 9};
	ck_assert_str_eq(advance(&step, 1), OFFSETS_FENCE);
	ck_assert_int_eq(where("a", 0), 5);
}
END_TEST

/* What the table says of the message stored last; -1: nothing. */
static int64_t mark(const char *topic, int32_t partition)
{
	int64_t found = -1;
	offsets_read_sql(&sql, "g'");
	PGresult *result = run();
	offsets_find_mark(result, topic, partition, &found);
	PQclear(result);
	return found;
}

START_TEST(knows_the_message_that_was_stored_last)
{
	struct cqrs_message message = {.timestamp_us = 1, .value = "v", .value_len = 1};
	insert();
	ck_assert_int_eq(mark("a", 0), -1);
	struct offsets_step steps[] = {{.from = places[0], .to = 7, .last = &message},
	                               {.from = places[1], .to = INT64_C(9000000009)}};
	ck_assert_str_eq(advance(steps, 2), "");
	ck_assert_int_eq(mark("a", 0), message_mark(&message));
	ck_assert_int_eq(mark(topics[1], 3), -1);
	/* Somebody moves it by hand: the mark is of another message. */
	PQclear(PQexec(pg, "UPDATE cqrs.offsets SET next_offset = 6"));
	ck_assert_int_eq(mark("a", 0), -1);
}
END_TEST

START_TEST(another_group_is_another)
{
	insert();
	PQclear(PQexec(pg, "UPDATE cqrs.offsets SET consumer_group = 'h'"));
	struct offsets_step step = {.from = {0, 0, 5}, .to = 9};
	ck_assert_str_eq(advance(&step, 1), OFFSETS_FENCE);
	ck_assert_int_eq(where("a", 0), -1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("offsets");
	TCase *cases = tcase_create("offsets");
	pg_server_start("check_offsets");
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, adds_offsets_where_there_are_none);
	tcase_add_test(cases, moves_all_or_none);
	tcase_add_test(cases, fences_what_is_behind_ahead_and_not_there);
	tcase_add_test(cases, knows_the_message_that_was_stored_last);
	tcase_add_test(cases, another_group_is_another);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	pg_server_stop();
	return failed != 0;
}
