/* SPDX-License-Identifier: MIT */
/*
 * One nonblocking PostgreSQL connection: the only file that talks to libpq's
 * connections.
 *
 * It connects, and connects again with backoff and jitter for as long as it
 * lives.  Requests are answered in the order they were sent.  A server that is
 * silent for too long is given up, whether its network is dead or it is itself.
 *
 *                   ┌──────────── any failure ─────────────┐
 *                   ▼                                      │
 *      start ─► WAITING ─(backoff)─► CONNECTING ─► SETUP ─► READY
 *
 * PostgreSQL manual: chapters 34.4 (asynchronous), 34.5 (pipeline mode),
 * 34.10 (COPY).
 */
#ifndef PG_CONN_H
#define PG_CONN_H

#include "buf.h"
#include "loop.h"
#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct pg_conn;
struct pg_request;

enum pg_conn_state { PG_CONN_WAITING, PG_CONN_CONNECTING, PG_CONN_SETUP, PG_CONN_READY };

/*
 * How a request ended.  Bound requests before the same sync are one implicit
 * transaction: when one is refused, those before it end with PG_DONE and are
 * rolled back all the same; what the commit refuses is told to the last one.
 */
enum pg_outcome {
	PG_DONE,    /* all of it succeeded */
	PG_REFUSED, /* the server said no: `error` has the SQLSTATE; the connection lives */
	PG_ABORTED, /* not run, because an earlier request before the same sync was refused */
	PG_LOST,    /* the connection was lost: it may have run or not */
};

/* Why a request was refused, or a connection was lost. */
struct pg_error {
	char sqlstate[6]; /* "" when the server did not say */
	char message[512];
	char detail[256];
	char table[130];     /* schema-qualified where the server says so; may be "" */
	char column[64];     /* may be "" */
	char constraint[64]; /* may be "" */
	int statement;       /* simple Query: how many of its statements had succeeded */
};

/*
 * Each row or result as it comes; called from the event loop.  With
 * `single_row` every call has one row, and the last call none.  The result
 * dies when the callback returns.
 */
typedef void pg_result_fn(struct pg_request *req, const PGresult *result);

/*
 * The next piece of data for the `nth` COPY FROM STDIN of a simple Query
 * (counted from 0), valid until the next call; false when there is no more.
 * libpq hides an error in the middle of a COPY until its data have ended: the
 * callback is asked to the end, and then the request is refused.  To give a
 * COPY up, pg_conn_reset().
 */
typedef bool pg_copy_fn(struct pg_request *req, int nth, const char **data, size_t *len);

/*
 * Called exactly once per accepted request, from the event loop or from
 * pg_conn_free(), never from inside pg_conn_send().  `error` is NULL for
 * PG_DONE.  The request may be sent again, or its memory freed, from inside.
 */
typedef void pg_done_fn(struct pg_request *req, enum pg_outcome outcome,
                        const struct pg_error *error);

#define PG_PARAMS_MAX 256 /* parameters of one statement */

/*
 * Embedded in the caller's struct; everything in it is borrowed until done().
 * With `n_params < 0` it is a simple Query: any number of statements in one
 * implicit transaction, COPY FROM STDIN among them, text results.  Otherwise
 * one statement with bound parameters and binary results, prepared on first
 * use and found again by its text (one text, one list of types).
 */
struct pg_request {
	const char *sql;
	int n_params;
	const Oid *types;
	const char *const *values; /* binary format; NULL: null */
	const int *lengths;
	bool single_row;
	bool unhurried;          /* may take for ever */
	pg_result_fn *on_result; /* may be NULL */
	pg_copy_fn *copy;        /* NULL: the statement has no COPY */
	pg_done_fn *done;
	/* the connection's own */
	TAILQ_ENTRY(pg_request) link;
	struct pg_statement *statement;
	int copies, results;
	unsigned char phase;
	enum pg_outcome outcome;
};

struct pg_conn_config {
	const char *name;  /* for logs: "postgres write 0" */
	const char *dsn;   /* conninfo string or URI */
	const char *setup; /* a simple Query after each connect; NULL: none */
	/* Only a server that takes writes will do, unless the dsn has target_session_attrs. */
	bool writes;
	/* How long to try to connect, and how long the network may be silent; 0: 10 s. */
	int64_t network_timeout_us;
	/* As `setup` tells the server.  When it has owed an answer for so long, and the network
	 * timeout on top, without a sign of life, it is given up; 0: never. */
	int64_t statement_timeout_us;
	size_t max_statements; /* prepared statements kept; the least recently used goes */
};

/*
 * Called when the connection becomes ready, and when it is lost or could not
 * be made (`error` says why), after the open requests have ended.  Who LISTENs has on_notify(),
 * which is called for each NOTIFY, and does not free the connection.
 */
struct pg_conn_events {
	void (*on_ready)(void *owner, struct pg_conn *conn);
	void (*on_lost)(void *owner, struct pg_conn *conn, const struct pg_error *error);
	void (*on_notify)(void *owner, struct pg_conn *conn, const char *payload);
};

/* Borrows `config` and `events` for good.  Nothing happens before pg_conn_start(). */
struct pg_conn *pg_conn_new(struct loop *loop, const struct pg_conn_config *config,
                            const struct pg_conn_events *events, void *owner);
/* Open requests end with PG_LOST before it returns.  Allowed inside every callback. */
void pg_conn_free(struct pg_conn *conn);
void pg_conn_start(struct pg_conn *conn);
/* Gives the connection up at once and connects again; in the next turn open
 * requests end with PG_LOST and on_lost() is called. */
void pg_conn_reset(struct pg_conn *conn, const char *why);
enum pg_conn_state pg_conn_state(const struct pg_conn *conn);
/* Requests sent and not done. */
int pg_conn_in_flight(const struct pg_conn *conn);

/*
 * Sends a request; false, and no callback, when the connection is not ready.
 * Bound requests are pipelined; what they do is not answered before the next
 * pg_conn_sync().  A simple Query waits for the pipeline to drain by itself.
 */
bool pg_conn_send(struct pg_conn *conn, struct pg_request *req);
/* Ends the group of bound requests sent so far (Sync), and flushes. */
void pg_conn_sync(struct pg_conn *conn);

/* Stops (or continues) reading, so that rows stay on the server: for a slow reader of a stream. */
void pg_conn_pause(struct pg_conn *conn, bool pause);

/* For quoting identifiers and literals from configuration; free with free(). */
char *pg_quote_identifier(const char *name); /* "schema.table" quotes each half */
char *pg_quote_literal(const char *text);
/* The same, appended. */
void pg_add_identifier(struct buf *sql, const char *name);
void pg_add_literal(struct buf *sql, const char *text);

#endif
