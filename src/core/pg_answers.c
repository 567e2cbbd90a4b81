/* SPDX-License-Identifier: MIT */
/* The answers to the requests of a connection, handed out in order, a turn of the loop at a time.
 */
#include "pg_conn_private.h"

#include <string.h>

#define TURN_US    1000        /* the longest time at a stretch */
#define COPY_PIECE (64 * 1024) /* libpq buffers all it is given; PQflush() says when to stop */

/* Keeps the first error of a group or simple Query. */
static void refuse(struct pg_conn *conn, struct pg_request *req, const PGresult *result)
{
	if (pg_error_is_fatal(result)) {
		pg_error_from_result(&conn->lost, result);
		conn->has_last_words = true;
	}
	if (conn->has_last_words || PQstatus(conn->pg) == CONNECTION_BAD) {
		pg_conn_lose_by_libpq(conn);
		return;
	}
	/* Not the server's words but libpq's: it had no memory, and what it dropped may be a row,
	 * the end of a COMMIT or a Sync.  Nobody knows any more what was answered. */
	if (!PQresultErrorField(result, PG_DIAG_SQLSTATE)) {
		pg_conn_reset(conn, PQresultErrorMessage(result));
		return;
	}
	if (req->outcome == PG_REFUSED)
		return;
	req->outcome = PG_REFUSED;
	pg_error_from_result(&conn->error, result);
	conn->error.statement = req->results;
}

static void hand_out(struct pg_request *req, const PGresult *result)
{
	req->results++;
	if (req->on_result)
		req->on_result(req, result);
}

static void finish_simple(struct pg_conn *conn)
{
	struct pg_request *req = conn->at;
	struct pg_error error = conn->error;
	conn->at = NULL;
	pg_conn_finish(conn, req, req->outcome, &error);
	if (conn->pg)
		pg_conn_submit(conn);
}

/* The Sync has come back: all up to it is done. */
static void finish_group(struct pg_conn *conn)
{
	struct pg_request *last = conn->at, *req;
	struct pg_request *next = TAILQ_NEXT(last, link);
	struct pg_error error = conn->error;
	bool end = false;
	conn->at = next && (next->phase & REQUEST_SENT) ? next : NULL;
	while (!end && conn->pg) {
		req = TAILQ_FIRST(&conn->requests);
		end = req == last;
		pg_conn_finish(conn, req, req->outcome, &error);
	}
	if (conn->pg)
		pg_conn_submit(conn);
}

static void on_bound_refused(struct pg_conn *conn, struct pg_request *req, const PGresult *result)
{
	struct pg_statement *statement = req->statement;
	refuse(conn, req, result);
	if (!conn->pg || !statement)
		return;
	/* 26000: somebody has deallocated it.  0A000: its plan must not change its result type. */
	if ((req->phase & REQUEST_PARSE) || strcmp(conn->error.sqlstate, "26000") == 0)
		pg_conn_drop_statement(conn, statement);
	else if (strcmp(conn->error.sqlstate, "0A000") == 0)
		pg_conn_close_statement(conn, statement);
}

static void on_bound_aborted(struct pg_conn *conn, struct pg_request *req)
{
	if (req->outcome == PG_DONE)
		req->outcome = PG_ABORTED;
	if ((req->phase & REQUEST_PARSE) && req->statement)
		pg_conn_drop_statement(conn, req->statement);
}

/* The answer to a Parse, or to what was parsed, is complete. */
static void on_bound_end(struct pg_conn *conn, struct pg_request *req)
{
	if (req->phase & REQUEST_PARSE)
		req->phase &= (unsigned char)~REQUEST_PARSE;
	else if (!(req->phase & REQUEST_LAST))
		conn->at = TAILQ_NEXT(req, link);
}

static void on_bound_result(struct pg_conn *conn, struct pg_request *req, const PGresult *result)
{
	switch (result ? PQresultStatus(result) : PGRES_EMPTY_QUERY) {
	case PGRES_EMPTY_QUERY:
		if (!result)
			on_bound_end(conn, req);
		break;
	case PGRES_PIPELINE_SYNC:
		finish_group(conn);
		break;
	case PGRES_PIPELINE_ABORTED:
		on_bound_aborted(conn, req);
		break;
	case PGRES_FATAL_ERROR:
	case PGRES_BAD_RESPONSE:
		on_bound_refused(conn, req, result);
		break;
	case PGRES_COPY_IN:
	case PGRES_COPY_OUT:
	case PGRES_COPY_BOTH:
		pg_conn_reset(conn, "COPY does not work with bound parameters");
		break;
	default:
		if (!(req->phase & REQUEST_PARSE))
			hand_out(req, result);
		else if (req->statement)
			req->statement->parsed = true;
	}
}

