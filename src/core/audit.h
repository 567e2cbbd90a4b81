/* SPDX-License-Identifier: MIT */
/*
 * Compares what Kafka still has with what the tables have.
 *
 * The messages below the stored positions are read once more, beside the
 * consumer group and not as a member of it, decided by their modules, and each
 * row that they ask for is looked up.  Nothing is written but temporary tables.
 * A daemon may be at work meanwhile: what it adds lies above the positions.
 *
 *   offsets ─► where the log begins ─► read, decide ─► compare ─► … ─► report
 */
#ifndef AUDIT_H
#define AUDIT_H

#include "command_bus.h"
#include "partition.h"
#include "row_marks.h"

/* What became of the readings of one partition: rows asked for, and refused elements. */
struct audit_count {
	int64_t messages;
	int64_t readings;  /* the sum of the next four */
	int64_t present;   /* stand in their table */
	int64_t dead;      /* have a dead letter, or their message has one */
	int64_t duplicate; /* their key stands there because of another reading */
	int64_t missing;
};

struct audit_partition {
	struct partition partition; /* `position.offset`: the next to be read */
	int64_t limit;              /* as far as cqrs.offsets had come, or `to` */
	bool is_done;
	struct audit_count count;
};

struct audit_config {
	const char *brokers, *group, *dsn;
	const struct cqrs_option_pair *properties;
	const char *topic;              /* NULL: all that modules take */
	int64_t from_offset, to_offset; /* of each partition; -1: not limited */
	int64_t from_us, to_us;         /* by time of the messages; -1: not limited */
	int64_t memory;                 /* bytes; batches, queue and marks are shares of it */
	bool progress;                  /* a line on stderr that is written over and over */
};

struct audit_result {
	bool complete; /* false: `error` says why it was not finished */
	char error[600];
	struct audit_partition *partitions;
	size_t n_partitions;
	int64_t doubled; /* rows whose key stands in another row too */
	int64_t changed; /* rows with other values than any message asked for */
	bool marks_full; /* some duplicates were counted as present: memory was used up */
};

/*
 * Called for each reading that is missing: where it came from, its index in the
 * message (-1: the message as a whole), and the table it should stand in, NULL
 * for one that should have a dead letter.
 */
typedef void audit_missing_fn(void *owner, const char *topic, int32_t partition, int64_t offset,
                              int32_t index, const char *table);

/* Runs the loop until it is done.  The modules of `bus` are started; the bus is not. */
void audit_run(struct loop *loop, struct command_bus *bus, const struct audit_config *config,
               audit_missing_fn *missing, void *owner, struct audit_result *result);
void audit_result_release(struct audit_result *result);

#endif
