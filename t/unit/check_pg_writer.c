/* SPDX-License-Identifier: MIT */
/* Batches into a real PostgreSQL: each once, and a bad message never costs a good one. */
#include "pg_writer.h"

#include "batches.h"
#include "core_schema.h"
#include "dead_letter.h"
#include "pg_writer_internal.h"

#define LIMIT_US 10000000
#define MANY     1000
#define SKIPPING (ATTEMPT_SIFT | ATTEMPT_SKIP)

static const struct cqrs_column number_columns[] = {{.name = "n", .type = CQRS_INT4, .key = true},
                                                    {.name = "v", .type = CQRS_FLOAT8},
                                                    {.name = NULL}};
static const struct cqrs_column loose_columns[] = {
    {.name = "n", .type = CQRS_INT4}, {.name = "v", .type = CQRS_FLOAT8}, {.name = NULL}};
static const struct cqrs_column ref_columns[] = {
    {.name = "n", .type = CQRS_INT4, .key = true, .references = "public.plain(n)"},
    {.name = "v", .type = CQRS_FLOAT8},
    {.name = NULL}};
static const struct cqrs_column doc_columns[] = {{.name = "n", .type = CQRS_INT4, .key = true},
                                                 {.name = "doc", .type = CQRS_JSONB},
                                                 {.name = NULL}};
static const struct cqrs_column name_columns[] = {{.name = "name", .type = CQRS_TEXT, .key = true},
                                                  {.name = "v", .type = CQRS_FLOAT8},
                                                  {.name = NULL}};

enum { PLAIN, LATEST, STRICT, LOOSE, REFS, DOCS, NARROW, CHILDREN, NAMES, SMALL, N_TABLES };
static const struct cqrs_table_def defs[N_TABLES] = {
    [PLAIN] = {"plain", number_columns, CQRS_DUPLICATE_IGNORE},
    [LATEST] = {"latest", number_columns, CQRS_DUPLICATE_UPDATE},
    [STRICT] = {"strict", number_columns, CQRS_DUPLICATE_REFUSE},
    [LOOSE] = {"loose", loose_columns, CQRS_DUPLICATE_REFUSE},
    [REFS] = {"refs", ref_columns, CQRS_DUPLICATE_IGNORE},
    [DOCS] = {"docs", doc_columns, CQRS_DUPLICATE_IGNORE},
    [NARROW] = {"narrow", number_columns, CQRS_DUPLICATE_IGNORE},
    [CHILDREN] = {"children", number_columns, CQRS_DUPLICATE_IGNORE},
    [NAMES] = {"names", name_columns, CQRS_DUPLICATE_UPDATE},
    [SMALL] = {"small", number_columns, CQRS_DUPLICATE_IGNORE},
};
static const char ddl[] =
    "DROP SCHEMA IF EXISTS cqrs CASCADE; DROP SCHEMA public CASCADE;"
    "CREATE SCHEMA public; CREATE SCHEMA cqrs;"
    "CREATE TABLE plain (n int PRIMARY KEY, v float8 CHECK (v < 1000));"
    "CREATE TABLE latest (n int PRIMARY KEY, v float8 NOT NULL CHECK (v < 1000));"
    "CREATE TABLE strict (n int PRIMARY KEY, v float8);"
    "CREATE TABLE loose (n int, v float8);"
    "CREATE TABLE refs (n int PRIMARY KEY, v float8);"
    "CREATE TABLE docs (n int PRIMARY KEY, doc jsonb);"
    "CREATE TABLE narrow (n int PRIMARY KEY, v float8) PARTITION BY RANGE (n);"
    "CREATE TABLE narrow_0 PARTITION OF narrow FOR VALUES FROM (0) TO (100);"
    "CREATE TABLE children (n int PRIMARY KEY REFERENCES plain DEFERRABLE INITIALLY DEFERRED, v "
    "float8);"
    "CREATE TABLE names (name text PRIMARY KEY, v float8);"
    "CREATE TABLE small (n smallint PRIMARY KEY, v numeric(4, 1));"
    "CREATE TABLE stock (id int PRIMARY KEY, version int NOT NULL DEFAULT 1);"
    "INSERT INTO stock VALUES (1), (2), (3);"
    "CREATE SEQUENCE kills;"
    "CREATE FUNCTION kill_some() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF nextval('kills') <= 2 THEN PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(5); "
    "END IF; RETURN NULL; END $$;";

static const enum cqrs_type take_types[] = {CQRS_INT4, CQRS_INT4};
static const enum cqrs_type one_int[] = {CQRS_INT4};
static const enum cqrs_type one_text[] = {CQRS_TEXT};
static Oid take_oids[] = {23, 23}, int_oid[] = {23}, text_oid[] = {25};
/* Moves a version by one, if it is the one that was expected. */
static const struct cqrs_statement take = {
    .sql = "UPDATE stock SET version = version + 1 WHERE id = $1 AND version = $2",
    .n_params = 2,
    .types = take_oids,
    .param_types = take_types};
static const struct cqrs_statement divide = {.sql = "INSERT INTO loose SELECT 100 / $1",
                                             .n_params = 1,
                                             .types = int_oid,
                                             .param_types = one_int};
static const struct cqrs_statement raise_text = {
    .sql = "SELECT shout($1)", .n_params = 1, .types = text_oid, .param_types = one_text};
static const struct cqrs_statement widen = {.index = 1,
                                            .sql = "INSERT INTO loose VALUES ($1, -1)",
                                            .n_params = 1,
                                            .types = int_oid,
                                            .param_types = one_int};
static const struct cqrs_statement deepen = {.index = 0,
                                             .sql = "INSERT INTO loose VALUES ($1, -2)",
                                             .n_params = 1,
                                             .types = int_oid,
                                             .param_types = one_int};

static struct loop *loop;
static struct metrics *metrics;
static struct health *health;
static struct pg_writer_config config;
static struct pg_writer *writer;
static struct cqrs_table *tables[N_TABLES];
static struct cqrs_batch *batch;
static int done, fenced;

static void on_stored(void *owner, struct pg_writer *w, struct cqrs_batch *b, bool was_fenced)
{
	ck_assert_ptr_eq(owner, &done);
	ck_assert_ptr_eq(w, writer);
	ck_assert_ptr_eq(b, batch);
	ck_assert(pg_writer_is_idle(w));
	done++;
	fenced += was_fenced;
	loop_stop(loop);
}

static void on_limit(void *arg)
{
	*(bool *)arg = true;
	loop_stop(loop);
}

/* Runs the loop for a while, or until the batch is done with. */
static bool run_for(int64_t us)
{
	bool late = false;
	int before = done;
	struct timer *limit = timer_new(loop, on_limit, &late);
	timer_arm(limit, us);
	while (done == before && !late)
		loop_run(loop);
	timer_free(limit);
	return done > before;
}

