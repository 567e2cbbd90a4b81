/* SPDX-License-Identifier: MIT */
/*
 * An idempotent producer: records go in, and each is answered when all
 * in-sync replicas have it, in order within a partition and without
 * duplicates (acks=all, enable.idempotence).
 *
 *   send ─► on its way ─► done(partition, offset)
 *                    └──► done(error)
 *
 * librdkafka's producer, with its threads, is opened for the first record: who
 * sends none pays for none.  It reconnects for as long as it lives.  An error
 * that ends it for good ("fatal") fails what is on its way; the next record
 * opens another one.
 */
#ifndef KAFKA_SINK_H
#define KAFKA_SINK_H

#include "buf.h"
#include "health.h"
#include "loop.h"
#include <cqrs/command.h>
#include <cqrs/option.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct kafka_sink;
struct kafka_record;

/* By key, as the Java clients do it (murmur2); without a key: any. */
#define KAFKA_PARTITION_ANY (-1)

/*
 * Called exactly once per accepted record, from the event loop or from
 * kafka_sink_free(), never from inside kafka_sink_send().  `error` is NULL when
 * the record is stored at `partition` and `offset`.  The record may be sent
 * again, or its memory freed, from inside; the sink must not be freed.
 */
typedef void kafka_sent_fn(struct kafka_record *record, int32_t partition, int64_t offset,
                           const char *error);

/* Embedded in the caller's struct until done(); the bytes it points to are copied by send. */
struct kafka_record {
	const char *topic;
	int32_t partition; /* or KAFKA_PARTITION_ANY */
	const void *key;   /* NULL: no key */
	size_t key_len;
	const void *value; /* NULL: a tombstone */
	size_t value_len;
	const struct cqrs_header *headers;
	size_t n_headers;
	kafka_sent_fn *done;
	/* the sink's own */
	TAILQ_ENTRY(kafka_record) link;
	size_t size;
	const char *refusal;
};

struct kafka_sink_config {
	const char *brokers;
	int64_t queue_bytes;         /* of all records on their way, with their overhead */
	int64_t delivery_timeout_us; /* 0: never gives up, so nothing can overtake it */
	const struct cqrs_option_pair *properties; /* further librdkafka properties; may be NULL */
};

/*
 * Borrows `config` for good; `health` (may be NULL) fails while records wait
 * for brokers that are away.  NULL after logging why.
 */
struct kafka_sink *kafka_sink_new(struct loop *loop, const struct kafka_sink_config *config,
                                  struct health_check *health);
/* What is still on its way ends with an error, though it may be stored. */
void kafka_sink_free(struct kafka_sink *sink);

/* False, and no callback, when the queue is full (one record always fits an empty one), or memory
 * is out. */
bool kafka_sink_send(struct kafka_sink *sink, struct kafka_record *record);
/* Records sent and not done. */
int kafka_sink_in_flight(const struct kafka_sink *sink);

/* A line in `errors` for each property that librdkafka does not know, or whose value is wrong. */
bool kafka_sink_check_properties(const struct cqrs_option_pair *properties, struct buf *errors);

/*
 * Are the brokers and these topics there?  A line in `problems` for each that is
 * not.  Blocks for at most `timeout_us`: for the command line.
 */
bool kafka_sink_probe(const struct kafka_sink_config *config, const char *const *topics,
                      int n_topics, int64_t timeout_us, struct buf *problems);

#endif
