/* SPDX-License-Identifier: MIT */
/*
 * The question of an audit: the rows that a batch asks for go into temporary
 * tables, with their numbers, and are joined with the tables they belong in.
 */
#include "audit_internal.h"

#include "offsets.h"
#include "pg_value.h"

#include <inttypes.h>
#include <stdlib.h>

#define PIECE 65536

/* Signature, flags, and no extension (PostgreSQL manual, COPY, Binary Format). */
static const char copy_header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";

static void add_name(struct buf *sql, const char *prefix, const char *name)
{
	buf_puts(sql, prefix);
	pg_add_identifier(sql, name);
}

static void add_stage(struct buf *sql, const struct cqrs_table *table)
{
	buf_printf(sql, "CREATE TEMP TABLE IF NOT EXISTS cqrs_audit_%d (cqrs_n integer",
	           table->index);
	for (const struct cqrs_column *c = table->def->columns; c->name; c++) {
		add_name(sql, ", ", c->name);
		/* As received: what is malformed must not end the audit. */
		buf_printf(sql, " %s",
		           c->type == CQRS_JSONB ? "bytea" : pg_value_type_name(c->type));
	}
	buf_printf(sql, ") ON COMMIT DELETE ROWS; COPY cqrs_audit_%d FROM STDIN BINARY;",
	           table->index);
}

/* By its key; without one, by all that can be compared. */
static void add_lookup(struct buf *sql, const struct cqrs_table *table)
{
	const char *equal = table->n_key ? " = s." : " IS NOT DISTINCT FROM s.";
	buf_puts(sql, " ON true");
	for (const struct cqrs_column *c = table->def->columns; c->name; c++) {
		if (table->n_key ? !c->key : c->type == CQRS_JSONB)
			continue;
		add_name(sql, " AND t.", c->name);
		add_name(sql, equal, c->name);
	}
}

/*
 * The times in the key are within bounds, which are settings of the transaction: such the server
 * knows before it looks, and of a table with many partitions it opens few.
 */
static bool is_bounded(const struct cqrs_column *c)
{
	return c->key && c->type == CQRS_TIMESTAMPTZ;
}

static void add_bound(struct buf *sql, const struct cqrs_table *table, const char *which,
                      const struct cqrs_column *c)
{
	buf_printf(sql, "'cqrs.%s_%d_%d'", which, table->index, (int)(c - table->def->columns));
}

/* Without any time nothing can be found: that is what infinity stands for. */
static void set_bound(struct buf *sql, const struct cqrs_table *table, const char *which,
                      const struct cqrs_column *c)
{
	buf_puts(sql, "set_config(");
	add_bound(sql, table, which, c);
	buf_printf(sql, ", coalesce(%s(", which);
	pg_add_identifier(sql, c->name);
	buf_puts(sql, "), 'infinity')::text, true)");
}

static void set_bounds(struct buf *sql, const struct cqrs_table *table)
{
	for (const struct cqrs_column *c = table->def->columns; c->name; c++) {
		if (!is_bounded(c))
			continue;
		buf_puts(sql, "SELECT ");
		set_bound(sql, table, "min", c);
		buf_puts(sql, ", ");
		set_bound(sql, table, "max", c);
		buf_printf(sql, " FROM cqrs_audit_%d;", table->index);
	}
}

static void add_within_bounds(struct buf *sql, const struct cqrs_table *table)
{
	for (const struct cqrs_column *c = table->def->columns; c->name; c++) {
		if (!is_bounded(c))
			continue;
		add_name(sql, " AND t.", c->name);
		buf_puts(sql, " BETWEEN current_setting(");
		add_bound(sql, table, "min", c);
		buf_puts(sql, ")::timestamptz AND current_setting(");
		add_bound(sql, table, "max", c);
		buf_puts(sql, ")::timestamptz");
	}
}