static void store(void)
{
	pg_writer_store(writer, batch);
	ck_assert_msg(run_for(LIMIT_US), "not stored within 10 s: %s", pg_writer_state(writer));
}

/* Stores what must not be fenced, and makes room for the next. */
static void stored(void)
{
	store();
	ck_assert_int_eq(fenced, 0);
	batch_clear(batch);
}

static void setup(void)
{
	PGconn *pg = PQconnectdb(pg_server_dsn);
	PQclear(PQexec(pg, "SET client_min_messages = warning"));
	PGresult *made = PQexec(pg, ddl);
	ck_assert_msg(PQresultStatus(made) == PGRES_COMMAND_OK, "%s", PQerrorMessage(pg));
	PQclear(made);
	core_schema(pg);
	PQclear(PQexec(pg, "INSERT INTO cqrs.offsets VALUES ('g''1', 't', 0, 10), ('g''1', 't', 1, "
	                   "10), ('g''1', 'it''s', 7, 10)"));
	PQfinish(pg);
	partitions_reset();
	loop = loop_new();
	metrics = metrics_new();
	health = health_new(loop);
	for (int i = 0; i < N_TABLES; i++)
		tables[i] = batch_table_new(&defs[i], i);
	batch = batch_new(tables, N_TABLES);
	config = (struct pg_writer_config){.name = "postgres write 0",
	                                   .dsn = pg_server_dsn,
	                                   .group = "g'1",
	                                   .topics = topic_names,
	                                   .redriven_by = "o'me",
	                                   .timeout_us = 10000000,
	                                   .max_statements = 8};
	writer = pg_writer_new(loop, &config, metrics, health, on_stored, &done);
	ck_assert_ptr_nonnull(writer);
}

static void teardown(void)
{
	pg_writer_free(writer);
	batch_free(batch);
	for (int i = 0; i < N_TABLES; i++)
		batch_table_free(tables[i]);
	health_free(health);
	metrics_free(metrics);
	loop_free(loop);
}

static void append(int table, int32_t n, double v)
{
	cqrs_append(batch, tables[table], (struct cqrs_value[]){cqrs_int4(n), cqrs_float8(v)});
}

/* A message of one row. */
static void put(int table, int32_t n, double v)
{
	begin_message(batch, 0, "value", "key");
	append(table, n, v);
	end_message(batch);
}

static void element(int32_t index, int table, int32_t n, double v)
{
	cqrs_element(batch, index, NULL, 0);
	append(table, n, v);
}

static void expect(const char *sql, const char *text)
{
	char *answer = pg_server_query(sql);
	ck_assert_msg(answer && !strcmp(answer, text), "%s: \"%s\" and not \"%s\"", sql, answer,
	              text);
	free(answer);
}

/* The rows of a table, and where partition 0 stands. */
#define expect_rows(table, text)                                                                \
	expect("SELECT coalesce(string_agg(n || ':' || v, ' ' ORDER BY n, v), '') FROM " table, \
	       text)
#define expect_offset(text) \
	expect("SELECT next_offset FROM cqrs.offsets WHERE topic = 't' AND partition = 0", text)
#define expect_dead(text)                                                                     \
	expect("SELECT coalesce(string_agg(concat_ws('|', \"offset\", part_index, sqlstate, " \
	       "reason), "                                                                    \
	       "E'\\n' ORDER BY \"offset\", part_index), '') FROM cqrs.dead_letters",         \
	       text)

static double counted(const char *name)
{
	return metric_value(metrics_counter(metrics, name, "", ""));
}

/* ---- what is good ---- */

START_TEST(stores_rows_events_and_offsets)
{
	put(PLAIN, 2, 0.5);
	put(PLAIN, 1, 1.5);
	begin_message(batch, 2, "v", NULL);
	append(LOOSE, 9, 9);
	cqrs_publish(batch, "events", "k", "{\"a\": 1}");
	cqrs_publish(batch, "events", NULL, "{}");
	end_message(batch);
	stored();
	expect_rows("plain", "1:1.5 2:0.5");
	expect_rows("loose", "9:9");
	expect_offset("12");
	expect("SELECT next_offset FROM cqrs.offsets WHERE topic = 'it''s'", "11");
	expect("SELECT next_offset FROM cqrs.offsets WHERE topic = 't' AND partition = 1", "10");
	expect("SELECT string_agg(topic || '|' || coalesce(encode(key, 'escape'), '-') || '|' || "
	       "encode(payload, 'escape'), ' ' ORDER BY id) FROM cqrs.outbox",
	       "events|k|{\"a\": 1} events|-|{}");
	expect_dead("");
	ck_assert_int_eq((int)partitions[0].position.offset, 12);
	ck_assert_int_eq((int)partitions[2].position.offset, 11);
	ck_assert_int_eq((int)partitions[1].position.offset, 10);
	ck_assert(counted("cqrsd_rows_stored_total") == 3);
	ck_assert(counted("cqrsd_batches_total") == 1);
	ck_assert(health_is_ready(health));
}
END_TEST

START_TEST(stores_a_message_that_asked_for_nothing)
{
	begin_message(batch, 0, NULL, NULL);
	end_message(batch);
	stored();
	expect_offset("11");
}
END_TEST

START_TEST(stores_one_batch_after_the_other)
{
	for (int i = 0; i < 5; i++) {
		put(PLAIN, i, i);
		stored();
	}
	expect_offset("15");
	expect("SELECT count(*) FROM plain", "5");
}
END_TEST

START_TEST(stores_more_than_a_socket_takes)
{
	static char payload[3000000];
	memset(payload, 'x', sizeof payload - 1);
	begin_message(batch, 0, payload, NULL);
	cqrs_refuse(batch, "too long");
	end_message(batch);
	for (int i = 0; i < 20000; i++)
		put(LOOSE, i, 0);
	stored();
	expect("SELECT length(payload) FROM cqrs.dead_letters", "2999999");
	expect("SELECT count(DISTINCT n) FROM loose", "20000");
}
END_TEST

/* ---- duplicates ---- */

START_TEST(ignores_what_is_there_already)
{
	pg_server_exec("INSERT INTO plain VALUES (1, 100)");
	put(PLAIN, 1, 1);
	put(PLAIN, 2, 2);
	put(PLAIN, 2, 3);
	stored();
	expect_rows("plain", "1:100 2:2");
	expect_dead("");
	ck_assert(counted("cqrsd_rows_stored_total") == 1);
	ck_assert(counted("cqrsd_rows_duplicate_total") == 2);
}
END_TEST

