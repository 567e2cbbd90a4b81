/* SPDX-License-Identifier: MIT */
/* The SQL of the table cqrs.offsets, and its answers. */
#include "offsets.h"

#include "pg_conn.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void add_literal(struct buf *sql, const char *text)
{
	char *quoted = pg_quote_literal(text);
	if (quoted)
		buf_puts(sql, quoted);
	else
		sql->failed = true;
	free(quoted);
}

void offsets_advance_sql(struct buf *sql, const char *group, const char *const *topics,
                         const struct offsets_step *steps, size_t n)
{
	buf_puts(sql, "SELECT cqrs.advance(");
	add_literal(sql, group);
	buf_puts(sql, ", ARRAY[");
	for (size_t i = 0; i < n; i++) {
		buf_puts(sql, i ? ", " : "");
		add_literal(sql, topics[steps[i].from.topic]);
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
	buf_puts(sql, "]::bigint[])");
}

void offsets_read_sql(struct buf *sql, const char *group)
{
	buf_puts(sql, "SELECT topic, partition, next_offset FROM cqrs.offsets"
	              " WHERE consumer_group = ");
	add_literal(sql, group);
}

void offsets_forget_sql(struct buf *sql, const char *group)
{
	buf_puts(sql, "DELETE FROM cqrs.offsets WHERE consumer_group = ");
	add_literal(sql, group);
	buf_putc(sql, ';');
}

void offsets_insert_sql(struct buf *sql, const char *group, const char *const *topics,
                        const struct kafka_position *list, size_t n)
{
	buf_puts(sql, "INSERT INTO cqrs.offsets (consumer_group, topic, partition, next_offset)"
	              " VALUES ");
	for (size_t i = 0; i < n; i++) {
		buf_puts(sql, i ? ", (" : "(");
		add_literal(sql, group);
		buf_puts(sql, ", ");
		add_literal(sql, topics[list[i].topic]);
		buf_printf(sql, ", %" PRId32 ", %" PRId64 ")", list[i].partition, list[i].offset);
	}
	buf_puts(sql, " ON CONFLICT DO NOTHING");
}

bool offsets_find(const PGresult *answer, const char *topic, int32_t partition, int64_t *next)
{
	for (int i = 0; i < PQntuples(answer); i++) {
		if (strcmp(PQgetvalue(answer, i, 0), topic) ||
		    atoi(PQgetvalue(answer, i, 1)) != partition)
			continue;
		*next = strtoll(PQgetvalue(answer, i, 2), NULL, 10);
		return true;
	}
	return false;
}
