/* SPDX-License-Identifier: MIT */
/*
 * Asks the database one thing, and waits for the answer: for the command line.
 */
#ifndef PG_ASK_H
#define PG_ASK_H

#include "buf.h"
#include <libpq-fe.h>
#include <stdint.h>

/*
 * Over a connection of its own.  `values` are the `n` parameters, as text (NULL:
 * null); so cast them in `sql`, and what it selects to text.  The answer is for
 * PQclear(); NULL, with a sentence in `why`: refused, or no answer within
 * `patience_us`.
 */
PGresult *pg_ask(const char *dsn, const char *sql, const char *const *values, int n,
                 int64_t patience_us, struct buf *why);

#endif
