/* SPDX-License-Identifier: MIT */
/*
 * Stores batches, one at a time and each exactly once, over one connection.
 *
 * Everything of a batch goes into one transaction that first moves its fence by
 * compare-and-set (fence.h).  The writer keeps a batch until it is stored or
 * fenced: it outlives lost connections, learns from the fence what became of a
 * COMMIT without an answer, and finds out which elements the database refuses.
 *
 *   IDLE ─► STATEMENTS ─► STAGING ─► STORING ─► (next range, or IDLE)
 *     ▲     (if any)      (if need)     │
 *     │                                 ├─ refused ─► ROLLBACK ─► again, or WAITING
 *     └── fenced ◄── ASKING ◄── lost ───┘
 *
 * Who waited for a lock passes through EVICTING before the next try.
 */
#ifndef PG_WRITER_H
#define PG_WRITER_H

#include "batch.h"
#include "health.h"
#include "loop.h"
#include "metrics.h"

struct pg_writer;

struct pg_writer_config {
	const char *name; /* for logs and health: "postgres write 0" */
	const char *dsn;
	const char *group;
	const char *const *topics; /* names of kafka_position.topic */
	const char *redriven_by;   /* see fence.h */
	bool rehearsal;            /* does everything, and at its end rolls it back */
	int64_t timeout_us;        /* statement_timeout */
	int64_t network_timeout_us;
	size_t max_statements; /* prepared ones that are kept */
};

/*
 * The batch is done with, and the caller's again: stored, or (`fenced`) not,
 * because its fence is not where we left it.  Called from the event loop.
 */
typedef void pg_writer_done_fn(void *owner, struct pg_writer *writer, struct cqrs_batch *batch,
                               bool fenced);

/* Borrows `config` for good, connects at once; NULL: no memory. */
struct pg_writer *pg_writer_new(struct loop *loop, const struct pg_writer_config *config,
                                struct metrics *metrics, struct health *health,
                                pg_writer_done_fn *done, void *owner);
/* A batch at work is left to its fate: the fence will tell. */
void pg_writer_free(struct pg_writer *writer);

/* Takes a batch until done(); the writer is idle before and not after. */
void pg_writer_store(struct pg_writer *writer, struct cqrs_batch *batch);
bool pg_writer_is_idle(const struct pg_writer *writer);
/* Gives up the batch at hand unless the database is at work on it; true if it did, and the
 * batch is the caller's again.  For a revoked partition, and for the end. */
bool pg_writer_cancel(struct pg_writer *writer);
/* How many messages of the batch that was done last were stored: all, unless it was fenced. */
uint32_t pg_writer_stored(const struct pg_writer *writer);
/* What it is doing, for /status: "idle", "storing", "waiting: …". */
const char *pg_writer_state(const struct pg_writer *writer);

#endif
