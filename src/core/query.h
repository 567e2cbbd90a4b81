/* SPDX-License-Identifier: MIT */
/*
 * One question under way: what the bus decided, and how its rows become the
 * response.  Private to query_bus.c, which decides, query.c, which answers, and
 * lookup.c, which asks for several at once.
 */
#ifndef QUERY_H
#define QUERY_H

#include "answer.h"
#include "answer_cache.h"
#include "cursor.h"
#include "etag.h"
#include "media_type.h"
#include "page.h"
#include "query_bus.h"
#include "query_route.h"
#include "row_writer.h"

/*
 * What a query is doing:
 *
 *     DECIDING ─► WAITING ─────────────────► OVER ─► (all done() came) recycled
 *                    └───► STREAMING ─────────┘
 *
 * OVER: the response is complete, or the client is gone.
 */
enum query_state { QUERY_DECIDING, QUERY_WAITING, QUERY_STREAMING, QUERY_OVER };

/* One statement in the pool; a query has one for its rows and may have one that counts. */
struct statement {
	struct pg_query pg; /* first: a statement is found back from it */
	struct query *query;
	struct cqrs_answer answer;
	bool open; /* done() is due */
};

struct query {
	struct query_bus *bus;
	struct http_request *http; /* not to be used when OVER */
	const struct query_route *route;
	enum query_state state;
	int holds; /* open statements, and the function that is at work; at 0 it is recycled */
	enum media_type media;
	struct page page;
	struct cqrs_request request;
	struct cursor cursor;
	struct statement rows, count;
	struct row_writer writer;
	struct buf body;
	struct buf trouble; /* why the rows cannot be written; not empty: 500 */
	int n_rows;         /* that the statement returned */
	int64_t total;
	char next[CURSOR_TEXT_MAX]; /* the cursor of the next page; "": there is none */
	char etag[ETAG_MAX];        /* of the answer; "": it has none */
	struct param_text key;      /* by which the answer may be kept; len 0: it may not */
	uint64_t asked;             /* answer_cache_now() */
	LIST_ENTRY(query) link;
};

struct query_bus {
	struct loop *loop;
	struct pg_pool *pool;
	struct metrics *metrics;
	size_t max_response_bytes;
	int64_t timeout_us;
	struct route_table *routes; /* everybody's */
	struct owner **owners;      /* of our routes, one for each module */
	size_t n_owners;
	struct lookups *lookups;
	struct consistency *consistency;
	struct answer_cache *cache; /* NULL: nothing is kept */
	LIST_HEAD(query_list, query) busy, idle;
	int n_idle;
	int64_t logged_at; /* when a statement's failure was logged last */
	struct metric *aborted;
};

/* A query in DECIDING, held once; NULL: out of memory. */
struct query *query_take(struct query_bus *bus, struct http_request *http,
                         const struct query_route *route);
void query_let_go(struct query *q);
void query_free_idle(struct query_bus *bus);

/* A loop_fn: the client of query `arg` is gone. */
void query_on_gone(void *arg);

/* Sends a statement and holds the query until it is done; false after a refusal. */
bool query_submit_rows(struct query *q);
bool query_submit_count(struct query *q);

/* Writes n rows as the body; the statement that brought them may have been for other queries, too.
 */
void query_write_rows(struct query *q, const PGresult *rows, int first, int n);
/* All statements are done, and well. */
void query_respond(struct query *q);

/* What is kept of an earlier one. */
void query_respond_cached(struct http_request *http, const struct cached_answer *answer);
/* What its route and Consistency-Token wait for. */
const char *query_view(const struct query_route *route);

/* The response is complete or nobody waits for it: what still runs is not needed. */
void query_finish(struct query *q);

/* ---- query_refuse.c ---- */

/* Answers with a problem, or cuts a stream short; the query is OVER. */
void query_refuse(struct query *q, int status, const char *code, const char *param,
                  const char *text);
void query_refuse_param(struct query *q, const struct param_error *error);
void query_refuse_memory(struct query *q);
void query_refuse_overloaded(struct query *q);
/* Its statement was not answered. */
void query_refuse_answer(struct query *q, enum pg_answer answer, const struct pg_error *error);
/* A mistake in a module or in the schema: logged; the client learns no details. */
void query_refuse_broken(struct query *q, const char *why);

#endif
