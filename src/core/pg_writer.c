/* SPDX-License-Identifier: MIT */
/* Stores batches, one at a time and each exactly once: the states of a writer. */
#include "pg_writer.h"

#include "batch_command.h"
#include "container.h"
#include "log.h"
#include "pg_writer_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool writer_prepare(struct pg_writer *writer)
{
	return attempt_prepare(&writer->attempt, writer->low, writer->high, writer->way);
}

/* Tries the range low..high from the beginning. */
void writer_try(struct pg_writer *writer)
{
	writer->state = WRITER_WAITING;
	if (pg_conn_state(writer->conn) != PG_CONN_READY)
		return; /* on_ready() comes back */
	if (writer->unknown) {
		writer_send_asking(writer);
		return;
	}
	if (writer->blocked) {
		writer_send_evicting(writer);
		return;
	}
	writer->in_transaction = false;
	batch_undecide(writer->batch, writer->low);
	bool ok = writer->attempt.batch ||
	          attempt_init(&writer->attempt, writer->batch, writer->config->group);
	ok = ok && writer_prepare(writer) &&
	     fence_aim(&writer->fence, writer->batch, writer->low, writer->high);
	if (!ok)
		timer_arm(writer->timer, 100000); /* out of memory: others may give some back */
	else if (attempt_has_statements(&writer->attempt) || attempt_has_commands(&writer->attempt))
		writer_send_beginning(writer);
	else
		writer_statements_done(writer);
}

void writer_statements_done(struct pg_writer *writer)
{
	if (writer->attempt.way == ATTEMPT_DIRECT)
		writer_send_storing(writer);
	else
		writer_send_staging(writer);
}

void writer_again(struct pg_writer *writer, int64_t wait_us)
{
	attempt_forgive(&writer->attempt);
	writer->wait_us = wait_us;
	if (writer->in_transaction) {
		writer_send_rollback(writer);
	} else if (wait_us) {
		writer->state = WRITER_WAITING;
		timer_arm(writer->timer, wait_us);
	} else {
		writer_try(writer);
	}
}

void writer_finish(struct pg_writer *writer, bool fenced)
{
	struct cqrs_batch *batch = writer->batch;
	attempt_release(&writer->attempt);
	writer->batch = NULL;
	writer->in_transaction = writer->unknown = false;
	writer->tries = 0;
	writer->state = WRITER_IDLE;
	health_ok(writer->health);
	writer->done(writer->owner, writer, batch, fenced);
}

/* ---- answers ---- */

static void on_result(struct pg_request *request, const PGresult *answer)
{
	struct pg_writer *writer = container_of(request, struct pg_writer, request);
	/* What an aborted transaction answers to COMMIT is no error. */
	if (writer->state == WRITER_STORING && PQresultStatus(answer) == PGRES_COMMAND_OK)
		writer->rolled_back =
		    !strcmp(PQcmdStatus((PGresult *)(uintptr_t)answer), "ROLLBACK");
	if (PQresultStatus(answer) != PGRES_TUPLES_OK)
		return;
	if (writer->state == WRITER_BEGINNING) {
		writer->known |= attempt_read_known(&writer->attempt, answer);
	} else if (writer->state == WRITER_STAGING) {
		size_t before = writer->batch->n_refusals;
		if (!attempt_read_staged(&writer->attempt, answer, &writer->redo))
			writer->out_of_memory = true;
		writer->batch->effects_lost |= writer->batch->n_refusals > before;
	} else if (writer->state == WRITER_EVICTING) {
		if (atoi(PQgetvalue(answer, 0, 0)) > 0)
			log_warning("%s: cut off a member that slept on our offsets",
			            writer->config->name);
	} else if (writer->state == WRITER_ASKING) {
		fence_read(&writer->fence, answer);
	}
}

