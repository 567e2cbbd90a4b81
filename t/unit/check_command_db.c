/* SPDX-License-Identifier: MIT */
/* Whose command a key stands for, and what became of it, against a real PostgreSQL. */
#include "command_db.h"

#include "core_schema.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_US 10000000
#define FIRST    "01890a5d-ac96-774b-bcce-b302099a0001"
#define SECOND   "01890a5d-ac96-774b-bcce-b302099a0002"
#define THIRD    "01890a5d-ac96-774b-bcce-b302099a0003"

static struct loop *loop;
static struct health *health;
static struct command_db_config config;
static struct command_db *db;
static PGconn *pg; /* somebody else's */
static int n_done; /* claims and waits that were answered */
static enum claim_answer claimed;
static char said[200];

static void exec(const char *sql)
{
	PGresult *result = PQexec(pg, sql);
	ck_assert_msg(PQresultStatus(result) == PGRES_COMMAND_OK ||
	                  PQresultStatus(result) == PGRES_TUPLES_OK,
	              "%s: %s", sql, PQerrorMessage(pg));
	PQclear(result);
}

static void setup(void)
{
	pg = PQconnectdb(pg_server_dsn);
	exec("SET client_min_messages = warning");
	exec("DROP SCHEMA IF EXISTS cqrs CASCADE; CREATE SCHEMA cqrs");
	core_schema(pg);
	loop = loop_new();
	health = health_new(loop);
	config = (struct command_db_config){.dsn = pg_server_dsn, .timeout_us = LIMIT_US};
	db = command_db_new(loop, &config, health);
	ck_assert_ptr_nonnull(db);
	n_done = 0;
	*said = '\0';
}

static void teardown(void)
{
	command_db_free(db);
	health_free(health);
	loop_free(loop);
	PQfinish(pg);
}

static void on_limit(void *arg)
{
	*(bool *)arg = true;
	loop_stop(loop);
}

/* Until `n` have been answered, or for so long; whether they were. */
static bool runs(int n, int64_t us)
{
	bool over = false;
	struct timer *limit = timer_new(loop, on_limit, &over);
	timer_arm(limit, us);
	while (n_done < n && !over)
		loop_run(loop);
	timer_free(limit);
	return n_done >= n;
}

/* ---- keys ---- */

static void on_claimed(struct command_claim *claim, enum claim_answer answer)
{
	(void)claim;
	claimed = answer;
	n_done++;
	loop_stop(loop);
}

static struct command_claim claim_of(const char *key, char fingerprint, const char *id)
{
	struct command_claim claim = {.key = key, .done = on_claimed};
	memset(claim.fingerprint, fingerprint, sizeof claim.fingerprint);
	memcpy(claim.id, id, sizeof claim.id);
	return claim;
}

static void expect_claim(const char *key, char fingerprint, const char *id,
                         enum claim_answer answer, const char *whose)
{
	struct command_claim claim = claim_of(key, fingerprint, id);
	int before = n_done;
	command_db_claim(db, &claim);
	ck_assert_int_eq(n_done, before);
	ck_assert(runs(before + 1, LIMIT_US));
	ck_assert_int_eq(claimed, answer);
	ck_assert_str_eq(claim.id, whose);
}

START_TEST(the_first_with_a_key_has_it)
{
	expect_claim("k", 'a', FIRST, CLAIM_OURS, FIRST);
	expect_claim("k", 'a', SECOND, CLAIM_THEIRS, FIRST);
	expect_claim("k", 'b', SECOND, CLAIM_OTHER, FIRST);
	expect_claim("K", 'b', SECOND, CLAIM_OURS, SECOND);
}
END_TEST

START_TEST(who_has_the_key_may_still_fail)
{
	struct command_claim claim = claim_of("k", 'a', SECOND);
	exec("BEGIN; SELECT cqrs.claim('k', '', '" FIRST "')");
	command_db_claim(db, &claim);
	ck_assert(!runs(1, 300000));
	exec("ROLLBACK");
	ck_assert(runs(1, LIMIT_US));
	ck_assert_int_eq(claimed, CLAIM_OURS);
	ck_assert_str_eq(claim.id, SECOND);
}
END_TEST

START_TEST(a_claim_that_is_given_up_is_not_sent)
{
	struct command_claim claim = claim_of("k", 'a', FIRST);
	command_db_claim(db, &claim);
	ck_assert(command_claim_give_up(&claim));
	ck_assert(!runs(1, 300000));
	expect_claim("k", 'a', SECOND, CLAIM_OURS, SECOND);
}
END_TEST

START_TEST(what_was_sent_over_a_lost_connection_is_not_known)
{
	struct command_claim claim = claim_of("k", 'a', SECOND);
	expect_claim("j", 'a', FIRST, CLAIM_OURS, FIRST);
	exec("BEGIN; SELECT cqrs.claim('k', '', '" FIRST "')");
	command_db_claim(db, &claim);
	ck_assert(!runs(2, 300000));
	ck_assert(!command_claim_give_up(&claim));
	exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%claim%' "
	     "AND pid <> pg_backend_pid()");
	ck_assert(runs(2, LIMIT_US));
	ck_assert_int_eq(claimed, CLAIM_FAILED);
	exec("ROLLBACK");
	expect_claim("k", 'a', SECOND, CLAIM_OURS, SECOND); /* connected anew */
}
END_TEST

