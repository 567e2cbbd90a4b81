/* SPDX-License-Identifier: MIT */
/* The read path: from a request to a route, to a statement, to rows, to the response. */
#include "query_bus.h"

#include "consistency.h"
#include "lookup.h"
#include "query.h"

#include <assert.h>
#include <stdlib.h>

/* What a module's routes belong to. */
struct owner {
	struct cqrs_routes routes; /* first: the owner is found back from it */
	struct query_bus *bus;
};

/* ---- deciding ---- */

/* 1, 2, 5, 10, 20, 50, 100 … */
static bool is_round(int64_t n)
{
	while (n > 9 && n % 10 == 0)
		n /= 10;
	return n == 1 || n == 2 || n == 5;
}

/*
 * For PostgreSQL a limit that it does not see is a tenth of all rows, which looks so dear that it
 * makes a plan for each request.  So it sees those that people use; a prepared statement for each
 * number would be too many of them.
 */
static void add_limit(struct cqrs_answer *rows, int64_t limit)
{
	struct cqrs_value and_next = cqrs_int8(limit + 1);
	if (is_round(limit))
		buf_printf(&rows->sql, " LIMIT %lld", (long long)and_next.i);
	else
		cqrs_sql_bind(rows, " LIMIT $?", &and_next, 1);
}

/* Behind the module's statement goes what the core knows about the page. */
static void add_page(struct query *q, struct cqrs_answer *rows)
{
	struct cqrs_value offset = cqrs_int8(q->page.offset);
	if (q->page.limit)
		add_limit(rows, q->page.limit);
	else if (q->page.stream && http_request_method(q->http) == HTTP_HEAD)
		cqrs_sql(rows, " LIMIT 0");
	if (q->page.offset)
		cqrs_sql_bind(rows, " OFFSET $?", &offset, 1);
}

/* Has the module write its statement; false after a refusal. */
static bool decide(struct query *q)
{
	const struct query_route *route = q->route;
	struct cqrs_answer *rows = &q->rows.answer, *count = &q->count.answer;
	struct cqrs_request *req = &q->request;
	req->row_limit = q->page.limit ? q->page.offset + q->page.limit + 1 : CQRS_ROWS_ALL;
	route->def->query(route->owner->self, req, rows);
	if (!rows->sql.len && !rows->refused) {
		query_refuse_broken(q, "it made no statement");
		return false;
	}
	add_page(q, rows);
	if (q->page.counted && !rows->refused) {
		req->cursor = NULL;
		req->row_limit = CQRS_ROWS_COUNTED;
		cqrs_sql(count, "SELECT count(*) FROM (");
		route->def->query(route->owner->self, req, count);
		cqrs_sql(count, ") AS counted");
	}
	if (rows->refused || count->refused)
		query_refuse_param(q, rows->refused ? &rows->error : &count->error);
	else if (!answer_finish(rows) || !answer_finish(count))
		query_refuse_memory(q);
	return q->state == QUERY_DECIDING;
}

/* The request's parameters, its page and its cursor; false after a refusal. */
static bool understand(struct query *q, const struct param_text *path)
{
	struct param_error error = {.param = ""};
	struct cqrs_request *req = &q->request;
	bool paged = q->route->def->key != NULL;
	if (!param_parse(&q->route->base.params, req, path, http_request_query(q->http),
	                 loop_wall_clock(q->bus->loop), &error) ||
	    !page_init(&q->page, req, paged, q->media, &error)) {
		query_refuse_param(q, &error);
		return false;
	}
	if (param_core_given(req, PARAM_CURSOR)) {
		const struct cqrs_value *text = param_core(req, PARAM_CURSOR);
		size_t n = 0;
		while (q->route->def->key[n])
			n++;
		if (!cursor_decode(&q->cursor, q->route->hash ^ req->hash, n, text->s.data,
		                   text->s.len)) {
			query_refuse(
			    q, 400, "invalid_cursor", "cursor",
			    "this cursor does not belong to this query: take it from the Link "
			    "header as it is, and keep the other parameters");
			return false;
		}
		req->cursor = q->cursor.values;
	}
	return true;
}

/* False after a refusal. */
static bool ask(struct query *q)
{
	if (q->route->def->lookup)
		return lookup_join(q->bus->lookups, q);
	return decide(q) && query_submit_rows(q) && (!q->page.counted || query_submit_count(q));
}

/* The key by which the answer to a request may be kept, as who changes the object writes it. */
static struct param_text cache_key(const struct query_route *route, struct http_request *http,
                                   const struct param_text *path, enum media_type media)
{
	static const struct param_text none = {"", 0};
	if (!route->def->cached || media != MEDIA_JSON || *http_request_query(http))
		return none;
	for (size_t i = 0; i < path->len; i++)
		if (route->def->params[0].type == CQRS_PARAM_UUID && path->text[i] >= 'A' &&
		    path->text[i] <= 'F')
			return none;
	/* A number has one spelling only without zeros in front. */
	bool is_number = route->def->params[0].type == CQRS_PARAM_INTEGER;
	return is_number && (*path->text < '1' || *path->text > '9') ? none : *path;
}

