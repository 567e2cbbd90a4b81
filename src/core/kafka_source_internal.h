/* SPDX-License-Identifier: MIT */
/*
 * What the files of kafka_source share: the only ones that consume with librdkafka.
 */
#ifndef KAFKA_SOURCE_INTERNAL_H
#define KAFKA_SOURCE_INTERNAL_H

#include "kafka_source.h"

#include <event2/event.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

/* A librdkafka queue whose filling wakes the loop. */
struct kafka_queue {
	struct kafka_source *source;
	rd_kafka_queue_t *queue;
	struct event *event;
	int fd;
	int lane;        /* -1: the consumer's own queue */
	bool has_failed; /* it may have messages that could not be taken */
	size_t taken;    /* bytes, since librdkafka was last told that there is room */
};

struct kafka_source {
	struct loop *loop;
	const struct kafka_source_config *config;
	const struct kafka_source_events *events;
	void *owner;
	rd_kafka_t *rk;
	struct kafka_queue consumer;
	struct kafka_queue *lanes;
	struct timer *poll; /* an idle member must poll, too */
	bool brokers_down;
	bool closing;
	bool overslept;                           /* we did not poll for too long */
	bool is_verbose;                          /* `debug` is asked for */
	atomic_bool doubt;                        /* on_doubt() is to be called */
	rd_kafka_topic_partition_list_t *given;   /* on_assigned() is still to be called; or NULL */
	rd_kafka_topic_partition_list_t *fetched; /* or not known to have stopped; NULL: nothing */
	struct kafka_resolution *resolution;      /* one at a time */
};

/* kafka_source_config.c: NULL after logging which property is wrong. */
rd_kafka_conf_t *kafka_source_conf(struct kafka_source *source);
void kafka_source_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err,
                               rd_kafka_topic_partition_list_t *list, void *opaque);
void kafka_source_on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque);
int kafka_source_on_stats(rd_kafka_t *rk, char *json, size_t len, void *opaque);

/* kafka_source.c: comes back to the queue in the next turn. */
void kafka_queue_wake(struct kafka_queue *queue);
/* Calls on_doubt() if there was a sign; to be asked after what came was taken. */
void kafka_source_tell_doubt(struct kafka_source *source);
/* Frees a list, if there is one, and sets it to NULL. */
void kafka_list_forget(rd_kafka_topic_partition_list_t **list);
/* Logs what is wrong with the consumer, or with a topic. */
void kafka_source_report_error(const rd_kafka_message_t *m);

/* ---- kafka_fetch.c ---- */

/* So many bytes were taken from a lane, KAFKA_MESSAGE_OVERHEAD for each message included. */
void kafka_fetch_taken(struct kafka_queue *lane, size_t bytes);

/* ---- kafka_resolve.c ---- */

/* Whether it has its answer, perhaps after some time, so that to free it does not block. */
bool kafka_resolution_is_over(const struct kafka_resolution *resolution, int64_t wait_us);
/* Waits for a resolution under way, whose answer is dropped. */
void kafka_resolution_free(struct kafka_resolution *resolution);

/* The index of a topic by its name; -1: not one of ours. */
int kafka_source_topic(const struct kafka_source *source, const char *name);
/* Positions as librdkafka has them; NULL: no memory. */
rd_kafka_topic_partition_list_t *kafka_source_list(const struct kafka_source *source,
                                                   const struct kafka_position *list, size_t n);

#endif