START_TEST(updates_what_is_there_already)
{
	pg_server_exec("INSERT INTO latest VALUES (1, 100)");
	put(LATEST, 1, 1);
	put(LATEST, 2, 2);
	put(LATEST, 1, 3);
	put(LATEST, 2, 1);
	stored();
	expect_rows("latest", "1:3 2:1");
	/* Two within the batch, and one that was there. */
	ck_assert(counted("cqrsd_rows_duplicate_total") == 3);
}
END_TEST

START_TEST(updates_by_a_key_of_text)
{
	static const char *const names[] = {"b", "a", "b", "a", "b"};
	for (int twice = 0; twice < 2; twice++) {
		for (int i = 0; i < 5; i++) {
			begin_message(batch, 0, "v", NULL);
			cqrs_append(batch, tables[NAMES],
			            (struct cqrs_value[]){cqrs_text(names[i]),
			                                  cqrs_float8(10 * twice + i)});
			end_message(batch);
		}
		stored();
	}
	expect("SELECT string_agg(name || v, ' ' ORDER BY name) FROM names", "a13 b14");
	expect_dead("");
}
END_TEST

START_TEST(refuses_the_second_of_a_key)
{
	pg_server_exec("INSERT INTO strict VALUES (1, 100)");
	put(STRICT, 1, 1);
	put(STRICT, 2, 2);
	put(STRICT, 2, 3);
	stored();
	expect_rows("strict", "1:100 2:2");
	expect("SELECT string_agg(\"offset\" || sqlstate, ' ' ORDER BY id) FROM cqrs.dead_letters",
	       "1023505 1223505");
}
END_TEST

START_TEST(goes_back_to_copy_some_batches_after_a_duplicate)
{
	pg_server_exec("INSERT INTO plain VALUES (0, 0)");
	for (int i = 0; i < 20; i++) {
		put(PLAIN, i, i);
		stored();
		ck_assert_int_eq(writer->habit.usual, i < 4 ? SKIPPING : ATTEMPT_DIRECT);
	}
	expect("SELECT count(*) FROM plain", "20");
	ck_assert(counted("cqrsd_rows_stored_total") == 19);
	ck_assert_int_eq(writer->habit.usual, ATTEMPT_DIRECT);
}
END_TEST

/* Looking for keys does not find them all, or somebody else is quicker. */
START_TEST(a_duplicate_that_was_not_found_is_met_by_storing)
{
	pg_server_exec("ALTER TABLE plain DROP CONSTRAINT plain_pkey CASCADE;"
	               "CREATE UNIQUE INDEX ON plain ((n + 0)); INSERT INTO plain VALUES (0, 0)");
	for (int i = 0; i < 3; i++)
		put(PLAIN, i, i);
	stored();
	expect_rows("plain", "0:0 1:1 2:2");
	expect_dead("");
	ck_assert(counted("cqrsd_rows_duplicate_total") == 1);
}
END_TEST

START_TEST(a_bad_row_whose_key_is_there_is_refused)
{
	pg_server_exec("INSERT INTO plain VALUES (0, 0), (1, 1)");
	put(PLAIN, 0, 0);
	put(PLAIN, 1, 5000);
	stored();
	ck_assert_uint_eq(writer->habit.usual, SKIPPING);
	put(PLAIN, 1, 5000);
	stored();
	expect_rows("plain", "0:0 1:1");
	expect("SELECT string_agg(\"offset\" || sqlstate, ' ' ORDER BY id) FROM cqrs.dead_letters",
	       "1123514 1223514");
}
END_TEST

START_TEST(a_bad_row_does_not_cost_the_good_one_with_its_key)
{
	put(PLAIN, 1, 5000); /* the first, which would stand */
	put(PLAIN, 1, 1);
	put(LATEST, 1, 1);
	put(LATEST, 1, 5000); /* the last, which would stand */
	stored();
	expect_rows("plain", "1:1");
	expect_rows("latest", "1:1");
	expect("SELECT string_agg(\"offset\" || sqlstate, ' ' ORDER BY \"offset\") FROM "
	       "cqrs.dead_letters",
	       "1023514 1323514");
}
END_TEST

/* ---- what is bad ---- */

START_TEST(a_key_that_an_element_had_is_free_when_that_is_refused)
{
	/* After a duplicate rows are stored by cqrs.store() at once. */
	put(PLAIN, 5, 1);
	stored();
	put(PLAIN, 5, 1);
	stored();
	begin_message(batch, 0, "v", NULL);
	element(0, STRICT, 1, 1);
	append(PLAIN, 9, 1000); /* refused, and so goes the row before */
	element(1, STRICT, 1, 2);
	element(2, STRICT, 1, 3);
	end_message(batch);
	stored();
	expect_rows("strict", "1:2");
	expect_rows("plain", "5:1");
	expect("SELECT string_agg(part_index || '|' || sqlstate, ' ' ORDER BY part_index) FROM "
	       "cqrs.dead_letters",
	       "0|23514 2|23505");
}
END_TEST

START_TEST(one_bad_row_of_a_thousand_is_one_dead_letter)
{
	for (int i = 0; i < MANY / 10; i++) {
		begin_message(batch, 0, "value", "key");
		for (int k = 0; k < 10; k++)
			element(k, PLAIN, 10 * i + k, 10 * i + k == 777 ? 1000 : 1);
		end_message(batch);
	}
	stored();
	expect("SELECT count(*) FROM plain", "999");
	expect("SELECT count(*) FROM plain WHERE n = 777", "0");
	expect("SELECT concat_ws('|', consumer_group, topic, partition, \"offset\", part_index, "
	       "encode(key, 'escape'), encode(payload, 'escape'), sqlstate, headers) "
	       "FROM cqrs.dead_letters",
	       "g'1|t|0|87|7|key|value|23514");
	expect("SELECT count(*) FROM cqrs.dead_letters WHERE reason LIKE '%plain_v_check%'", "1");
	expect_offset("110");
}
END_TEST

