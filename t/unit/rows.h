/* SPDX-License-Identifier: MIT */
/*
 * Results as the server would send them, in binary format, made by hand.
 */
#ifndef ROWS_H
#define ROWS_H

#include "pg_value.h"

#include <check.h>
#include <libpq-fe.h>

/* An empty result with these columns. */
static inline PGresult *rows_new(int n, const char *const *names, const Oid *types)
{
	PGresAttDesc columns[64] = {{.name = NULL}};
	char copies[64][64];
	PGresult *rows = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	for (int i = 0; i < n; i++) {
		snprintf(copies[i], sizeof copies[i], "%s", names[i]);
		columns[i] = (PGresAttDesc){.name = copies[i], .typid = types[i], .format = 1};
	}
	ck_assert(PQsetResultAttrs(rows, n, columns));
	return rows;
}

/* Sets a field; NULL: null. */
static inline void rows_set(PGresult *rows, int row, int column, const void *data, size_t len)
{
	char copy[4096];
	ck_assert_uint_le(len, sizeof copy);
	if (data)
		memcpy(copy, data, len);
	ck_assert(PQsetvalue(rows, row, column, data ? copy : NULL, data ? (int)len : -1));
}

/* Sets a field to a value that pg_value_encode() writes. */
static inline void rows_put(PGresult *rows, int row, int column, struct cqrs_value value)
{
	struct buf b = BUF_INIT;
	if (!value.is_null)
		ck_assert(pg_value_encode(&b, &value));
	rows_set(rows, row, column, value.is_null ? NULL : buf_str(&b), b.len);
	buf_release(&b);
}

#endif
