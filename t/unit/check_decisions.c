/* SPDX-License-Identifier: MIT */
/* Commands that the database decides: in order, each once, and whatever it says is kept. */
#include "pg_writer.h"

#include "batch_command.h"
#include "batches.h"
#include "core_schema.h"
#include "dead_letter.h"

#define LIMIT_US 10000000

static const struct cqrs_column columns[] = {{.name = "n", .type = CQRS_INT4}, {.name = NULL}};
static const struct cqrs_table_def def = {"loose", columns, CQRS_DUPLICATE_REFUSE};
static const char ddl[] =
    "DROP SCHEMA IF EXISTS cqrs CASCADE; DROP SCHEMA public CASCADE;"
    "CREATE SCHEMA public; CREATE SCHEMA cqrs;"
    "CREATE TABLE loose (n int); CREATE TABLE stock (name text PRIMARY KEY, n int NOT NULL);"
    "CREATE TABLE calls (id serial, name text, n int);";
/* Takes `n` of something: 404 if there is none, 409 if there are too few, an error for 0. */
static const char function[] =
    "CREATE FUNCTION take(name text, n int) RETURNS cqrs.outcome LANGUAGE plpgsql AS $$"
    "DECLARE has int; BEGIN"
    " INSERT INTO calls (name, n) VALUES (take.name, take.n);"
    " SELECT s.n INTO has FROM stock s WHERE s.name = take.name FOR UPDATE;"
    " IF NOT FOUND THEN RETURN (404, 'there is no ' || take.name, NULL)::cqrs.outcome; END IF;"
    " IF has < take.n THEN RETURN (409, 'there are only ' || has, NULL)::cqrs.outcome; END IF;"
    " UPDATE stock s SET n = has - take.n WHERE s.name = take.name AND 1 / take.n < 2;"
    " PERFORM cqrs.publish('taken', take.name, NULL, jsonb_build_object('n', take.n));"
    " RETURN (NULL, NULL, jsonb_build_object('left', has - take.n))::cqrs.outcome;"
    " END $$;"
    "INSERT INTO stock VALUES ('apple', 10), ('pear', 1);";

static struct loop *loop;
static struct metrics *metrics;
static struct health *health;
static struct pg_writer_config config;
static struct pg_writer *writer;
static struct cqrs_table *table;
static struct cqrs_decision *take;
static struct cqrs_batch *batch;
static bool is_done;

static void on_stored(void *owner, struct pg_writer *w, struct cqrs_batch *b, bool fenced)
{
	(void)owner;
	(void)w;
	ck_assert_ptr_eq(b, batch);
	ck_assert(!fenced);
	is_done = true;
	loop_stop(loop);
}

static void on_limit(void *arg)
{
	(void)arg;
	ck_abort_msg("not stored within 10 s: %s", pg_writer_state(writer));
}

static void store(void)
{
	struct timer *limit = timer_new(loop, on_limit, NULL);
	timer_arm(limit, LIMIT_US);
	is_done = false;
	pg_writer_store(writer, batch);
	while (!is_done)
		loop_run(loop);
	timer_free(limit);
	batch_clear(batch);
}

static void setup(void)
{
	static const enum cqrs_type types[] = {CQRS_TEXT, CQRS_INT4};
	PGconn *pg = PQconnectdb(pg_server_dsn);
	PQclear(PQexec(pg, "SET client_min_messages = warning"));
	PQclear(PQexec(pg, ddl));
	core_schema(pg);
	PGresult *made = PQexec(pg, function);
	ck_assert_msg(PQresultStatus(made) == PGRES_COMMAND_OK, "%s", PQerrorMessage(pg));
	PQclear(made);
	PQclear(PQexec(pg, "INSERT INTO cqrs.offsets VALUES ('g', 't', 0, 10)"));
	PQfinish(pg);
	partitions_reset();
	loop = loop_new();
	metrics = metrics_new();
	health = health_new(loop);
	table = batch_table_new(&def, 0);
	batch = batch_new(&table, 1);
	take = batch_decision_new("take", types, 2, false);
	config = (struct pg_writer_config){.name = "postgres write 0",
	                                   .dsn = pg_server_dsn,
	                                   .group = "g",
	                                   .topics = topic_names,
	                                   .redriven_by = "me",
	                                   .timeout_us = 10000000,
	                                   .max_statements = 8};
	writer = pg_writer_new(loop, &config, metrics, health, on_stored, NULL);
	ck_assert(batch && take && writer);
}

static void teardown(void)
{
	pg_writer_free(writer);
	batch_free(batch);
	batch_decision_free(take);
	batch_table_free(table);
	health_free(health);
	metrics_free(metrics);
	loop_free(loop);
}

static void ask(const char *name, int32_t n)
{
	cqrs_decide(batch, take, (struct cqrs_value[]){cqrs_text(name), cqrs_int4(n)});
}

