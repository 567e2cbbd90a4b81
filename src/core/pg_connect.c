/* SPDX-License-Identifier: MIT */
/* How one PostgreSQL connection is made: its host found, libpq asked on, the setup sent. */
#include "pg_conn_private.h"

#include "container.h"
#include "log.h"

#include <stdlib.h>

static void on_notice(void *arg, const PGresult *notice)
{
	struct pg_conn *conn = arg;
	struct pg_error error;
	pg_error_from_result(&error, notice);
	/* What the server says before it closes an idle connection comes as a notice. */
	if (pg_error_is_fatal(notice)) {
		conn->lost = error;
		conn->has_last_words = true;
	}
	log_debug("%s: %s", conn->config->name, error.message);
}

static void open_connection(struct pg_conn *conn, const struct pg_hosts *hosts)
{
	struct pg_error error;
	conn->pg = pg_conninfo_open(conn->config, hosts, conn->timeouts, &error);
	if (!conn->pg) {
		pg_conn_lose(conn, &error);
		return;
	}
	PQsetNoticeReceiver(conn->pg, on_notice, conn);
	/* The manual: behave as if PQconnectPoll() had asked for writing. */
	pg_conn_watch_for(conn, EV_WRITE);
}

static void on_hosts(void *arg, const struct pg_hosts *hosts)
{
	struct pg_conn *conn = arg;
	if (hosts->error)
		pg_conn_reset(conn, hosts->error);
	else
		open_connection(conn, hosts);
	/* `hosts` lived in it. */
	pg_hosts_lookup_free(conn->lookup);
	conn->lookup = NULL;
}

void pg_conn_connect(struct pg_conn *conn)
{
	char *host, *port;
	pg_conn_set_state(conn, PG_CONN_CONNECTING);
	timer_arm(conn->timer, pg_conn_network_timeout_us(conn->config));
	if (!pg_conninfo_names(conn->config->dsn, &host, &port)) {
		open_connection(conn, NULL);
		return;
	}
	conn->lookup = pg_hosts_lookup_new(conn->loop, host, port, on_hosts, conn);
	if (!conn->lookup)
		pg_conn_reset(conn, "no memory or thread to look up the host's name");
	free(host);
	free(port);
}

static void become_ready(struct pg_conn *conn)
{
	timer_disarm(conn->timer);
	pg_conn_set_state(conn, PG_CONN_READY);
	conn->ready_us = loop_now(conn->loop);
	conn->logged[0] = '\0';
	log_info("%s: connected to %s", conn->config->name, PQdb(conn->pg));
	if (conn->events->on_ready)
		conn->events->on_ready(conn->owner, conn);
}

static void on_setup_done(struct pg_request *req, enum pg_outcome outcome,
                          const struct pg_error *error)
{
	struct pg_conn *conn = container_of(req, struct pg_conn, setup);
	if (outcome == PG_DONE)
		become_ready(conn);
	else if (outcome == PG_REFUSED)
		pg_conn_lose(conn, error);
}

void pg_conn_poll(struct pg_conn *conn)
{
	/* libpq may close its socket and open another one with the same number. */
	pg_conn_unwatch(conn);
	switch (PQconnectPoll(conn->pg)) {
	case PGRES_POLLING_READING:
		pg_conn_watch_for(conn, EV_READ);
		break;
	case PGRES_POLLING_WRITING:
		pg_conn_watch_for(conn, EV_WRITE);
		break;
	case PGRES_POLLING_OK:
		if (PQsetnonblocking(conn->pg, 1)) {
			pg_conn_lose_by_libpq(conn);
			break;
		}
		pg_conn_set_state(conn, PG_CONN_SETUP);
		pg_conn_watch(conn);
		if (!conn->pg)
			break;
		if (conn->config->setup)
			pg_conn_send_setup(conn, on_setup_done);
		else
			become_ready(conn);
		break;
	default:
		pg_conn_lose_by_libpq(conn);
	}
}
