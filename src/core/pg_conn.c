/* SPDX-License-Identifier: MIT */
/* The life of one PostgreSQL connection: waiting, being ready, being lost. */
#include "pg_conn_private.h"

#include "backoff.h"
#include "container.h"
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_MIN_US 100000
#define BACKOFF_MAX_US 5000000
#define STEADY_US      1000000 /* who was ready for so long is no failure */

static void on_io(evutil_socket_t fd, short what, void *arg);
static loop_fn on_timer, on_turn;

struct pg_conn *pg_conn_new(struct loop *loop, const struct pg_conn_config *config,
                            const struct pg_conn_events *events, void *owner)
{
	struct pg_conn *conn = calloc(1, sizeof *conn);
	if (!conn)
		return NULL;
	conn->loop = loop;
	conn->config = config;
	conn->events = events;
	conn->owner = owner;
	conn->state = PG_CONN_WAITING;
	TAILQ_INIT(&conn->requests);
	TAILQ_INIT(&conn->closing);
	conn->timer = timer_new(loop, on_timer, conn);
	conn->turn = timer_new(loop, on_turn, conn);
	if (!pg_statement_cache_init(&conn->statements, config->max_statements) || !conn->timer ||
	    !conn->turn) {
		pg_conn_free(conn);
		return NULL;
	}
	return conn;
}

void pg_conn_set_state(struct pg_conn *conn, enum pg_conn_state state)
{
	static const char *const names[] = {"waiting", "connecting", "setting up", "ready"};
	conn->state = state;
	log_debug("%s: %s", conn->config->name, names[state]);
}

static void destroy(struct pg_conn *conn)
{
	pg_statement_cache_release(&conn->statements);
	free(conn);
}

/* Around everything that may call the owner, who may free us. */
static void enter(struct pg_conn *conn)
{
	conn->depth++;
}

static void leave(struct pg_conn *conn)
{
	if (--conn->depth == 0 && conn->freed)
		destroy(conn);
}

void pg_conn_unwatch(struct pg_conn *conn)
{
	if (conn->watched)
		event_del(&conn->io);
	conn->watched = 0;
}

void pg_conn_watch_for(struct pg_conn *conn, short what)
{
	if (what == conn->watched)
		return;
	pg_conn_unwatch(conn);
	if (!what)
		return;
	int fd = PQsocket(conn->pg);
	event_assign(&conn->io, loop_base(conn->loop), fd, (short)(what | EV_PERSIST), on_io, conn);
	/* Without a descriptor it would wait for nothing. */
	if (fd >= 0 && event_add(&conn->io, NULL) == 0)
		conn->watched = what;
	else
		pg_conn_reset(conn, fd >= 0 ? "out of memory" : "libpq has no socket");
}

void pg_conn_watch(struct pg_conn *conn)
{
	pg_conn_watch_for(
	    conn, (short)((conn->paused ? 0 : EV_READ) | (conn->want_write ? EV_WRITE : 0)));
}

static void disconnect(struct pg_conn *conn)
{
	/* Before PQfinish() closes the descriptor, whose number is then reused. */
	pg_conn_unwatch(conn);
	pg_hosts_lookup_free(conn->lookup);
	conn->lookup = NULL;
	PQfinish(conn->pg);
	conn->pg = NULL;
	pg_conn_forget(conn);
}

void pg_conn_free(struct pg_conn *conn)
{
	struct pg_error error;
	if (!conn)
		return;
	conn->freed = true;
	pg_conn_set_state(conn, PG_CONN_WAITING);
	disconnect(conn);
	timer_free(conn->timer);
	timer_free(conn->turn);
	pg_error_from_text(&error, "the connection was closed");
	conn->depth++;
	pg_conn_fail_requests(conn, &error);
	leave(conn);
}

void pg_conn_start(struct pg_conn *conn)
{
	if (conn->state == PG_CONN_WAITING && !conn->tell_loss)
		timer_arm(conn->timer, 0);
}

enum pg_conn_state pg_conn_state(const struct pg_conn *conn)
{
	return conn->state;
}

int pg_conn_in_flight(const struct pg_conn *conn)
{
	return conn->in_flight;
}

/* ---- losing it ---- */

void pg_conn_lose(struct pg_conn *conn, const struct pg_error *error)
{
	if (conn->state == PG_CONN_WAITING)
		return;
	conn->lost = *error;
	conn->has_last_words = false;
	disconnect(conn);
	conn->was_ready = conn->state == PG_CONN_READY;
	if (conn->was_ready && loop_now(conn->loop) - conn->ready_us >= STEADY_US)
		conn->failures = 0;
	conn->failures++;
	pg_conn_set_state(conn, PG_CONN_WAITING);
	conn->tell_loss = true;
	timer_disarm(conn->timer);
	timer_arm(conn->turn, 0);
}

