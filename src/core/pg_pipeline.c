/* SPDX-License-Identifier: MIT */
/*
 * The requests of a connection: sending them, pipelined or as simple Queries.
 *
 * A group is the bound requests up to a Sync.  Its requests are answered as
 * their results come, but done only when the Sync has come back: before it,
 * what they wrote is not committed.
 */
#include "pg_conn_private.h"

#include "container.h"

#include <assert.h>

static const int binary[PG_PARAMS_MAX] = {[0 ... PG_PARAMS_MAX - 1] = 1};

/* ---- ending requests ---- */

void pg_conn_finish(struct pg_conn *conn, struct pg_request *req, enum pg_outcome outcome,
                    const struct pg_error *error)
{
	TAILQ_REMOVE(&conn->requests, req, link);
	pg_statement_unref(req->statement);
	req->statement = NULL;
	if (!(req->phase & REQUEST_OWN))
		conn->in_flight--;
	req->done(req, outcome, outcome == PG_DONE ? NULL : error);
}

void pg_conn_fail_requests(struct pg_conn *conn, const struct pg_error *error)
{
	struct pg_request *req;
	conn->at = conn->next = NULL;
	while ((req = TAILQ_FIRST(&conn->closing))) {
		TAILQ_REMOVE(&conn->closing, req, link);
		req->done(req, PG_LOST, error);
	}
	while ((req = TAILQ_FIRST(&conn->requests)))
		pg_conn_finish(conn, req, PG_LOST, error);
}

void pg_conn_forget(struct pg_conn *conn)
{
	pg_statement_cache_clear(&conn->statements);
	conn->at = conn->next = NULL;
	conn->copy_len = 0;
	conn->copying = conn->want_write = conn->paused = conn->broken = false;
}

/* ---- prepared statements ---- */

#define statement_of(request) container_of(request, struct pg_statement, close)

static void on_closed(struct pg_request *req, enum pg_outcome outcome, const struct pg_error *error)
{
	(void)outcome;
	(void)error;
	pg_statement_unref(statement_of(req));
}

/* Takes the statement out of the cache, and off the server after the next Sync. */
void pg_conn_close_statement(struct pg_conn *conn, struct pg_statement *statement)
{
	if (!statement->cached)
		return;
	pg_statement_cache_take(&conn->statements, statement);
	statement->close = (struct pg_request){
	    .sql = statement->deallocate, .done = on_closed, .phase = REQUEST_OWN | REQUEST_LAST};
	TAILQ_INSERT_TAIL(&conn->closing, &statement->close, link);
}

/* Takes the statement out of the cache: the server does not have it. */
void pg_conn_drop_statement(struct pg_conn *conn, struct pg_statement *statement)
{
	if (!statement->cached)
		return;
	pg_statement_cache_take(&conn->statements, statement);
	pg_statement_unref(statement);
}

/*
 * The statement that runs the request, or NULL: then it goes unprepared.  A
 * Parse that is not yet answered may fail, so only its own group, which fails
 * with it, can build on it.
 */
static struct pg_statement *choose_statement(struct pg_conn *conn, struct pg_request *req)
{
	struct pg_statement *statement = pg_statement_cache_find(&conn->statements, req->sql);
	if (statement)
		return statement->parsed || statement->group == conn->group ? statement : NULL;
	if (pg_statement_cache_is_full(&conn->statements)) {
		struct pg_statement *oldest = pg_statement_cache_oldest(&conn->statements);
		if (!oldest)
			return NULL;
		pg_conn_close_statement(conn, oldest);
	}
	statement = pg_statement_cache_add(&conn->statements, req->sql);
	if (statement) {
		statement->group = conn->group;
		req->phase |= REQUEST_PARSE;
	}
	return statement;
}

/* ---- sending ---- */

static bool send_simple(struct pg_conn *conn, struct pg_request *req)
{
	if (PQpipelineStatus(conn->pg) != PQ_PIPELINE_OFF && !PQexitPipelineMode(conn->pg))
		return false;
	return PQsendQuery(conn->pg, req->sql);
}

static bool send_bound(struct pg_conn *conn, struct pg_request *req)
{
	PGconn *pg = conn->pg;
	if (PQpipelineStatus(pg) == PQ_PIPELINE_OFF && !PQenterPipelineMode(pg))
		return false;
	struct pg_statement *statement =
	    req->phase & REQUEST_OWN ? NULL : choose_statement(conn, req);
	if (!statement)
		return PQsendQueryParams(pg, req->sql, req->n_params, req->types, req->values,
		                         req->lengths, binary, 1);
	req->statement = pg_statement_ref(statement);
	if ((req->phase & REQUEST_PARSE) &&
	    !PQsendPrepare(pg, statement->name, req->sql, req->n_params, req->types))
		return false;
	return PQsendQueryPrepared(pg, statement->name, req->n_params, req->values, req->lengths,
	                           binary, 1);
}

