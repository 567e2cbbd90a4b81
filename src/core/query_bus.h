/* SPDX-License-Identifier: MIT */
/*
 * The read path: from a request to a route, to a statement, to rows, to the
 * response.
 *
 * The bus adds the routes of all query modules to a table that it shares with
 * others, and borrows everything.  Stop the HTTP server and free the pool
 * before the bus: each of them still calls back.
 */
#ifndef QUERY_BUS_H
#define QUERY_BUS_H

#include "answer_cache.h"
#include "loop.h"
#include "metrics.h"
#include "pg_pool.h"
#include "route.h"
#include <cqrs/query.h>

struct query_bus;

/*
 * `max_response_bytes` bounds an answer that is not streamed; `timeout_us` is
 * counted from the complete request to the last row (of a stream: the first), but for
 * requests with a Consistency-Token, which may wait for `max_wait_us` before.
 * NULL: out of memory.
 */
struct query_bus *query_bus_new(struct loop *loop, struct pg_pool *pool, struct route_table *routes,
                                struct metrics *metrics, size_t max_response_bytes,
                                int64_t timeout_us, int64_t max_wait_us);
/* Answers of routes that say so are kept there; borrowed for good. */
void query_bus_use_cache(struct query_bus *bus, struct answer_cache *cache);
void query_bus_free(struct query_bus *bus);

/*
 * What the start() of a module gets, so that it can add routes; then
 * query_bus_started() with what it returned.  `module` is its name, borrowed
 * for good.  NULL: out of memory.
 */
struct cqrs_routes *query_bus_routes(struct query_bus *bus, const char *module);
/* False, with the reason in `error`, if start() returned NULL or a route was not accepted. */
bool query_bus_started(struct cqrs_routes *routes, void *self, struct buf *error);

#endif
