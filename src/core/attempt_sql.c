/* SPDX-License-Identifier: MIT */
/* The SQL around the rows of an attempt, and what the staging SQL answers. */
#include "attempt.h"

#include "pg_conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const pg_types[] = {
    [CQRS_BOOL] = "boolean",
    [CQRS_INT2] = "smallint",
    [CQRS_INT4] = "integer",
    [CQRS_INT8] = "bigint",
    [CQRS_FLOAT4] = "real",
    [CQRS_FLOAT8] = "double precision",
    [CQRS_NUMERIC] = "numeric",
    [CQRS_TEXT] = "text",
    /* As received, so that malformed JSON is refused one row at a time, in cqrs.store(). */
    [CQRS_JSONB] = "bytea",
    [CQRS_UUID] = "uuid",
    [CQRS_BYTEA] = "bytea",
    [CQRS_TIMESTAMPTZ] = "timestamptz",
};

void attempt_begin_sql(struct attempt *attempt)
{
	attempt->n_copies = 0;
	attempt->current = -1;
}

static void add_copy(struct attempt *attempt, enum attempt_copy what, int table)
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
		add_copy(attempt, ATTEMPT_ROWS, i);
	}
}

void attempt_rest_sql(struct attempt *attempt, struct buf *sql)
{
	if (attempt->n_events) {
		buf_puts(sql, "COPY cqrs.outbox (topic, key, payload) FROM STDIN BINARY;");
		add_copy(attempt, ATTEMPT_EVENTS, 0);
	}
	if (attempt->n_dead) {
		buf_puts(sql,
		         "COPY cqrs.dead_letters (consumer_group, topic, partition, \"offset\", "
		         "part_index, key, headers, payload, payload_is_whole, reason, sqlstate, "
		         "redrive_of) FROM STDIN BINARY;");
		add_copy(attempt, ATTEMPT_DEAD_LETTERS, 0);
	}
}

/* ---- staging ---- */

static void add_identifier(struct buf *sql, const char *name)
{
	char *quoted = pg_quote_identifier(name);
	if (quoted)
		buf_puts(sql, quoted);
	else
		sql->failed = true;
	free(quoted);
}

static void add_literal(struct buf *sql, struct buf *text)
{
	char *quoted = pg_quote_literal(buf_str(text));
	if (quoted && !text->failed)
		buf_puts(sql, quoted);
	else
		sql->failed = true;
	free(quoted);
}

static void create_stage(struct buf *sql, const struct cqrs_table *table)
{
	buf_printf(sql, "CREATE TEMP TABLE IF NOT EXISTS cqrs_stage_%d (cqrs_n integer PRIMARY KEY",
	           table->index);
	for (const struct cqrs_column *c = table->def->columns; c->name; c++) {
		buf_puts(sql, ", ");
		add_identifier(sql, c->name);
		buf_printf(sql, " %s", pg_types[c->type]);
	}
	buf_puts(sql, ") ON COMMIT DELETE ROWS;");
}

/* "table(column)" -> its halves. */
static bool split_reference(const char *reference, char table[128], char column[128])
{
	return sscanf(reference, "%127[^(](%127[^)])", table, column) == 2;
}

/* Takes the rows out that refer to nothing, and says which. */
static void check_references(struct buf *sql, const struct cqrs_table *table)
{
	char other[128], column[128];
	for (const struct cqrs_column *c = table->def->columns; c->name; c++) {
		struct buf reason = BUF_INIT;
		if (!c->references || !split_reference(c->references, other, column))
			continue;
		buf_printf(&reason, "%s is not in %s", c->name, c->references);
		buf_printf(sql, "DELETE FROM cqrs_stage_%d s WHERE s.", table->index);
		add_identifier(sql, c->name);
		buf_puts(sql, " IS NOT NULL AND NOT EXISTS (SELECT FROM ");
		add_identifier(sql, other);
		buf_puts(sql, " r WHERE r.");
		add_identifier(sql, column);
		buf_puts(sql, " = s.");
		add_identifier(sql, c->name);
		buf_printf(sql,
		           ") RETURNING %d AS cqrs_table, NULL AS stored, s.cqrs_n AS refused,"
		           " '23503' AS state, ",
		           table->index);
		add_literal(sql, &reason);
		buf_puts(sql, " AS reason;");
		buf_release(&reason);
	}
}

static void add_conflict(struct buf *insert, const struct cqrs_table *table)
{
	const char *comma = "";
	if (table->def->on_duplicate == CQRS_DUPLICATE_REFUSE || !table->n_key)
		return;
	if (table->def->on_duplicate == CQRS_DUPLICATE_IGNORE || table->n_key == table->n_columns) {
		/* Without naming the key: it must work where the key has been taken away. */
		buf_puts(insert, " ON CONFLICT DO NOTHING");
		return;
	}
	buf_printf(insert, " ON CONFLICT (%s) DO UPDATE SET ", table->key);
	for (int i = table->n_key; i < table->n_columns; i++) {
		buf_puts(insert, comma);
		add_identifier(insert, table->def->columns[i].name);
		buf_puts(insert, " = EXCLUDED.");
		add_identifier(insert, table->def->columns[i].name);
		comma = ", ";
	}
}