/* True: it is answered. */
static bool answer_from_cache(struct query_bus *bus, const struct query_route *route,
                              struct http_request *http, const struct param_text *key)
{
	/* Who waited for a change must not miss it for the sake of a notification. */
	if (!key->len || http_request_header(http, "Consistency-Token"))
		return false;
	const struct cached_answer *kept =
	    answer_cache_find(bus->cache, query_view(route), key->text, key->len);
	if (kept)
		query_respond_cached(http, kept);
	return kept;
}

/* A route_handle_fn: of a request that need not wait for what others have written. */
static void answer(const struct route *base, struct http_request *http,
                   const struct param_text *path)
{
	const struct query_route *route = (const struct query_route *)base;
	struct query_bus *bus = ((const struct owner *)route->owner)->bus;
	enum media_type media = media_type_choose(http_request_header(http, "Accept"));
	if (media == MEDIA_NONE) {
		http_respond_problem(
		    http, 406, "not_acceptable", NULL,
		    "this route answers as application/json, application/x-ndjson or "
		    "text/csv: name one of them in Accept, or leave it out");
		return;
	}
	struct param_text key = {"", 0};
	if (bus->cache)
		key = cache_key(route, http, path, media);
	if (answer_from_cache(bus, route, http, &key))
		return;
	struct query *q = query_take(bus, http, route);
	if (!q) {
		http_respond_no_memory(http);
		return;
	}
	q->media = media;
	q->key = key;
	if (key.len)
		q->asked = answer_cache_now(bus->cache);
	if (understand(q, path) && ask(q))
		http_request_on_gone(http, query_on_gone, q);
	query_let_go(q);
}

/* A route_handle_fn. */
static void handle(const struct route *base, struct http_request *http,
                   const struct param_text *path)
{
	const struct query_route *route = (const struct query_route *)base;
	struct query_bus *bus = ((const struct owner *)route->owner)->bus;
	if (!consistency_wait(bus->consistency, base, http, path, query_view(route), answer))
		answer(base, http, path);
}

/* ---- life ---- */

#define MAX_WAITING 1024 /* for what others have written */

struct query_bus *query_bus_new(struct loop *loop, struct pg_pool *pool, struct route_table *routes,
                                struct metrics *metrics, size_t max_response_bytes,
                                int64_t timeout_us, int64_t max_wait_us)
{
	const struct consistency_config config = {
	    .timeout_us = timeout_us, .max_wait_us = max_wait_us, .max_waiting = MAX_WAITING};
	struct query_bus *bus = calloc(1, sizeof *bus);
	if (!bus)
		return NULL;
	bus->loop = loop;
	bus->pool = pool;
	bus->routes = routes;
	bus->metrics = metrics;
	bus->max_response_bytes = max_response_bytes;
	bus->timeout_us = timeout_us;
	LIST_INIT(&bus->busy);
	LIST_INIT(&bus->idle);
	bus->lookups = lookups_new(loop, pool, timeout_us, metrics);
	bus->consistency = consistency_new(loop, pool, &config, metrics);
	if (!bus->lookups || !bus->consistency) {
		query_bus_free(bus);
		return NULL;
	}
	bus->aborted = metrics_counter(metrics, "cqrsd_query_streams_aborted_total", "",
	                               "Streamed answers cut short because of an error");
	return bus;
}

void query_bus_use_cache(struct query_bus *bus, struct answer_cache *cache)
{
	bus->cache = cache;
}

void query_bus_free(struct query_bus *bus)
{
	if (!bus)
		return;
	lookups_free(bus->lookups);
	consistency_free(bus->consistency);
	assert(LIST_EMPTY(&bus->busy));
	query_free_idle(bus);
	for (size_t i = 0; i < bus->n_owners; i++) {
		buf_release(&bus->owners[i]->routes.error);
		free(bus->owners[i]);
	}
	free(bus->owners);
	free(bus);
}

struct cqrs_routes *query_bus_routes(struct query_bus *bus, const char *module)
{
	struct owner **owners = realloc(bus->owners, (bus->n_owners + 1) * sizeof(*owners));
	struct owner *owner = calloc(1, sizeof *owner);
	if (owners)
		bus->owners = owners;
	if (!owners || !owner) {
		free(owner);
		return NULL;
	}
	owners[bus->n_owners++] = owner;
	owner->bus = bus;
	owner->routes.module = module;
	owner->routes.table = bus->routes;
	owner->routes.handle = handle;
	return &owner->routes;
}

static void add_metrics(struct query_bus *bus, const struct cqrs_routes *routes)
{
	struct buf labels = BUF_INIT;
	for (size_t i = 0; i < bus->routes->n; i++) {
		struct route *base = route_for(bus->routes->list[i], HTTP_GET);
		struct query_route *route = (struct query_route *)base;
		if (!base || base->handle != handle || route->owner != routes)
			continue;
		buf_clear(&labels);
		metrics_label(&labels, "route", base->pattern);
		route->rows =
		    metrics_counter(bus->metrics, "cqrsd_query_rows_total", metrics_labels(&labels),
		                    "Rows that queries returned");
	}
	buf_release(&labels);
}

bool query_bus_started(struct cqrs_routes *routes, void *self, struct buf *error)
{
	routes->self = self;
	if (self && !routes->error.len) {
		add_metrics(((struct owner *)routes)->bus, routes);
		return true;
	}
	buf_puts(error,
	         routes->error.len ? buf_str(&routes->error) : "start() failed without a reason");
	return false;
}
