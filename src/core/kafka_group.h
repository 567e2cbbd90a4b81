/* SPDX-License-Identifier: MIT */
/*
 * What the brokers say of a consumer group and of partitions.  Every call
 * blocks, for `timeout_us` at most: for the command line.
 */
#ifndef KAFKA_GROUP_H
#define KAFKA_GROUP_H

#include "buf.h"
#include <cqrs/option.h>
#include <stdbool.h>
#include <stdint.h>

struct kafka_group;

struct kafka_group_config {
	const char *brokers;
	const char *group;
	const struct cqrs_option_pair *properties; /* further librdkafka properties */
	int64_t timeout_us;
};

/* Borrows `config` for good; NULL, with a sentence in `why`: the brokers cannot be reached. */
struct kafka_group *kafka_group_new(const struct kafka_group_config *config, struct buf *why);
void kafka_group_free(struct kafka_group *group);

/* How many members it has; -1, with a sentence in `why`: that cannot be told. */
int kafka_group_members(struct kafka_group *group, struct buf *why);
/* The first offset of a partition, and the one behind its last; false: there is no such, or
 * (`why`) that cannot be told. */
bool kafka_group_log(struct kafka_group *group, const char *topic, int32_t partition,
                     int64_t *begin, int64_t *end, struct buf *why);

#endif