static void make_insert(struct buf *insert, const struct cqrs_table *table)
{
	/* One row twice in one statement is more than DO UPDATE can take; exact keys differ. */
	bool distinct = table->def->on_duplicate == CQRS_DUPLICATE_UPDATE && table->n_key &&
	                !table->key_is_exact;
	buf_printf(insert, "INSERT INTO %s (%s) SELECT ", table->name, table->columns);
	if (distinct)
		buf_printf(insert, "DISTINCT ON (%s) ", table->key);
	for (int i = 0; i < table->n_columns; i++) {
		const struct cqrs_column *c = &table->def->columns[i];
		buf_puts(insert, i ? ", " : "");
		buf_puts(insert, c->type == CQRS_JSONB ? "convert_from(substr(" : "");
		add_identifier(insert, c->name);
		/* The first byte of jsonb's binary form is its version. */
		buf_puts(insert, c->type == CQRS_JSONB ? ", 2), 'UTF8')::jsonb" : "");
	}
	buf_printf(insert, " FROM cqrs_stage_%d WHERE cqrs_n >= $1 AND cqrs_n < $2", table->index);
	if (distinct)
		buf_printf(insert, " ORDER BY %s, cqrs_n DESC", table->key);
	else if (table->n_key)
		buf_puts(insert, " ORDER BY cqrs_n");
	add_conflict(insert, table);
}

void attempt_staging_sql(struct attempt *attempt, struct buf *sql)
{
	buf_puts(sql, "SET CONSTRAINTS ALL IMMEDIATE;");
	for (int i = 0; i < attempt->batch->n_tables; i++) {
		const struct cqrs_table *table = attempt->batch->tables[i].table;
		struct buf insert = BUF_INIT;
		if (!attempt->tables[i].n)
			continue;
		create_stage(sql, table);
		buf_printf(sql, "COPY cqrs_stage_%d FROM STDIN BINARY;", i);
		add_copy(attempt, ATTEMPT_ROWS, i);
		check_references(sql, table);
		if (table->def->on_duplicate == CQRS_DUPLICATE_UPDATE && table->n_key)
			buf_printf(sql,
			           "SELECT %d AS cqrs_table, count(*) AS present"
			           " FROM cqrs_stage_%d JOIN %s USING (%s);",
			           i, i, table->name, table->key);
		make_insert(&insert, table);
		buf_printf(sql, "SELECT %d AS cqrs_table, * FROM cqrs.store(", i);
		add_literal(sql, &insert);
		buf_printf(sql, ", 0, %zu);", attempt->tables[i].n);
		buf_release(&insert);
	}
}

/* Whether more than one row goes when the element is refused. */
static bool has_more_effects(const struct cqrs_batch *batch, uint32_t element)
{
	const struct batch_element *e = &batch->elements[element];
	if (e->effects > 1)
		return true;
	/* The message as a whole: are there elements beside it?  Those of a message are neighbours.
	 */
	return e->index < 0 && ((element > 0 && e[-1].message == e->message) ||
	                        (element + 1 < batch->n_elements && e[1].message == e->message));
}

bool attempt_read_staged(struct attempt *attempt, const PGresult *answer, bool *redo)
{
	struct cqrs_batch *batch = attempt->batch;
	if (PQnfields(answer) < 2 || strcmp(PQfname(answer, 0), "cqrs_table") != 0)
		return true;
	if (!strcmp(PQfname(answer, 1), "present")) {
		attempt->tables[atoi(PQgetvalue(answer, 0, 0))].present =
		    strtoull(PQgetvalue(answer, 0, 1), NULL, 10);
		return true;
	}
	for (int i = 0; i < PQntuples(answer); i++) {
		struct attempt_rows *rows = &attempt->tables[atoi(PQgetvalue(answer, i, 0))];
		if (!PQgetisnull(answer, i, 1)) {
			rows->stored += strtoull(PQgetvalue(answer, i, 1), NULL, 10);
			continue;
		}
		uint32_t element = rows->rows[atoi(PQgetvalue(answer, i, 2))].element;
		rows->refused++;
		/* Its key may have been preferred to that of a row which is as good. */
		*redo |= rows->repeated || has_more_effects(batch, element);
		/* An element is refused once, for its first reason. */
		if (batch_element_is_dead(batch, element))
			continue;
		if (!batch_refuse(batch, element, PQgetvalue(answer, i, 3),
		                  PQgetvalue(answer, i, 4)))
			return false;
		attempt->n_dead++;
	}
	return true;
}