static bool on_copy(struct pg_request *request, int nth, const char **data, size_t *len)
{
	struct pg_writer *writer = container_of(request, struct pg_writer, request);
	if (attempt_copy_data(&writer->attempt, nth, data, len))
		return true;
	/* An unfinished COPY must not commit. */
	if (writer->attempt.chunk.failed)
		pg_conn_reset(writer->conn, "out of memory");
	return false;
}

/* What became of a COMMIT whose answer was lost. */
static void on_asked(struct pg_writer *writer)
{
	enum fence_stand stand = fence_stand(&writer->fence);
	writer->unknown = false;
	if (stand == FENCE_BEHIND)
		writer_stored(writer);
	else if (stand == FENCE_BEFORE)
		writer_try(writer);
	else
		writer_fenced(writer);
}

/* Commands that were applied before are dead by now. */
static void on_begun(struct pg_writer *writer)
{
	if (writer->known && !writer_prepare(writer))
		writer_wait(writer, "53200", "out of memory", false);
	else if (!attempt_has_statements(&writer->attempt))
		writer_statements_done(writer);
	else if (!writer_send_statements(writer))
		writer_wait(writer, "53200", "out of memory", false);
}

static void on_answer(struct pg_writer *writer)
{
	switch (writer->state) {
	case WRITER_BEGINNING:
		on_begun(writer);
		break;
	case WRITER_STAGING:
		writer->needed |= attempt_needed(&writer->attempt);
		if (writer->out_of_memory)
			writer_wait(writer, "53200", "out of memory", false);
		else if (writer->redo)
			writer_again(writer, 0);
		else
			writer_send_storing(writer);
		writer->out_of_memory = false;
		break;
	case WRITER_STORING:
		writer->in_transaction = false;
		if (writer->rolled_back && !writer->config->rehearsal)
			writer_wait(writer, "25P02", "the transaction was aborted", false);
		else
			writer_stored(writer);
		break;
	case WRITER_ROLLBACK:
		writer->in_transaction = false;
		if (writer->fenced) {
			writer->fenced = false;
			writer_fenced(writer);
		} else {
			writer_again(writer, writer->wait_us);
		}
		break;
	case WRITER_EVICTING:
		writer_try(writer);
		break;
	case WRITER_ASKING:
		on_asked(writer);
		break;
	default:
		assert(false); /* nobody asked */
	}
}

static void on_done(struct pg_request *request, enum pg_outcome outcome,
                    const struct pg_error *error)
{
	struct pg_writer *writer = container_of(request, struct pg_writer, request);
	if (!writer->batch)
		return; /* pg_writer_free() */
	if (outcome == PG_DONE)
		on_answer(writer);
	else if (outcome == PG_REFUSED &&
	         (writer->state == WRITER_ASKING || writer->state == WRITER_EVICTING))
		writer_postpone(writer, error);
	else if (outcome == PG_REFUSED)
		writer_failed(writer, error);
	else
		writer_lost(writer, error);
}

/* ---- the connection ---- */

static void on_ready(void *owner, struct pg_conn *conn)
{
	struct pg_writer *writer = owner;
	(void)conn;
	/* With a batch at hand it is fine again when that is stored. */
	if (!writer->batch)
		health_ok(writer->health);
	if (writer->batch && writer->state == WRITER_WAITING && !timer_is_armed(writer->timer))
		writer_try(writer);
}

static void on_lost(void *owner, struct pg_conn *conn, const struct pg_error *error)
{
	struct pg_writer *writer = owner;
	(void)conn;
	health_fail(writer->health, "%s", error ? error->message : "connection lost");
}

static void on_timer(void *arg)
{
	writer_try(arg);
}

/* ---- life ---- */

static const struct pg_conn_events conn_events = {.on_ready = on_ready, .on_lost = on_lost};

