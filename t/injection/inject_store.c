/* SPDX-License-Identifier: MIT */
/* The writer and the pool against a real PostgreSQL: each batch once, each query answered once. */
#include "injection.h"

#include "../unit/pg_server.h"
#include "batch.h"
#include "batch_command.h"
#include "partition.h"
#include "pg_pool.h"
#include "pg_writer.h"
#include "schema.h"
#include "turn.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <string.h>

/* What both need. */
struct base {
	struct loop *loop;
	struct metrics *metrics;
	struct health *health;
};

static bool begin(struct base *b)
{
	b->loop = loop_new();
	b->metrics = b->loop ? metrics_new() : NULL;
	b->health = b->metrics ? health_new(b->loop) : NULL;
	return b->health;
}

static void end(struct base *b)
{
	health_free(b->health);
	metrics_free(b->metrics);
	loop_free(b->loop);
}

/* ---- the writer ---- */

static const struct cqrs_column columns[] = {{.name = "n", .type = CQRS_INT4, .key = true},
                                             {.name = "v", .type = CQRS_FLOAT8},
                                             {.name = NULL}};
static const struct cqrs_table_def def = {"plain", columns, CQRS_DUPLICATE_IGNORE};
static const enum cqrs_type one_int[] = {CQRS_INT4};
static const Oid int_oid[] = {23};
static const struct cqrs_statement visit = {
    .sql = "UPDATE visits SET n = n + 1 WHERE id = $1 AND n >= 0",
    .n_params = 1,
    .types = (Oid *)(uintptr_t)int_oid,
    .param_types = one_int};
static const char *const topics[] = {"t"};
static const enum cqrs_type two_ints[] = {CQRS_INT4, CQRS_INT4};

static const char ddl[] = "CREATE SCHEMA cqrs;"
                          "CREATE TABLE plain (n int PRIMARY KEY, v float8 CHECK (v < 1000));"
                          "CREATE TABLE loose (n int);"
                          "CREATE TABLE visits (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);"
                          "INSERT INTO visits VALUES (1);";
static const char function[] =
    "CREATE FUNCTION visit(id int, n int) RETURNS cqrs.outcome LANGUAGE plpgsql AS $$ BEGIN"
    " UPDATE visits v SET n = v.n + 1 / visit.n WHERE v.id = visit.id;"
    " IF NOT FOUND THEN RETURN (404, 'not there', NULL)::cqrs.outcome; END IF;"
    " PERFORM cqrs.publish('visited', 'k', NULL, '{}'::jsonb);"
    " RETURN (NULL, NULL, jsonb_build_object('id', id))::cqrs.outcome; END $$";
static const char reset[] = "TRUNCATE plain, cqrs.dead_letters, cqrs.outbox, cqrs.offsets,"
                            " cqrs.outcomes;"
                            "UPDATE visits SET n = 0;"
                            "INSERT INTO cqrs.offsets VALUES ('g', 't', 0, 10)";
static const char stand[] =
    "SELECT concat_ws(' | ', (SELECT string_agg(n || ':' || v, ' ' ORDER BY n) FROM plain),"
    " (SELECT n FROM visits),"
    " (SELECT string_agg(concat_ws(',', \"offset\", part_index, sqlstate, headers), ' ' ORDER BY "
    "\"offset\", part_index) FROM cqrs.dead_letters),"
    " (SELECT count(*) FROM cqrs.outbox),"
    " (SELECT next_offset FROM cqrs.offsets),"
    " (SELECT string_agg(concat_ws(',', \"offset\", status, body), ' ' ORDER BY \"offset\")"
    " FROM cqrs.outcomes))";

struct write {
	struct base base;
	struct partition partition;
	struct cqrs_table *table;
	struct cqrs_decision *visit;
	struct cqrs_batch *batch;
	struct pg_writer *writer;
	void (*decide)(struct write *w, int n);
	int64_t offset;
	int done;
};

