/* SPDX-License-Identifier: MIT */
/*
 * A result of one row, as the server would send it, with any bytes in its fields.
 */
#ifndef ROW_H
#define ROW_H

#include "row_writer.h"

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct field {
	const char *name;
	Oid type;
	const char *data; /* NULL: null */
	size_t len;
};

static inline PGresult *row_new(const struct field *fields, int n)
{
	PGresAttDesc columns[ROW_COLUMNS_MAX] = {{.name = NULL}};
	PGresult *rows = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	for (int i = 0; i < n; i++) {
		columns[i].name = (char *)(uintptr_t)fields[i].name;
		columns[i].typid = fields[i].type;
		columns[i].format = 1;
	}
	assert(PQsetResultAttrs(rows, n, columns));
	for (int i = 0; i < n; i++)
		assert(PQsetvalue(rows, 0, i, (char *)(uintptr_t)fields[i].data,
		                  fields[i].data ? (int)fields[i].len : -1));
	return rows;
}

/* The row as jansson reads what row_writer_json() writes; it must be an object. */
static inline json_t *row_read(struct row_writer *w, const PGresult *rows, size_t flags)
{
	struct buf out = BUF_INIT;
	row_writer_json(w, rows, 0, &out);
	json_t *row = json_loadb(out.data, out.len, flags, NULL);
	assert(json_is_object(row));
	buf_release(&out);
	return row;
}

#endif
