/* SPDX-License-Identifier: MIT */
/* The relay from the table cqrs.outbox to Kafka. */
#include "outbox.h"

#include "buf.h"
#include "container.h"
#include "outbox_batch.h"
#include "pg_conn.h"

#include <stdlib.h>

/* "cqrs" in ASCII and the second lock of it, see schema.c. */
#define LOCK_SQL   "SELECT pg_try_advisory_lock(1668379251, 2)"
#define DELETE_SQL "DELETE FROM cqrs.outbox WHERE id = ANY ($1)"
/* A stopped relay may not hold its rows, and with them the lock, for ever. */
#define SETUP_SQL      "SET client_min_messages = warning; SET statement_timeout = '30s'"

#define INT8_ARRAY_OID 1016
#define TIMEOUT_US     30000000 /* as in SETUP_SQL */
/* Rows that other processes wrote, and the lock of one that has gone, are found this soon. */
#define POLL_US    1000000
#define BACKOFF_US 1000000
/* A full sink is full of the records of others, and they are on their way. */
#define FULL_US 50000

enum state { CLOSED, AWAY, LOCKING, ASLEEP, READING, SENDING, DELETING };

struct outbox {
	struct loop *loop;
	struct kafka_sink *sink;
	struct pg_conn_config config;
	struct pg_conn *conn; /* NULL: CLOSED */
	struct health *checks;
	struct health_check *health;
	struct metric *relayed, *failed;
	struct timer *timer;
	enum state state;
	bool publishes;  /* was poked once: stay connected */
	bool is_poked;   /* since the last read began */
	bool has_lock;   /* of the connection at hand */
	bool has_rows;   /* the last read found some */
	bool is_settled; /* the batch, before its read was done */
	bool has_failed; /* the last batch */
	struct pg_request request;
	struct buf ids;
	const char *ids_value;
	int ids_length;
	struct outbox_batch *batch; /* may outlast the connection it was read from */
	bool is_draining;
	loop_fn *idle; /* NULL: nobody waits for it */
	void *idle_arg;
};

static pg_result_fn on_lock_result, on_rows;
static pg_done_fn on_locked, on_read, on_deleted;

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
		sleep_for(outbox, POLL_US);
	} else {
		outbox->state = CLOSED; /* on_timer() closes: the connection is calling us */
		timer_arm(outbox->timer, 0);
	}
}

static void ask(struct outbox *outbox, enum state state, struct pg_request request)
{
	outbox->state = state;
	outbox->request = request;
	if (pg_conn_send(outbox->conn, &outbox->request))
		pg_conn_sync(outbox->conn);
	else
		outbox->state = AWAY; /* on_ready() begins again */
}

static void lock(struct outbox *outbox)
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

static void delete_stored(struct outbox *outbox)
{
	static const Oid types[] = {INT8_ARRAY_OID};
	outbox->ids_value = outbox->ids.data;
	outbox->ids_length = (int)outbox->ids.len;
	ask(outbox, DELETING,
	    (struct pg_request){.sql = DELETE_SQL,
	                        .n_params = 1,
	                        .types = types,
	                        .values = &outbox->ids_value,
	                        .lengths = &outbox->ids_length,
	                        .done = on_deleted});
}