static bool send_sync(struct pg_conn *conn)
{
	conn->group++;
	return PQpipelineSync(conn->pg);
}

/* A simple Query needs libpq idle and out of pipeline mode; a bound one no simple one open. */
static bool may_go(const struct pg_conn *conn, const struct pg_request *req)
{
	const struct pg_request *first = TAILQ_FIRST(&conn->requests);
	return req == first || (!pg_request_is_simple(req) && !pg_request_is_simple(first));
}

void pg_conn_flush(struct pg_conn *conn)
{
	int rc = PQflush(conn->pg);
	if (rc < 0) {
		pg_conn_lose_by_libpq(conn);
		return;
	}
	conn->want_write = rc == 1;
	pg_conn_watch(conn);
}

/* Gives libpq what may go now. */
void pg_conn_submit(struct pg_conn *conn)
{
	struct pg_request *req;
	bool flushed = true;
	while ((req = conn->next) && may_go(conn, req)) {
		bool sent =
		    pg_request_is_simple(req) ? send_simple(conn, req) : send_bound(conn, req);
		if (sent && (req->phase & REQUEST_LAST))
			sent = send_sync(conn);
		if (!sent) {
			pg_conn_lose_by_libpq(conn);
			return;
		}
		flushed = flushed && !pg_request_is_simple(req) && !(req->phase & REQUEST_LAST);
		req->phase |= REQUEST_SENT;
		conn->next = TAILQ_NEXT(req, link);
		if (!conn->at)
			conn->at = req;
	}
	if (!flushed)
		pg_conn_flush(conn);
}

static void append(struct pg_conn *conn, struct pg_request *req)
{
	TAILQ_INSERT_TAIL(&conn->requests, req, link);
	if (!conn->next)
		conn->next = req;
}

/* The last bound request, if no Sync follows it yet. */
static struct pg_request *open_end(struct pg_conn *conn)
{
	struct pg_request *last = TAILQ_LAST(&conn->requests, pg_request_list);
	return last && !pg_request_is_simple(last) && !(last->phase & REQUEST_LAST) ? last : NULL;
}

bool pg_conn_send(struct pg_conn *conn, struct pg_request *req)
{
	assert(req->n_params <= PG_PARAMS_MAX && req->done);
	if (conn->state != PG_CONN_READY)
		return false;
	if (pg_request_is_simple(req))
		pg_conn_sync(conn);
	req->statement = NULL;
	req->copies = req->results = 0;
	req->phase = 0;
	req->outcome = PG_DONE;
	if (conn->in_flight++ == 0)
		pg_conn_expect(conn);
	append(conn, req);
	/* The Sync of a simple Query may have found the connection dead. */
	if (conn->pg)
		pg_conn_submit(conn);
	return true;
}

void pg_conn_send_setup(struct pg_conn *conn, pg_done_fn *done)
{
	conn->setup = (struct pg_request){
	    .sql = conn->config->setup, .n_params = -1, .done = done, .phase = REQUEST_OWN};
	append(conn, &conn->setup);
	pg_conn_submit(conn);
}

void pg_conn_sync(struct pg_conn *conn)
{
	struct pg_request *last = open_end(conn), *close;
	if (!last || !conn->pg)
		return;
	last->phase |= REQUEST_LAST;
	if ((last->phase & REQUEST_SENT) && !send_sync(conn)) {
		pg_conn_lose_by_libpq(conn);
		return;
	}
	/* An error comes before the Sync.  All of the group is answered then, but for its end. */
	if ((last->phase & REQUEST_SENT) && !conn->at)
		conn->at = last;
	/* Each in a group of its own, so that it costs nobody anything if it fails. */
	while ((close = TAILQ_FIRST(&conn->closing))) {
		TAILQ_REMOVE(&conn->closing, close, link);
		append(conn, close);
	}
	pg_conn_submit(conn);
	if (conn->pg)
		pg_conn_flush(conn);
}

void pg_conn_pause(struct pg_conn *conn, bool pause)
{
	if (conn->state != PG_CONN_READY || conn->paused == pause)
		return;
	conn->paused = pause;
	pg_conn_watch(conn);
	/* libpq may have read rows already. */
	if (!pause)
		timer_arm(conn->turn, 0);
}
