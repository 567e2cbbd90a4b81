/* SPDX-License-Identifier: MIT */
/*
 * A partition that this process reads, and how far it has come.
 */
#ifndef PARTITION_H
#define PARTITION_H

#include "kafka_source.h"
#include "metrics.h"

/*
 *   (assigned) ─► LOCATING ─► ACTIVE ─┬─► (revoked: gone)
 *                    ▲                │
 *                    └── fence lost ──┤
 *                                     └─► HALTED (what we should read is gone)
 */
enum partition_state { PARTITION_LOCATING, PARTITION_ACTIVE, PARTITION_HALTED };

struct partition {
	struct kafka_position position; /* `offset`: what cqrs.offsets says, as far as we know */
	const char *topic;
	enum partition_state state;
	int64_t taken;     /* the next offset after what was taken from Kafka */
	int64_t end;       /* all before it has been taken, Kafka said; 0: not yet */
	int64_t reported;  /* what Kafka was told */
	int64_t halted_us; /* wall clock */
	char why[200];     /* why it is halted; "" otherwise */
	struct metric *lag, *stored;
};

#endif