/* The last digits of the id; NULL: the message has none. */
static void begin_command(const char *id, bool waited)
{
	char text[40];
	struct cqrs_header headers[2] = {{.name = "command-id", .value = text, .value_len = 36},
	                                 {.name = "prefer", .value = "wait", .value_len = 4}};
	begin_message(batch, 0, "value", "key");
	if (!id)
		return;
	snprintf(text, sizeof text, "01890a5d-ac96-774b-bcce-b302099a%s", id);
	batch_take_headers(batch, headers, waited ? 2 : 1);
}

static void command(const char *id, const char *name, int32_t n)
{
	begin_command(id, false);
	ask(name, n);
	end_message(batch);
}

static void expect(const char *sql, const char *text)
{
	char *answer = pg_server_query(sql);
	ck_assert_msg(answer && !strcmp(answer, text), "%s: \"%s\" and not \"%s\"", sql, answer,
	              text);
	free(answer);
}

#define expect_outcomes(text)                                                              \
	expect("SELECT coalesce(string_agg(concat_ws('|', right(command_id::text, 4), "    \
	       "\"offset\", status, reason, body), E'\\n' ORDER BY command_id), '') FROM " \
	       "cqrs.outcomes",                                                            \
	       text)
#define expect_dead(text)                                                                         \
	expect("SELECT coalesce(string_agg(concat_ws('|', \"offset\", sqlstate, reason), E'\\n' " \
	       "ORDER BY \"offset\"), '') FROM cqrs.dead_letters",                                \
	       text)
#define expect_calls(text)  expect("SELECT string_agg(name || n, ' ' ORDER BY id) FROM calls", text)
#define expect_offset(text) expect("SELECT next_offset FROM cqrs.offsets", text)

START_TEST(are_decided_in_order_and_say_what_became_of_them)
{
	command("0001", "apple", 3);
	command("0002", "plum", 1);
	command("0003", "apple", 8);
	command("0004", "apple", 7);
	command(NULL, "pear", 1);
	store();
	expect_outcomes("0001|10|200|{\"left\": 7}\n0002|11|404|there is no plum\n"
	                "0003|12|409|there are only 7\n0004|13|200|{\"left\": 0}");
	expect_dead("11|there is no plum\n12|there are only 7");
	expect_calls("apple3 plum1 apple8 apple7 pear1");
	expect("SELECT string_agg(name || n, ' ' ORDER BY name) FROM stock", "apple0 pear0");
	expect("SELECT string_agg(convert_from(key, 'UTF8') || convert_from(payload, 'UTF8'), ' ' "
	       "ORDER BY id) FROM cqrs.outbox",
	       "apple{\"n\": 3} apple{\"n\": 7} pear{\"n\": 1}");
	expect_offset("15");
}
END_TEST

START_TEST(are_applied_once_however_often_they_come)
{
	command("0001", "apple", 3);
	command("0001", "apple", 3);
	store();
	command("0002", "apple", 1);
	command("0001", "apple", 3);
	store();
	expect_outcomes("0001|10|200|{\"left\": 7}\n0002|12|200|{\"left\": 6}");
	expect_calls("apple3 apple1");
	expect_dead("");
	expect_offset("14");
}
END_TEST

START_TEST(that_are_waited_for_have_no_dead_letters)
{
	begin_command("0001", true);
	ask("plum", 1);
	end_message(batch);
	begin_command("0002", true);
	cqrs_refuse_status(batch, 412, "too late");
	end_message(batch);
	begin_command("0003", false);
	cqrs_refuse(batch, "never");
	end_message(batch);
	store();
	expect_outcomes("0001|10|404|there is no plum\n0002|11|412|too late\n0003|12|422|never");
	expect_dead("12|never");
}
END_TEST

START_TEST(that_raise_an_error_hurt_nobody_else)
{
	command("0001", "apple", 1);
	command("0002", "apple", 0);
	command("0003", "apple", 2);
	store();
	expect_outcomes("0001|10|200|{\"left\": 9}\n0002|11|422|division by zero\n"
	                "0003|12|200|{\"left\": 7}");
	expect_dead("11|22012|division by zero");
	expect_calls("apple1 apple2");
	expect_offset("13");
}
END_TEST

START_TEST(that_are_refused_leave_nothing_of_their_message)
{
	static const char *const names[] = {"apple", "plum", "pear"};
	for (int i = 0; i < 3; i++) {
		begin_command(NULL, false);
		cqrs_append(batch, table, (struct cqrs_value[]){cqrs_int4(i)});
		ask(names[i], 1);
		end_message(batch);
	}
	store();
	expect("SELECT string_agg(n::text, ' ' ORDER BY n) FROM loose", "0 2");
	expect_dead("11|there is no plum");
	expect_calls("apple1 plum1 pear1");
}
END_TEST

