/* SPDX-License-Identifier: MIT */
/*
 * A partition that this process reads, how far it has come, and whether its log
 * is still the one that was read.
 */
#ifndef PARTITION_H
#define PARTITION_H

#include "kafka_source.h"
#include "metrics.h"

/*
 *   (assigned) ─► LOCATING ─► CHECKING ─► ACTIVE ─► (revoked: gone)
 *                   ▲  ▲          │         │
 *                   │  │          └────┬────┘ lost, away, or not our log
 *                   │  └── all fine ── ▼
 *                   │               DOUBTED
 *                   │                  ▼
 *                   └─── continue ──  GAP ─► HALTED
 *
 * A lost fence leads from everywhere but HALTED to LOCATING.
 */
enum partition_state {
	PARTITION_LOCATING, /* where does it stand?  cqrs.offsets is asked */
	PARTITION_CHECKING, /* the message stored last is fetched once more: is it still there? */
	PARTITION_ACTIVE,
	PARTITION_DOUBTED, /* nothing is taken; when all is stored the brokers are asked */
	PARTITION_GAP,     /* what should be read next is not there: that is being recorded */
	PARTITION_HALTED,  /* until somebody decides */
};

/* Why what should be read next is not there. */
enum gap_reason {
	GAP_DELETED,   /* the log begins behind it */
	GAP_TRUNCATED, /* the log has lost its end */
	GAP_RESTARTED, /* it is another log: the topic was made anew */
	GAP_REASONS,
};

struct partition {
	struct kafka_position position; /* `offset`: what cqrs.offsets says, as far as we know */
	const char *topic;
	enum partition_state state;
	int64_t taken;    /* the next offset after what was taken from Kafka */
	int64_t end;      /* all before it has been taken, Kafka said; 0: not yet */
	int64_t reported; /* what Kafka was told */
	bool is_proven;   /* its log has, or had, what is before `position` */
	int64_t mark;     /* of the message before `position`, if it is known (`has_mark`) */
	bool has_mark;
	bool is_other;          /* there is another message in its place */
	int64_t short_since;    /* DOUBTED: when its log was seen to end too early; 0: it was not */
	int64_t first;          /* where the log began when the brokers were asked; 0: or not yet */
	enum gap_reason reason; /* GAP, HALTED */
	int64_t resume;         /* GAP, HALTED: where reading could go on */
	char since[32];         /* HALTED: as cqrs.gaps has it */
	struct metric *lag, *stored;
};

#endif
