/* SPDX-License-Identifier: MIT */
/*
 * The rows of the outbox that are on their way to Kafka together.
 *
 * A batch outlives its owner: the sink answers for each record even after the
 * relay was freed, and the last answer frees an orphan.
 */
#ifndef OUTBOX_BATCH_H
#define OUTBOX_BATCH_H

#include "buf.h"
#include "kafka_sink.h"
#include "loop.h"
#include <libpq-fe.h>

struct outbox_batch;

/*
 * The columns that a batch is made of, in the order of ids; bounded in rows and
 * bytes, but the first row comes whatever its size.
 */
#define OUTBOX_BATCH_SQL                                                              \
	"SELECT id, topic, key, headers::text, payload FROM ("                        \
	" SELECT *, sum(octet_length(payload)::bigint) OVER (ORDER BY id)"            \
	"  - octet_length(payload) AS before"                                         \
	" FROM (SELECT * FROM cqrs.outbox ORDER BY id LIMIT 2000) AS first) AS sized" \
	" WHERE before < 4194304 ORDER BY id"

/*
 * Sends the rows (binary format), or as many as the sink takes, and calls
 * `settled` from the loop when each has been answered for.  NULL when not one
 * could be sent.
 */
struct outbox_batch *outbox_batch_send(struct kafka_sink *sink, const PGresult *rows,
                                       loop_fn *settled, void *arg);
/* Before `settled`: it is not called any more. */
void outbox_batch_free(struct outbox_batch *batch);

/* The parameters of cqrs.relay_done(), in binary. */
#define OUTBOX_DONE_SQL "SELECT cqrs.relay_done($1, $2, $3, $4)"
#define OUTBOX_DONE_N   4

struct outbox_done {
	struct buf data;
	const char *values[OUTBOX_DONE_N];
	int lengths[OUTBOX_DONE_N];
};

extern const Oid outbox_done_types[OUTBOX_DONE_N];

/*
 * After `settled`: which rows may be deleted, and where in Kafka the last of each
 * partition stands; returns how many rows (0 also when memory is out).  A row that Kafka
 * has stays all the same if an earlier one of its topic and key was not stored.
 */
int outbox_batch_done(const struct outbox_batch *batch, struct outbox_done *done);
/* Why a row was not stored; NULL: all were. */
const char *outbox_batch_error(const struct outbox_batch *batch);

#endif