static void append(struct write *w, int n, double v)
{
	cqrs_append(w->batch, w->table, (struct cqrs_value[]){cqrs_int4(n), cqrs_float8(v)});
}

/* Good ones, one with a bad part, one of statements, one that is refused. */
static void decide(struct write *w, int n)
{
	static const struct cqrs_header header = {"h", "1", 1};
	const struct cqrs_value one = cqrs_int4(1), no_such = cqrs_int4(2);
	w->batch->messages[w->batch->n_messages - 1].kafka.message.headers = &header;
	w->batch->messages[w->batch->n_messages - 1].kafka.message.n_headers = 1;
	if (n == 1) {
		cqrs_element(w->batch, 0, NULL, 0);
		append(w, 1, 0.5);
		cqrs_element(w->batch, 1, NULL, 0);
		append(w, 2, 1000);
	} else if (n == 2) {
		cqrs_execute(w->batch, &visit, &one, 1, "not there");
		cqrs_publish(w->batch, "events", "k", "{}");
	} else if (n == 3) {
		cqrs_execute(w->batch, &visit, &no_such, 1, "not there");
	} else if (n == 4) {
		cqrs_refuse(w->batch, "no");
	} else {
		append(w, n, n);
	}
}

static void ask_visit(struct write *w, int id, int n)
{
	cqrs_decide(w->batch, w->visit, (struct cqrs_value[]){cqrs_int4(id), cqrs_int4(n)});
}

/* Commands: one is accepted, one refused, one repeated, one raises an error, one has a row. */
static void decide_command(struct write *w, int n)
{
	char id[37];
	const struct cqrs_header headers[] = {{"command-id", id, 36}, {"prefer", "wait", 4}};
	int which = n % 100;
	snprintf(id, sizeof id, "01890a5d-ac96-774b-bcce-b302099a%04u",
	         (unsigned)(which == 2 ? n - 2 : n) % 10000);
	batch_take_headers(w->batch, headers, which == 0 ? 2 : 1);
	if (which == 4)
		append(w, n, n);
	else
		ask_visit(w, which == 1 ? 2 : 1, which == 3 ? 0 : 1);
}

static bool take(struct write *w, int n)
{
	struct kafka_message msg = {
	    .message = {.topic = topics[0], .offset = w->offset, .value = "v", .value_len = 1}};
	if (!batch_begin(w->batch, &msg, &w->partition))
		return false;
	w->decide(w, n);
	if (!batch_end(w->batch))
		return false;
	w->offset++;
	return true;
}

static void fill(struct write *w, int from, int to)
{
	while (from < to) {
		if (take(w, from))
			from++;
		else
			injection_end();
	}
}

static void on_stored(void *owner, struct pg_writer *writer, struct cqrs_batch *batch, bool fenced)
{
	struct write *w = owner;
	MUST(pg_writer_is_idle(writer));
	MUST(batch == w->batch && !fenced);
	w->done++;
}

static bool is_done(void *arg)
{
	struct write *w = arg;
	return w->done;
}

static void store(struct write *w)
{
	w->done = 0;
	pg_writer_store(w->writer, w->batch);
	must_happen(w->base.loop, is_done, w);
	MUST(w->done == 1);
	batch_clear(w->batch);
}

static bool start_writer(struct write *w)
{
	static struct pg_writer_config config = {.name = "writer",
	                                         .group = "g",
	                                         .topics = topics,
	                                         .redriven_by = "me",
	                                         .timeout_us = 20000000,
	                                         .max_statements = 8};
	config.dsn = pg_server_dsn;
	*w = (struct write){.partition = {.position = {.offset = 10}, .topic = topics[0]},
	                    .offset = 10};
	w->table = begin(&w->base) ? batch_table_new(&def, 0) : NULL;
	w->visit = w->table ? batch_decision_new("visit", two_ints, 2, false) : NULL;
	w->batch = w->visit ? batch_new(&w->table, 1) : NULL;
	w->writer = w->batch ? pg_writer_new(w->base.loop, &config, w->base.metrics, w->base.health,
	                                     on_stored, w)
	                     : NULL;
	return w->writer;
}

