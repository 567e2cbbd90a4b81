/* SPDX-License-Identifier: MIT */
/* The SQL of the table cqrs.offsets, and its answers. */
#include "offsets.h"

#include "message_mark.h"
#include "pg_conn.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void offsets_advance_sql(struct buf *sql, const char *group, const char *const *topics,
                         const struct offsets_step *steps, size_t n)
{
	buf_puts(sql, "SELECT cqrs.advance(");
	pg_add_literal(sql, group);
	buf_puts(sql, ", ARRAY[");
	for (size_t i = 0; i < n; i++) {
		buf_puts(sql, i ? ", " : "");
		pg_add_literal(sql, topics[steps[i].from.topic]);
	}
	buf_puts(sql, "]::text[], ARRAY[");
	for (size_t i = 0; i < n; i++)
		buf_printf(sql, "%s%" PRId32, i ? ", " : "", steps[i].from.partition);
	buf_puts(sql, "]::int[], ARRAY[");
	for (size_t i = 0; i < n; i++)
		buf_printf(sql, "%s%" PRId64, i ? ", " : "", steps[i].from.offset);
	buf_puts(sql, "]::bigint[], ARRAY[");
	for (size_t i = 0; i < n; i++)
		buf_printf(sql, "%s%" PRId64, i ? ", " : "", steps[i].to);
	buf_puts(sql, "]::bigint[], ARRAY[");
	for (size_t i = 0; i < n; i++) {
		buf_puts(sql, i ? ", " : "");
		if (steps[i].last)
			buf_printf(sql, "%" PRId64, message_mark(steps[i].last));
		else
			buf_puts(sql, "NULL");
	}
	buf_puts(sql, "]::bigint[])");
}

void offsets_read_sql(struct buf *sql, const char *group)
{
	/* Who sets an offset by hand leaves the mark of another message behind. */
	buf_puts(sql, "SELECT topic, partition, next_offset,"
	              " CASE WHEN last_offset = next_offset - 1 THEN last_mark END"
	              " FROM cqrs.offsets WHERE consumer_group = ");
	pg_add_literal(sql, group);
}

void offsets_forget_sql(struct buf *sql, const char *group)
{
	buf_puts(sql, "DELETE FROM cqrs.offsets WHERE consumer_group = ");
	pg_add_literal(sql, group);
	/* Nor is what was told of those that were. */
	buf_puts(sql, ";DELETE FROM cqrs.progress;DELETE FROM cqrs.relayed;");
}

void offsets_insert_sql(struct buf *sql, const char *group, const char *const *topics,
                        const struct kafka_position *list, size_t n)
{
	buf_puts(sql, "INSERT INTO cqrs.offsets (consumer_group, topic, partition, next_offset)"
	              " VALUES ");
	for (size_t i = 0; i < n; i++) {
		buf_puts(sql, i ? ", (" : "(");
		pg_add_literal(sql, group);
		buf_puts(sql, ", ");
		pg_add_literal(sql, topics[list[i].topic]);
		buf_printf(sql, ", %" PRId32 ", %" PRId64 ")", list[i].partition, list[i].offset);
	}
	buf_puts(sql, " ON CONFLICT DO NOTHING");
}

void offsets_evict_sql(struct buf *sql, const char *group, int64_t older_than_us)
{
	buf_puts(sql, "SELECT cqrs.evict(");
	pg_add_literal(sql, group);
	buf_printf(sql, ", interval '%" PRId64 " microseconds');", older_than_us);
}

/* -1: the answer says nothing of it. */
static int find_row(const PGresult *answer, const char *topic, int32_t partition)
{
	for (int i = 0; i < PQntuples(answer); i++)
		if (!strcmp(PQgetvalue(answer, i, 0), topic) &&
		    atoi(PQgetvalue(answer, i, 1)) == partition)
			return i;
	return -1;
}

bool offsets_find(const PGresult *answer, const char *topic, int32_t partition, int64_t *next)
{
	int row = find_row(answer, topic, partition);
	if (row >= 0)
		*next = strtoll(PQgetvalue(answer, row, 2), NULL, 10);
	return row >= 0;
}

bool offsets_find_mark(const PGresult *answer, const char *topic, int32_t partition, int64_t *mark)
{
	int row = find_row(answer, topic, partition);
	if (row < 0 || PQgetisnull(answer, row, 3))
		return false;
	*mark = strtoll(PQgetvalue(answer, row, 3), NULL, 10);
	return true;
}

void offsets_member_sql(struct buf *sql, const char *group)
{
	buf_puts(sql, "SELECT pg_advisory_lock_shared(" OFFSETS_MEMBER_LOCK ", hashtext(");
	pg_add_literal(sql, group);
	buf_puts(sql, "));");
}