START_TEST(every_kind_of_bad_row_costs_itself)
{
	pg_server_exec("INSERT INTO plain VALUES (5, 5)");
	begin_message(batch, 0, "value", NULL);
	element(0, PLAIN, 1, 1);
	cqrs_element(batch, 1, NULL, 0);
	cqrs_append(batch, tables[LATEST],
	            (struct cqrs_value[]){cqrs_int4(1), cqrs_null(CQRS_FLOAT8)});
	element(2, NARROW, 100, 1);
	element(3, NARROW, 99, 1);
	element(4, CHILDREN, 6, 1);
	element(5, CHILDREN, 5, 1);
	element(6, REFS, 6, 1);
	element(7, REFS, 5, 1);
	cqrs_element(batch, 8, NULL, 0);
	cqrs_append(batch, tables[DOCS],
	            (struct cqrs_value[]){cqrs_int4(1), cqrs_bytes(CQRS_JSONB, "{\"a\":", 5)});
	cqrs_element(batch, 9, NULL, 0);
	cqrs_append(batch, tables[DOCS],
	            (struct cqrs_value[]){cqrs_int4(2), cqrs_bytes(CQRS_JSONB, "{\"a\": 1}", 8)});
	cqrs_element(batch, 10, NULL, 0);
	cqrs_refuse_element(batch, "the module said so");
	end_message(batch);
	stored();
	expect_rows("plain", "1:1 5:5");
	expect_rows("narrow", "99:1");
	expect_rows("children", "5:1");
	expect_rows("refs", "5:1");
	expect("SELECT n || (doc->>'a') FROM docs", "21");
	expect("SELECT string_agg(concat_ws(':', part_index, sqlstate), ' ' ORDER BY part_index) "
	       "FROM cqrs.dead_letters",
	       "1:23502 2:23514 4:23503 6:23503 8:22P02 10");
	expect("SELECT reason FROM cqrs.dead_letters WHERE part_index = 6",
	       "n is not in public.plain(n)");
	expect("SELECT reason FROM cqrs.dead_letters WHERE part_index = 10", "the module said so");
	expect_offset("11");
}
END_TEST

START_TEST(sifts_where_bad_rows_are_about_and_copies_the_others)
{
	for (int i = 0; i < 10; i++) {
		begin_message(batch, 0, "value", NULL);
		for (int k = 0; k < 5; k++)
			element(k, PLAIN, 5 * i + k, k == 3 && i < 5 ? 5000 : i);
		end_message(batch);
		stored();
		ck_assert_int_eq(writer->habit.usual, i < 8 ? ATTEMPT_SIFT : ATTEMPT_DIRECT);
	}
	expect("SELECT count(*) FROM plain", "45");
	expect(
	    "SELECT string_agg(concat_ws(':', \"offset\", part_index, sqlstate), ' ' ORDER BY id) "
	    "FROM cqrs.dead_letters",
	    "10:3:23514 11:3:23514 12:3:23514 13:3:23514 14:3:23514");
	expect("SELECT DISTINCT reason FROM cqrs.dead_letters",
	       "new row for relation \"plain\" violates check constraint \"plain_v_check\"");
	ck_assert(counted("cqrsd_rows_stored_total") == 45);
	ck_assert(counted("cqrsd_rows_duplicate_total") == 0);
}
END_TEST

START_TEST(columns_of_another_type_take_what_they_have_room_for)
{
	for (int i = 0; i < 3; i++) {
		begin_message(batch, 0, "value", NULL);
		element(0, SMALL, 40000, 1);
		element(1, SMALL, i, 1.25);
		element(2, SMALL, 10 + i, 1000);
		element(3, SMALL, -1, 0.5);
		end_message(batch);
		stored();
		ck_assert(writer->habit.usual & ATTEMPT_STORE);
	}
	expect_rows("small", "-1:0.5 0:1.3 1:1.3 2:1.3");
	expect("SELECT string_agg(concat_ws(' ', \"offset\", part_index, sqlstate, reason), ', ' "
	       "ORDER BY \"offset\", part_index) FROM cqrs.dead_letters WHERE \"offset\" = 11",
	       "11 0 22003 smallint out of range, 11 2 22003 numeric field overflow");
	expect("SELECT count(*) FROM cqrs.dead_letters", "6");
}
END_TEST

START_TEST(a_check_or_a_trigger_that_raises_costs_the_row_alone)
{
	pg_server_exec(
	    "ALTER TABLE loose ADD CHECK (10 / n < 20), ADD CHECK (v < 1000);"
	    "CREATE FUNCTION picky() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
	    "IF NEW.n = 33 THEN RAISE EXCEPTION 'not 33' USING ERRCODE = 'SENS1'; END IF; "
	    "RETURN NULL; END $$;"
	    "CREATE TRIGGER picky AFTER INSERT ON loose FOR EACH ROW EXECUTE FUNCTION picky()");
	for (int i = 0; i < 10; i++) {
		begin_message(batch, 0, "value", NULL);
		for (int k = 0; k < 10; k++)
			element(k, LOOSE, 10 * i + k, 10 * i + k == 77 ? 1000 : 1);
		end_message(batch);
	}
	stored();
	expect("SELECT count(*) FROM loose", "97");
	expect_dead("10|0|22012|division by zero\n13|3|SENS1|not 33\n"
	            "17|7|23514|new row for relation \"loose\" violates check constraint "
	            "\"loose_v_check\"");
	/* What halving needed does not slow down those who come after it. */
	for (int i = 1; i < 10; i++) {
		put(LOOSE, i, 1);
		stored();
	}
	ck_assert_int_eq(writer->habit.usual, ATTEMPT_DIRECT);
	expect("SELECT count(*) FROM loose", "106");
}
END_TEST

START_TEST(a_row_whose_parent_comes_with_it_is_good)
{
	begin_message(batch, 0, "value", NULL);
	element(0, CHILDREN, 1, 1);
	element(1, PLAIN, 1, 1);
	element(2, PLAIN, 2, 5000);
	element(3, CHILDREN, 2, 1);
	element(4, REFS, 1, 1);
	element(5, REFS, 2, 1);
	end_message(batch);
	stored();
	expect_rows("plain", "1:1");
	expect_rows("children", "1:1");
	expect_rows("refs", "1:1");
	expect("SELECT string_agg(concat_ws(':', part_index, sqlstate), ' ' ORDER BY part_index) "
	       "FROM cqrs.dead_letters",
	       "2:23514 3:23503 5:23503");
}
END_TEST

START_TEST(refuses_the_message_when_it_has_no_elements)
{
	put(PLAIN, 1, 1);
	begin_message(batch, 0, "value", "key");
	append(PLAIN, 2, 5000);
	append(PLAIN, 3, 3);
	cqrs_publish(batch, "events", NULL, "{}");
	end_message(batch);
	put(PLAIN, 4, 4);
	stored();
	expect_rows("plain", "1:1 4:4");
	expect("SELECT count(*) FROM cqrs.outbox", "0");
	expect("SELECT \"offset\" || ' ' || sqlstate || ' ' || (part_index IS NULL) FROM "
	       "cqrs.dead_letters",
	       "11 23514 true");
	expect("SELECT count(*) FROM cqrs.dead_letters", "1");
}
END_TEST

START_TEST(an_element_that_is_refused_takes_its_event_and_statement_along)
{
	begin_message(batch, 0, "value", NULL);
	cqrs_element(batch, 0, NULL, 0);
	cqrs_execute(batch, &take, (struct cqrs_value[]){cqrs_int4(1), cqrs_int4(1)}, 1, "stale");
	append(PLAIN, 1, 5000);
	cqrs_publish(batch, "events", NULL, "{\"n\": 0}");
	cqrs_element(batch, 1, NULL, 0);
	cqrs_publish(batch, "events", NULL, "{\"n\": 1}");
	end_message(batch);
	stored();
	expect("SELECT version FROM stock WHERE id = 1", "1");
	expect("SELECT string_agg(encode(payload, 'escape'), ' ') FROM cqrs.outbox", "{\"n\": 1}");
	expect("SELECT string_agg(part_index || sqlstate, ' ') FROM cqrs.dead_letters", "023514");
}
END_TEST

