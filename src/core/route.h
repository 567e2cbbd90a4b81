/* SPDX-License-Identifier: MIT */
/*
 * The routes of all query modules, and which one a path means.
 *
 * A pattern is segments of literal text or {parameter}: "/sensors/{id}/latest".
 * Where two fit, the one with a literal in the first segment that differs
 * wins: "/sensors/latest" before "/sensors/{id}".
 */
#ifndef ROUTE_H
#define ROUTE_H

#include "buf.h"
#include "metrics.h"
#include "param.h"
#include <cqrs/query.h>

#define ROUTE_BASE         "/api/v1"
#define ROUTE_SEGMENTS_MAX 16
#define ROUTE_TABLE_MAX    256

struct route_segment {
	const char *text; /* in `pattern`, not terminated; a parameter: without braces */
	size_t len;
	bool param;
};

struct route {
	const struct cqrs_route *def;
	const struct cqrs_routes *owner; /* the module that it belongs to */
	char *pattern;                   /* with ROUTE_BASE */
	struct route_segment segments[ROUTE_SEGMENTS_MAX];
	size_t n_segments;
	struct param_table params;
	uint64_t hash;       /* of the pattern and the key: what a cursor is bound to */
	struct metric *rows; /* its counter; set by the bus before the first request */
};

/* Borrowed from the table; sorted as they are matched. */
struct route_table {
	struct route *list[ROUTE_TABLE_MAX];
	size_t n;
};

/* What a module's start() adds to. */
struct cqrs_routes {
	const char *module;
	void *self; /* what start() returned */
	struct route_table *table;
	struct buf error; /* why a route was not accepted, or what cqrs_routes_fail() said */
};

void route_table_release(struct route_table *table);

/* The route that `path` means; `values` are the path's parameters in order.  NULL: none. */
struct route *route_find(const struct route_table *table, const char *path,
                         struct param_text values[PARAM_PATH_MAX]);

#endif
