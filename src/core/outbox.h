/* SPDX-License-Identifier: MIT */
/*
 * The relay from the table cqrs.outbox to Kafka.
 *
 * Command modules publish by inserting into the table, in the transaction of
 * their other effects; the relay sends each row and deletes it when Kafka has
 * acknowledged it.  An event is therefore sent at least once, and again only
 * after a failure; its header "event-id" (the row's id, unless the row brings
 * one) is the same each time.  Events of one key and topic arrive in the order
 * of their ids: after a failure, later ones are sent again behind it.
 *
 *              ┌───────────── connection lost ──────────────┐
 *              ▼                                            │
 *   AWAY ─► LOCKING ─► ASLEEP ─(poke, timer)─► READING ─► SENDING ─► DELETING
 *              │ other relay  ▲                   │ empty      acknowledged │
 *              └─(timer)      └───────────────────┴─────────────────────────┘
 *
 * Of all processes on a database one relays, the one with the advisory lock.
 * No position is kept, so a row that commits late is found late, never lost.  It vacuums
 * the table after each 100,000 rows, so that this is as large as what waits in it.
 */
#ifndef OUTBOX_H
#define OUTBOX_H

#include "health.h"
#include "kafka_sink.h"
#include "loop.h"
#include "metrics.h"

struct outbox;

/*
 * Borrows `dsn`, `progress` (the topic that tells how far events have come, see
 * progress.h) and `sink` until outbox_free(); `network_timeout_us` is as in pg_conn_config. Nothing
 * happens before outbox_start(); NULL when memory is out.
 */
struct outbox *outbox_new(struct loop *loop, const char *dsn, int64_t network_timeout_us,
                          const char *progress, struct kafka_sink *sink, struct metrics *metrics,
                          struct health *health);
/* Before the sink.  What is on its way is forgotten, and sent again at the next start. */
void outbox_free(struct outbox *outbox);

/*
 * Looks for rows that nobody has sent.  Who `publishes` goes on doing so, as the process that
 * wrote a row may die before it is sent; another closes its connection until the first poke:
 * who never publishes pays for none.
 */
void outbox_start(struct outbox *outbox, bool publishes);
/* A transaction with events was committed: send them now.  A loop_fn; `outbox` is the outbox. */
void outbox_poke(void *outbox);

/* Begins nothing new; `idle` is called, from the loop, when what was sent is deleted. */
void outbox_drain(struct outbox *outbox, loop_fn *idle, void *arg);

#endif
