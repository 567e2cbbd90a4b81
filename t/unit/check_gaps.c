/* SPDX-License-Identifier: MIT */
/* The SQL of cqrs.gaps in a real PostgreSQL. */
#include "gaps.h"

#include "core_schema.h"
#include "offsets.h"

#include <check.h>

static struct partition partition = {.topic = "it's", .reason = GAP_DELETED};
static struct buf sql;
static PGconn *pg;
static char since[32];
static bool is_new;

static void setup(void)
{
	sql = (struct buf)BUF_INIT;
	pg = PQconnectdb(pg_server_dsn);
	PQclear(PQexec(pg, "SET client_min_messages = warning;"
	                   "DROP SCHEMA IF EXISTS cqrs CASCADE; CREATE SCHEMA cqrs"));
	core_schema(pg);
	PQclear(PQexec(pg, "INSERT INTO cqrs.offsets VALUES ('g', 'it''s', 3, 10, now(), 9, 77),"
	                   " ('g', 'it''s', 4, 10, now(), NULL, NULL),"
	                   " ('h', 'it''s', 3, 10, now(), NULL, NULL)"));
	partition.position = (struct kafka_position){0, 3, 10};
}

static void teardown(void)
{
	PQfinish(pg);
	buf_release(&sql);
}

/* The SQLSTATE, "" when it went well. */
static const char *record(int64_t to)
{
	static char state[6];
	gaps_record_sql(&sql, "g", &partition, to);
	PGresult *result = PQexec(pg, buf_str(&sql));
	buf_clear(&sql);
	const char *said = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	snprintf(state, sizeof state, "%s", said ? said : "");
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		gaps_read(result, since, &is_new);
	PQclear(result);
	return state;
}

static void settle(void)
{
	gaps_settle_sql(&sql, "g");
	PGresult *result = PQexec(pg, buf_str(&sql));
	buf_clear(&sql);
	ck_assert_msg(PQresultStatus(result) == PGRES_COMMAND_OK, "%s", PQerrorMessage(pg));
	PQclear(result);
}

#define count(where) pg_server_number("SELECT count(*) FROM " where)

START_TEST(records_a_gap_once_and_leaves_the_offset)
{
	ck_assert_str_eq(record(-1), "");
	ck_assert(is_new);
	char first[32];
	memcpy(first, since, sizeof first);
	ck_assert_int_eq(first[10], 'T');
	ck_assert_str_eq(record(-1), "");
	ck_assert(!is_new);
	ck_assert_str_eq(since, first);
	ck_assert_int_eq(count("cqrs.gaps"), 1);
	ck_assert_int_eq(count("cqrs.gaps WHERE consumer_group = 'g' AND topic = 'it''s' AND "
	                       "partition = 3 AND from_offset = 10 AND to_offset IS NULL AND "
	                       "reason = 'deleted' AND policy = 'halt' AND closed_at IS NULL"),
	                 1);
	/* Who looks again must find the same message to compare with. */
	ck_assert_int_eq(count("cqrs.offsets WHERE next_offset = 10 AND last_mark = 77"), 1);
}
END_TEST

START_TEST(goes_on_in_the_same_transaction)
{
	partition.reason = GAP_RESTARTED;
	ck_assert_str_eq(record(0), "");
	partition.reason = GAP_DELETED;
	ck_assert(is_new);
	ck_assert_int_eq(count("cqrs.gaps WHERE from_offset = 10 AND to_offset = 0 AND reason = "
	                       "'restarted' AND policy = 'continue' AND closed_at IS NOT NULL"),
	                 1);
	ck_assert_int_eq(count("cqrs.offsets WHERE next_offset = 0 AND last_mark IS NULL AND "
	                       "last_offset IS NULL AND partition = 3 AND consumer_group = 'g'"),
	                 1);
	ck_assert_int_eq(count("cqrs.offsets WHERE next_offset = 10"), 2);
}
END_TEST

START_TEST(closes_the_gap_that_was_halted)
{
	ck_assert_str_eq(record(-1), "");
	ck_assert_str_eq(record(15), "");
	ck_assert(!is_new);
	ck_assert_int_eq(count("cqrs.gaps"), 1);
	ck_assert_int_eq(count("cqrs.gaps WHERE to_offset = 15 AND closed_at IS NOT NULL AND "
	                       "policy = 'halt'"),
	                 1);
}
END_TEST

START_TEST(is_fenced)
{
	partition.position.offset = 11;
	ck_assert_str_eq(record(15), OFFSETS_FENCE);
	ck_assert_str_eq(record(-1), OFFSETS_FENCE);
	partition.position.partition = 5;
	ck_assert_str_eq(record(-1), OFFSETS_FENCE);
	ck_assert_int_eq(count("cqrs.gaps"), 0);
	ck_assert_int_eq(count("cqrs.offsets WHERE next_offset = 10"), 3);
}
END_TEST

START_TEST(a_gap_is_closed_when_somebody_has_moved_the_offset)
{
	ck_assert_str_eq(record(-1), "");
	settle();
	ck_assert_int_eq(count("cqrs.gaps WHERE closed_at IS NULL"), 1);
	PQclear(PQexec(pg, "UPDATE cqrs.offsets SET next_offset = 12 WHERE consumer_group = 'g' "
	                   "AND partition = 3"));
	settle();
	ck_assert_int_eq(count("cqrs.gaps WHERE closed_at IS NOT NULL AND to_offset = 12"), 1);
	/* And another one may begin there. */
	partition.position.offset = 12;
	ck_assert_str_eq(record(-1), "");
	ck_assert(is_new);
	ck_assert_int_eq(count("cqrs.gaps"), 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gaps");
	TCase *cases = tcase_create("gaps");
	pg_server_start("check_gaps");
	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, records_a_gap_once_and_leaves_the_offset);
	tcase_add_test(cases, goes_on_in_the_same_transaction);
	tcase_add_test(cases, closes_the_gap_that_was_halted);
	tcase_add_test(cases, is_fenced);
	tcase_add_test(cases, a_gap_is_closed_when_somebody_has_moved_the_offset);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	pg_server_stop();
	return failed != 0;
}
