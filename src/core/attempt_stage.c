/* SPDX-License-Identifier: MIT */
/* Rows by way of temporary tables: the SQL, and what it answers. */
#include "attempt.h"

#include "pg_conn.h"
#include "pg_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fill_stage(struct attempt *attempt, int i, struct buf *sql)
{
	const struct cqrs_table *table = attempt->batch->tables[i].table;
	buf_printf(sql, "CREATE TEMP TABLE IF NOT EXISTS cqrs_stage_%d (cqrs_n integer", i);
	for (const struct cqrs_column *c = table->def->columns; c->name; c++) {
		buf_puts(sql, ", ");
		pg_add_identifier(sql, c->name);
		/* As received, so that malformed JSON is refused one row at a time, in
		 * cqrs.store(). */
		buf_printf(sql, " %s",
		           c->type == CQRS_JSONB ? "bytea" : pg_value_type_name(c->type));
	}
	buf_puts(sql, ") ON COMMIT DELETE ROWS;");
	/* A cqrs.store() that had to halve leaves an index. */
	buf_printf(sql,
	           "DROP INDEX IF EXISTS pg_temp.cqrs_stage_%d_n;"
	           "COPY cqrs_stage_%d FROM STDIN BINARY;",
	           i, i);
	attempt_add_copy(attempt, ATTEMPT_STAGE, i);
}

/* ---- sifting ---- */

static void add_comma(struct buf *list)
{
	buf_puts(list, list->len ? ", " : "");
}

static void add_text(struct buf *list, const char *text)
{
	add_comma(list);
	pg_add_literal(list, text);
}

/* What is declared as "table(column)", as the arrays that cqrs.sift() takes. */
enum { REF_TABLES, REF_COLUMNS, REF_OTHERS, REF_OTHER_COLUMNS, REF_REASONS, N_REF };

static void add_reference(struct buf refs[N_REF], const struct cqrs_table *table,
                          const struct cqrs_column *column)
{
	char other[128], other_column[128], reason[400];
	if (sscanf(column->references, "%127[^(](%127[^)])", other, other_column) != 2)
		return; /* cqrs_setup_table() saw to that */
	char *quoted = pg_quote_identifier(other);
	snprintf(reason, sizeof reason, "%s is not in %s", column->name, column->references);
	add_comma(&refs[REF_TABLES]);
	buf_printf(&refs[REF_TABLES], "%d", table->index);
	add_text(&refs[REF_COLUMNS], column->name);
	add_text(&refs[REF_OTHERS], quoted ? quoted : "");
	add_text(&refs[REF_OTHER_COLUMNS], other_column);
	add_text(&refs[REF_REASONS], reason);
	refs[REF_OTHERS].failed |= !quoted;
	free(quoted);
}

/* Moves the list to the end of the call. */
static void end_array(struct buf *sql, struct buf *list, const char *type, const char *end)
{
	buf_printf(sql, "ARRAY[%s]::%s[]%s", buf_str(list), type, end);
	sql->failed |= list->failed;
	buf_release(list);
}

static void call_sift(const struct attempt *attempt, struct buf *sql)
{
	struct buf tables = BUF_INIT, targets = BUF_INIT, refs[N_REF] = {BUF_INIT};
	for (int i = 0; i < attempt->batch->n_tables; i++) {
		const struct cqrs_table *table = attempt->batch->tables[i].table;
		if (!attempt->tables[i].n)
			continue;
		add_comma(&tables);
		buf_printf(&tables, "%d", i);
		add_text(&targets, table->name);
		for (const struct cqrs_column *c = table->def->columns; c->name; c++)
			if (c->references)
				add_reference(refs, table, c);
	}
	if (!tables.len && !tables.failed)
		return;
	buf_puts(sql, "SELECT * FROM cqrs.sift(");
	end_array(sql, &tables, "integer", ", ");
	end_array(sql, &targets, "regclass", ", ");
	end_array(sql, &refs[REF_TABLES], "integer", ", ");
	for (int i = REF_COLUMNS; i < N_REF; i++)
		end_array(sql, &refs[i], "text", i + 1 < N_REF ? ", " : ");");
}

/* ---- skipping ---- */

static void call_duplicates(const struct attempt *attempt, struct buf *sql)
{
	struct buf tables = BUF_INIT, targets = BUF_INIT;
	for (int i = 0; i < attempt->batch->n_tables; i++) {
		if (!attempt_ignores(attempt, i))
			continue;
		add_comma(&tables);
		buf_printf(&tables, "%d", i);
		add_text(&targets, attempt->batch->tables[i].table->name);
	}
	buf_puts(sql, "SELECT * FROM cqrs.duplicates(");
	end_array(sql, &tables, "integer", ", ");
	end_array(sql, &targets, "regclass", ");");
}

/* ---- storing ---- */

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
		pg_add_identifier(insert, table->def->columns[i].name);
		buf_puts(insert, " = EXCLUDED.");
		pg_add_identifier(insert, table->def->columns[i].name);
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
		pg_add_identifier(insert, c->name);
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

static void call_store(const struct attempt *attempt, int i, struct buf *sql)
{
	const struct cqrs_table *table = attempt->batch->tables[i].table;
	struct buf insert = BUF_INIT;
	if (table->def->on_duplicate == CQRS_DUPLICATE_UPDATE && table->n_key)
		buf_printf(sql,
		           "SELECT %d AS cqrs_table, count(*) AS present"
		           " FROM cqrs_stage_%d JOIN %s USING (%s);",
		           i, i, table->name, table->key);
	make_insert(&insert, table);
	buf_printf(sql, "SELECT %d AS cqrs_table, * FROM cqrs.store('cqrs_stage_%d', ", i, i);
	pg_add_literal(sql, buf_str(&insert));
	sql->failed |= insert.failed;
	buf_printf(sql, ", 0, %zu);", attempt->tables[i].n);
	buf_release(&insert);
}

