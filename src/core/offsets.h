/* SPDX-License-Identifier: MIT */
/*
 * The SQL of the table cqrs.offsets, and its answers.
 */
#ifndef OFFSETS_H
#define OFFSETS_H

#include "buf.h"
#include "kafka_source.h"
#include <libpq-fe.h>

/* What cqrs.advance() raises when an offset is not where we left it. */
#define OFFSETS_FENCE "CQ001"

struct offsets_step {
	struct kafka_position from;
	int64_t to;
	const struct cqrs_message *last; /* the one before `to`; NULL: not known */
};

/* Appends "SELECT cqrs.advance(…)". */
void offsets_advance_sql(struct buf *sql, const char *group, const char *const *topics,
                         const struct offsets_step *steps, size_t n);
/* Appends a statement that answers where a group stands in each partition. */
void offsets_read_sql(struct buf *sql, const char *group);
/* Appends one that forgets a group, and a semicolon. */
void offsets_forget_sql(struct buf *sql, const char *group);
/* Appends one that adds offsets where there are none. */
void offsets_insert_sql(struct buf *sql, const char *group, const char *const *topics,
                        const struct kafka_position *list, size_t n);
/* What the answer of offsets_read_sql() says of a partition; false: nothing. */
bool offsets_find(const PGresult *answer, const char *topic, int32_t partition, int64_t *next);
/* The mark of the message stored last, the one before `next`; false: not known. */
bool offsets_find_mark(const PGresult *answer, const char *topic, int32_t partition, int64_t *mark);

#endif
