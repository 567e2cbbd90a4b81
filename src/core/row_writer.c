/* SPDX-License-Identifier: MIT */
/* Rows of a binary result as JSON objects or CSV records, by column types. */
#include "row_writer.h"

#include "json_escape.h"
#include "row_type.h"

#include <string.h>

static bool add_column(struct row_writer *w, const PGresult *rows, int i, struct buf *error)
{
	const char *name = PQfname(rows, i);
	w->types[i] = row_type_find(PQftype(rows, i));
	if (!w->types[i] || PQfformat(rows, i) != 1) {
		buf_printf(error,
		           "column \"%s\" has a type that cannot be written (oid %u): cast it in "
		           "the statement, as in %s::text",
		           name, PQftype(rows, i), name);
		return false;
	}
	buf_putc(&w->names, i ? ',' : '{');
	json_escape(&w->names, name, strlen(name));
	buf_putc(&w->names, ':');
	w->name_ends[i] = w->names.len;
	return true;
}

bool row_writer_init(struct row_writer *w, const PGresult *rows, enum row_time time,
                     struct buf *error)
{
	buf_clear(&w->names);
	w->time = time;
	w->n = PQnfields(rows);
	if (w->n > ROW_COLUMNS_MAX) {
		buf_printf(error, "the statement returns %d columns, more than %d", w->n,
		           ROW_COLUMNS_MAX);
		return false;
	}
	for (int i = 0; i < w->n; i++) {
		if (!add_column(w, rows, i, error))
			return false;
	}
	if (w->names.failed)
		buf_puts(error, "out of memory");
	return !w->names.failed;
}

void row_writer_release(struct row_writer *w)
{
	buf_release(&w->names);
	buf_release(&w->scratch);
}

/* False: it is null. */
static bool get(const PGresult *rows, int row, int column, const char **data, size_t *len)
{
	*data = PQgetvalue(rows, row, column);
	*len = (size_t)PQgetlength(rows, row, column);
	return *len || !PQgetisnull(rows, row, column);
}

/* ---- JSON ---- */

static void put_quoted(struct buf *out, const struct row_type *type, const char *data, size_t len,
                       enum row_time time)
{
	size_t start = out->len;
	buf_puts(out, type->class == ROW_BYTEA ? "\"\\\\x" : "\"");
	if (type->put(out, data, len, time)) {
		buf_putc(out, '"');
	} else {
		out->len = start;
		buf_puts(out, "null");
	}
}

static void put_json(struct buf *out, const struct row_type *type, const char *data, size_t len,
                     enum row_time time)
{
	if (type->class == ROW_TEXT)
		json_escape(out, data, len);
	else if (type->class == ROW_QUOTED || type->class == ROW_BYTEA ||
	         (type->class == ROW_TIME && time == ROW_TIME_RFC3339))
		put_quoted(out, type, data, len, time);
	else if (!type->put(out, data, len, time))
		buf_puts(out, "null");
}

void row_writer_json(struct row_writer *w, const PGresult *rows, int row, struct buf *out)
{
	size_t start = 0, len;
	const char *data;
	for (int i = 0; i < w->n; i++) {
		buf_add(out, w->names.data + start, w->name_ends[i] - start);
		start = w->name_ends[i];
		if (get(rows, row, i, &data, &len))
			put_json(out, w->types[i], data, len, w->time);
		else
			buf_puts(out, "null");
	}
	buf_puts(out, w->n ? "}" : "{}");
}

/* ---- CSV ---- */

static void put_field(struct buf *out, const char *text, size_t len)
{
	bool plain = len > 0;
	for (size_t i = 0; i < len && plain; i++)
		plain = text[i] != '"' && text[i] != ',' && text[i] != '\r' && text[i] != '\n';
	if (plain) {
		buf_add(out, text, len);
		return;
	}
	buf_putc(out, '"');
	for (const char *end = text + len; text < end;) {
		const char *quote = memchr(text, '"', (size_t)(end - text));
		const char *stop = quote ? quote + 1 : end;
		buf_add(out, text, (size_t)(stop - text));
		if (quote)
			buf_putc(out, '"');
		text = stop;
	}
	buf_putc(out, '"');
}

static void put_csv(struct row_writer *w, struct buf *out, const struct row_type *type,
                    const char *data, size_t len)
{
	switch (type->class) {
	case ROW_TEXT:
		put_field(out, data, len);
		break;
	case ROW_JSON:
		buf_clear(&w->scratch);
		if (type->put(&w->scratch, data, len, w->time))
			put_field(out, w->scratch.data, w->scratch.len);
		out->failed |= w->scratch.failed;
		break;
	case ROW_BYTEA:
		buf_puts(out, "\\x");
		/* fall through */
	default:
		type->put(out, data, len, w->time);
	}
}

void row_writer_csv_header(const PGresult *rows, struct buf *out)
{
	for (int i = 0; i < PQnfields(rows); i++) {
		const char *name = PQfname(rows, i);
		if (i)
			buf_putc(out, ',');
		put_field(out, name, strlen(name));
	}
	buf_puts(out, "\r\n");
}

void row_writer_csv(struct row_writer *w, const PGresult *rows, int row, struct buf *out)
{
	const char *data;
	size_t len;
	for (int i = 0; i < w->n; i++) {
		if (i)
			buf_putc(out, ',');
		if (get(rows, row, i, &data, &len))
			put_csv(w, out, w->types[i], data, len);
	}
	buf_puts(out, "\r\n");
}
