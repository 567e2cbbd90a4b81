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
/* Appends one, and a semicolon, that cuts off the members of a group that have slept on its
 * offsets for longer; it answers how many. */
void offsets_evict_sql(struct buf *sql, const char *group, int64_t older_than_us);
/* What the answer of offsets_read_sql() says of a partition; false: nothing. */
bool offsets_find(const PGresult *answer, const char *topic, int32_t partition, int64_t *next);
/* The mark of the message stored last, the one before `next`; false: not known. */
bool offsets_find_mark(const PGresult *answer, const char *topic, int32_t partition, int64_t *mark);

/*
 * Appends what says that a member of the group is alive, for as long as the
 * connection that has run it lives.
 */
void offsets_member_sql(struct buf *sql, const char *group);

/* ---- by hand: statements with parameters, all of them and the answers text ---- */

/* "cqrs" in ASCII and one: the class of the locks that members hold. */
#define OFFSETS_MEMBER_LOCK "1668379252"

/* $1: group.  Topic, partition, next_offset, updated_at. */
#define OFFSETS_SHOW_SQL                                       \
	"SELECT topic, partition::text, next_offset::text, "   \
	"to_char(updated_at AT TIME ZONE 'UTC', "              \
	"'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM cqrs.offsets " \
	"WHERE consumer_group = $1 ORDER BY 1, cqrs.offsets.partition"
/*
 * $1: group, $2: topic, $3: partition, $4: where it must stand (null: nowhere
 * yet), $5: where to.  A gap that waits there is closed by it.  Whether no
 * member is alive ('t'), and how many were moved: none if one is, or if it stands
 * elsewhere.
 */
#define OFFSETS_SET_SQL                                                                       \
	"WITH alone AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(" OFFSETS_MEMBER_LOCK   \
	", hashtext($1)) AS free),"                                                           \
	" moved AS (UPDATE cqrs.offsets o"                                                    \
	" SET next_offset = $5::bigint, updated_at = clock_timestamp(), last_offset = NULL,"  \
	" last_mark = NULL FROM alone"                                                        \
	" WHERE free AND o.consumer_group = $1 AND o.topic = $2"                              \
	" AND o.partition = $3::integer AND o.next_offset = $4::bigint RETURNING 1),"         \
	" added AS (INSERT INTO cqrs.offsets (consumer_group, topic, partition, next_offset)" \
	" SELECT $1, $2, $3::integer, $5::bigint FROM alone WHERE free AND $4::text IS NULL"  \
	" ON CONFLICT DO NOTHING RETURNING 1),"                                               \
	" decided AS (UPDATE cqrs.gaps g"                                                     \
	" SET to_offset = $5::bigint, closed_at = clock_timestamp() FROM moved"               \
	" WHERE g.consumer_group = $1 AND g.topic = $2 AND g.partition = $3::integer"         \
	" AND g.closed_at IS NULL)"                                                           \
	" SELECT CASE WHEN free THEN 't' ELSE 'f' END,"                                       \
	" ((SELECT count(*) FROM moved) + (SELECT count(*) FROM added))::text FROM alone"

#endif
