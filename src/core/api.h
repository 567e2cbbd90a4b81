/* SPDX-License-Identifier: MIT */
/*
 * Who owns the paths of the public listener: finds the route that a request
 * means and hands it over, and answers what is nobody's: "/", the OpenAPI
 * document, OPTIONS, 404 and 405.
 *
 * Queries and commands add their routes to one table and do not know of each other.
 */
#ifndef API_H
#define API_H

#include "http_server.h"
#include "route.h"

struct api;

/* NULL: out of memory. */
struct api *api_new(void);
/* With all routes; when no more requests come. */
void api_free(struct api *api);

/* To be added to until the first request. */
struct route_table *api_routes(struct api *api);

/* An http_handler_fn; `owner` is the api. */
void api_handle(void *owner, struct http_request *http);

#endif
