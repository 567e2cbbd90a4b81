/* SPDX-License-Identifier: MIT */
/*
 * Rows of a binary result as JSON objects or CSV records, by column types.
 *
 * What a column needs is found out once for a result; writing a row then looks
 * nothing up and allocates nothing but the room in the buffer.  Member names
 * are column names.
 *
 *   integers, floats, numeric    numbers, without loss; NaN and infinities: null
 *   timestamptz                  as `time_format` says; RFC 3339 in UTC
 *   timestamp, date              the same without zone, 2022-03-04
 *   bytea                        "\\x00ff"
 *   json, jsonb                  as they are; in CSV their text
 *   int4[], int8[], text[]       arrays; in CSV their JSON text
 */
#ifndef ROW_WRITER_H
#define ROW_WRITER_H

#include "buf.h"
#include <libpq-fe.h>

#define ROW_COLUMNS_MAX 64

enum row_time { ROW_TIME_RFC3339, ROW_TIME_UNIX, ROW_TIME_UNIX_MS };

struct row_type; /* how values of one PostgreSQL type are written */

/* Zeroed at first, then initialised for one result after the other. */
struct row_writer {
	enum row_time time;
	int n;
	const struct row_type *types[ROW_COLUMNS_MAX];
	struct buf names;                  /* {"a": and ,"b": one after the other */
	size_t name_ends[ROW_COLUMNS_MAX]; /* where each ends in `names` */
	struct buf scratch;                /* JSON on its way into a CSV field */
};

/*
 * For `rows` and all later results of the same statement.  False, with a
 * sentence in `error` that says what to change in the statement: a type that
 * cannot be written, a column in text format, too many columns.
 */
bool row_writer_init(struct row_writer *w, const PGresult *rows, enum row_time time,
                     struct buf *error);
void row_writer_release(struct row_writer *w);

void row_writer_json(struct row_writer *w, const PGresult *rows, int row, struct buf *out);
/* RFC 4180, lines end in CR LF; null is an empty field and empty text is "". */
void row_writer_csv_header(const PGresult *rows, struct buf *out);
void row_writer_csv(struct row_writer *w, const PGresult *rows, int row, struct buf *out);

#endif
