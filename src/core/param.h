/* SPDX-License-Identifier: MIT */
/*
 * The parameters of a route: what may be asked, and what a request asks.
 *
 * A table joins the rows that the module declared with those that the core
 * adds.  It validates requests and is what the OpenAPI document is made from,
 * so the two cannot differ.
 */
#ifndef PARAM_H
#define PARAM_H

#include "buf.h"
#include <cqrs/param.h>
#include <stdbool.h>

#define PARAM_TABLE_MAX  (CQRS_PARAMS_MAX + 6)
#define PARAM_PATH_MAX   8   /* parameters in a path */
#define PARAM_REPEAT_MAX 100 /* times that a repeatable one may be given */
#define PARAM_PAIRS_MAX  128 /* name=value pairs in a query string */

/* What the core adds to queries: the first to all, the others to those paged by key. */
enum param_core {
	PARAM_TIME_FORMAT,
	PARAM_LIMIT,
	PARAM_CURSOR,
	PARAM_PAGE,
	PARAM_PAGE_SIZE,
	PARAM_COUNT,
	PARAM_N_CORE,
};

struct param_table {
	const struct cqrs_param *list[PARAM_TABLE_MAX]; /* the module's, then the core's */
	struct cqrs_value initial[PARAM_TABLE_MAX];     /* the defaults; times: parsed each time */
	bool in_path[PARAM_TABLE_MAX];
	size_t path[PARAM_PATH_MAX]; /* the nth parameter of the path stands here in `list` */
	size_t n_path;
	size_t n, n_own;
};

/* A piece of a path, not terminated. */
struct param_text {
	const char *text;
	size_t len;
};

/* Why a request is refused: for the person who sent it. */
struct param_error {
	char param[64]; /* "": no single one is at fault */
	char text[1024];
	bool no_memory; /* the request is not to blame */
};

/* A request whose parameters are valid.  Zeroed at first, then used again and again. */
struct cqrs_request {
	const struct param_table *table;
	struct cqrs_value values[PARAM_TABLE_MAX];
	uint32_t given;                  /* one bit for each of `values` that the client sent */
	uint64_t hash;                   /* of the route's own parameters as they were sent */
	const struct cqrs_value *cursor; /* set by who decodes it */
	int64_t row_limit;               /* what cqrs_row_limit() says; set by who knows it */
	/* where the values are */
	struct buf text;
	size_t n_pairs, n_items;
	struct {
		size_t index;
		const char *value;
	} pairs[PARAM_PAIRS_MAX];
	struct cqrs_value items[PARAM_PAIRS_MAX];
};

/*
 * `own` ends with name NULL, or is NULL; `path` are the names in the pattern; the
 * first `n_core` of the core's come with it.  All is borrowed for good.  False, with a sentence in
 * `error`: a bad table.
 */
bool param_table_init(struct param_table *table, const struct cqrs_param *own,
                      const struct param_text *path, size_t n_path, size_t n_core,
                      struct buf *error);

/* Fills `req`; `query` is the raw query string; `now_us` is wall-clock time. */
bool param_parse(const struct param_table *table, struct cqrs_request *req,
                 const struct param_text *path, const char *query, int64_t now_us,
                 struct param_error *error);
/* Frees what the request took; it may be used again. */
void param_release(struct cqrs_request *req);

/* One of the core's own; null if the route does not have it. */
const struct cqrs_value *param_core(const struct cqrs_request *req, enum param_core which);
bool param_core_given(const struct cqrs_request *req, enum param_core which);

/* The PostgreSQL type of the value. */
enum cqrs_type param_value_type(const struct cqrs_param *param);
/* Takes the next of "a|b|c" off `*choices`; its length, 0 at the end. */
size_t param_choice_next(const char **choices, const char **choice);

#endif
