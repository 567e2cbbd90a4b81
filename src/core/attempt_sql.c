/* SPDX-License-Identifier: MIT */
/* The SQL around the rows of an attempt. */
#include "attempt.h"

void attempt_begin_sql(struct attempt *attempt)
{
	attempt->n_copies = 0;
	attempt->current = -1;
}

void attempt_add_copy(struct attempt *attempt, enum attempt_copy what, int table)
{
	attempt->copies[attempt->n_copies].what = what;
	attempt->copies[attempt->n_copies++].table = table;
}

void attempt_rows_sql(struct attempt *attempt, struct buf *sql)
{
	for (int i = 0; i < attempt->batch->n_tables; i++) {
		const struct cqrs_table *table = attempt->batch->tables[i].table;
		if (!attempt->tables[i].n)
			continue;
		buf_printf(sql, "COPY %s (%s) FROM STDIN BINARY;", table->name, table->columns);
		attempt_add_copy(attempt, ATTEMPT_ROWS, i);
	}
}

void attempt_rest_sql(struct attempt *attempt, struct buf *sql)
{
	attempt_settle(attempt);
	if (attempt->n_events) {
		buf_puts(sql, "COPY cqrs.outbox (topic, key, payload) FROM STDIN BINARY;");
		attempt_add_copy(attempt, ATTEMPT_EVENTS, 0);
	}
	if (attempt->n_dead) {
		buf_puts(sql,
		         "COPY cqrs.dead_letters (consumer_group, topic, partition, \"offset\", "
		         "part_index, key, headers, payload, payload_is_whole, reason, sqlstate, "
		         "redrive_of) FROM STDIN BINARY;");
		attempt_add_copy(attempt, ATTEMPT_DEAD_LETTERS, 0);
	}
	attempt_outcomes_sql(attempt, sql);
	/* The relay may be in another process. */
	if (attempt->n_events || attempt->batch->decides)
		buf_puts(sql, "SELECT pg_notify('cqrs_outbox', '');");
}
