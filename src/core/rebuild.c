/* SPDX-License-Identifier: MIT */
/* Makes a view anew, from the events in Kafka, while the old one answers. */
#include "rebuild.h"

#include "container.h"
#include "pg_conn.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_US    200000
#define TIMEOUT_US 60000000 /* as in SETUP_SQL */
/* Who asks the view waits behind us meanwhile. */
#define SETUP_SQL                                                           \
	"SET client_min_messages = warning; SET statement_timeout = '60s';" \
	"SET lock_timeout = '1s'"

enum state { LOCKING, BEGINNING, WAITING, LOOKING, SWITCHING };

struct rebuild {
	struct loop *loop;
	struct command_bus *bus;
	const struct rebuild_config *config;
	struct buf *why;
	struct pg_conn_config conn_config;
	struct pg_conn *conn;
	struct pg_request request;
	struct buf sql;
	char said[32]; /* the answer's first field */
	struct timer *timer;
	enum state state;
	bool is_done;
};

char *rebuild_group(const char *group, const char *view)
{
	struct buf name = BUF_INIT;
	buf_printf(&name, "%s rebuilds %s", group, view);
	buf_putc(&name, '\0');
	if (name.failed)
		buf_release(&name);
	return name.data;
}

static void fail(struct rebuild *r, const char *why)
{
	buf_puts(r->why, why);
	loop_stop(r->loop);
}

/* ---- statements ---- */

static void on_result(struct pg_request *request, const PGresult *result)
{
	struct rebuild *r = container_of(request, struct rebuild, request);
	if (PQntuples(result) == 1)
		snprintf(r->said, sizeof r->said, "%s", PQgetvalue(result, 0, 0));
}

static void on_answered(struct pg_request *request, enum pg_outcome outcome,
                        const struct pg_error *error);

static void ask(struct rebuild *r, enum state state)
{
	r->state = state;
	*r->said = '\0';
	r->request = (struct pg_request){
	    .sql = buf_str(&r->sql), .n_params = -1, .on_result = on_result, .done = on_answered};
	if (r->sql.failed)
		fail(r, "out of memory");
	else if (!pg_conn_send(r->conn, &r->request))
		fail(r, "the connection to the database is lost");
}

/* SELECT function(first, second */
static void begin_call(struct rebuild *r, const char *function, const char *first)
{
	buf_clear(&r->sql);
	buf_printf(&r->sql, "SELECT %s(", function);
	pg_add_literal(&r->sql, first);
}

static void add_topics(struct rebuild *r)
{
	int n;
	const char *const *topics = command_bus_topics(r->bus, &n);
	for (int i = 0; i < n; i++) {
		buf_puts(&r->sql, i ? ", " : "ARRAY[");
		pg_add_literal(&r->sql, topics[i]);
	}
	buf_puts(&r->sql, "], ");
	pg_add_literal(&r->sql, r->config->group);
	buf_puts(&r->sql, ", ");
	pg_add_literal(&r->sql, r->config->rebuild_group);
	buf_putc(&r->sql, ')');
}

/* Until the session ends. */
static void lock(struct rebuild *r)
{
	begin_call(r, "pg_try_advisory_lock(hashtextextended", r->config->rebuild_group);
	buf_puts(&r->sql, ", 0))");
	ask(r, LOCKING);
}

static void begin(struct rebuild *r)
{
	begin_call(r, "cqrs.rebuild_begin", r->config->view);
	buf_puts(&r->sql, ", ");
	pg_add_literal(&r->sql, r->config->rebuild_group);
	buf_putc(&r->sql, ')');
	ask(r, BEGINNING);
}

static void look(void *arg)
{
	struct rebuild *r = arg;
	buf_clear(&r->sql);
	buf_puts(&r->sql, "SELECT cqrs.rebuild_lag(");
	add_topics(r);
	ask(r, LOOKING);
}

static void switch_over(struct rebuild *r)
{
	begin_call(r, "cqrs.rebuild_switch", r->config->view);
	buf_puts(&r->sql, ", ");
	add_topics(r);
	ask(r, SWITCHING);
}

/* ---- what comes next ---- */

static void wait(struct rebuild *r)
{
	r->state = WAITING;
	timer_arm(r->timer, LOOK_US);
}

static void go_on(struct rebuild *r)
{
	bool is_true = !strcmp(r->said, "t");
	if (r->state == LOCKING && is_true) {
		begin(r);
	} else if (r->state == LOCKING) {
		fail(r, "another rebuild of it is at work");
	} else if (r->state == BEGINNING) {
		if (command_bus_start(r->bus))
			wait(r);
		else
			fail(r, "Kafka cannot be read, see above");
	} else if (r->state == LOOKING) {
		if (r->config->progress)
			fprintf(stderr, "\r\033[K%s messages are left", r->said);
		if (strcmp(r->said, "0") != 0)
			wait(r);
		else
			switch_over(r);
	} else if (is_true) {
		r->is_done = true;
		loop_stop(r->loop);
	} else {
		wait(r);
	}
}

static void on_answered(struct pg_request *request, enum pg_outcome outcome,
                        const struct pg_error *error)
{
	struct rebuild *r = container_of(request, struct rebuild, request);
	/* lock_not_available, deadlock_detected: a question that takes long, or a writer. */
	bool in_the_way = outcome == PG_REFUSED && r->state == SWITCHING &&
	                  (!strcmp(error->sqlstate, "55P03") || !strcmp(error->sqlstate, "40P01"));
	if (outcome == PG_DONE)
		go_on(r);
	else if (in_the_way)
		wait(r);
	else
		fail(r, error ? error->message : "the connection to the database is lost");
}

static void on_ready(void *owner, struct pg_conn *conn)
{
	struct rebuild *r = owner;
	r->conn = conn;
	lock(r);
}

/* With the connection the lock is gone. */
static void on_lost(void *owner, struct pg_conn *conn, const struct pg_error *error)
{
	(void)conn;
	fail(owner, error->message);
}

bool rebuild_run(struct loop *loop, struct command_bus *bus, const struct rebuild_config *config,
                 struct buf *why)
{
	static const struct pg_conn_events events = {.on_ready = on_ready, .on_lost = on_lost};
	struct rebuild r = {.loop = loop, .bus = bus, .config = config, .why = why};
	r.conn_config = (struct pg_conn_config){.name = "postgres rebuild",
	                                        .dsn = config->dsn,
	                                        .setup = SETUP_SQL,
	                                        .writes = true,
	                                        .network_timeout_us = config->network_timeout_us,
	                                        .statement_timeout_us = TIMEOUT_US,
	                                        .max_statements = 1};
	r.timer = timer_new(loop, look, &r);
	r.conn = r.timer ? pg_conn_new(loop, &r.conn_config, &events, &r) : NULL;
	if (r.conn) {
		pg_conn_start(r.conn);
		loop_run(loop);
	} else {
		buf_puts(why, "out of memory");
	}
	if (config->progress)
		fputs("\r\033[K", stderr);
	pg_conn_free(r.conn);
	timer_free(r.timer);
	buf_release(&r.sql);
	return r.is_done;
}