/* ---- outcomes ---- */

static void on_known(struct outcome_wait *wait, const struct outcome *outcome)
{
	size_t len = strlen(said);
	if (outcome)
		snprintf(said + len, sizeof said - len, "%s %d %s %s %s:%d@%d;", wait->id + 32,
		         outcome->status, outcome->reason ? outcome->reason : "-",
		         outcome->body ? outcome->body : "-", outcome->topic,
		         (int)outcome->partition, (int)outcome->offset);
	else
		snprintf(said + len, sizeof said - len, "%s none;", wait->id + 32);
	ck_assert(!outcome || outcome->applied_us == INT64_C(1700000000000000));
	n_done++;
	loop_stop(loop);
}

static struct outcome_wait wait_for(const char *id, bool once)
{
	return (struct outcome_wait){.id = id, .once = once, .known = on_known};
}

static void store(const char *id, const char *rest)
{
	char sql[500];
	snprintf(sql, sizeof sql,
	         "INSERT INTO cqrs.outcomes (applied_at, command_id, topic, partition, \"offset\", "
	         "status, reason, body) VALUES (to_timestamp(1700000000), '%s', 't', 3, 5, %s)",
	         id, rest);
	exec(sql);
}

START_TEST(what_is_there_is_known_at_once)
{
	struct outcome_wait one = wait_for(FIRST, false), two = wait_for(SECOND, true),
	                    three = wait_for(THIRD, true), again = wait_for(FIRST, true);
	store(FIRST, "200, NULL, '{\"a\": 1}'");
	store(SECOND, "404, 'gone', NULL");
	command_db_wait(db, &one);
	ck_assert(runs(1, LIMIT_US));
	ck_assert_str_eq(said, "0001 200 - {\"a\": 1} t:3@5;");
	*said = '\0';
	command_db_wait(db, &two);
	ck_assert(runs(2, LIMIT_US));
	ck_assert_str_eq(said, "0002 404 gone - t:3@5;");
	*said = '\0';
	command_db_wait(db, &three);
	ck_assert(runs(3, LIMIT_US));
	ck_assert_str_eq(said, "0003 none;");
	command_db_wait(db, &again);
	ck_assert(runs(4, LIMIT_US));
}
END_TEST

START_TEST(who_waits_is_woken)
{
	struct outcome_wait one = wait_for(FIRST, false), two = wait_for(FIRST, false);
	command_db_wait(db, &one);
	command_db_wait(db, &two);
	ck_assert(!runs(1, 1100000)); /* just after a look */
	exec("BEGIN");
	store(FIRST, "200, NULL, NULL");
	exec("NOTIFY cqrs_outcomes; COMMIT");
	ck_assert_msg(runs(2, 300000), "NOTIFY has not been heard");
}
END_TEST

START_TEST(who_waits_looks_besides)
{
	struct outcome_wait one = wait_for(FIRST, false);
	command_db_wait(db, &one);
	ck_assert(!runs(1, 300000));
	store(FIRST, "200, NULL, NULL");
	ck_assert(runs(1, 3000000));
}
END_TEST

START_TEST(who_has_left_is_told_nothing)
{
	struct outcome_wait one = wait_for(FIRST, false), two = wait_for(FIRST, false);
	store(FIRST, "200, NULL, NULL");
	command_db_wait(db, &one);
	command_db_wait(db, &two);
	outcome_wait_leave(&one);
	outcome_wait_leave(&one);
	ck_assert(runs(1, LIMIT_US));
	ck_assert(!runs(2, 700000));
}
END_TEST

START_TEST(the_first_who_asks_makes_the_connection)
{
	struct outcome_wait one = wait_for(FIRST, true);
	ck_assert(!runs(1, 200000));
	ck_assert(health_is_ready(health));
	command_db_wait(db, &one);
	ck_assert(!health_is_ready(health));
	ck_assert(runs(1, LIMIT_US));
	ck_assert(health_is_ready(health));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command_db");
	TCase *cases = tcase_create("database");
	pg_server_start("command_db");
	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, the_first_with_a_key_has_it);
	tcase_add_test(cases, who_has_the_key_may_still_fail);
	tcase_add_test(cases, a_claim_that_is_given_up_is_not_sent);
	tcase_add_test(cases, what_was_sent_over_a_lost_connection_is_not_known);
	tcase_add_test(cases, what_is_there_is_known_at_once);
	tcase_add_test(cases, who_waits_is_woken);
	tcase_add_test(cases, who_waits_looks_besides);
	tcase_add_test(cases, who_has_left_is_told_nothing);
	tcase_add_test(cases, the_first_who_asks_makes_the_connection);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	pg_server_stop();
	return failed != 0;
}