struct pg_writer *pg_writer_new(struct loop *loop, const struct pg_writer_config *config,
                                struct metrics *metrics, struct health *health,
                                pg_writer_done_fn *done, void *owner)
{
	struct pg_writer *writer = calloc(1, sizeof *writer);
	if (!writer)
		return NULL;
	writer->loop = loop;
	writer->config = config;
	writer->done = done;
	writer->owner = owner;
	writer_make_metrics(writer, metrics);
	writer->health = health_add(health, config->name);
	writer->fence = (struct fence){
	    .group = config->group, .topics = config->topics, .redriven_by = config->redriven_by};
	writer->timer = timer_new(loop, on_timer, writer);
	/* Who waits for a lock longer than that asks what is wrong, see writer_send_evicting(). */
	buf_printf(&writer->setup,
	           "SET statement_timeout = %" PRId64 "; SET lock_timeout = %" PRId64 ";"
	           "SET idle_in_transaction_session_timeout = %" PRId64 ";"
	           "SET client_min_messages = warning; SET timezone = 'UTC'; SET jit = off",
	           config->timeout_us / 1000, config->timeout_us / 3000, config->timeout_us / 1000);
	writer->conn_config = (struct pg_conn_config){
	    .name = config->name,
	    .dsn = config->dsn,
	    .setup = buf_str(&writer->setup),
	    .writes = true,
	    .network_timeout_us = config->network_timeout_us,
	    .statement_timeout_us = config->timeout_us,
	    .max_statements = config->max_statements,
	};
	writer->request = (struct pg_request){
	    .n_params = -1, .on_result = on_result, .copy = on_copy, .done = on_done};
	writer->conn = pg_conn_new(loop, &writer->conn_config, &conn_events, writer);
	if (!writer->health || !writer->timer || writer->setup.failed || !writer->conn) {
		pg_writer_free(writer);
		return NULL;
	}
	pg_conn_start(writer->conn);
	return writer;
}

void pg_writer_free(struct pg_writer *writer)
{
	if (!writer)
		return;
	if (writer->attempt.batch)
		attempt_release(&writer->attempt);
	writer->batch = NULL;
	pg_conn_free(writer->conn);
	timer_free(writer->timer);
	buf_release(&writer->setup);
	buf_release(&writer->sql);
	fence_release(&writer->fence);
	free(writer->statements);
	free(writer->members);
	buf_release(&writer->arrays);
	free(writer->values);
	free(writer->lengths);
	free(writer);
}

void pg_writer_store(struct pg_writer *writer, struct cqrs_batch *batch)
{
	assert(!writer->batch && batch->n_messages);
	writer->batch = batch;
	writer->low = 0;
	writer->high = (uint32_t)batch->n_messages;
	writer->way = writer->habit.usual;
	writer->needed = ATTEMPT_DIRECT;
	writer_try(writer);
}

bool pg_writer_is_idle(const struct pg_writer *writer)
{
	return writer->state == WRITER_IDLE;
}

bool pg_writer_cancel(struct pg_writer *writer)
{
	if (writer->state != WRITER_WAITING)
		return false;
	timer_disarm(writer->timer);
	if (writer->attempt.batch)
		attempt_release(&writer->attempt);
	writer->batch = NULL;
	writer->unknown = writer->blocked = false;
	writer->tries = 0;
	writer->state = WRITER_IDLE;
	/* What kept that batch waiting need not keep the next. */
	if (pg_conn_state(writer->conn) == PG_CONN_READY)
		health_ok(writer->health);
	return true;
}

uint32_t pg_writer_stored(const struct pg_writer *writer)
{
	return writer->low;
}

const char *pg_writer_state(const struct pg_writer *writer)
{
	static const char *const names[] = {
	    [WRITER_IDLE] = "idle",
	    [WRITER_BEGINNING] = "storing",
	    [WRITER_STATEMENTS] = "storing",
	    [WRITER_STAGING] = "storing, staged",
	    [WRITER_STORING] = "storing",
	    [WRITER_ROLLBACK] = "rolling back",
	    [WRITER_EVICTING] = "cutting off a sleeping member",
	    [WRITER_ASKING] = "asking what became of a commit",
	    [WRITER_WAITING] = "waiting for the database",
	};
	return names[writer->state];
}
