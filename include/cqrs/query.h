/* SPDX-License-Identifier: MIT */
/*
 * What a query module is, and what it may ask for.
 *
 * A query module turns one request into one SQL statement with bound
 * parameters.  The core validates the request, runs the statement and writes
 * the rows as JSON, CSV or NDJSON, from the types of the columns or by the
 * module's own function.  Module code never waits.
 */
#ifndef CQRS_QUERY_H
#define CQRS_QUERY_H

#include <cqrs/abi.h>
#include <cqrs/json.h>
#include <cqrs/option.h>
#include <cqrs/param.h>
#include <cqrs/value.h>
#include <libpq-fe.h>

struct cqrs_routes; /* the module while it starts */
struct cqrs_answer; /* collects the statement */

#define CQRS_KEY_MAX 4

/*
 * Decides one request: build the statement with cqrs_sql(), or refuse.  For a
 * request with count=exact it is called twice, the second time without cursor.
 */
typedef void cqrs_query_fn(void *self, const struct cqrs_request *req, struct cqrs_answer *ans);

/* Writes row `row` of `rows` (binary format) as one JSON value. */
typedef void cqrs_row_fn(void *self, const struct cqrs_request *req, const PGresult *rows, int row,
                         struct cqrs_json *out);

struct cqrs_route {
	const char *path;    /* below /api/v1: "/sensors/{id}" */
	const char *summary; /* one line */
	const struct cqrs_param
	    *params; /* at most CQRS_PARAMS_MAX, ends with name NULL; NULL: none */
	cqrs_query_fn *query;
	bool one; /* answers one object, 404 if there is no row; otherwise an array */
	/*
	 * Paged by key: names of result columns that order the rows and identify
	 * one, ends with NULL; one that a statement does not return is passed over,
	 * and null in the cursor.  Adds the parameters limit, cursor, page, page_size
	 * and count, appends LIMIT and OFFSET to the statement, and writes Link.
	 * CSV and NDJSON are streamed whole, unless limit or page is given.
	 */
	const char *const *key;
	cqrs_row_fn *row; /* NULL: from the types of the columns; CSV always is */
	/*
	 * For a route that answers one object by its key: the name of its only
	 * parameter, an INTEGER within int4 or a TEXT, and of the result column that
	 * has it.  Requests that come together share one statement, so the parameter
	 * is an array: compare with = ANY ($?).  NULL: a statement for each request.
	 */
	const char *lookup;
	/*
	 * For a route that answers one object: the result column, an integer or a text without
	 * quotes, that is another one whenever the object is.  As JSON it has this ETag, and who
	 * has that already (If-None-Match) gets 304.  NULL: no ETag.
	 */
	const char *etag;
	/*
	 * The view whose tables it shows: the name of the command module that fills them.
	 * Who asks with a Consistency-Token waits for that.  NULL: as this module is called.
	 */
	const char *view;
	/*
	 * For a route that answers one object by its only parameter, which is in the path: the
	 * answer as JSON is kept until pg_notify('cqrs_changed', 'view:key') says that the object
	 * has changed, and at most for http.cache_ttl.
	 */
	bool cached;
	/* JSON Schema of the object, or of one of a list, for OpenAPI; NULL: some object. */
	const char *object;
};

/* ---- while starting ---- */

/* `route` is borrowed until stop(). */
CQRS_EXPORT void cqrs_routes_add(struct cqrs_routes *routes, const struct cqrs_route *route);

/* Says why start() is about to return NULL. */
CQRS_EXPORT void cqrs_routes_fail(struct cqrs_routes *routes, const char *fmt, ...)
    CQRS_PRINTF(2, 3);

/* ---- while deciding ---- */

/* The key after which to continue, one value per key column; NULL: from the start. */
CQRS_EXPORT const struct cqrs_value *cqrs_cursor(const struct cqrs_request *req);

/* What cqrs_row_limit() says when there is no number. */
#define CQRS_ROWS_ALL     INT64_C(0)  /* all rows in order: they are streamed */
#define CQRS_ROWS_COUNTED INT64_C(-1) /* the rows are only counted, in any order */

/* How many rows, from the cursor on, a paged answer can need at most, or CQRS_ROWS_*. */
CQRS_EXPORT int64_t cqrs_row_limit(const struct cqrs_request *req);

/* Appends to the statement; `text` is never made from what a client sent. */
CQRS_EXPORT void cqrs_sql(struct cqrs_answer *ans, const char *text);

/* The same, with one value for each `$?` in the text, copied.  An array becomes a subquery, so that
 * the plan does not depend on its length: compare with = ANY ($?). */
CQRS_EXPORT void cqrs_sql_bind(struct cqrs_answer *ans, const char *text,
                               const struct cqrs_value *values, size_t n);

/* Answers 400 instead; `param` (NULL: none) names the parameter at fault. */
CQRS_EXPORT void cqrs_answer_refuse(struct cqrs_answer *ans, const char *param, const char *fmt,
                                    ...) CQRS_PRINTF(3, 4);

/* ---- the module itself ---- */

struct cqrs_query_module {
	unsigned abi;                      /* CQRS_ABI; always the first member */
	const char *name;                  /* as in `queries:` */
	const char *summary;               /* one line for people */
	const struct cqrs_option *options; /* NULL: none */
	size_t options_size;               /* of the struct that the options fill */
	/* Returns the instance, which is not NULL even if it has no state; NULL after
	 * cqrs_routes_fail().  `options` live until stop(). */
	void *(*start)(struct cqrs_routes *routes, const void *options);
	void (*stop)(void *self);
};

/* CQRS_QUERY_MODULE(sensor, .summary = "…", .start = start, .stop = stop); */
#define CQRS_QUERY_MODULE(id, ...)                                         \
	CQRS_EXPORT extern const struct cqrs_query_module cqrs_query_##id; \
	const struct cqrs_query_module cqrs_query_##id = {.abi = CQRS_ABI, .name = #id, __VA_ARGS__}

#endif