static void end_writer(struct write *w)
{
	pg_writer_free(w->writer);
	batch_free(w->batch);
	batch_decision_free(w->visit);
	batch_table_free(w->table);
	end(&w->base);
}

static bool stores_from(int first, int last, void (*decided)(struct write *w, int n),
                        const char *expected)
{
	struct write w;
	pg_server_exec(reset);
	bool ok = start_writer(&w);
	w.decide = decided;
	if (ok) {
		fill(&w, first, last);
		store(&w);
		/* Another, with all that is prepared. */
		fill(&w, 100 + first, 100 + last);
		store(&w);
		char *is = pg_server_query(stand);
		if (!is || strcmp(is, expected) != 0)
			fprintf(stderr, "stored: %s\nnot:    %s\n", is, expected);
		MUST(is && strcmp(is, expected) == 0);
		free(is);
	}
	end_writer(&w);
	return ok;
}

static bool stores_rows(void)
{
	return stores_from(10, 13, decide,
	                   "10:10 11:11 12:12 110:110 111:111 112:112 | 0 | 0 | 16");
}

static bool stores_what_is_refused_and_what_is_not(void)
{
	return stores_from(0, 5, decide,
	                   "0:0 1:0.5 100:100 101:101 102:102 103:103 104:104 | 1 | "
	                   "11,1,23514,{\"h\": \"1\"} 13,{\"h\": \"1\"} 14,{\"h\": \"1\"} | 1 | "
	                   "20");
}

static bool stores_what_becomes_of_commands(void)
{
	return stores_from(0, 5, decide_command,
	                   "4:4 104:104 | 2 | 11 13,22012 16 18,22012 | 2 | 20 | "
	                   "10,200,{\"id\": 1} 11,404 13,422 14,200 "
	                   "15,200,{\"id\": 1} 16,404 18,422 19,200");
}

/* ---- the pool ---- */

enum { NUMBERS, MISTAKE, STREAM, N_ASKED };

struct asked {
	struct pg_query query;
	struct pool *pool;
	int64_t sum;
	int done;
	enum pg_answer answer;
};

struct pool {
	struct base base;
	struct pg_pool *pool;
	struct asked asked[N_ASKED];
	bool after; /* nothing fails any more */
};

static void on_result(struct pg_query *query, const PGresult *result)
{
	struct asked *asked = (struct asked *)query;
	MUST(!asked->done);
	for (int i = 0; i < PQntuples(result); i++)
		asked->sum += ntohl(*(const uint32_t *)(const void *)PQgetvalue(result, i, 0));
}

static void on_done(struct pg_query *query, enum pg_answer answer, const struct pg_error *error)
{
	struct asked *asked = (struct asked *)query;
	(void)error;
	asked->done++;
	asked->answer = answer;
}

static bool all_done(void *arg)
{
	struct pool *p = arg;
	for (int i = 0; i < N_ASKED; i++)
		if (!p->asked[i].done)
			return false;
	return true;
}

/* What is lost with a call that fails is answered by its deadline. */
static void ask(struct pool *p, int64_t timeout_us)
{
	static const char *const sql[] = {
	    [NUMBERS] = "SELECT n FROM generate_series(1, 10) n WHERE n > $1",
	    [MISTAKE] = "SELECT 1 / (n - 5) FROM generate_series(1, 10) n WHERE n > $1",
	    [STREAM] = "SELECT n FROM generate_series(1, 300) n WHERE n > $1"};
	static const char zero[4];
	static const char *const values[] = {zero};
	static const int lengths[] = {4};
	for (int i = 0; i < N_ASKED; i++) {
		p->asked[i] =
		    (struct asked){.pool = p,
		                   .query = {.sql = sql[i],
		                             .n_params = 1,
		                             .types = int_oid,
		                             .values = values,
		                             .lengths = lengths,
		                             .deadline = loop_now(p->base.loop) + timeout_us,
		                             .stream = i == STREAM,
		                             .on_result = on_result,
		                             .done = on_done}};
		if (!pg_pool_submit(p->pool, &p->asked[i].query))
			p->asked[i].done = 1, p->asked[i].answer = PG_ANSWER_AWAY;
	}
	must_happen(p->base.loop, all_done, p);
	for (int i = 0; i < N_ASKED; i++)
		MUST(p->asked[i].done == 1);
}

