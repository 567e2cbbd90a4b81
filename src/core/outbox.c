/* SPDX-License-Identifier: MIT */
/* The relay from the table cqrs.outbox to Kafka: its life. */
#include "outbox_internal.h"

#include <stdlib.h>

/*
 * A stopped relay may not hold its rows, and with them the lock, for ever.  The table is
 * empty when the statement is planned, and that plan is kept: it must be by the index.
 */
#define SETUP_SQL                                                           \
	"SET client_min_messages = warning; SET statement_timeout = '30s';" \
	"SET enable_seqscan = off; SET jit = off; LISTEN cqrs_outbox"

#define TIMEOUT_US 30000000 /* as in SETUP_SQL */

/* ---- the connection ---- */

static void on_ready(void *owner, struct pg_conn *conn)
{
	struct outbox *outbox = owner;
	(void)conn;
	outbox->has_lock = false;
	/* What the last connection read is not read again before it is answered for. */
	if (!outbox->batch)
		outbox_lock(outbox);
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

static void on_notify(void *owner, struct pg_conn *conn, const char *payload)
{
	(void)conn;
	(void)payload;
	outbox_poke(owner);
}

static void open_connection(struct outbox *outbox)
{
	static const struct pg_conn_events events = {
	    .on_ready = on_ready, .on_lost = on_lost, .on_notify = on_notify};
	outbox->conn = pg_conn_new(outbox->loop, &outbox->config, &events, outbox);
	if (!outbox->conn) {
		timer_arm(outbox->timer, OUTBOX_BACKOFF_US);
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
		outbox_work(outbox);
	} else if (outbox->state == ASLEEP) {
		outbox_lock(outbox);
	}
}

/* ---- for the owner ---- */

struct outbox *outbox_new(struct loop *loop, const char *dsn, int64_t network_timeout_us,
                          const char *progress, struct kafka_sink *sink, struct metrics *metrics,
                          struct health *health)
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
	                                         .max_statements = 5};
	outbox->relayed = metrics_counter(metrics, "cqrsd_outbox_relayed_total", "",
	                                  "Events that Kafka acknowledged");
	outbox->failed = metrics_counter(metrics, "cqrsd_outbox_failed_total", "",
	                                 "Batches of events with one that Kafka did not take");
	outbox->timer = timer_new(loop, on_timer, outbox);
	outbox->progress = outbox_progress_new(progress, health);
	if (outbox->timer && outbox->progress)
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
	outbox_progress_free(outbox->progress);
	buf_release(&outbox->sent.data);
	free(outbox);
}

void outbox_start(struct outbox *outbox, bool publishes)
{
	outbox->publishes = publishes;
	outbox->health = health_add(outbox->checks, "outbox");
	open_connection(outbox);
}

void outbox_poke(void *owner)
{
	struct outbox *outbox = owner;
	outbox->publishes = true;
	outbox->is_poked = true;
	outbox->progress->wanted = true;
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
