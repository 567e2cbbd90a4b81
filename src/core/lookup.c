/* SPDX-License-Identifier: MIT */
/* One statement for many requests. */
#include "lookup.h"

#include "pg_value.h"
#include "query.h"

#include <stdlib.h>

#define TOGETHER PARAM_REPEAT_MAX
#define IDLE_MAX 8 /* kept for the next turns */

struct lookup {
	struct pg_query pg; /* first: a lookup is found back from it */
	struct lookups *lookups;
	const struct query_route *route;
	struct cqrs_request request; /* of all; its parameter is `keys` */
	struct cqrs_answer answer;
	struct query *queries[TOGETHER]; /* each is held */
	struct cqrs_value keys[TOGETHER];
	size_t n;
	int64_t since; /* the first of them */
	TAILQ_ENTRY(lookup) link;
};

TAILQ_HEAD(lookup_list, lookup);

struct lookups {
	struct pg_pool *pool;
	int64_t timeout_us;
	struct timer *turn;
	struct lookup_list open; /* not asked yet */
	struct lookup_list idle;
	int n_idle;
	struct metric *shared;
};

/* ---- the memory of a lookup ---- */

static void destroy(struct lookup *lookup)
{
	answer_release(&lookup->answer);
	free(lookup);
}

static struct lookup *take(struct lookups *lookups, const struct query_route *route)
{
	struct lookup *lookup = TAILQ_FIRST(&lookups->idle);
	if (lookup) {
		TAILQ_REMOVE(&lookups->idle, lookup, link);
		lookups->n_idle--;
	} else if (!(lookup = calloc(1, sizeof *lookup))) {
		return NULL;
	}
	lookup->lookups = lookups;
	lookup->route = route;
	lookup->n = 0;
	answer_clear(&lookup->answer);
	return lookup;
}

/* Its queries are let go, with or without a response. */
static void give_back(struct lookup *lookup)
{
	struct lookups *lookups = lookup->lookups;
	for (size_t i = 0; i < lookup->n; i++)
		query_let_go(lookup->queries[i]);
	if (lookups->n_idle == IDLE_MAX) {
		destroy(lookup);
		return;
	}
	TAILQ_INSERT_HEAD(&lookups->idle, lookup, link);
	lookups->n_idle++;
}

static void add(struct lookup *lookup, struct query *q)
{
	if (!lookup->n)
		lookup->since = http_request_time(q->http);
	q->state = QUERY_WAITING;
	q->holds++;
	lookup->keys[lookup->n] = q->request.values[0];
	lookup->queries[lookup->n++] = q;
}

/* ---- answers ---- */

static bool has_key(const PGresult *rows, int row, int column, const struct cqrs_value *key)
{
	const char *data = PQgetvalue(rows, row, column);
	int len = PQgetlength(rows, row, column);
	if (key->type == CQRS_INT4)
		return len == 4 && (int32_t)pg_get32(data) == key->i;
	return (size_t)len == key->s.len && !memcmp(data, key->s.data, key->s.len);
}

static int find_row(const PGresult *rows, int column, const struct cqrs_value *key)
{
	int row = PQntuples(rows) - 1;
	while (row >= 0 && !has_key(rows, row, column, key))
		row--;
	return row;
}

static void on_rows(struct pg_query *pg, const PGresult *rows)
{
	struct lookup *lookup = (struct lookup *)pg;
	const char *name = lookup->route->def->lookup;
	int column = PQfnumber(rows, name);
	for (size_t i = 0; i < lookup->n; i++) {
		struct query *q = lookup->queries[i];
		if (q->state == QUERY_OVER)
			continue;
		int row = column < 0 ? -1 : find_row(rows, column, &lookup->keys[i]);
		buf_clear(&q->trouble);
		if (column < 0)
			buf_printf(&q->trouble, "its statement returns no \"%s\"", name);
		q->n_rows = row >= 0;
		query_write_rows(q, rows, row, q->n_rows);
	}
}

static void ask(struct lookup *lookup);

/* One key can be a mistake that is nobody else's. */
static void ask_one_by_one(const struct lookup *lookup)
{
	for (size_t i = 0; i < lookup->n; i++) {
		struct query *q = lookup->queries[i];
		struct lookup *alone =
		    q->state == QUERY_OVER ? NULL : take(lookup->lookups, lookup->route);
		if (alone) {
			add(alone, q);
			ask(alone);
		} else if (q->state != QUERY_OVER) {
			query_refuse_memory(q);
		}
	}
}

