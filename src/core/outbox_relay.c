/* SPDX-License-Identifier: MIT */
/* What the relay does with its connection: the lock, progress, one batch after the other. */
#include "container.h"
#include "outbox_internal.h"
#include "pg_value.h"

/* "cqrs" in ASCII and the second lock of it, see schema.c. */
#define LOCK_SQL "SELECT pg_try_advisory_lock(1668379251, 2)"
/* Autovacuum comes once a minute: at full speed that would be a million dead rows. */
#define VACUUM_ROWS 100000
/* A full sink is full of the records of others, and they are on their way. */
#define FULL_US 50000

static pg_result_fn on_lock_result, on_reached_result, on_required_result, on_rows;
static pg_done_fn on_locked, on_reached, on_required, on_read, on_deleted, on_vacuumed;

static struct outbox *of_request(struct pg_request *request)
{
	return container_of(request, struct outbox, request);
}

/* ---- what comes next ---- */

static void sleep_for(struct outbox *outbox, int64_t us)
{
	outbox->state = ASLEEP;
	/* Jitter, so that the processes of a database do not ask in step. */
	int64_t jitter = us ? loop_random(outbox->loop, (uint32_t)us / 4 + 1) : 0;
	timer_arm(outbox->timer, outbox->is_draining ? 0 : us + jitter);
}

/* Until something is published, by us or by another process. */
static void sleep_well(struct outbox *outbox)
{
	if (outbox->is_poked && outbox->has_lock) {
		sleep_for(outbox, 0);
	} else if (outbox->publishes) {
		outbox->progress->wanted = true; /* others may have done something */
		sleep_for(outbox, OUTBOX_POLL_US);
	} else {
		outbox->state = CLOSED; /* on_timer() closes: the connection is calling us */
		timer_arm(outbox->timer, 0);
	}
}

static void ask(struct outbox *outbox, enum outbox_state state, struct pg_request request)
{
	outbox->state = state;
	outbox->request = request;
	if (pg_conn_send(outbox->conn, &outbox->request))
		pg_conn_sync(outbox->conn);
	else
		outbox->state = AWAY; /* on_ready() begins again */
}

void outbox_lock(struct outbox *outbox)
{
	ask(outbox, LOCKING,
	    (struct pg_request){.sql = LOCK_SQL, .on_result = on_lock_result, .done = on_locked});
}

static void read_rows(struct outbox *outbox)
{
	outbox->is_poked = false;
	outbox->has_rows = false;
	outbox->is_settled = false;
	ask(outbox, READING,
	    (struct pg_request){.sql = OUTBOX_BATCH_SQL, .on_result = on_rows, .done = on_read});
}

void outbox_work(struct outbox *outbox)
{
	if (outbox_progress_is_due(outbox->progress))
		ask(outbox, REQUIRING,
		    (struct pg_request){.sql = OUTBOX_REQUIRED_SQL,
		                        .on_result = on_required_result,
		                        .done = on_required});
	else if (outbox_progress_asks(outbox->progress))
		ask(outbox, REACHING,
		    (struct pg_request){.sql = OUTBOX_REACHED_SQL,
		                        .on_result = on_reached_result,
		                        .done = on_reached});
	else
		read_rows(outbox);
}

static void delete_stored(struct outbox *outbox)
{
	ask(outbox, DELETING,
	    (struct pg_request){.sql = OUTBOX_DONE_SQL,
	                        .n_params = OUTBOX_DONE_N,
	                        .types = outbox_done_types,
	                        .values = outbox->sent.values,
	                        .lengths = outbox->sent.lengths,
	                        .done = on_deleted});
}

/* A simple Query: VACUUM is no part of a transaction. */
static void vacuum(struct outbox *outbox)
{
	outbox->deleted = 0;
	outbox->request =
	    (struct pg_request){.sql = "VACUUM cqrs.outbox", .n_params = -1, .done = on_vacuumed};
	outbox->state = pg_conn_send(outbox->conn, &outbox->request) ? VACUUMING : AWAY;
}

/* What every answer begins with; true: go on. */
static bool check_answer(struct outbox *outbox, enum pg_outcome outcome,
                         const struct pg_error *error)
{
	if (outcome == PG_DONE)
		return true;
	if (outcome == PG_REFUSED) {
		health_fail(outbox->health, "the outbox cannot be relayed: %s", error->message);
		sleep_for(outbox, OUTBOX_BACKOFF_US);
	} else {
		outbox->state = AWAY;
	}
	return false;
}

/* ---- the lock ---- */

