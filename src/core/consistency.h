/* SPDX-License-Identifier: MIT */
/*
 * Reads that see what was written: a request with a Consistency-Token waits until
 * the view that its route shows has what stands at these places of Kafka, or was
 * made of what that has caused (cqrs.applied(), sql/008-progress.sql).
 *
 *   request ─► WAITING ─(the view has it)─► asked as if it had come now
 *                 └─(Prefer: wait, or 2 s)─► 503, or with handling=lenient asked all the same
 *
 * The database that is asked is the one that answers the request afterwards, so a
 * replica is waited for, too.  All who wait are one question.
 */
#ifndef CONSISTENCY_H
#define CONSISTENCY_H

#include "http_server.h"
#include "loop.h"
#include "metrics.h"
#include "pg_pool.h"
#include "route.h"

struct consistency;

struct consistency_config {
	int64_t timeout_us;  /* of a question */
	int64_t max_wait_us; /* whatever a client prefers */
	size_t max_waiting;  /* requests; more are refused */
};

/* Borrows the loop and the pool for good; NULL: out of memory. */
struct consistency *consistency_new(struct loop *loop, struct pg_pool *pool,
                                    const struct consistency_config *config,
                                    struct metrics *metrics);
/* After the HTTP server and the pool. */
void consistency_free(struct consistency *consistency);

/*
 * True: the request has a token and waits, and `go_on` is called when it may be
 * answered; or it was refused.  False: it has none.  `view` is borrowed for good.
 */
bool consistency_wait(struct consistency *consistency, const struct route *route,
                      struct http_request *http, const struct param_text *path, const char *view,
                      route_handle_fn *go_on);

#endif
