/* SPDX-License-Identifier: MIT */
/*
 * The inside of the relay, shared by outbox.c (its life) and outbox_relay.c (what it
 * does with the connection).  Nobody else includes this.
 */
#ifndef OUTBOX_INTERNAL_H
#define OUTBOX_INTERNAL_H

#include "outbox.h"
#include "outbox_batch.h"
#include "outbox_progress.h"
#include "pg_conn.h"

/* Rows that other processes wrote, and the lock of one that has gone, are found this soon. */
#define OUTBOX_POLL_US    1000000
#define OUTBOX_BACKOFF_US 1000000

enum outbox_state {
	CLOSED,
	AWAY,
	LOCKING,
	ASLEEP,
	REACHING,
	REQUIRING,
	READING,
	SENDING,
	DELETING,
	VACUUMING
};

struct outbox {
	struct loop *loop;
	struct kafka_sink *sink;
	struct pg_conn_config config;
	struct pg_conn *conn; /* NULL: CLOSED */
	struct health *checks;
	struct health_check *health;
	struct metric *relayed, *failed;
	struct timer *timer;
	enum outbox_state state;
	bool publishes;  /* or was poked once: stay connected */
	bool is_poked;   /* since the last read began */
	bool has_lock;   /* of the connection at hand */
	bool has_rows;   /* the last read found some */
	bool is_settled; /* the batch, before its read was done */
	bool has_failed; /* the last batch */
	int deleted;     /* since the last VACUUM */
	struct pg_request request;
	struct outbox_done sent;
	struct outbox_progress *progress;
	bool is_told;               /* the progress that was due; else the sink is full */
	struct outbox_batch *batch; /* may outlast the connection it was read from */
	bool is_draining;
	loop_fn *idle; /* NULL: nobody waits for it */
	void *idle_arg;
};

/* ---- outbox_relay.c: what is done over the connection ---- */

/* The connection is ready. */
void outbox_lock(struct outbox *outbox);
/* The next thing to do for who has the lock. */
void outbox_work(struct outbox *outbox);

#endif
