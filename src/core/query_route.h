/* SPDX-License-Identifier: MIT */
/*
 * The routes of query modules: what cqrs_routes_add() makes of a definition.
 */
#ifndef QUERY_ROUTE_H
#define QUERY_ROUTE_H

#include "metrics.h"
#include "route.h"
#include <cqrs/query.h>

struct query_route {
	struct route base; /* first: a query's route is found back from it */
	const struct cqrs_route *def;
	const struct cqrs_routes *owner; /* the module that it belongs to */
	uint64_t hash;                   /* of the pattern and the key: what a cursor is bound to */
	struct metric *rows;             /* its counter; set by the bus before the first request */
};

/* What a module's start() adds to. */
struct cqrs_routes {
	const char *module;
	void *self; /* what start() returned */
	struct route_table *table;
	route_handle_fn *handle; /* of each route */
	struct buf error;        /* why a route was not accepted, or what cqrs_routes_fail() said */
};

/* A route_describe_fn. */
void query_route_describe(const struct route *route, struct cqrs_json *out);
/* The headers that requests for it may have, for OpenAPI. */
const struct route_header *query_route_headers(const struct cqrs_route *def);

#endif