void attempt_staging_sql(struct attempt *attempt, struct buf *sql)
{
	for (int i = 0; i < attempt->batch->n_tables; i++)
		if (attempt->tables[i].n)
			fill_stage(attempt, i, sql);
	if (attempt->way & ATTEMPT_SIFT)
		call_sift(attempt, sql);
	if (attempt->way & ATTEMPT_SKIP)
		call_duplicates(attempt, sql);
	if (!(attempt->way & ATTEMPT_STORE))
		return;
	buf_puts(sql, "SET CONSTRAINTS ALL IMMEDIATE;");
	for (int i = 0; i < attempt->batch->n_tables; i++)
		if (attempt->tables[i].n)
			call_store(attempt, i, sql);
}

/* ---- answers ---- */

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

/* False when memory is out. */
static bool refuse(struct attempt *attempt, struct attempt_rows *rows, size_t n, const char *state,
                   const char *reason, bool *redo)
{
	struct cqrs_batch *batch = attempt->batch;
	uint32_t element = rows->rows[n].row->element;
	rows->rows[n].refused = true;
	rows->rows[n].conflicts = !strcmp(state, "23505") && !batch_element_is_dead(batch, element);
	rows->refused++;
	/* Its key may have been preferred to that of a row which is as good. */
	*redo |= rows->rows[n].repeated || has_more_effects(batch, element);
	/* An element is refused once, for its first reason. */
	if (batch_element_is_dead(batch, element))
		return true;
	attempt->n_dead++;
	return batch_refuse(batch, element, state, reason);
}

static bool read_sifted(struct attempt *attempt, const PGresult *answer, bool *redo)
{
	for (int i = 0; i < PQntuples(answer); i++) {
		attempt->needed |= ATTEMPT_SIFT;
		if (!refuse(attempt, &attempt->tables[atoi(PQgetvalue(answer, i, 0))],
		            strtoul(PQgetvalue(answer, i, 1), NULL, 10), PQgetvalue(answer, i, 2),
		            PQgetvalue(answer, i, 3), redo))
			return false;
	}
	return true;
}

static void read_duplicates(struct attempt *attempt, const PGresult *answer)
{
	for (int i = 0; i < PQntuples(answer); i++) {
		struct attempt_rows *rows = &attempt->tables[atoi(PQgetvalue(answer, i, 0))];
		rows->rows[strtoul(PQgetvalue(answer, i, 1), NULL, 10)].skipped = true;
		rows->skipped++;
	}
}

static bool read_stored(struct attempt *attempt, const PGresult *answer, bool *redo)
{
	for (int i = 0; i < PQntuples(answer); i++) {
		struct attempt_rows *rows = &attempt->tables[atoi(PQgetvalue(answer, i, 0))];
		if (!PQgetisnull(answer, i, 1)) {
			rows->stored += strtoull(PQgetvalue(answer, i, 1), NULL, 10);
			continue;
		}
		/* Sifting may find it the next time; what it did not find only storing does. */
		attempt->needed |= attempt->way & ATTEMPT_SIFT ? ATTEMPT_STORE : ATTEMPT_SIFT;
		/* Rows that only referred to it have been taken for good. */
		*redo |= attempt_has_references(attempt);
		if (!refuse(attempt, rows, strtoul(PQgetvalue(answer, i, 2), NULL, 10),
		            PQgetvalue(answer, i, 3), PQgetvalue(answer, i, 4), redo))
			return false;
	}
	return true;
}

bool attempt_read_staged(struct attempt *attempt, const PGresult *answer, bool *redo)
{
	if (PQnfields(answer) < 2 || strcmp(PQfname(answer, 0), "cqrs_table") != 0)
		return true;
	if (!strcmp(PQfname(answer, 1), "stored"))
		return read_stored(attempt, answer, redo);
	if (!strcmp(PQfname(answer, 1), "refused"))
		return read_sifted(attempt, answer, redo);
	if (!strcmp(PQfname(answer, 1), "duplicate")) {
		read_duplicates(attempt, answer);
		return true;
	}
	attempt->tables[atoi(PQgetvalue(answer, 0, 0))].present =
	    strtoull(PQgetvalue(answer, 0, 1), NULL, 10);
	return true;
}

static bool has_same_key(const struct attempt_row *a, const struct attempt_row *b)
{
	return a->row->key[0] == b->row->key[0] && a->row->key[1] == b->row->key[1];
}

/* The rows are in the order of their keys and then of arrival, in which the first gets the key. */
static void forgive(struct cqrs_batch *batch, const struct attempt_rows *rows)
{
	bool gone = false; /* one that had the key */
	for (size_t i = 0; i < rows->n; i++) {
		const struct attempt_row *row = &rows->rows[i];
		if (i && !has_same_key(row - 1, row))
			gone = false;
		if (!row->refused)
			gone |= batch_element_is_dead(batch, row->row->element);
		else if (gone && row->conflicts)
			batch_forgive(batch, row->row->element);
	}
}

void attempt_forgive(struct attempt *attempt)
{
	for (int i = 0; attempt->batch && i < attempt->batch->n_tables; i++)
		if (attempt->batch->tables[i].table->n_key)
			forgive(attempt->batch, &attempt->tables[i]);
}
