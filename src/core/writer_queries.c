/* SPDX-License-Identifier: MIT */
/* The simple Queries of a writer: what it sends in each of its states. */
#include "pg_writer_internal.h"

/* The connection was ready a moment ago: if it is not, its loss has been or will be told. */
static void send(struct pg_writer *writer, enum writer_state state)
{
	writer->state = state;
	writer->request.sql = buf_str(&writer->sql);
	if (!writer->sql.failed && pg_conn_send(writer->conn, &writer->request))
		return;
	writer->state = WRITER_WAITING;
	/* It ends a transaction that may be open; on_ready() comes back. */
	if (writer->sql.failed)
		pg_conn_reset(writer->conn, "out of memory");
}

/* An explicit transaction, and the fence. */
static void begin(struct pg_writer *writer)
{
	buf_puts(&writer->sql, "BEGIN;");
	fence_move_sql(&writer->fence, &writer->sql);
	writer->in_transaction = true;
}

void writer_send_beginning(struct pg_writer *writer)
{
	buf_clear(&writer->sql);
	begin(writer);
	writer->known = false;
	attempt_known_sql(&writer->attempt, &writer->sql);
	send(writer, WRITER_BEGINNING);
}

void writer_send_staging(struct pg_writer *writer)
{
	buf_clear(&writer->sql);
	attempt_begin_sql(&writer->attempt);
	if (!writer->in_transaction)
		begin(writer);
	writer->redo = false;
	attempt_staging_sql(&writer->attempt, &writer->sql);
	send(writer, WRITER_STAGING);
}

void writer_send_storing(struct pg_writer *writer)
{
	buf_clear(&writer->sql);
	attempt_begin_sql(&writer->attempt);
	if (!writer->in_transaction && writer->config->rehearsal)
		begin(writer);
	else if (!writer->in_transaction)
		fence_move_sql(&writer->fence, &writer->sql);
	if (!(writer->attempt.way & ATTEMPT_STORE))
		attempt_rows_sql(&writer->attempt, &writer->sql);
	attempt_rest_sql(&writer->attempt, &writer->sql);
	if (writer->config->rehearsal)
		buf_puts(&writer->sql, "SET CONSTRAINTS ALL IMMEDIATE;ROLLBACK;");
	else if (writer->in_transaction)
		buf_puts(&writer->sql, "COMMIT;");
	writer->began_us = loop_now(writer->loop);
	writer->rolled_back = false;
	send(writer, WRITER_STORING);
}

void writer_send_asking(struct pg_writer *writer)
{
	buf_clear(&writer->sql);
	fence_ask_sql(&writer->fence, &writer->sql);
	send(writer, WRITER_ASKING);
}

/* Who waits for a lock as long as that may wait for a member that was stopped. */
void writer_send_evicting(struct pg_writer *writer)
{
	buf_clear(&writer->sql);
	offsets_evict_sql(&writer->sql, writer->config->group, writer->config->timeout_us);
	writer->blocked = false;
	send(writer, WRITER_EVICTING);
}

void writer_send_rollback(struct pg_writer *writer)
{
	buf_clear(&writer->sql);
	buf_puts(&writer->sql, "ROLLBACK");
	send(writer, WRITER_ROLLBACK);
}
