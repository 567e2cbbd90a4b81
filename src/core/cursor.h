/* SPDX-License-Identifier: MIT */
/*
 * Where a page ended, as text that only we understand.
 *
 * A cursor holds the key of the last row, in PostgreSQL's binary format, and a
 * hash that binds it to the route, to the parameters that chose and ordered
 * the rows, and to its own bytes.  The hash finds mistakes; it is no
 * signature, as the key is a value like any other that a client may send.
 *
 *   version (1) · hash (8) · for each key column: type OID (4), length (2), bytes
 */
#ifndef CURSOR_H
#define CURSOR_H

#include <cqrs/query.h>

#define CURSOR_TEXT_MAX 1024 /* characters, and the NUL */

struct cursor {
	struct cqrs_value values[CQRS_KEY_MAX];
	char bytes[CURSOR_TEXT_MAX]; /* what the values borrow */
	char uuids[CQRS_KEY_MAX][40];
};

/*
 * Writes the key of row `row`: column columns[i] of `rows` for each of the `n`
 * parts of the key, or null where it is -1.  NULL, or why there can be no cursor.
 */
const char *cursor_encode(char text[CURSOR_TEXT_MAX], uint64_t bound_to, const PGresult *rows,
                          int row, const int *columns, size_t n);

/* False: not a cursor that cursor_encode() wrote with the same `bound_to` and `n`. */
bool cursor_decode(struct cursor *cursor, uint64_t bound_to, size_t n, const char *text,
                   size_t len);

#endif
