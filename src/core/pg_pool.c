/* SPDX-License-Identifier: MIT */
/* The connections of a pool: what they are, and what the loop tells of them. */
#include "pg_pool_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH          64 /* queries in flight on one connection */
#define STATEMENTS_MAX 256

static void on_ready(void *owner, struct pg_conn *conn)
{
	struct pg_member *m = owner;
	struct pg_side *side = m->side;
	(void)conn;
	m->dirty = false;
	metric_set(side->ready, ++side->n_ready);
	metric_set(side->away, side->n - side->n_ready);
	if (side == &side->pool->queries)
		health_ok(side->pool->check);
	pg_pool_dispatch(side);
}

static void on_lost(void *owner, struct pg_conn *conn, const struct pg_error *error)
{
	struct pg_member *m = owner;
	struct pg_side *side = m->side;
	(void)conn;
	side->pool->away = *error;
	int ready = 0;
	for (int i = 0; i < side->n; i++)
		ready +=
		    side->members[i].conn && pg_conn_state(side->members[i].conn) == PG_CONN_READY;
	side->n_ready = ready;
	metric_set(side->ready, ready);
	metric_set(side->away, side->n - ready);
	if (side == &side->pool->queries && ready == 0)
		health_fail(side->pool->check, "%s", error->message);
}

static const struct pg_conn_events events = {.on_ready = on_ready, .on_lost = on_lost};

static void on_turn(void *arg)
{
	struct pg_pool *pool = arg;
	for (int i = 0; i < pool->queries.n; i++)
		pg_member_sync(&pool->queries.members[i]);
	for (int i = 0; i < pool->streams.n; i++)
		pg_member_sync(&pool->streams.members[i]);
	pg_pool_end_abandoned(pool);
}

/* ---- the pool ---- */

/* Times as UTC in ISO, so that what text there is reads the same everywhere. */
static void write_setup(struct buf *b, int64_t timeout_us)
{
	buf_printf(b,
	           "SET default_transaction_read_only = on; SET statement_timeout = %lld;"
	           "SET timezone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres';",
	           (long long)(timeout_us + 999) / 1000);
	/* Ends what a vanished client has asked for; not every server can. */
	buf_puts(b, "DO $$ BEGIN"
	            " PERFORM set_config('client_connection_check_interval', '1s', false);"
	            " EXCEPTION WHEN OTHERS THEN NULL; END $$");
}

static struct metric *find_gauge(struct metrics *metrics, const char *name, const char *kind,
                                 const char *state, const char *help)
{
	struct buf labels = BUF_INIT;
	metrics_label(&labels, "kind", kind);
	if (state)
		metrics_label(&labels, "state", state);
	struct metric *metric = metrics_gauge(metrics, name, metrics_labels(&labels), help);
	buf_release(&labels);
	return metric;
}

static void find_metrics(struct pg_side *side, const char *kind, struct metrics *metrics)
{
	static const char conns[] = "Connections to PostgreSQL for reading";
	const char *name = "cqrsd_pg_pool_connections";
	struct buf labels = BUF_INIT;
	side->ready = find_gauge(metrics, name, kind, "ready", conns);
	side->away = find_gauge(metrics, name, kind, "away", conns);
	side->in_use = find_gauge(metrics, "cqrsd_pg_pool_in_use", kind, NULL,
	                          "Queries that were sent and are not answered");
	side->queue = find_gauge(metrics, "cqrsd_pg_pool_waiting", kind, NULL,
	                         "Queries that wait for a connection");
	metrics_label(&labels, "kind", kind);
	side->seconds =
	    metrics_histogram(metrics, "cqrsd_pg_pool_query_seconds", metrics_labels(&labels),
	                      "Time from a query to its answer, waiting included", metrics_seconds,
	                      metrics_n_seconds);
	buf_release(&labels);
}

static bool member_init(struct pg_member *m, struct pg_side *side, const char *kind, int i)
{
	struct pg_pool *pool = side->pool;
	m->side = side;
	SLIST_INIT(&m->idle);
	snprintf(m->name, sizeof m->name, "postgres %s %d", kind, i);
	m->config = (struct pg_conn_config){.name = m->name,
	                                    .dsn = pool->config->dsn,
	                                    .setup = buf_str(&side->setup),
	                                    .network_timeout_us = pool->config->network_timeout_us,
	                                    .max_statements = STATEMENTS_MAX};
	/* A stream may be silent while its query is at work: its reader's patience ends it. */
	if (side == &pool->queries)
		m->config.statement_timeout_us = pool->config->timeout_us;
	m->slots = calloc((size_t)side->depth, sizeof *m->slots);
	m->conn = pg_conn_new(pool->loop, &m->config, &events, m);
	if (!m->slots || !m->conn)
		return false;
	for (int k = side->depth - 1; k >= 0; k--) {
		m->slots[k].member = m;
		SLIST_INSERT_HEAD(&m->idle, &m->slots[k], link);
	}
	return true;
}

static bool side_init(struct pg_side *side, struct pg_pool *pool, const char *kind, int n,
                      int depth, struct metrics *metrics)
{
	side->pool = pool;
	side->depth = depth;
	TAILQ_INIT(&side->waiting);
	write_setup(&side->setup, side == &pool->streams ? 0 : pool->config->timeout_us);
	side->members = calloc((size_t)(n ? n : 1), sizeof *side->members);
	if (!side->members)
		return false;
	side->n = n;
	find_metrics(side, kind, metrics);
	for (int i = 0; i < n; i++)
		if (!member_init(&side->members[i], side, kind, i))
			return false;
	return !side->setup.failed;
}

void pg_side_start(struct pg_side *side)
{
	if (side->started)
		return;
	side->started = true;
	metric_set(side->away, side->n);
	for (int i = 0; i < side->n; i++)
		pg_conn_start(side->members[i].conn);
}

static void side_release(struct pg_side *side)
{
	for (int i = 0; i < side->n; i++) {
		pg_conn_free(side->members[i].conn);
		free(side->members[i].slots);
	}
	if (side->members)
		pg_pool_end_waiting(side);
	free(side->members);
	buf_release(&side->setup);
}

struct pg_pool *pg_pool_new(struct loop *loop, const struct pg_pool_config *config,
                            struct metrics *metrics, struct health *health)
{
	struct pg_pool *pool = calloc(1, sizeof *pool);
	if (!pool)
		return NULL;
	pool->loop = loop;
	pool->config = config;
	TAILQ_INIT(&pool->by_deadline);
	TAILQ_INIT(&pool->ended);
	snprintf(pool->away.message, sizeof pool->away.message,
	         "not yet connected to the database");
	pool->check = health_add(health, "postgres read");
	pool->turn = timer_new(loop, on_turn, pool);
	pool->deadline = timer_new(loop, pg_pool_on_deadline, pool);
	if (!pool->check || !pool->turn || !pool->deadline ||
	    !side_init(&pool->queries, pool, "query", config->connections, DEPTH, metrics) ||
	    !side_init(&pool->streams, pool, "stream", config->streams, 1, metrics))
		goto fail;
	pg_side_start(&pool->queries);
	return pool;
fail:
	pg_pool_free(pool);
	return NULL;
}

void pg_pool_free(struct pg_pool *pool)
{
	if (!pool)
		return;
	pool->closing = true;
	timer_free(pool->deadline);
	pool->deadline = NULL;
	side_release(&pool->queries);
	side_release(&pool->streams);
	pg_pool_end_abandoned(pool);
	timer_free(pool->turn);
	free(pool);
}