/* Whether the row that is there has other values than the one that was asked for. */
static void add_difference(struct buf *sql, const struct cqrs_table *table)
{
	buf_puts(sql, "(false");
	for (const struct cqrs_column *c = table->def->columns; c->name; c++) {
		if (c->key || !table->n_key || c->type == CQRS_JSONB)
			continue;
		add_name(sql, " OR t.", c->name);
		add_name(sql, " IS DISTINCT FROM s.", c->name);
	}
	buf_puts(sql, ")");
}

static void add_question(struct buf *sql, const struct cqrs_table *table)
{
	buf_printf(sql, "SELECT %d AS cqrs_table, s.cqrs_n, t.tableoid, t.ctid, ", table->index);
	add_difference(sql, table);
	buf_printf(sql, " FROM cqrs_audit_%d s JOIN %s t", table->index, table->name);
	add_lookup(sql, table);
	add_within_bounds(sql, table);
	buf_putc(sql, ';');
}

/*
 * Where each table has its key in an index, the rows are looked up one by one.
 * The planner would rather read all of a table for each few thousand of them.
 */
void audit_setup_sql(const struct command_bus *bus, struct buf *sql)
{
	const struct cqrs_table_def *def;
	/* Compiling the look-up in a hundred partitions takes longer than doing it. */
	buf_puts(sql, "SET client_min_messages = warning; SET timezone = 'UTC'; SET jit = off;"
	              "SELECT set_config(name, 'off', false)"
	              " FROM unnest(ARRAY['enable_hashjoin', 'enable_mergejoin']) AS name"
	              " WHERE NOT EXISTS (SELECT FROM (VALUES (NULL::regclass, NULL::name[])");
	for (int i = 0; (def = command_bus_table(bus, i)); i++) {
		const char *comma = "";
		char *name = pg_quote_identifier(def->name);
		buf_puts(sql, ", (to_regclass(");
		pg_add_literal(sql, name ? name : "");
		buf_puts(sql, "), ARRAY[");
		for (const struct cqrs_column *c = def->columns; c->name && c->key; c++) {
			buf_puts(sql, comma);
			pg_add_literal(sql, c->name);
			comma = ", ";
		}
		buf_puts(sql, "]::name[])");
		free(name);
	}
	buf_puts(sql, ") AS v (class, keys) WHERE class IS NOT NULL AND NOT EXISTS ("
	              "SELECT FROM pg_index i WHERE i.indrelid = class AND i.indisvalid"
	              " AND i.indisunique AND i.indpred IS NULL AND NOT EXISTS ("
	              "SELECT FROM unnest((i.indkey::int2[])[:i.indnkeyatts - 1]) AS k LEFT JOIN "
	              "pg_attribute a"
	              " ON a.attrelid = i.indrelid AND a.attnum = k"
	              " WHERE (a.attname = ANY (keys)) IS NOT TRUE)))");
}

/* ---- dead letters ---- */

struct range {
	const struct partition *partition;
	int64_t low, high;
};

/* The offsets of each partition among the messages; false: no memory. */
static bool add_ranges(struct audit *audit, struct buf *sql)
{
	const struct cqrs_batch *batch = audit->comparing;
	struct range *ranges = calloc(audit->result->n_partitions, sizeof *ranges);
	size_t n = 0;
	for (size_t i = 0; ranges && i < batch->n_messages; i++) {
		const struct batch_message *message = &batch->messages[i];
		int64_t offset = message->kafka.message.offset;
		size_t at = 0;
		while (at < n && ranges[at].partition != message->partition)
			at++;
		if (at == n)
			ranges[n++] = (struct range){message->partition, offset, offset};
		ranges[at].high = offset;
	}
	for (size_t i = 0; i < n; i++) {
		buf_puts(sql, i ? ", (" : "(");
		pg_add_literal(sql, ranges[i].partition->topic);
		buf_printf(sql, ", %" PRId32 ", %" PRId64 "::bigint, %" PRId64 "::bigint)",
		           ranges[i].partition->position.partition, ranges[i].low, ranges[i].high);
	}
	free(ranges);
	return ranges != NULL;
}

