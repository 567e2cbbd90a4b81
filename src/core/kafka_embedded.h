/* SPDX-License-Identifier: MIT */
/*
 * A Kafka broker inside the process, to try things out without one:
 * librdkafka's mock cluster, which speaks the real protocol over TCP.
 *
 * It keeps everything in memory, the last 5 MB (or 100,000 message sets) of
 * each partition and nothing across a restart; what is older is dropped
 * without a word.  It has no administration API, no TLS, no SASL, no offsets by
 * time, and listens on a port of 127.0.0.1 that anyone on the machine can use.
 */
#ifndef KAFKA_EMBEDDED_H
#define KAFKA_EMBEDDED_H

#include <stdbool.h>

#define KAFKA_EMBEDDED_PARTITIONS 4

struct kafka_embedded;

/* Listens at once; NULL after logging why.  Runs on threads of its own. */
struct kafka_embedded *kafka_embedded_new(void);
/* After all of its clients. */
void kafka_embedded_free(struct kafka_embedded *broker);

/* Where it listens, "127.0.0.1:PORT"; lives as long as the broker. */
const char *kafka_embedded_brokers(const struct kafka_embedded *broker);

/*
 * Makes a topic of KAFKA_EMBEDDED_PARTITIONS partitions, if there is none of
 * that name; false after logging why.  Topics that a client asks for are made
 * the same way.
 */
bool kafka_embedded_add_topic(struct kafka_embedded *broker, const char *topic);

#endif
