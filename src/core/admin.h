/* SPDX-License-Identifier: MIT */
/*
 * The admin listener: is it alive, is it ready, what does it do.
 *
 *   /livez    200 as long as the loop turns
 *   /readyz   200, or 503 with the reasons as JSON
 *   /metrics  Prometheus text format
 *   /status   one JSON document: every part says how it is
 *   /version  the version as JSON
 *
 * Other parts add routes of their own.
 *
 * For loopback or a unix socket: it asks nobody who they are.  What changes
 * something is POSTed as application/json, which a web page cannot do to
 * another origin without being asked first (Fetch standard, CORS preflight).
 */
#ifndef ADMIN_H
#define ADMIN_H

#include "health.h"
#include "http_server.h"
#include "loop.h"
#include "metrics.h"
#include <jansson.h>

struct admin;

/* How a part is, right now: a new reference, or NULL: no memory. */
typedef json_t *admin_status_fn(void *arg);

/* Listens at once; NULL after logging why.  Everything is borrowed for good. */
struct admin *admin_new(struct loop *loop, const char *listen, struct metrics *metrics,
                        struct health *health, const char *version);
void admin_free(struct admin *admin);
/* Where it listens, with the port that was chosen. */
const char *admin_address(const struct admin *admin);

/*
 * Answers a request, now or later.  `below` is what follows a route that ends
 * in '/': "/dead-letters/" and "17".
 */
typedef void admin_route_fn(void *arg, struct http_request *req, const char *below);

/*
 * `path` (borrowed for good) is answered by `fn`.  HTTP_GET means HEAD as well;
 * an HTTP_POST has JSON for its body, at most 64 KiB.  Parts that end before the
 * admin listener take all routes of their `arg` out again.
 */
void admin_route_add(struct admin *admin, enum http_method method, const char *path,
                     admin_route_fn *fn, void *arg);
void admin_route_remove(struct admin *admin, const void *arg);
/* Takes the reference; NULL answers that memory is out. */
void admin_respond(struct http_request *req, int status, json_t *json);

/*
 * /status will have a member `name` (borrowed for good), which `fn` makes.
 * Parts that end before the admin listener take it out again.
 */
void admin_status_add(struct admin *admin, const char *name, admin_status_fn *fn, void *arg);
void admin_status_remove(struct admin *admin, const char *name);

#endif
