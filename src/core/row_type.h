/* SPDX-License-Identifier: MIT */
/*
 * How a value of each PostgreSQL type is written as text.
 */
#ifndef ROW_TYPE_H
#define ROW_TYPE_H

#include "row_writer.h"

/* What JSON and CSV put around the text of a type. */
enum row_class {
	ROW_BARE,   /* nothing: numbers, booleans */
	ROW_QUOTED, /* JSON: quotes, as nothing in the text needs an escape */
	ROW_TIME,   /* the same, unless times are numbers */
	ROW_BYTEA,  /* JSON: quotes and an escaped backslash */
	ROW_TEXT,   /* JSON: quotes and escapes; CSV: quotes where needed */
	ROW_JSON,   /* JSON: nothing; CSV: as text */
};

/* Appends the text of a value that is not null; false, and nothing is appended: it has none. */
typedef bool row_put_fn(struct buf *out, const char *data, size_t len, enum row_time time);

struct row_type {
	Oid oid;
	enum row_class class;
	row_put_fn *put; /* NULL for ROW_TEXT: the bytes are the text */
};

/* NULL: a type that we do not write. */
const struct row_type *row_type_find(Oid oid);

#endif