static void on_lock_result(struct pg_request *request, const PGresult *result)
{
	/* A boolean in binary format is one byte. */
	of_request(request)->has_lock = PQntuples(result) == 1 && *PQgetvalue(result, 0, 0) == 1;
}

static void on_locked(struct pg_request *request, enum pg_outcome outcome,
                      const struct pg_error *error)
{
	struct outbox *outbox = of_request(request);
	if (!check_answer(outbox, outcome, error))
		return;
	if (!outbox->has_failed)
		health_ok(outbox->health);
	if (outbox->is_draining || !outbox->has_lock)
		sleep_well(outbox); /* another process relays, our rows too */
	else
		outbox_work(outbox);
}

/* ---- progress ---- */

static void on_reached_result(struct pg_request *request, const PGresult *answer)
{
	outbox_progress_reached(of_request(request)->progress, answer);
}

static void on_reached(struct pg_request *request, enum pg_outcome outcome,
                       const struct pg_error *error)
{
	struct outbox *outbox = of_request(request);
	if (check_answer(outbox, outcome, error))
		read_rows(outbox);
}

static void on_required_result(struct pg_request *request, const PGresult *answer)
{
	struct outbox *outbox = of_request(request);
	outbox->is_told = outbox_progress_tell(outbox->progress, outbox->sink, answer);
}

static void on_required(struct pg_request *request, enum pg_outcome outcome,
                        const struct pg_error *error)
{
	struct outbox *outbox = of_request(request);
	if (!check_answer(outbox, outcome, error))
		return;
	if (outbox->is_told)
		read_rows(outbox);
	else
		sleep_for(outbox, FULL_US);
}

/* ---- a batch ---- */

static void on_settled(void *arg)
{
	struct outbox *outbox = arg;
	outbox->is_settled = true;
	if (outbox->state == READING)
		return; /* on_read() is still to come */
	const char *error = outbox_batch_error(outbox->batch);
	outbox->has_failed = error != NULL;
	if (error)
		health_fail(outbox->health, "%s", error);
	else
		health_ok(outbox->health);
	int n = outbox_batch_done(outbox->batch, &outbox->sent);
	metric_add(outbox->relayed, n);
	outbox->deleted += n;
	metric_add(outbox->failed, error ? 1 : 0);
	outbox_batch_free(outbox->batch);
	outbox->batch = NULL;
	if (outbox->state == SENDING && n)
		delete_stored(outbox);
	else if (outbox->state == SENDING)
		sleep_for(outbox, OUTBOX_BACKOFF_US);
	else if (pg_conn_state(outbox->conn) == PG_CONN_READY)
		outbox_lock(outbox); /* on_ready() did not, because of this batch */
	else if (outbox->is_draining)
		timer_arm(outbox->timer, 0);
}

static void on_rows(struct pg_request *request, const PGresult *rows)
{
	struct outbox *outbox = of_request(request);
	outbox->has_rows = PQntuples(rows) > 0;
	outbox_progress_at(outbox->progress, outbox->has_rows
	                                         ? (int64_t)pg_get64(PQgetvalue(rows, 0, 0))
	                                         : INT64_MAX);
	if (outbox->has_rows)
		outbox->batch = outbox_batch_send(outbox->sink, rows, on_settled, outbox);
}

static void on_read(struct pg_request *request, enum pg_outcome outcome,
                    const struct pg_error *error)
{
	struct outbox *outbox = of_request(request);
	if (!check_answer(outbox, outcome, error))
		;
	else if (outbox->batch)
		outbox->state = SENDING;
	else if (outbox->has_rows)
		sleep_for(outbox, FULL_US);
	else if (outbox_progress_is_due(outbox->progress))
		outbox_work(outbox);
	else
		sleep_well(outbox);
	if (outbox->batch && outbox->is_settled)
		on_settled(outbox);
}

static void on_deleted(struct pg_request *request, enum pg_outcome outcome,
                       const struct pg_error *error)
{
	struct outbox *outbox = of_request(request);
	if (!check_answer(outbox, outcome, error))
		return;
	/* There may be more; what failed is not tried again at once. */
	if (outbox->has_failed)
		sleep_for(outbox, OUTBOX_BACKOFF_US);
	else if (outbox->deleted >= VACUUM_ROWS && !outbox->is_draining)
		vacuum(outbox);
	else
		sleep_for(outbox, 0);
}

/* A refusal costs room, and nothing else. */
static void on_vacuumed(struct pg_request *request, enum pg_outcome outcome,
                        const struct pg_error *error)
{
	struct outbox *outbox = of_request(request);
	(void)error;
	if (outcome == PG_DONE || outcome == PG_REFUSED)
		sleep_for(outbox, 0);
	else
		outbox->state = AWAY;
}