/* ---- statements ---- */

static void execute(const struct cqrs_statement *statement, int32_t a, int32_t b, int64_t rows)
{
	cqrs_execute(batch, statement, (struct cqrs_value[]){cqrs_int4(a), cqrs_int4(b)}, rows,
	             "somebody was faster");
}

START_TEST(refuses_the_element_whose_statement_is_refused)
{
	begin_message(batch, 0, "value", NULL);
	for (int i = 0; i < 4; i++) {
		cqrs_element(batch, i, NULL, 0);
		execute(&divide, i % 2 ? 0 : 10, 0, 1);
	}
	end_message(batch);
	stored();
	expect("SELECT string_agg(n::text, ' ') FROM loose", "10 10");
	expect_dead("10|1|22012|division by zero\n10|3|22012|division by zero");
	expect_offset("11");
}
END_TEST

START_TEST(refuses_the_element_whose_statement_touched_too_few)
{
	begin_message(batch, 0, "value", NULL);
	cqrs_element(batch, 0, NULL, 0);
	execute(&take, 1, 1, 1);
	cqrs_element(batch, 1, NULL, 0);
	execute(&take, 9, 1, 1);
	cqrs_element(batch, 2, NULL, 0);
	execute(&take, 9, 1, CQRS_ANY_ROWS);
	cqrs_element(batch, 3, NULL, 0);
	execute(&take, 1, 2, 1);
	end_message(batch);
	stored();
	expect("SELECT version FROM stock WHERE id = 1", "3");
	expect_dead("10|1|somebody was faster");
}
END_TEST

START_TEST(judges_again_what_ran_after_a_refused_element)
{
	begin_message(batch, 0, "value", NULL);
	cqrs_element(batch, 0, NULL, 0);
	execute(&take, 1, 1, 1); /* works, and is undone because of the next */
	execute(&take, 9, 1, 1);
	cqrs_element(batch, 1, NULL, 0);
	execute(&take, 1, 1, 1); /* meets the version of the one undone */
	cqrs_element(batch, 2, NULL, 0);
	execute(&take, 1, 1, 1); /* really comes too late */
	end_message(batch);
	stored();
	expect("SELECT version FROM stock WHERE id = 1", "2");
	expect_dead("10|0|somebody was faster\n10|2|somebody was faster");
}
END_TEST

START_TEST(an_error_behind_a_refused_element_is_judged_again)
{
	pg_server_exec("ALTER TABLE stock ADD CHECK (version < 3)");
	begin_message(batch, 0, "value", NULL);
	cqrs_element(batch, 0, NULL, 0);
	execute(&take, 1, 1, 1);
	execute(&take, 9, 1, 1);
	cqrs_element(batch, 1, NULL, 0);
	cqrs_execute(batch, &take, (struct cqrs_value[]){cqrs_int4(1), cqrs_int4(2)}, CQRS_ANY_ROWS,
	             NULL); /* violates the check only after element 0 */
	end_message(batch);
	stored();
	expect_dead("10|0|somebody was faster");
	expect("SELECT version FROM stock WHERE id = 1", "1");
}
END_TEST

START_TEST(what_was_ensured_stays_when_its_message_is_refused)
{
	begin_message(batch, 0, "value", NULL);
	cqrs_ensure(batch, &widen, (struct cqrs_value[]){cqrs_int4(77)});
	execute(&divide, 0, 0, 1);
	end_message(batch);
	begin_message(batch, 0, "value", NULL);
	cqrs_ensure(batch, &widen, (struct cqrs_value[]){cqrs_int4(78)});
	cqrs_refuse(batch, "no");
	end_message(batch);
	store();
	ck_assert(batch->effects_lost);
	expect_rows("loose", "77:-1 78:-1");
	expect_dead("10|22012|division by zero\n11|no");
}
END_TEST

/* Two writers that ensure the same in another order would wait for each other. */
START_TEST(ensures_first_and_in_the_order_of_declaration)
{
	begin_message(batch, 0, "value", NULL);
	execute(&divide, 10, 0, 1);
	cqrs_ensure(batch, &widen, (struct cqrs_value[]){cqrs_int4(77)});
	cqrs_ensure(batch, &deepen, (struct cqrs_value[]){cqrs_int4(78)});
	end_message(batch);
	begin_message(batch, 0, "value", NULL);
	cqrs_ensure(batch, &deepen, (struct cqrs_value[]){cqrs_int4(79)});
	end_message(batch);
	stored();
	expect("SELECT string_agg(n::text, ' ' ORDER BY ctid) FROM loose", "78 79 77 10");
}
END_TEST

START_TEST(a_reason_cut_in_the_middle_of_a_character_is_stored)
{
	pg_server_exec("CREATE FUNCTION shout(text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN "
	               "RAISE EXCEPTION '%', repeat('é', 400); END $$");
	begin_message(batch, 0, "value", NULL);
	cqrs_execute(batch, &raise_text, (struct cqrs_value[]){cqrs_text("x")}, CQRS_ANY_ROWS,
	             NULL);
	end_message(batch);
	put(PLAIN, 1, 1);
	stored();
	expect("SELECT sqlstate || ' ' || (reason LIKE 'éé%?') FROM cqrs.dead_letters",
	       "P0001 true");
	expect_rows("plain", "1:1");
}
END_TEST

/* ---- the fence ---- */

START_TEST(writes_nothing_when_the_offset_has_moved)
{
	pg_server_exec("UPDATE cqrs.offsets SET next_offset = 11 WHERE partition = 0");
	put(PLAIN, 1, 1);
	store();
	ck_assert_int_eq(fenced, 1);
	ck_assert(batch->effects_lost);
	expect_rows("plain", "");
	expect_offset("11");
	ck_assert_int_eq((int)partitions[0].position.offset, 10);
	ck_assert(counted("cqrsd_batches_fenced_total") == 1);
	/* And goes on when it knows where it stands. */
	batch_clear(batch);
	partitions[0].position.offset = 11;
	put(PLAIN, 1, 1);
	store();
	ck_assert_int_eq(fenced, 1);
	expect_rows("plain", "1:1");
	expect_offset("12");
}
END_TEST

