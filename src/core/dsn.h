/* SPDX-License-Identifier: MIT */
/*
 * What can be shown of the string that says how to reach a database.
 */
#ifndef DSN_H
#define DSN_H

#include "buf.h"

#define DSN_HIDDEN "(hidden)"

/*
 * Appends `dsn` with every password in it replaced by DSN_HIDDEN.  Knows both
 * forms of PostgreSQL's manual, chapter 34.1.1: "host=… password=…" and
 * "postgresql://user:password@host/db?password=…"; other text comes out as it is.
 * What is malformed is rather hidden than shown.
 */
void dsn_mask(const char *dsn, struct buf *out);

#endif
