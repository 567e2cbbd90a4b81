/* SPDX-License-Identifier: MIT */
/*
 * A fixed number of nonblocking PostgreSQL connections that answer queries.
 *
 * Queries wait in one queue in order of arrival, are pipelined over the
 * connections with one Sync per turn of the loop, and have a deadline that
 * includes the waiting.  A second small set of connections, made for the first
 * stream, serves streams, one each.  Everything happens in the event loop;
 * nothing blocks.
 */
#ifndef PG_POOL_H
#define PG_POOL_H

#include "health.h"
#include "loop.h"
#include "metrics.h"
#include "pg_conn.h"

struct pg_pool;
struct pg_query;

enum pg_answer {
	PG_ANSWER_OK,
	PG_ANSWER_REFUSED, /* the server said no: `error` has the SQLSTATE */
	PG_ANSWER_TIMEOUT, /* the deadline passed, waiting or running */
	PG_ANSWER_AWAY,    /* the connection was lost, and no other could answer in time */
};

/* A result (with `stream`: a row at a time, as pg_result_fn says). */
typedef void pg_query_result_fn(struct pg_query *query, const PGresult *result);
/*
 * Called exactly once per accepted query, from the event loop or from
 * pg_pool_free(), never from inside pg_pool_submit().
 */
typedef void pg_query_done_fn(struct pg_query *query, enum pg_answer answer,
                              const struct pg_error *error);

/* Embedded in the caller's struct; all in it is borrowed until done(). */
struct pg_query {
	const char *sql;
	int n_params;
	const Oid *types;
	const char *const *values; /* binary format */
	const int *lengths;
	int64_t deadline; /* loop_now() time; for a stream: until its first row */
	bool stream;      /* a connection of its own, single rows, may be paused */
	pg_query_result_fn *on_result;
	pg_query_done_fn *done;
	/* the pool's own */
	struct pg_pool *pool;
	struct pg_slot *slot;
	TAILQ_ENTRY(pg_query) link, by_deadline;
	int64_t submitted;
	unsigned char phase;
	bool timed; /* in the list of deadlines */
	bool alone; /* with a Sync of its own */
	int results, tries;
};

struct pg_pool_config {
	const char *dsn;
	int connections;    /* pipelined */
	int streams;        /* for streaming queries */
	int64_t timeout_us; /* statement_timeout on the server; streams have none */
	int64_t network_timeout_us;
	int max_waiting; /* queries in the queue; more are refused */
};

/* Borrows `config` for good. */
struct pg_pool *pg_pool_new(struct loop *loop, const struct pg_pool_config *config,
                            struct metrics *metrics, struct health *health);
/* Open queries end with PG_ANSWER_AWAY.  Not from inside a callback of the pool. */
void pg_pool_free(struct pg_pool *pool);

/* False, and no callback, when `max_waiting` queries (of its kind) are waiting already. */
bool pg_pool_submit(struct pg_pool *pool, struct pg_query *query);
/* The client is gone: done() is called in the next turn, with PG_ANSWER_AWAY, and
 * on_result() no more.  A running stream costs its connection, which is made anew. */
void pg_query_abandon(struct pg_query *query);
/* For a stream whose reader is slow. */
void pg_query_pause(struct pg_query *query, bool pause);

#endif