START_TEST(one_partition_that_moved_fences_the_batch)
{
	pg_server_exec("DELETE FROM cqrs.offsets WHERE partition = 1");
	put(PLAIN, 1, 1);
	begin_message(batch, 1, "v", NULL);
	execute(&take, 1, 1, 1);
	end_message(batch);
	store();
	ck_assert_int_eq(fenced, 1);
	expect_rows("plain", "");
	expect_offset("10");
	batch_clear(batch);
	next_offsets[0] = 10;
	put(PLAIN, 1, 1);
	store();
	ck_assert_int_eq(fenced, 1);
	expect_rows("plain", "1:1");
}
END_TEST

/* ---- dead letters that are tried again ---- */

/* They are open, of offset 1 and 2; a message of theirs asks for row `n`. */
static struct dead_letter letters[] = {{.id = 1, .part_index = 3}, {.id = 2, .part_index = -1}};

static void add_letters(void)
{
	pg_server_exec("INSERT INTO cqrs.dead_letters (consumer_group, topic, partition, "
	               "\"offset\", part_index, reason) VALUES ('g''1', 't', 0, 1, 3, 'why'), "
	               "('g''1', 't', 0, 2, NULL, 'why')");
}

static void redrive(size_t nth, int table, int32_t n, double v)
{
	struct kafka_message msg = {
	    .message = {.topic = "t", .offset = (int64_t)nth + 1, .value = "v", .value_len = 1}};
	ck_assert(batch_begin(batch, &msg, NULL));
	append(table, n, v);
	end_message(batch);
	ck_assert(batch_redrive(batch, &letters[nth]));
}

#define expect_letters(text)                                                             \
	expect("SELECT string_agg(concat_ws('|', id, part_index, sqlstate, redrive_of, " \
	       "resolution, resolved_by), ' ' ORDER BY id) FROM cqrs.dead_letters "      \
	       "WHERE (resolution IS NULL) = (resolved_at IS NULL)",                     \
	       text)

START_TEST(redrives_letters_and_moves_no_offset)
{
	add_letters();
	redrive(0, LOOSE, 1, 1);
	redrive(1, LOOSE, 2, 2);
	stored();
	expect_rows("loose", "1:1 2:2");
	expect_letters("1|3|redriven|o'me 2|redriven|o'me");
	expect_offset("10");
}
END_TEST

START_TEST(what_is_refused_again_is_a_new_letter)
{
	add_letters();
	redrive(0, PLAIN, 1, 5000);
	redrive(1, PLAIN, 2, 2);
	stored();
	expect_rows("plain", "2:2");
	expect_letters("1|3|redriven|o'me 2|redriven|o'me 3|3|23514|1");
}
END_TEST

START_TEST(a_letter_that_is_not_open_fences_the_batch)
{
	add_letters();
	pg_server_exec("UPDATE cqrs.dead_letters SET resolution = 'discarded', resolved_at = "
	               "now(), resolved_by = 'x' WHERE id = 2");
	redrive(0, LOOSE, 1, 1);
	redrive(1, LOOSE, 2, 2);
	store();
	ck_assert_int_eq(fenced, 1);
	expect_rows("loose", "");
	expect_letters("1|3 2|discarded|x");
}
END_TEST

START_TEST(a_letter_of_another_group_fences_the_batch)
{
	add_letters();
	pg_server_exec("UPDATE cqrs.dead_letters SET consumer_group = 'g' WHERE id = 1");
	redrive(0, LOOSE, 1, 1);
	store();
	ck_assert_int_eq(fenced, 1);
	expect_rows("loose", "");
}
END_TEST

START_TEST(a_rehearsal_finds_out_everything_and_leaves_nothing)
{
	pg_writer_free(writer);
	config.rehearsal = true;
	writer = pg_writer_new(loop, &config, metrics, health, on_stored, &done);
	add_letters();
	redrive(0, CHILDREN, 77, 1); /* whose foreign key is checked at the end */
	redrive(1, PLAIN, 2, 2);
	store();
	ck_assert_int_eq(fenced, 0);
	ck_assert_uint_eq(batch->n_refusals, 1);
	ck_assert_str_eq(batch->refusals[0].sqlstate, "23503");
	ck_assert_uint_eq(batch->elements[batch->refusals[0].element].message, 0);
	expect_rows("plain", "");
	expect_letters("1|3 2");
}
END_TEST

/* ---- a connection that is lost ---- */

START_TEST(stores_once_when_killed_before_the_commit)
{
	pg_server_exec("CREATE CONSTRAINT TRIGGER t AFTER INSERT ON loose INITIALLY DEFERRED "
	               "FOR EACH ROW EXECUTE FUNCTION kill_some()");
	put(LOOSE, 1, 1);
	put(LOOSE, 2, 2);
	stored();
	expect_rows("loose", "1:1 2:2");
	expect_offset("12");
	expect("SELECT last_value FROM kills", "4");
}
END_TEST

START_TEST(stores_once_when_killed_among_statements_and_staging)
{
	pg_server_exec("CREATE TRIGGER t AFTER INSERT ON loose FOR EACH ROW "
	               "EXECUTE FUNCTION kill_some()");
	put(LOOSE, 1, 1);
	begin_message(batch, 0, "v", NULL);
	execute(&divide, 10, 0, 1);
	append(REFS, 5, 1);
	append(LOOSE, 3, 3);
	end_message(batch);
	put(PLAIN, 1, 1);
	stored();
	expect("SELECT string_agg(n::text, ' ' ORDER BY n) FROM loose", "1");
	expect("SELECT string_agg(sqlstate, ' ') FROM cqrs.dead_letters", "23503");
	expect_offset("13");
}
END_TEST

/* A commit that waits for a replica that is not there is a commit without an answer. */
static void hold_commits(bool hold)
{
	pg_server_exec(hold ? "ALTER SYSTEM SET synchronous_standby_names = 'nobody'"
	                    : "ALTER SYSTEM RESET synchronous_standby_names");
	pg_server_exec("SELECT pg_reload_conf()");
	while (pg_server_number(
	           "SELECT (current_setting('synchronous_standby_names') = 'nobody')::int") != hold)
		pg_server_sleep();
}

static void on_kill_timer(void *arg)
{
	struct timer **timer = arg;
	/* Of the commit that hangs: the rows are there, and nobody was told. */
	if (pg_server_number("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "
	                     "wait_event = 'SyncRep'") == 1)
		hold_commits(false);
	else
		timer_arm(*timer, 20000);
}

static void store_killed_after_commit(void)
{
	struct timer *timer = NULL;
	timer = timer_new(loop, on_kill_timer, &timer);
	hold_commits(true);
	timer_arm(timer, 100000);
	store();
	timer_free(timer);
}

