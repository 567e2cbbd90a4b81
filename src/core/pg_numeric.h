/* SPDX-License-Identifier: MIT */
/*
 * Decimal text as PostgreSQL's numeric, in binary format.
 */
#ifndef PG_NUMERIC_H
#define PG_NUMERIC_H

#include "buf.h"

/* Appends "-12.50", "1e6" with all its digits, the last zeros too; false: that is not what it is,
 * or it has too many. */
bool pg_numeric_put(struct buf *b, const char *text, size_t len);

#endif