static void on_done(struct pg_query *pg, enum pg_answer answer, const struct pg_error *error)
{
	struct lookup *lookup = (struct lookup *)pg;
	bool bad_key = answer == PG_ANSWER_REFUSED && !strncmp(error->sqlstate, "22", 2);
	if (bad_key && lookup->n > 1) {
		ask_one_by_one(lookup);
		give_back(lookup);
		return;
	}
	for (size_t i = 0; i < lookup->n; i++) {
		struct query *q = lookup->queries[i];
		if (q->state == QUERY_OVER)
			continue;
		if (answer == PG_ANSWER_OK)
			query_respond(q);
		else
			query_refuse_answer(q, answer, error);
	}
	give_back(lookup);
}

/* ---- asking ---- */

/* Has the module write the statement for all the keys. */
static void decide(struct lookup *lookup)
{
	const struct query_route *route = lookup->route;
	struct cqrs_request *req = &lookup->request;
	enum cqrs_type type = lookup->keys[0].type == CQRS_INT4 ? CQRS_INT4_ARRAY : CQRS_TEXT_ARRAY;
	req->table = &route->base.params;
	req->row_limit = CQRS_ROWS_ALL;
	req->values[0] = cqrs_array(type, lookup->keys, lookup->n);
	route->def->query(route->owner->self, req, &lookup->answer);
}

/* Why the statement cannot be sent. */
static void refuse(struct lookup *lookup)
{
	const struct cqrs_answer *answer = &lookup->answer;
	for (size_t i = 0; i < lookup->n; i++) {
		struct query *q = lookup->queries[i];
		if (q->state == QUERY_OVER)
			continue;
		if (answer->refused)
			query_refuse_param(q, &answer->error);
		else if (answer->sql.failed || answer->data.failed)
			query_refuse_memory(q);
		else if (!answer->sql.len)
			query_refuse_broken(q, "it made no statement");
		else
			query_refuse_overloaded(q);
	}
	give_back(lookup);
}

static void ask(struct lookup *lookup)
{
	struct cqrs_answer *answer = &lookup->answer;
	decide(lookup);
	lookup->pg = (struct pg_query){
	    .sql = answer->sql.data,
	    .n_params = answer->n,
	    .types = answer->types,
	    .values = answer->values,
	    .lengths = answer->lengths,
	    .deadline = lookup->since + lookup->lookups->timeout_us,
	    .on_result = on_rows,
	    .done = on_done,
	};
	metric_add(lookup->lookups->shared, (double)(lookup->n - 1));
	if (!answer->sql.len || answer->refused || !answer_finish(answer) ||
	    !pg_pool_submit(lookup->lookups->pool, &lookup->pg))
		refuse(lookup);
}

static void on_turn(void *arg)
{
	struct lookups *lookups = arg;
	struct lookup *lookup;
	while ((lookup = TAILQ_FIRST(&lookups->open))) {
		TAILQ_REMOVE(&lookups->open, lookup, link);
		ask(lookup);
	}
}

static struct lookup *find_open(const struct lookups *lookups, const struct query_route *route)
{
	struct lookup *lookup;
	TAILQ_FOREACH (lookup, &lookups->open, link) {
		if (lookup->route == route && lookup->n < TOGETHER)
			return lookup;
	}
	return NULL;
}

bool lookup_join(struct lookups *lookups, struct query *q)
{
	struct lookup *lookup = find_open(lookups, q->route);
	if (!lookup) {
		lookup = take(lookups, q->route);
		if (!lookup) {
			query_refuse_memory(q);
			return false;
		}
		TAILQ_INSERT_TAIL(&lookups->open, lookup, link);
		timer_arm(lookups->turn, 0);
	}
	q->page.stream = false; /* it is one row */
	add(lookup, q);
	return true;
}

/* ---- life ---- */

struct lookups *lookups_new(struct loop *loop, struct pg_pool *pool, int64_t timeout_us,
                            struct metrics *metrics)
{
	struct lookups *lookups = calloc(1, sizeof *lookups);
	if (!lookups)
		return NULL;
	lookups->pool = pool;
	lookups->timeout_us = timeout_us;
	TAILQ_INIT(&lookups->open);
	TAILQ_INIT(&lookups->idle);
	lookups->turn = timer_new(loop, on_turn, lookups);
	lookups->shared =
	    metrics_counter(metrics, "cqrsd_query_shared_total", "",
	                    "Requests that were answered by the statement of another");
	if (lookups->turn)
		return lookups;
	free(lookups);
	return NULL;
}

void lookups_free(struct lookups *lookups)
{
	struct lookup *lookup;
	if (!lookups)
		return;
	timer_free(lookups->turn);
	while ((lookup = TAILQ_FIRST(&lookups->open))) {
		TAILQ_REMOVE(&lookups->open, lookup, link);
		give_back(lookup);
	}
	while ((lookup = TAILQ_FIRST(&lookups->idle))) {
		TAILQ_REMOVE(&lookups->idle, lookup, link);
		destroy(lookup);
	}
	free(lookups);
}