/* A count in `stock` that must be there. */
static void count(const char *name)
{
	static const enum cqrs_type text[] = {CQRS_TEXT};
	static const Oid oid[] = {25};
	static const struct cqrs_statement statement = {
	    .sql = "UPDATE stock SET n = n + 100 WHERE name = $1",
	    .n_params = 1,
	    .types = (Oid *)(uintptr_t)oid,
	    .param_types = text};
	cqrs_execute(batch, &statement, (struct cqrs_value[]){cqrs_text(name)}, 1, "not counted");
}

#define expect_stock(text) \
	expect("SELECT string_agg(name || n, ' ' ORDER BY name) FROM stock", text)

START_TEST(are_undone_with_a_statement_of_their_message)
{
	command("0001", "apple", 1);
	begin_command("0002", false);
	ask("apple", 2);
	count("plum");
	end_message(batch);
	command("0003", "apple", 4);
	begin_command("0004", false);
	count("plum");
	ask("apple", 1);
	end_message(batch);
	store();
	expect_outcomes("0001|10|200|{\"left\": 9}\n0002|11|422|not counted\n"
	                "0003|12|200|{\"left\": 5}\n0004|13|422|not counted");
	expect_stock("apple5 pear1");
	expect_calls("apple1 apple4");
}
END_TEST

/* What it leaves when it is undone is what counts for those behind it. */
START_TEST(that_are_undone_disturb_no_statement_behind_them)
{
	static const enum cqrs_type text[] = {CQRS_TEXT};
	static const Oid oid[] = {25};
	static const struct cqrs_statement many = {
	    .sql = "UPDATE stock SET n = n + 1 WHERE name = $1 AND n >= 10",
	    .n_params = 1,
	    .types = (Oid *)(uintptr_t)oid,
	    .param_types = text};
	command("0001", "pear", 1);
	begin_command("0002", false);
	ask("apple", 1);
	count("plum");
	end_message(batch);
	begin_command("0003", false);
	cqrs_execute(batch, &many, (struct cqrs_value[]){cqrs_text("apple")}, 1, "too few");
	end_message(batch);
	store();
	expect_outcomes("0001|10|200|{\"left\": 0}\n0002|11|422|not counted\n0003|12|200");
	expect_stock("apple11 pear0");
}
END_TEST

START_TEST(that_are_refused_undo_the_statements_of_their_message)
{
	command("0001", "apple", 1);
	begin_command("0002", false);
	ask("plum", 1);
	count("apple");
	end_message(batch);
	begin_command("0003", false);
	count("apple");
	ask("apple", 100);
	end_message(batch);
	command("0004", "apple", 1);
	store();
	expect_outcomes("0001|10|200|{\"left\": 9}\n0002|11|404|there is no plum\n"
	                "0003|12|200|{\"left\": 9}\n0004|13|200|{\"left\": 8}");
	expect_stock("apple8 pear1");
}
END_TEST

/* Its statement would fail as well, in either way. */
START_TEST(that_are_refused_are_not_asked_for_ever)
{
	static const enum cqrs_type text[] = {CQRS_TEXT};
	static const Oid oid[] = {25};
	static const struct cqrs_statement bad = {.sql = "UPDATE stock SET n = 1 / 0 WHERE $1 > ''",
	                                          .n_params = 1,
	                                          .types = (Oid *)(uintptr_t)oid,
	                                          .param_types = text};
	begin_command("0001", false);
	ask("plum", 1);
	count("plum");
	end_message(batch);
	begin_command("0002", false);
	ask("plum", 2);
	cqrs_execute(batch, &bad, (struct cqrs_value[]){cqrs_text("pear")}, CQRS_ANY_ROWS, NULL);
	end_message(batch);
	command("0003", "pear", 1);
	store();
	expect_outcomes("0001|10|404|there is no plum\n0002|11|404|there is no plum\n"
	                "0003|12|200|{\"left\": 0}");
	expect_stock("apple10 pear0");
}
END_TEST

START_TEST(that_say_more_than_there_is_room_for_are_made_in_parts)
{
	for (int i = 1; i <= 5; i++) {
		char id[16];
		snprintf(id, sizeof id, "000%d", i);
		command(id, "apple", 1);
	}
	batch->message_max = 30; /* two of these */
	store();
	batch->message_max = SIZE_MAX;
	command("0006", "apple", 1);
	batch->message_max = 11; /* none */
	store();
	expect("SELECT string_agg(concat_ws('|', right(command_id::text, 4), status, body), ' ' "
	       "ORDER BY command_id) FROM cqrs.outcomes",
	       "0001|200|{\"left\": 9} 0002|200|{\"left\": 8} 0003|200|{\"left\": 7} "
	       "0004|200|{\"left\": 6} 0005|200|{\"left\": 5} 0006|422");
	expect("SELECT sqlstate FROM cqrs.dead_letters", "54000");
	expect_stock("apple5 pear1");
}
END_TEST

