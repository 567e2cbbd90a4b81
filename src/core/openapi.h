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

/* Whether a module's JSON Schema of its `name` is a JSON object, or NULL; if not, why. */
bool openapi_is_schema(const char *text, const char *name, struct buf *error);

/* ---- for a route_describe_fn: members of the object that is open ---- */

#define OPENAPI_OUTCOME "{\"$ref\":\"#/components/schemas/Outcome\"}"
#define OPENAPI_COMMAND "{\"$ref\":\"#/components/schemas/Command\"}"

void openapi_text(struct cqrs_json *out, const char *name, const char *text);
/* "name": {, to be closed with cqrs_json_close_object(). */
void openapi_open(struct cqrs_json *out, const char *name);
/* "name": schema, which is JSON. */
void openapi_raw(struct cqrs_json *out, const char *name, const char *schema);
/* "content": JSON, whose JSON Schema is `schema`. */
void openapi_json(struct cqrs_json *out, const char *schema);

/* One of "headers". */
struct openapi_header {
	const char *name, *description;
	bool always;    /* else: sometimes */
	bool is_number; /* a whole one, else text */
};

/* "headers": those of an answer; the list ends with name NULL. */
void openapi_headers(struct cqrs_json *out, const struct openapi_header *headers);

/* A problem that an operation has; `headers` NULL: those that it has everywhere. */
struct openapi_problem {
	int status;
	const struct openapi_header *headers;
};

/* The problems of an operation, by status: its own, which end with 0, and those of any request. */
void openapi_problems(struct cqrs_json *out, const struct openapi_problem *own);

/* ---- for openapi.c ---- */

/* "components", as a member. */
void openapi_components(struct cqrs_json *out);

#endif
