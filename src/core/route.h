/* SPDX-License-Identifier: MIT */
/*
 * All routes of the process, whoever answers them, and which one a path means.
 *
 * A route is one method of a path.  A pattern is segments of literal text or
 * {parameter}: "/sensors/{id}/latest".  Where two fit, the one with a literal in
 * the first segment that differs wins: "/sensors/latest" before "/sensors/{id}".
 */
#ifndef ROUTE_H
#define ROUTE_H

#include "buf.h"
#include "http_server.h"
#include "param.h"

#define ROUTE_BASE         "/api/v1"
#define ROUTE_SEGMENTS_MAX 16
#define ROUTE_TABLE_MAX    256 /* paths */

struct cqrs_json;
struct route;

/* Answers a request, now or later; `path` are the path's parameters in order. */
typedef void route_handle_fn(const struct route *route, struct http_request *http,
                             const struct param_text *path);
/* Writes what OpenAPI says of the operation besides its name and parameters, as members. */
typedef void route_describe_fn(const struct route *route, struct cqrs_json *out);

struct route_segment {
	const char *text; /* in `pattern`, not terminated; a parameter: without braces */
	size_t len;
	bool param;
};

/* A header that a request may have, for OpenAPI. */
struct route_header {
	const char *name, *help;
	const char *schema; /* JSON Schema of its value */
};

/* Zeroed but for its first members; the first member of a larger struct made by calloc(). */
struct route {
	enum http_method method; /* GET: HEAD as well */
	const char *module;      /* its name */
	const char *summary;     /* one line */
	route_handle_fn *handle;
	route_describe_fn *describe;
	const struct route_header *headers; /* that it obeys; ends with name NULL; NULL: none */
	/* set by route_compile() */
	char *pattern; /* with ROUTE_BASE */
	struct route_segment segments[ROUTE_SEGMENTS_MAX];
	size_t n_segments;
	struct param_table params;
	struct route *next; /* another method of the same path */
};

/* One route of each path, the others are its `next`; sorted as they are matched. */
struct route_table {
	struct route *list[ROUTE_TABLE_MAX];
	size_t n;
};

/*
 * What `path` (below ROUTE_BASE) and the parameters mean, and with them the first
 * `n_core` of enum param_core.  False, with a sentence in `error`: a mistake of the module.
 */
bool route_compile(struct route *route, const char *path, const struct cqrs_param *params,
                   size_t n_core, struct buf *error);
void route_free(struct route *route);

/* The table owns the route from now on; false, with a sentence in `error`: it does not. */
bool route_add(struct route_table *table, struct route *route, struct buf *error);
void route_table_release(struct route_table *table);

/* The first route of the path that `path` means; `values` are its parameters.  NULL: none. */
struct route *route_find(const struct route_table *table, const char *path,
                         struct param_text values[PARAM_PATH_MAX]);
/* Of the routes of a path, the one for a method (HEAD: that of GET).  NULL: none. */
struct route *route_for(struct route *first, enum http_method method);

#endif