START_TEST(are_refused_in_parts)
{
	begin_command("0001", true);
	cqrs_element(batch, 0, NULL, 0);
	cqrs_append(batch, table, (struct cqrs_value[]){cqrs_int4(1)});
	cqrs_element(batch, 1, NULL, 0);
	cqrs_refuse_element(batch, "not this one");
	end_message(batch);
	begin_command("0002", true);
	cqrs_element(batch, 0, NULL, 0);
	cqrs_refuse_element(batch, "nor this one");
	end_message(batch);
	store();
	expect_outcomes("0001|10|200|refused parts: 1, the first: not this one\n"
	                "0002|11|422|nor this one");
	expect_dead("10|not this one"); /* of the other somebody is told */
}
END_TEST

START_TEST(that_were_refused_are_tried_again_as_dead_letters)
{
	static const struct dead_letter letter = {
	    .id = 1, .topic = "t", .offset = 10, .part_index = -1, .is_whole = true};
	command("0001", "plum", 1);
	store();
	expect_outcomes("0001|10|404|there is no plum");
	pg_server_exec("INSERT INTO stock VALUES ('plum', 5)");
	command("0001", "plum", 1);
	batch->messages[0].partition = NULL;
	ck_assert(batch_redrive(batch, &letter));
	store();
	expect_outcomes("0001|11|200|{\"left\": 4}");
	expect("SELECT resolution FROM cqrs.dead_letters", "redriven");
}
END_TEST

/* Notifications that came within half a second. */
static int notified(PGconn *pg)
{
	int n = 0;
	PGnotify *notify;
	for (int i = 0; i < 25; i++) {
		PQconsumeInput(pg);
		while ((notify = PQnotifies(pg))) {
			n++;
			PQfreemem(notify);
		}
		pg_server_sleep();
	}
	return n;
}

START_TEST(wake_those_who_wait_and_nobody_else)
{
	PGconn *pg = PQconnectdb(pg_server_dsn);
	PQclear(PQexec(pg, "LISTEN cqrs_outcomes"));
	command("0001", "apple", 1);
	store();
	ck_assert_int_eq(notified(pg), 0);
	for (int i = 2; i < 5; i++) {
		char id[16];
		snprintf(id, sizeof id, "000%d", i);
		begin_command(id, true);
		ask("apple", 1);
		end_message(batch);
	}
	store();
	ck_assert_int_eq(notified(pg), 1);
	PQfinish(pg);
}
END_TEST

START_TEST(are_forgotten_when_they_are_old)
{
	command("0001", "apple", 1);
	command("0002", "apple", 1);
	command("0003", "apple", 1);
	store();
	pg_server_exec(
	    "INSERT INTO cqrs.idempotency SELECT n::text, '', gen_random_uuid(), now() - "
	    "interval '2 days' FROM generate_series(1, 4) n");
	pg_server_exec("UPDATE cqrs.outcomes SET applied_at = now() - interval '2 days' "
	               "WHERE \"offset\" < 12");
	expect("SELECT cqrs.forget_commands('86400000000 us', 3)", "t");
	expect("SELECT cqrs.forget_commands('86400000000 us', 3)", "f");
	expect("SELECT count(*) FROM cqrs.idempotency", "0");
	expect_outcomes("0003|12|200|{\"left\": 7}");
	expect("SELECT cqrs.forget_commands('31622400000000 us', 3)", "f"); /* 366 days */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("decisions");
	TCase *cases = tcase_create("commands");
	pg_server_start("decisions");
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, are_decided_in_order_and_say_what_became_of_them);
	tcase_add_test(cases, are_applied_once_however_often_they_come);
	tcase_add_test(cases, that_are_waited_for_have_no_dead_letters);
	tcase_add_test(cases, that_raise_an_error_hurt_nobody_else);
	tcase_add_test(cases, that_are_refused_leave_nothing_of_their_message);
	tcase_add_test(cases, are_undone_with_a_statement_of_their_message);
	tcase_add_test(cases, that_are_undone_disturb_no_statement_behind_them);
	tcase_add_test(cases, that_are_refused_undo_the_statements_of_their_message);
	tcase_add_test(cases, that_are_refused_are_not_asked_for_ever);
	tcase_add_test(cases, that_say_more_than_there_is_room_for_are_made_in_parts);
	tcase_add_test(cases, are_refused_in_parts);
	tcase_add_test(cases, that_were_refused_are_tried_again_as_dead_letters);
	tcase_add_test(cases, wake_those_who_wait_and_nobody_else);
	tcase_add_test(cases, are_forgotten_when_they_are_old);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	pg_server_stop();
	return failed != 0;
}
