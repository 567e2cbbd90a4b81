/* SPDX-License-Identifier: MIT */
/*
 * One statement for many requests.
 *
 * Requests for one object by its key that come in the same turn of the loop are
 * asked for together, with an array of keys; each gets the row that has its key.
 * PostgreSQL spends most of a small query on what is the same for all of them.
 */
#ifndef LOOKUP_H
#define LOOKUP_H

#include "loop.h"
#include "metrics.h"
#include "pg_pool.h"

struct query;
struct lookups;

/* Borrows all; `timeout_us` as in query_bus_new().  NULL: out of memory. */
struct lookups *lookups_new(struct loop *loop, struct pg_pool *pool, int64_t timeout_us,
                            struct metrics *metrics);
/* When the pool is gone; queries that were never asked are let go. */
void lookups_free(struct lookups *lookups);

/* The query, whose route has a `lookup`, waits for its row; false after a refusal. */
bool lookup_join(struct lookups *lookups, struct query *q);

#endif
