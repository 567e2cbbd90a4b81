/* SPDX-License-Identifier: MIT */
/*
 * Batches made by hand: messages that no Kafka has sent, of a few partitions,
 * and tables to append to.
 */
#ifndef BATCHES_H
#define BATCHES_H

#include "batch.h"
#include "partition.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_PARTITIONS 3

static const char *const topic_names[] = {"t", "it's"};

/* Each has a topic of its own and stands at offset 10. */
static struct partition partitions[N_PARTITIONS];
static int64_t next_offsets[N_PARTITIONS];

static inline void partitions_reset(void)
{
	for (int i = 0; i < N_PARTITIONS; i++) {
		partitions[i] = (struct partition){
		    .position = {.topic = i == 2, .partition = i == 2 ? 7 : i, .offset = 10},
		    .topic = topic_names[i == 2],
		    .state = PARTITION_ACTIVE,
		    .taken = 10};
		next_offsets[i] = 10;
	}
}

/* The next message of a partition; `value` and `key` must outlive the batch. */
static inline void begin_message(struct cqrs_batch *batch, int partition, const char *value,
                                 const char *key)
{
	struct partition *p = &partitions[partition];
	struct kafka_message msg = {.topic = p->position.topic,
	                            .message = {.topic = p->topic,
	                                        .partition = p->position.partition,
	                                        .offset = next_offsets[partition]++,
	                                        .timestamp_us = INT64_C(1700000000000000),
	                                        .key = key,
	                                        .key_len = key ? strlen(key) : 0,
	                                        .value = value,
	                                        .value_len = value ? strlen(value) : 0}};
	ck_assert(batch_begin(batch, &msg, p));
}

static inline void end_message(struct cqrs_batch *batch)
{
	ck_assert(batch_end(batch));
}

#endif
