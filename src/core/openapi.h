/* SPDX-License-Identifier: MIT */
/*
 * The routes described: as an OpenAPI 3.1 document and as a page for people.
 *
 * Both are made from the tables that requests are validated with.
 */
#ifndef OPENAPI_H
#define OPENAPI_H

#include "route.h"

void openapi_write(const struct route_table *routes, struct buf *out);

/* The page at "/": every route, and for those that read a link that can be tried. */
void openapi_write_page(const struct route_table *routes, struct buf *out);

/* ---- for a route_describe_fn: members of the object that is open ---- */

#define OPENAPI_PROBLEM "#/components/responses/Problem"

void openapi_text(struct cqrs_json *out, const char *name, const char *text);
/* "name": {, to be closed with cqrs_json_close_object(). */
void openapi_open(struct cqrs_json *out, const char *name);
/* "name": {"$ref": "target"} */
void openapi_reference(struct cqrs_json *out, const char *name, const char *target);
/* "content": JSON, whose JSON Schema is `schema`. */
void openapi_json(struct cqrs_json *out, const char *schema);
/* One of "headers"; `type` is that of its schema. */
void openapi_header(struct cqrs_json *out, const char *name, const char *type,
                    const char *description);

#endif
