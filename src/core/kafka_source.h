/* SPDX-License-Identifier: MIT */
/*
 * A member of a Kafka consumer group whose positions live elsewhere.
 *
 * The source says which partitions it was given; its owner finds out where
 * they stand and calls kafka_source_start().  Messages wait in lanes
 * (partition p in lane p mod `lanes`): who does not take from a lane is not
 * sent more than the lane's share of the budget.  Who does not take is still a
 * member: the source polls all the same, so the group never throws it out.
 */
#ifndef KAFKA_SOURCE_H
#define KAFKA_SOURCE_H

#include "loop.h"
#include <cqrs/command.h>
#include <cqrs/option.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kafka_source;

/* A partition of a subscribed topic: `topic` counts as in the configuration. */
struct kafka_position {
	int topic;
	int32_t partition;
	int64_t offset; /* the next one to read; see KAFKA_OFFSET_* */
};

#define KAFKA_OFFSET_EARLIEST (-2) /* as librdkafka has them */
#define KAFKA_OFFSET_LATEST   (-1)
#define KAFKA_OFFSET_UNKNOWN  (-1001)

/* What a partition's log has: first <= offset < end. */
struct kafka_range {
	struct kafka_position position; /* as asked for */
	int64_t first, end;
	bool reported;   /* what we told of it is still known: it was not deleted since */
	char error[160]; /* why that is not known; "": it is */
};

/* What comes out of a lane, in the order in which it happened to a partition. */
enum kafka_kind {
	KAFKA_MESSAGE,
	KAFKA_END,  /* there is nothing before `offset` that did not come: the end, for now */
	KAFKA_LOST, /* the log does not have `offset`, which is next: fetched no more */
};

/* Bytes that librdkafka keeps for each message besides key, value and headers, about. */
#define KAFKA_MESSAGE_OVERHEAD 512

/*
 * A message on loan: `message` borrows from it until kafka_message_free().  Of
 * the other kinds it has only topic, partition and offset.
 */
struct kafka_message {
	struct cqrs_message message; /* its headers: see kafka_message_headers() */
	int topic;
	enum kafka_kind kind;
	void *handle; /* NULL: it is not Kafka's, has its headers in `message`, nothing to free */
};

struct kafka_source_events {
	/* The group gave us these (offsets unknown): answer with kafka_source_start().  False
	 * when memory is out: they are told again. */
	bool (*on_assigned)(void *owner, const struct kafka_position *list, size_t n);
	/* The group takes all back: answer with kafka_source_release(), within seconds.
	 * `lost`: it has gone on without us, since we did not "poll" or its "session" ended. */
	void (*on_revoked)(void *owner, const char *lost);
	/* A lane that was empty has something. */
	void (*on_messages)(void *owner, int lane);
	/* Brokers or partitions were away, and what comes from now on may be of other logs,
	 * made anew meanwhile; also what kafka_source_take() is about to give. */
	void (*on_doubt)(void *owner);
	/* NULL: the brokers can be reached; otherwise why not. */
	void (*on_brokers)(void *owner, const char *why_not);
};

struct kafka_source_config {
	const char *brokers;
	const char *group;
	const char *const *topics; /* subscribed, n_topics of them */
	int n_topics;
	int lanes;
	int64_t session_timeout_us;
	int64_t queue_bytes;                       /* all lanes together */
	const struct cqrs_option_pair *properties; /* further librdkafka properties */
};

/* Borrows `config` for good; NULL after logging why. */
struct kafka_source *kafka_source_new(struct loop *loop, const struct kafka_source_config *config,
                                      const struct kafka_source_events *events, void *owner);
/*
 * Leaves the group and waits for it, for some seconds at most.  If brokers owe an
 * answer by then, which is logged, librdkafka lives until the process ends.
 */
void kafka_source_free(struct kafka_source *source);
/* Subscribes. */
bool kafka_source_open(struct kafka_source *source);

/*
 * Where these partitions begin, by `start_us`: KAFKA_OFFSET_EARLIEST, _LATEST or
 * a time in microseconds; fills the offsets, and calls `done` from the loop.
 * `error` is NULL if all of them are known.  `list` is copied.  False, and no
 * `done`, when a question is under way, of either kind, or memory is out.
 */
typedef void kafka_resolved_fn(void *owner, const struct kafka_position *list, size_t n,
                               const char *error);
bool kafka_source_resolve(struct kafka_source *source, const struct kafka_position *list, size_t n,
                          int64_t start_us, kafka_resolved_fn *done);

/* What the brokers have of these, asked for on a thread; `done` is called from the loop. */
typedef void kafka_ranges_fn(void *owner, const struct kafka_range *list, size_t n);
/* False, and no `done`, when a question is under way, of either kind, or memory is out. */
bool kafka_source_ask_ranges(struct kafka_source *source, const struct kafka_position *list,
                             size_t n, kafka_ranges_fn *done);

/*
 * From now on fetches these, of what on_assigned() gave, from these offsets, and
 * no others.  Drops what was fetched before and not taken.  False, after logging
 * why, if not all of them are fetched: try again.
 */
bool kafka_source_start(struct kafka_source *source, const struct kafka_position *list, size_t n);
/* Fetches a partition no more. */
void kafka_source_stop(struct kafka_source *source, const struct kafka_position *position);
/* Stops fetching and lets the group go on. */
void kafka_source_release(struct kafka_source *source);

/* Takes up to `max` out of a lane, in order; how many. */
int kafka_source_take(struct kafka_source *source, int lane, struct kafka_message *out, int max);
/* `headers` live as long as the message and are freed with free(); false when memory is out. */
bool kafka_message_headers(const struct kafka_message *msg, struct cqrs_header **headers,
                           size_t *n);
void kafka_message_free(struct kafka_message *msg);

/* Tells Kafka the positions, for people's lag tools; never read back. */
void kafka_source_report(struct kafka_source *source, const struct kafka_position *list, size_t n);
/* The end of a partition as of the last fetch (high watermark); -1: not known. */
int64_t kafka_source_end(struct kafka_source *source, const struct kafka_position *position);

#endif