/* Whether all was answered; what was is right. */
static bool is_right(const struct pool *p)
{
	MUST(p->asked[NUMBERS].answer != PG_ANSWER_OK || p->asked[NUMBERS].sum == 55);
	MUST(p->asked[STREAM].answer != PG_ANSWER_OK || p->asked[STREAM].sum == 45150);
	MUST(p->asked[MISTAKE].answer != PG_ANSWER_OK);
	return p->asked[NUMBERS].answer == PG_ANSWER_OK &&
	       p->asked[STREAM].answer == PG_ANSWER_OK &&
	       p->asked[MISTAKE].answer == PG_ANSWER_REFUSED;
}

static bool answers(void)
{
	static struct pg_pool_config config = {
	    .connections = 1, .streams = 1, .timeout_us = 20000000, .max_waiting = 10};
	struct pool p = {.pool = NULL};
	config.dsn = pg_server_dsn;
	bool ok = begin(&p.base);
	if (ok)
		p.pool = pg_pool_new(p.base.loop, &config, p.base.metrics, p.base.health);
	ok = p.pool;
	if (ok) {
		ask(&p, 3000000);
		ok = is_right(&p);
		injection_end();
		ask(&p, PATIENCE_US);
		MUST(is_right(&p));
	}
	pg_pool_free(p.pool);
	end(&p.base);
	return ok;
}

/* ---- a host with a name ---- */

static bool is_away(void *arg)
{
	struct base *b = arg;
	json_t *health = health_json(b->health);
	const char *reason = json_string_value(
	    json_object_get(json_array_get(json_object_get(health, "reasons"), 0), "reason"));
	bool refused = reason && strstr(reason, "refused");
	json_decref(health);
	return refused;
}

/* It is found, and nobody listens there, which is said. */
static bool looks_a_host_up(void)
{
	static const struct pg_pool_config config = {.dsn = "host=localhost port=1 dbname=none",
	                                             .connections = 1,
	                                             .streams = 1,
	                                             .timeout_us = 1000000,
	                                             .max_waiting = 10};
	struct base b = {.loop = NULL};
	bool ok = begin(&b);
	struct pg_pool *pool = ok ? pg_pool_new(b.loop, &config, b.metrics, b.health) : NULL;
	ok = pool;
	if (ok)
		must_happen(b.loop, is_away, &b);
	pg_pool_free(pool);
	end(&b);
	return ok;
}

/* ---- the server ---- */

static void start(void)
{
	pg_server_start("inject_store");
	pg_server_exec(ddl);
	for (const struct schema_file *file = schema_files; file->number; file++)
		pg_server_exec(file->text);
	pg_server_exec(function);
}

static const struct injection_scenario scenarios[] = {
    {.name = "stores rows", .run = stores_rows, .every = 3},
    {.name = "stores what is refused and what is not",
     .run = stores_what_is_refused_and_what_is_not,
     .every = 11},
    {.name = "stores what becomes of commands",
     .run = stores_what_becomes_of_commands,
     .every = 11},
    {.name = "answers", .run = answers, .jobs = 4, .every = 7},
    {.name = "looks a host up", .run = looks_a_host_up, .has_threads = true, .jobs = 4, .every = 3},
    {.name = NULL},
};

const struct injection injection = {
    .name = "store", .scenarios = scenarios, .start = start, .stop = pg_server_stop};
