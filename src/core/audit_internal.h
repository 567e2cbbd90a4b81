/* SPDX-License-Identifier: MIT */
/*
 * What the files of the audit share, and nobody else.
 */
#ifndef AUDIT_INTERNAL_H
#define AUDIT_INTERNAL_H

#include "audit.h"
#include "batch.h"
#include "pg_conn.h"

#define AUDIT_PENDING 256

/* An element, or (index < 0) a message, that has a dead letter. */
struct audit_letter {
	int topic;
	int32_t partition;
	int64_t offset;
	int32_t index;
};

enum audit_verdict {
	AUDIT_MISSING, /* until something is found */
	AUDIT_PRESENT,
	AUDIT_DEAD,
	AUDIT_DUPLICATE,
};

struct audit {
	struct loop *loop;
	struct command_bus *bus;
	const struct audit_config *config;
	audit_missing_fn *missing;
	void *owner;
	struct audit_result *result;
	int n_topics;

	struct pg_conn_config conn_config;
	struct pg_conn *conn;
	struct pg_request request; /* one at a time */
	bool asking;
	struct buf sql, setup;

	struct kafka_source_config source_config;
	struct kafka_source *source;
	int resolved; /* steps of finding out where to begin and to end */
	struct kafka_message pending[AUDIT_PENDING];
	int n_pending, next_pending;
	struct timer *patience; /* nothing has happened for too long */
	struct timer *turn;     /* goes on where a turn was cut short */
	char brokers_say[256];

	struct cqrs_batch *open;      /* fills */
	struct cqrs_batch *comparing; /* is looked up, or empty */
	struct audit_letter *letters; /* of the messages being compared, sorted */
	size_t n_letters, cap_letters;
	enum audit_verdict **verdicts; /* for each table one per row */
	size_t *cap_verdicts;
	struct row_marks marks;
	struct {
		int table; /* that is being copied */
		size_t row;
		bool tail; /* the end was given */
		struct buf chunk;
	} copy;
	bool out_of_memory; /* while an answer was read */
};

/* audit.c: gives up. */
void audit_fail(struct audit *audit, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct audit_partition *audit_find(const struct audit *audit, int topic, int32_t partition);
/* All partitions know where to begin and to end, and are being fetched. */
void audit_begin(struct audit *audit);

/* audit_positions.c: from the answer of offsets_read_sql(); then audit_resolve(). */
void audit_read_positions(struct audit *audit, const PGresult *answer);
void audit_resolve(struct audit *audit);

/* audit_sql.c: for the connection, once. */
void audit_setup_sql(const struct command_bus *bus, struct buf *sql);
/* The first question. */
void audit_begin_sql(struct audit *audit);
/* The question about audit->comparing, and the bytes of its COPYs. */
void audit_compare_sql(struct audit *audit);
bool audit_copy_data(struct audit *audit, int nth, const char **data, size_t *len);

/* audit_judge.c */
/* Room for the verdicts about audit->comparing; false: no memory. */
bool audit_judge_begin(struct audit *audit);
/* One of the answers to audit_compare_sql(). */
void audit_judge_answer(struct audit *audit, const PGresult *answer);
/* Counts what became of each reading. */
void audit_judge_end(struct audit *audit);

#endif