/* What COPY TO sends has no taker, and the statements after it wait for its end. */
static bool pass_over_copy_out(struct pg_conn *conn)
{
	char *data;
	int rc;
	while ((rc = PQgetCopyData(conn->pg, &data, 1)) > 0)
		PQfreemem(data);
	return rc < 0;
}

static void begin_copy(struct pg_conn *conn, struct pg_request *req)
{
	if (req->copy)
		conn->copying = true;
	else if (PQputCopyEnd(conn->pg, "this COPY has no data") < 0)
		pg_conn_lose_by_libpq(conn);
}

/* False when libpq has read nothing more. */
static bool on_simple_result(struct pg_conn *conn, struct pg_request *req, const PGresult *result)
{
	switch (result ? PQresultStatus(result) : PGRES_EMPTY_QUERY) {
	case PGRES_EMPTY_QUERY:
		if (!result)
			finish_simple(conn);
		break;
	case PGRES_COPY_IN:
		begin_copy(conn, req);
		break;
	case PGRES_COPY_OUT:
	case PGRES_COPY_BOTH:
		return pass_over_copy_out(conn);
	case PGRES_FATAL_ERROR:
	case PGRES_BAD_RESPONSE:
		refuse(conn, req, result);
		break;
	default:
		hand_out(req, result);
	}
	return true;
}

/* Hands out one result; false when libpq has none yet. */
static bool take_result(struct pg_conn *conn)
{
	struct pg_request *req = conn->at;
	/* libpq takes it only when the answer is the next to come and nothing of it is parsed. */
	if (req->single_row && !(req->phase & (REQUEST_PARSE | REQUEST_SINGLE))) {
		PQsetSingleRowMode(conn->pg);
		req->phase |= REQUEST_SINGLE;
	}
	if (PQisBusy(conn->pg))
		return false;
	PGresult *result = PQgetResult(conn->pg);
	bool more = true;
	if (pg_request_is_simple(req))
		more = on_simple_result(conn, req, result);
	else
		on_bound_result(conn, req, result);
	PQclear(result);
	return more;
}

/* ---- COPY FROM STDIN ---- */

static bool end_copy(struct pg_conn *conn)
{
	int rc = PQputCopyEnd(conn->pg, NULL);
	if (rc < 0)
		pg_conn_lose_by_libpq(conn);
	else
		conn->want_write = rc == 0;
	if (rc <= 0)
		return false;
	conn->copying = false;
	conn->at->copies++;
	return true;
}

/* Puts one piece; false when the socket must be writable before the next. */
static bool put_piece(struct pg_conn *conn)
{
	struct pg_request *req = conn->at;
	conn->want_write = PQflush(conn->pg) == 1;
	if (conn->want_write)
		return false;
	if (!conn->copy_len && !req->copy(req, req->copies, &conn->copy_data, &conn->copy_len)) {
		conn->copy_len = 0;
		return conn->pg && end_copy(conn);
	}
	if (!conn->pg || !conn->copying)
		return false;
	size_t n = conn->copy_len < COPY_PIECE ? conn->copy_len : COPY_PIECE;
	int rc = PQputCopyData(conn->pg, conn->copy_data, (int)n);
	if (rc < 0)
		pg_conn_lose_by_libpq(conn);
	else
		conn->want_write = rc == 0;
	if (rc <= 0)
		return false;
	conn->copy_data += n;
	conn->copy_len -= n;
	return true;
}

/* ---- a turn ---- */

void pg_conn_work(struct pg_conn *conn)
{
	conn->heard_us = loop_now(conn->loop);
	int64_t until = conn->heard_us + TURN_US;
	unsigned n = 0;
	/* Without a request libpq still has notices to parse, the server's last words among them.
	 */
	if (!conn->at)
		PQisBusy(conn->pg);
	while (conn->pg && conn->at && !conn->paused) {
		if (conn->copying ? !put_piece(conn) : !take_result(conn))
			break;
		/* Asking the time costs as much as a row. */
		if (++n % 16 == 0 && !conn->broken && conn->pg && loop_now(conn->loop) > until) {
			timer_arm(conn->turn, 0);
			break;
		}
	}
	/* A COPY has just flushed: asking again might find the socket writable, and wait for ever.
	 */
	if (conn->pg && conn->copying)
		pg_conn_watch(conn);
	else if (conn->pg)
		pg_conn_flush(conn);
}

void pg_conn_work_to_the_end(struct pg_conn *conn)
{
	conn->broken = true;
	/* libpq looks at what came during a COPY when the COPY has ended. */
	if (conn->copying) {
		PQputCopyEnd(conn->pg, NULL);
		conn->copying = false;
	}
	pg_conn_work(conn);
}