void pg_conn_lose_by_libpq(struct pg_conn *conn)
{
	struct pg_error error = conn->lost;
	if (!conn->has_last_words)
		pg_error_from_text(&error, "%s", PQerrorMessage(conn->pg));
	pg_conn_lose(conn, &error);
}

void pg_conn_reset(struct pg_conn *conn, const char *why)
{
	struct pg_error error;
	pg_error_from_text(&error, "%s", why);
	/* Our own wish is no failure, however often: streams are given up this way. */
	if (conn->state == PG_CONN_READY)
		conn->failures = 0;
	pg_conn_lose(conn, &error);
}

static void log_loss(struct pg_conn *conn)
{
	const struct pg_error *error = &conn->lost;
	const char *what = conn->was_ready ? "connection lost" : "cannot connect";
	/* Once, and not every five seconds for a night. */
	if (conn->failures > 1 && strcmp(conn->logged, error->message) == 0)
		log_debug("%s: %s: %s", conn->config->name, what, error->message);
	else
		log_warning("%s: %s: %s", conn->config->name, what, error->message);
	snprintf(conn->logged, sizeof conn->logged, "%s", error->message);
}

static void tell_loss(struct pg_conn *conn)
{
	struct pg_error error = conn->lost;
	conn->tell_loss = false;
	log_loss(conn);
	timer_arm(conn->timer,
	          backoff_us(conn->loop, conn->failures, BACKOFF_MIN_US, BACKOFF_MAX_US));
	pg_conn_fail_requests(conn, &error);
	if (!conn->freed && conn->events->on_lost)
		conn->events->on_lost(conn->owner, conn, &error);
}

/* ---- silence ---- */

static int64_t patience_us(const struct pg_conn *conn)
{
	return conn->config->statement_timeout_us + pg_conn_network_timeout_us(conn->config);
}

void pg_conn_expect(struct pg_conn *conn)
{
	conn->heard_us = loop_now(conn->loop);
	/* Once armed it is left alone: on_silence() finds out what has happened since. */
	if (conn->config->statement_timeout_us && !timer_is_armed(conn->timer))
		timer_arm(conn->timer, patience_us(conn));
}

/* The kernel at the other end, or a proxy, may be alive while the server is not. */
static void on_silence(struct pg_conn *conn)
{
	int64_t most = patience_us(conn);
	int64_t left = conn->heard_us + most - loop_now(conn->loop);
	struct pg_error error;
	if (!conn->in_flight)
		return;
	/* What is there and not read is not the server's silence. */
	if (conn->paused || timer_is_armed(conn->turn) || (conn->at && conn->at->unhurried))
		left = most;
	if (left > 0) {
		timer_arm(conn->timer, left);
		return;
	}
	pg_error_from_text(&error, "the server owes an answer and was silent for %.1f s",
	                   (double)most / 1e6);
	pg_conn_lose(conn, &error);
}

/* ---- what the loop calls ---- */

static void on_readable(struct pg_conn *conn)
{
	/* Rows that have been read come first, or the memory grows with what the server sends. */
	if (timer_is_armed(conn->turn) && !conn->copying)
		return;
	if (PQconsumeInput(conn->pg) == 1) {
		pg_conn_work(conn);
		return;
	}
	pg_conn_work_to_the_end(conn);
	if (conn->pg)
		pg_conn_lose_by_libpq(conn);
}

/* libpq finds them among whatever it reads. */
static void tell_notifications(struct pg_conn *conn)
{
	PGnotify *notify;
	while (conn->events->on_notify && conn->state == PG_CONN_READY &&
	       (notify = PQnotifies(conn->pg))) {
		conn->events->on_notify(conn->owner, conn, notify->extra);
		PQfreemem(notify);
	}
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
	struct pg_conn *conn = arg;
	(void)fd;
	enter(conn);
	if (conn->state == PG_CONN_CONNECTING)
		pg_conn_poll(conn);
	else if (what & EV_READ)
		on_readable(conn);
	else
		pg_conn_work(conn);
	tell_notifications(conn);
	leave(conn);
}

static void on_turn(void *arg)
{
	struct pg_conn *conn = arg;
	enter(conn);
	if (conn->tell_loss)
		tell_loss(conn);
	else if (conn->pg && conn->state != PG_CONN_CONNECTING)
		pg_conn_work(conn);
	tell_notifications(conn);
	leave(conn);
}

static void on_connect_timeout(struct pg_conn *conn)
{
	struct pg_error error;
	conn->timeouts++;
	pg_error_from_text(&error, "no answer within %.1f s",
	                   (double)pg_conn_network_timeout_us(conn->config) / 1e6);
	pg_conn_lose(conn, &error);
}

static void on_timer(void *arg)
{
	struct pg_conn *conn = arg;
	enter(conn);
	if (conn->state == PG_CONN_WAITING)
		pg_conn_connect(conn);
	else if (conn->state == PG_CONN_READY)
		on_silence(conn);
	else
		on_connect_timeout(conn);
	leave(conn);
}