/* What every answer begins with; true: go on. */
static bool check_answer(struct outbox *outbox, enum pg_outcome outcome,
                         const struct pg_error *error)
{
	if (outcome == PG_DONE)
		return true;
	if (outcome == PG_REFUSED) {
		health_fail(outbox->health, "the outbox cannot be relayed: %s", error->message);
		sleep_for(outbox, BACKOFF_US);
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
		read_rows(outbox);
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
	buf_clear(&outbox->ids);
	int n = outbox_batch_deletable(outbox->batch, &outbox->ids);
	metric_add(outbox->relayed, n);
	metric_add(outbox->failed, error ? 1 : 0);
	outbox_batch_free(outbox->batch);
	outbox->batch = NULL;
	if (outbox->state == SENDING && n)
		delete_stored(outbox);
	else if (outbox->state == SENDING)
		sleep_for(outbox, BACKOFF_US);
	else if (pg_conn_state(outbox->conn) == PG_CONN_READY)
		lock(outbox); /* on_ready() did not, because of this batch */
	else if (outbox->is_draining)
		timer_arm(outbox->timer, 0);
}

static void on_rows(struct pg_request *request, const PGresult *rows)
{
	struct outbox *outbox = of_request(request);
	outbox->has_rows = PQntuples(rows) > 0;
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
	else
		sleep_well(outbox);
	if (outbox->batch && outbox->is_settled)
		on_settled(outbox);
}

static void on_deleted(struct pg_request *request, enum pg_outcome outcome,
                       const struct pg_error *error)
{
	struct outbox *outbox = of_request(request);
	/* There may be more; what failed is not tried again at once. */
	if (check_answer(outbox, outcome, error))
		sleep_for(outbox, outbox->has_failed ? BACKOFF_US : 0);
}

/* ---- the connection ---- */

static void on_ready(void *owner, struct pg_conn *conn)
{
	struct outbox *outbox = owner;
	(void)conn;
	outbox->has_lock = false;
	/* What the last connection read is not read again before it is answered for. */
	if (!outbox->batch)
		lock(outbox);
}

static void on_lost(void *owner, struct pg_conn *conn, const struct pg_error *error)
{
	struct outbox *outbox = owner;
	(void)conn;
	outbox->state = AWAY;
	outbox->has_lock = false;
	health_fail(outbox->health, "%s", error->message);
	timer_disarm(outbox->timer);
	if (outbox->is_draining)
		timer_arm(outbox->timer, 0);
}

static void open_connection(struct outbox *outbox)
{
	static const struct pg_conn_events events = {.on_ready = on_ready, .on_lost = on_lost};
	outbox->conn = pg_conn_new(outbox->loop, &outbox->config, &events, outbox);
	if (!outbox->conn) {
		timer_arm(outbox->timer, BACKOFF_US);
		return;
	}
	outbox->state = AWAY;
	pg_conn_start(outbox->conn);
}

static void close_connection(struct outbox *outbox)
{
	pg_conn_free(outbox->conn);
	outbox->conn = NULL;
	outbox->state = CLOSED;
	if (outbox->publishes && !outbox->is_draining)
		open_connection(outbox); /* poked meanwhile */
}

static bool is_busy(const struct outbox *outbox)
{
	return outbox->batch ||
	       (outbox->state != CLOSED && outbox->state != AWAY && outbox->state != ASLEEP);
}

static void on_timer(void *arg)
{
	struct outbox *outbox = arg;
	if (outbox->is_draining) {
		loop_fn *idle = is_busy(outbox) ? NULL : outbox->idle;
		if (!idle)
			return;
		outbox->idle = NULL;
		idle(outbox->idle_arg);
	} else if (outbox->state == CLOSED && !outbox->conn) {
		open_connection(outbox); /* there was no memory for it */
	} else if (outbox->state == CLOSED) {
		close_connection(outbox);
	} else if (outbox->state == ASLEEP && outbox->has_lock) {
		read_rows(outbox);
	} else if (outbox->state == ASLEEP) {
		lock(outbox);
	}
}

/* ---- for the owner ---- */

struct outbox *outbox_new(struct loop *loop, const char *dsn, int64_t network_timeout_us,
                          struct kafka_sink *sink, struct metrics *metrics, struct health *health)
{
	struct outbox *outbox = calloc(1, sizeof *outbox);
	if (!outbox)
		return NULL;
	outbox->loop = loop;
	outbox->sink = sink;
	outbox->checks = health;
	outbox->config = (struct pg_conn_config){.name = "postgres outbox",
	                                         .dsn = dsn,
	                                         .setup = SETUP_SQL,
	                                         .writes = true,
	                                         .network_timeout_us = network_timeout_us,
	                                         .statement_timeout_us = TIMEOUT_US,
	                                         .max_statements = 4};
	outbox->relayed = metrics_counter(metrics, "cqrsd_outbox_relayed_total", "",
	                                  "Events that Kafka acknowledged");
	outbox->failed = metrics_counter(metrics, "cqrsd_outbox_failed_total", "",
	                                 "Batches of events with one that Kafka did not take");
	outbox->timer = timer_new(loop, on_timer, outbox);
	if (outbox->timer)
		return outbox;
	outbox_free(outbox);
	return NULL;
}

void outbox_free(struct outbox *outbox)
{
	if (!outbox)
		return;
	outbox_batch_free(outbox->batch);
	outbox->batch = NULL;
	/* Open requests end inside, and may arm the timer. */
	pg_conn_free(outbox->conn);
	timer_free(outbox->timer);
	buf_release(&outbox->ids);
	free(outbox);
}

void outbox_start(struct outbox *outbox)
{
	outbox->health = health_add(outbox->checks, "outbox");
	open_connection(outbox);
}

void outbox_poke(void *owner)
{
	struct outbox *outbox = owner;
	outbox->publishes = true;
	outbox->is_poked = true;
	if (outbox->is_draining)
		return;
	if (!outbox->conn)
		open_connection(outbox);
	else if (outbox->state == ASLEEP && outbox->has_lock && !outbox->has_failed)
		timer_arm(outbox->timer, 0);
}

void outbox_drain(struct outbox *outbox, loop_fn *idle, void *arg)
{
	outbox->is_draining = true;
	outbox->idle = idle;
	outbox->idle_arg = arg;
	timer_arm(outbox->timer, 0);
}
