/* SPDX-License-Identifier: MIT */
/* A declared table, with its names quoted once and for all. */
#include "batch.h"

#include "pg_conn.h"

#include <stdlib.h>
#include <string.h>

/* Whether all keys of the table fit into batch_row.key. */
static bool key_is_exact(const struct cqrs_table *table)
{
	size_t bytes = 0;
	for (int i = 0; i < table->n_key; i++) {
		switch (table->def->columns[i].type) {
		case CQRS_INT2:
			bytes += 2;
			break;
		case CQRS_INT4:
			bytes += 4;
			break;
		case CQRS_INT8:
		case CQRS_TIMESTAMPTZ:
			bytes += 8;
			break;
		default:
			return false;
		}
	}
	return bytes <= 16;
}

static void add_name(struct buf *list, const char *name)
{
	buf_puts(list, list->len ? ", " : "");
	pg_add_identifier(list, name);
}

struct cqrs_table *batch_table_new(const struct cqrs_table_def *def, int index)
{
	struct cqrs_table *table = calloc(1, sizeof *table);
	struct buf columns = BUF_INIT, key = BUF_INIT;
	if (!table)
		return NULL;
	table->def = def;
	table->index = index;
	table->name = pg_quote_identifier(def->name);
	for (const struct cqrs_column *c = def->columns; c->name; c++) {
		add_name(&columns, c->name);
		if (c->key)
			add_name(&key, c->name);
		table->n_columns++;
		table->n_key += c->key;
		table->has_references |= c->references != NULL;
	}
	buf_str(&columns);
	buf_str(&key);
	table->columns = columns.data;
	table->key = key.data;
	table->key_is_exact = table->n_key && key_is_exact(table);
	if (!table->name || columns.failed || key.failed) {
		batch_table_free(table);
		return NULL;
	}
	return table;
}

void batch_table_free(struct cqrs_table *table)
{
	if (!table)
		return;
	free(table->name);
	free(table->columns);
	free(table->key);
	free(table);
}