START_TEST(stores_once_when_killed_after_the_commit)
{
	if (!pg_server_pid)
		return; /* not a server of ours to configure */
	put(LOOSE, 1, 1);
	store_killed_after_commit();
	ck_assert_int_eq(fenced, 0);
	expect_rows("loose", "1:1");
	expect_offset("11");
	ck_assert_int_eq((int)partitions[0].position.offset, 11);
	batch_clear(batch);
	/* In a transaction of its own, too. */
	begin_message(batch, 0, "v", NULL);
	execute(&take, 1, 1, 1);
	append(LOOSE, 2, 2);
	end_message(batch);
	store_killed_after_commit();
	ck_assert_int_eq(fenced, 0);
	expect_rows("loose", "1:1 2:2");
	expect("SELECT version FROM stock WHERE id = 1", "2");
	expect_offset("12");
}
END_TEST

START_TEST(redrives_once_when_killed_after_the_commit)
{
	if (!pg_server_pid)
		return; /* not a server of ours to configure */
	add_letters();
	redrive(0, LOOSE, 1, 1);
	redrive(1, LOOSE, 2, 2);
	store_killed_after_commit();
	ck_assert_int_eq(fenced, 0);
	expect_rows("loose", "1:1 2:2");
	expect_letters("1|3|redriven|o'me 2|redriven|o'me");
}
END_TEST

START_TEST(waits_for_a_server_that_is_away)
{
	put(PLAIN, 1, 1);
	pg_writer_free(writer);
	config.dsn = "host=/nonexistent";
	writer = pg_writer_new(loop, &config, metrics, health, on_stored, &done);
	pg_writer_store(writer, batch);
	ck_assert(!run_for(300000));
	ck_assert(!health_is_ready(health));
	ck_assert(!pg_writer_is_idle(writer));
	ck_assert(pg_writer_cancel(writer));
	ck_assert(pg_writer_is_idle(writer));
	ck_assert(!pg_writer_cancel(writer));
}
END_TEST

START_TEST(waits_while_the_schema_is_wrong_and_goes_on)
{
	ck_assert(!run_for(300000));
	pg_server_exec("ALTER TABLE plain RENAME TO elsewhere");
	put(PLAIN, 1, 1);
	pg_writer_store(writer, batch);
	ck_assert(!run_for(300000));
	ck_assert_str_eq(pg_writer_state(writer), "waiting for the database");
	ck_assert(!health_is_ready(health));
	json_t *reasons = health_json(health);
	char *text = json_dumps(reasons, 0);
	ck_assert_ptr_nonnull(strstr(text, "42P01"));
	free(text);
	json_decref(reasons);
	pg_server_exec("ALTER TABLE elsewhere RENAME TO plain");
	ck_assert(run_for(LIMIT_US));
	expect_rows("plain", "1:1");
	expect_dead("");
	ck_assert(health_is_ready(health));
}
END_TEST

static void set_read_only(bool on)
{
	/* For the running sessions as well. */
	pg_server_exec(on ? "ALTER SYSTEM SET default_transaction_read_only = on"
	                  : "ALTER SYSTEM RESET default_transaction_read_only");
	pg_server_exec("SELECT pg_reload_conf()");
	/* New sessions learn of it first, old ones a moment later. */
	while (pg_server_number("SELECT (current_setting('default_transaction_read_only') = 'on')"
	                        "::int") != on)
		usleep(10000);
}

static bool health_says(const char *words)
{
	json_t *reasons = health_json(health);
	char *text = json_dumps(reasons, 0);
	bool found = strstr(text, words) != NULL;
	free(text);
	json_decref(reasons);
	return found;
}

START_TEST(leaves_a_server_that_takes_no_writes_and_goes_on)
{
	if (!pg_server_pid)
		return; /* not a server of ours to configure */
	ck_assert(!run_for(300000));
	set_read_only(true);
	ck_assert(!run_for(200000));
	put(PLAIN, 1, 1);
	pg_writer_store(writer, batch);
	/* 25006 first; then the new connection finds that this is still the wrong one. */
	for (int i = 0; i < 100 && !health_says("session is read-only"); i++)
		ck_assert(!run_for(100000));
	ck_assert(health_says("session is read-only"));
	ck_assert_int_ne(pg_conn_state(writer->conn), PG_CONN_READY);
	set_read_only(false);
	ck_assert(run_for(LIMIT_US));
	ck_assert_int_eq(fenced, 0);
	expect_rows("plain", "1:1");
	expect_dead("");
	ck_assert(health_is_ready(health));
}
END_TEST

static void on_flap(void *arg)
{
	struct timer **timer = arg;
	ck_assert_msg(!health_is_ready(health), "ready, and a batch is waiting");
	pg_server_exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
	               "WHERE application_name = 'cqrsd'");
	timer_arm(*timer, 20000);
}

START_TEST(is_not_fine_again_before_the_batch_is_stored)
{
	struct timer *timer = NULL;
	ck_assert(!run_for(300000));
	pg_server_exec("ALTER TABLE plain RENAME TO elsewhere");
	put(PLAIN, 1, 1);
	pg_writer_store(writer, batch);
	for (int i = 0; i < 100 && !health_says("42P01"); i++)
		ck_assert(!run_for(100000));
	timer = timer_new(loop, on_flap, &timer);
	timer_arm(timer, 0);
	ck_assert(!run_for(2000000));
	timer_free(timer);
	pg_server_exec("ALTER TABLE elsewhere RENAME TO plain");
	ck_assert(run_for(2 * LIMIT_US));
	expect_rows("plain", "1:1");
	ck_assert(health_is_ready(health));
}
END_TEST

START_TEST(starts_over_when_memory_was_out)
{
	ck_assert(!run_for(300000));
	begin_message(batch, 0, "v", NULL);
	execute(&take, 1, 1, 1);
	append(PLAIN, 1, 1);
	append(LOOSE, 1, 1);
	cqrs_publish(batch, "events", NULL, "{}");
	end_message(batch);
	/* Enough for the fence, not for what follows it in the same transaction. */
	buf_release(&writer->sql);
	writer->sql.max = 130;
	pg_writer_store(writer, batch);
	ck_assert(!run_for(500000));
	ck_assert(!health_is_ready(health) || !pg_writer_is_idle(writer));
	writer->sql.max = 0;
	ck_assert(run_for(LIMIT_US));
	ck_assert_int_eq(fenced, 0);
	expect_rows("plain", "1:1");
	expect("SELECT version FROM stock WHERE id = 1", "2");
}
END_TEST

START_TEST(a_cancelled_batch_is_the_callers_again)
{
	ck_assert(!run_for(300000));
	pg_server_exec("ALTER TABLE plain RENAME TO elsewhere");
	put(PLAIN, 1, 1);
	pg_writer_store(writer, batch);
	ck_assert(!pg_writer_cancel(writer)); /* the database is at work on it */
	ck_assert(!run_for(300000));
	ck_assert(pg_writer_cancel(writer));
	/* What it waited for is no reason any more. */
	ck_assert(health_is_ready(health));
	pg_server_exec("ALTER TABLE elsewhere RENAME TO plain");
	stored();
	expect_rows("plain", "1:1");
	expect_offset("11");
}
END_TEST