/*
 * The positions, and then the letters of what stands before them: once, and in an
 * order of their own, since the table has no index by position.
 */
void audit_begin_sql(struct audit *audit)
{
	struct buf *sql = &audit->sql;
	buf_clear(sql);
	offsets_read_sql(sql, audit->config->group);
	buf_puts(sql, "; CREATE TEMP TABLE cqrs_audit_letters AS"
	              " SELECT topic, partition, \"offset\", part_index FROM cqrs.dead_letters"
	              " WHERE resolution IS DISTINCT FROM 'redriven' AND consumer_group = ");
	pg_add_literal(sql, audit->config->group);
	buf_puts(sql, "; CREATE INDEX ON cqrs_audit_letters (topic, partition, \"offset\");"
	              " ANALYZE cqrs_audit_letters");
}

static void add_letters(struct audit *audit, struct buf *sql)
{
	buf_puts(sql, "SELECT d.topic, d.partition, d.\"offset\", d.part_index"
	              " FROM cqrs_audit_letters d JOIN (VALUES ");
	sql->failed |= !add_ranges(audit, sql);
	buf_puts(sql, ") AS v (topic, partition, low, high) ON d.topic = v.topic"
	              " AND d.partition = v.partition"
	              " AND d.\"offset\" BETWEEN v.low AND v.high;");
}

void audit_compare_sql(struct audit *audit)
{
	const struct cqrs_batch *batch = audit->comparing;
	struct buf *sql = &audit->sql;
	buf_clear(sql);
	audit->copy.table = -1;
	buf_puts(sql, "BEGIN;");
	for (int i = 0; i < batch->n_tables; i++)
		if (batch->tables[i].n)
			add_stage(sql, batch->tables[i].table);
	/* First, since what has a dead letter is not looked for in the tables. */
	add_letters(audit, sql);
	for (int i = 0; i < batch->n_tables; i++)
		if (batch->tables[i].n) {
			set_bounds(sql, batch->tables[i].table);
			add_question(sql, batch->tables[i].table);
		}
	buf_puts(sql, "COMMIT");
}

/* ---- the rows ---- */

/* The nth table that has rows. */
static int find_table(const struct cqrs_batch *batch, int nth)
{
	for (int i = 0; i < batch->n_tables; i++)
		if (batch->tables[i].n && !nth--)
			return i;
	return -1;
}

static void add_row(struct buf *chunk, const struct batch_rows *rows, size_t n)
{
	const struct batch_row *row = &rows->rows[n];
	/* One field more, in front: its number. */
	buf_put16(chunk, (uint16_t)(rows->table->n_columns + 1));
	buf_put32(chunk, 4);
	buf_put32(chunk, (uint32_t)n);
	buf_add(chunk, rows->tuples.data + row->offset + 2, row->len - 2);
}

bool audit_copy_data(struct audit *audit, int nth, const char **data, size_t *len)
{
	struct buf *chunk = &audit->copy.chunk;
	int table = find_table(audit->comparing, nth);
	const struct batch_rows *rows = &audit->comparing->tables[table];
	buf_clear(chunk);
	if (audit->copy.table != table) {
		audit->copy.table = table;
		audit->copy.row = 0;
		audit->copy.tail = false;
		buf_add(chunk, copy_header, sizeof copy_header - 1);
	}
	while (audit->copy.row < rows->n && chunk->len < PIECE)
		add_row(chunk, rows, audit->copy.row++);
	if (audit->copy.row == rows->n && !audit->copy.tail) {
		buf_put16(chunk, UINT16_MAX);
		audit->copy.tail = true;
	}
	*data = chunk->data;
	*len = chunk->len;
	return chunk->len && !chunk->failed;
}
