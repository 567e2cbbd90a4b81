/* SPDX-License-Identifier: MIT */
/* The SQL of the table cqrs.gaps, and its answers. */
#include "gaps.h"

#include "pg_conn.h"

#include <inttypes.h>
#include <stdio.h>

const char *gaps_reason(enum gap_reason reason)
{
	static const char *const names[] = {
	    [GAP_DELETED] = "deleted",
	    [GAP_TRUNCATED] = "truncated",
	    [GAP_RESTARTED] = "restarted",
	};
	return names[reason];
}

void gaps_record_sql(struct buf *sql, const char *group, const struct partition *partition,
                     int64_t to)
{
	buf_puts(sql, "SELECT to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), "
	              "is_new FROM cqrs.record_gap(");
	pg_add_literal(sql, group);
	buf_puts(sql, ", ");
	pg_add_literal(sql, partition->topic);
	buf_printf(sql, ", %" PRId32 ", %" PRId64 ", ", partition->position.partition,
	           partition->position.offset);
	if (to < 0)
		buf_puts(sql, "NULL");
	else
		buf_printf(sql, "%" PRId64, to);
	buf_printf(sql, ", '%s')", gaps_reason(partition->reason));
}

void gaps_read(const PGresult *answer, char since[32], bool *is_new)
{
	snprintf(since, 32, "%s", PQgetvalue(answer, 0, 0));
	*is_new = *PQgetvalue(answer, 0, 1) == 't';
}

void gaps_settle_sql(struct buf *sql, const char *group)
{
	buf_puts(sql, "UPDATE cqrs.gaps g SET to_offset = o.next_offset, closed_at = "
	              "clock_timestamp() FROM cqrs.offsets o WHERE g.closed_at IS NULL"
	              " AND g.consumer_group = ");
	pg_add_literal(sql, group);
	buf_puts(sql, " AND o.consumer_group = g.consumer_group AND o.topic = g.topic"
	              " AND o.partition = g.partition AND o.next_offset <> g.from_offset;");
}