START_TEST(a_batch_at_work_is_left_to_its_fate)
{
	ck_assert(!run_for(300000));
	put(PLAIN, 1, 1);
	pg_writer_store(writer, batch);
	pg_writer_free(writer);
	writer = NULL;
	ck_assert_int_eq(done, 0);
}
END_TEST

START_TEST(evicts_a_member_that_sleeps_on_the_offsets)
{
	PGconn *asleep = PQconnectdb(pg_server_dsn);
	PQclear(PQexec(asleep,
	               "BEGIN; SELECT cqrs.advance('g''1', '{t}', '{0}', '{10}', '{20}', '{1}')"));
	pg_writer_free(writer);
	config.timeout_us = 1000000;
	writer = pg_writer_new(loop, &config, metrics, health, on_stored, &done);
	put(PLAIN, 1, 1);
	stored();
	expect_rows("plain", "1:1");
	expect_offset("11");
	PQfinish(asleep);
}
END_TEST

START_TEST(evicts_a_member_that_sleeps_in_another_query)
{
	PGconn *asleep = PQconnectdb(pg_server_dsn);
	PQclear(PQexec(asleep, "BEGIN; SELECT cqrs.advance('g''1', '{t}', '{0}', '{10}', '{20}')"));
	PQclear(PQexec(asleep, "COPY plain FROM STDIN BINARY"));
	pg_writer_free(writer);
	config.timeout_us = 1000000;
	writer = pg_writer_new(loop, &config, metrics, health, on_stored, &done);
	put(PLAIN, 1, 1);
	stored();
	expect_rows("plain", "1:1");
	expect_offset("11");
	PQfinish(asleep);
}
END_TEST

START_TEST(evicts_a_member_that_sleeps_on_the_letters)
{
	add_letters();
	PGconn *asleep = PQconnectdb(pg_server_dsn);
	PQclear(PQexec(asleep, "BEGIN; SELECT cqrs.redrive('g''1', '{1}', 'x')"));
	pg_writer_free(writer);
	config.timeout_us = 1000000;
	writer = pg_writer_new(loop, &config, metrics, health, on_stored, &done);
	redrive(0, LOOSE, 1, 1);
	stored();
	expect_rows("loose", "1:1");
	PQfinish(asleep);
}
END_TEST

static void add_tests(TCase *cases)
{
	tcase_add_test(cases, stores_rows_events_and_offsets);
	tcase_add_test(cases, stores_a_message_that_asked_for_nothing);
	tcase_add_test(cases, stores_one_batch_after_the_other);
	tcase_add_test(cases, stores_more_than_a_socket_takes);
	tcase_add_test(cases, ignores_what_is_there_already);
	tcase_add_test(cases, updates_what_is_there_already);
	tcase_add_test(cases, updates_by_a_key_of_text);
	tcase_add_test(cases, refuses_the_second_of_a_key);
	tcase_add_test(cases, goes_back_to_copy_some_batches_after_a_duplicate);
	tcase_add_test(cases, a_duplicate_that_was_not_found_is_met_by_storing);
	tcase_add_test(cases, a_bad_row_whose_key_is_there_is_refused);
	tcase_add_test(cases, a_bad_row_does_not_cost_the_good_one_with_its_key);
	tcase_add_test(cases, a_key_that_an_element_had_is_free_when_that_is_refused);
	tcase_add_test(cases, one_bad_row_of_a_thousand_is_one_dead_letter);
	tcase_add_test(cases, every_kind_of_bad_row_costs_itself);
	tcase_add_test(cases, sifts_where_bad_rows_are_about_and_copies_the_others);
	tcase_add_test(cases, columns_of_another_type_take_what_they_have_room_for);
	tcase_add_test(cases, a_check_or_a_trigger_that_raises_costs_the_row_alone);
	tcase_add_test(cases, a_row_whose_parent_comes_with_it_is_good);
	tcase_add_test(cases, refuses_the_message_when_it_has_no_elements);
	tcase_add_test(cases, an_element_that_is_refused_takes_its_event_and_statement_along);
	tcase_add_test(cases, refuses_the_element_whose_statement_is_refused);
	tcase_add_test(cases, refuses_the_element_whose_statement_touched_too_few);
	tcase_add_test(cases, judges_again_what_ran_after_a_refused_element);
	tcase_add_test(cases, an_error_behind_a_refused_element_is_judged_again);
	tcase_add_test(cases, what_was_ensured_stays_when_its_message_is_refused);
	tcase_add_test(cases, ensures_first_and_in_the_order_of_declaration);
	tcase_add_test(cases, a_reason_cut_in_the_middle_of_a_character_is_stored);
	tcase_add_test(cases, writes_nothing_when_the_offset_has_moved);
	tcase_add_test(cases, one_partition_that_moved_fences_the_batch);
	tcase_add_test(cases, redrives_letters_and_moves_no_offset);
	tcase_add_test(cases, what_is_refused_again_is_a_new_letter);
	tcase_add_test(cases, a_letter_that_is_not_open_fences_the_batch);
	tcase_add_test(cases, a_letter_of_another_group_fences_the_batch);
	tcase_add_test(cases, a_rehearsal_finds_out_everything_and_leaves_nothing);
	tcase_add_test(cases, redrives_once_when_killed_after_the_commit);
	tcase_add_test(cases, stores_once_when_killed_before_the_commit);
	tcase_add_test(cases, stores_once_when_killed_among_statements_and_staging);
	tcase_add_test(cases, stores_once_when_killed_after_the_commit);
	tcase_add_test(cases, waits_for_a_server_that_is_away);
	tcase_add_test(cases, waits_while_the_schema_is_wrong_and_goes_on);
	tcase_add_test(cases, leaves_a_server_that_takes_no_writes_and_goes_on);
	tcase_add_test(cases, is_not_fine_again_before_the_batch_is_stored);
	tcase_add_test(cases, starts_over_when_memory_was_out);
	tcase_add_test(cases, a_cancelled_batch_is_the_callers_again);
	tcase_add_test(cases, a_batch_at_work_is_left_to_its_fate);
	tcase_add_test(cases, evicts_a_member_that_sleeps_on_the_offsets);
	tcase_add_test(cases, evicts_a_member_that_sleeps_in_another_query);
	tcase_add_test(cases, evicts_a_member_that_sleeps_on_the_letters);
}

int main(void)
{
	Suite *suite = suite_create("pg_writer");
	TCase *cases = tcase_create("pg_writer");
	pg_server_start("check_pg_writer");
	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, setup, teardown);
	add_tests(cases);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	pg_server_stop();
	return failed != 0;
}
