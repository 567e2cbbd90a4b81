/* SPDX-License-Identifier: MIT */
/* Asks the database one thing, and waits for the answer. */
#include "pg_ask.h"

#include "container.h"
#include "pg_conn.h"
#include "pg_value.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define PARAMS_MAX 8

struct question {
	struct loop *loop;
	struct pg_request request;
	int lengths[PARAMS_MAX];
	Oid types[PARAMS_MAX];
	PGresult *answer;
	struct buf *why;
	char lost[512]; /* why there is no connection */
	bool asked;
};

static void on_result(struct pg_request *request, const PGresult *answer)
{
	struct question *q = container_of(request, struct question, request);
	PQclear(q->answer);
	q->answer = PQcopyResult(answer, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
}

static void on_done(struct pg_request *request, enum pg_outcome outcome,
                    const struct pg_error *error)
{
	struct question *q = container_of(request, struct question, request);
	if (outcome != PG_DONE) {
		PQclear(q->answer);
		q->answer = NULL;
	}
	if (outcome == PG_DONE && !q->answer)
		buf_puts(q->why, "postgres: done, but there is no memory for the answer");
	if (outcome != PG_DONE && !q->why->len) {
		buf_printf(q->why, "postgres: %s", error->message);
		if (*error->sqlstate)
			buf_printf(q->why, " (SQLSTATE %s)", error->sqlstate);
	}
	loop_stop(q->loop);
}

static void on_ready(void *owner, struct pg_conn *conn)
{
	struct question *q = owner;
	/* Not twice: it may have changed something. */
	if (!q->asked && pg_conn_send(conn, &q->request)) {
		q->asked = true;
		pg_conn_sync(conn);
	}
}

static void on_lost(void *owner, struct pg_conn *conn, const struct pg_error *error)
{
	struct question *q = owner;
	(void)conn;
	snprintf(q->lost, sizeof q->lost, "%s", error ? error->message : "connection lost");
}

static void on_late(void *arg)
{
	struct question *q = arg;
	buf_printf(q->why, "postgres: %s", *q->lost ? q->lost : "no answer in time");
	loop_stop(q->loop);
}

static void run(struct question *q, const struct pg_conn_config *config, int64_t patience_us)
{
	static const struct pg_conn_events events = {.on_ready = on_ready, .on_lost = on_lost};
	struct pg_conn *conn = pg_conn_new(q->loop, config, &events, q);
	struct timer *late = timer_new(q->loop, on_late, q);
	if (conn && late) {
		timer_arm(late, patience_us);
		pg_conn_start(conn);
		loop_run(q->loop);
	} else {
		buf_puts(q->why, "out of memory");
	}
	timer_free(late);
	pg_conn_free(conn);
}

PGresult *pg_ask(const char *dsn, const char *sql, const char *const *values, int n,
                 int64_t patience_us, struct buf *why)
{
	const struct pg_conn_config config = {.name = "postgres",
	                                      .dsn = dsn,
	                                      .setup = "SET lock_timeout = 5000;"
	                                               "SET client_min_messages = warning;"
	                                               "SET timezone = 'UTC'",
	                                      .network_timeout_us = patience_us,
	                                      .max_statements = 1};
	struct question q = {.loop = loop_new(), .why = why};
	assert(n <= PARAMS_MAX);
	for (int i = 0; i < n; i++) {
		q.types[i] = PG_OID_TEXT;
		q.lengths[i] = values[i] ? (int)strlen(values[i]) : 0;
	}
	q.request = (struct pg_request){.sql = sql,
	                                .n_params = n,
	                                .types = q.types,
	                                .values = values,
	                                .lengths = q.lengths,
	                                .on_result = on_result,
	                                .done = on_done};
	if (q.loop)
		run(&q, &config, patience_us);
	else
		buf_puts(why, "out of memory");
	loop_free(q.loop);
	return q.answer;
}
