/* SPDX-License-Identifier: MIT */
/* The read path: from a request to a route, to a statement, to rows, to the response. */
#include "query_bus.h"

#include "lookup.h"
#include "openapi.h"
#include "query.h"
#include "suggest.h"

#include <assert.h>
#include <stdlib.h>

#define OPENAPI_PATH ROUTE_BASE "/openapi.json"

/* What a module's routes belong to. */
struct owner {
	struct cqrs_routes routes; /* first: the owner is found back from it */
	struct query_bus *bus;
};

/* ---- deciding ---- */

/* Behind the module's statement goes what the core knows about the page. */
static void add_page(struct query *q, struct cqrs_answer *rows)
{
	struct cqrs_value limit = cqrs_int8(q->page.limit + 1), offset = cqrs_int8(q->page.offset);
	if (q->page.limit)
		cqrs_sql_bind(rows, " LIMIT $?", &limit, 1);
	else if (q->page.stream && http_request_method(q->http) == HTTP_HEAD)
		cqrs_sql(rows, " LIMIT 0");
	if (q->page.offset)
		cqrs_sql_bind(rows, " OFFSET $?", &offset, 1);
}

/* Has the module write its statement; false after a refusal. */
static bool decide(struct query *q)
{
	const struct route *route = q->route;
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
	if (!param_parse(&q->route->params, req, path, http_request_query(q->http),
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

static void run(struct query_bus *bus, struct http_request *http, const struct route *route,
                const struct param_text *path)
{
	enum media_type media = media_type_choose(http_request_header(http, "Accept"));
	if (media == MEDIA_NONE) {
		http_respond_problem(
		    http, 406, "not_acceptable", NULL,
		    "this route answers as application/json, application/x-ndjson or "
		    "text/csv: name one of them in Accept, or leave it out");
		return;
	}
	struct query *q = query_take(bus, http, route);
	if (!q) {
		http_respond_no_memory(http);
		return;
	}
	q->media = media;
	if (understand(q, path) && ask(q))
		http_request_on_gone(http, query_on_gone, q);
	query_let_go(q);
}

/* ---- which route ---- */

static void refuse_path(struct query_bus *bus, struct http_request *http, const char *path)
{
	const char *patterns[ROUTE_TABLE_MAX];
	for (size_t i = 0; i < bus->routes.n; i++)
		patterns[i] = bus->routes.list[i]->pattern;
	const char *near = suggest(path, patterns, bus->routes.n);
	http_respond_problem(http, 404, "no_such_route", NULL,
	                     "there is nothing at %s%s%s; GET / lists what there is", path,
	                     near ? ", did you mean " : "", near ? near : "");
}

/* Whether it is GET or HEAD; the others are answered here. */
static bool check_method(struct http_request *http)
{
	enum http_method method = http_request_method(http);
	if (method == HTTP_GET || method == HTTP_HEAD)
		return true;
	http_respond_header(http, "Allow", "GET, HEAD, OPTIONS");
	if (method == HTTP_OPTIONS)
		http_respond(http, 204, NULL, NULL, 0);
	else
		http_respond_problem(http, 405, "method_not_allowed", NULL,
		                     "%s is not possible here, only GET, HEAD and OPTIONS",
		                     http_request_method_name(http));
	return false;
}

typedef void write_fn(const struct route_table *routes, struct buf *out);

static void respond_document(struct query_bus *bus, struct http_request *http, const char *path,
                             const char *type, struct buf *document, write_fn *write)
{
	http_request_set_route(http, path);
	if (!check_method(http))
		return;
	if (!document->len || document->failed) {
		buf_clear(document);
		write(&bus->routes, document);
	}
	if (document->failed)
		http_respond_no_memory(http);
	else
		http_respond(http, 200, type, document->data, document->len);
}

void query_bus_handle(void *owner, struct http_request *http)
{
	struct query_bus *bus = owner;
	struct param_text values[PARAM_PATH_MAX];
	const char *path = http_request_path(http);
	const struct route *route = route_find(&bus->routes, path, values);
	if (route) {
		http_request_set_route(http, route->pattern);
		if (check_method(http))
			run(bus, http, route, values);
	} else if (!strcmp(path, "/")) {
		respond_document(bus, http, "/", "text/html; charset=utf-8", &bus->page,
		                 openapi_write_page);
	} else if (!strcmp(path, OPENAPI_PATH)) {
		respond_document(bus, http, OPENAPI_PATH, "application/json", &bus->openapi,
		                 openapi_write);
	} else {
		refuse_path(bus, http, path);
	}
}

/* ---- life ---- */

struct query_bus *query_bus_new(struct loop *loop, struct pg_pool *pool, struct metrics *metrics,
                                size_t max_response_bytes, int64_t timeout_us)
{
	struct query_bus *bus = calloc(1, sizeof *bus);
	if (!bus)
		return NULL;
	bus->loop = loop;
	bus->pool = pool;
	bus->metrics = metrics;
	bus->max_response_bytes = max_response_bytes;
	bus->timeout_us = timeout_us;
	LIST_INIT(&bus->busy);
	LIST_INIT(&bus->idle);
	bus->lookups = lookups_new(loop, pool, timeout_us, metrics);
	if (!bus->lookups) {
		free(bus);
		return NULL;
	}
	bus->aborted = metrics_counter(metrics, "cqrsd_query_streams_aborted_total", "",
	                               "Streamed answers cut short because of an error");
	return bus;
}

void query_bus_free(struct query_bus *bus)
{
	if (!bus)
		return;
	lookups_free(bus->lookups);
	assert(LIST_EMPTY(&bus->busy));
	query_free_idle(bus);
	route_table_release(&bus->routes);
	for (size_t i = 0; i < bus->n_owners; i++) {
		buf_release(&bus->owners[i]->routes.error);
		free(bus->owners[i]);
	}
	free(bus->owners);
	buf_release(&bus->page);
	buf_release(&bus->openapi);
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
	owner->routes.table = &bus->routes;
	buf_clear(&bus->page);
	buf_clear(&bus->openapi);
	return &owner->routes;
}

static void add_metrics(struct query_bus *bus, const struct cqrs_routes *routes)
{
	struct buf labels = BUF_INIT;
	for (size_t i = 0; i < bus->routes.n; i++) {
		struct route *route = bus->routes.list[i];
		if (route->owner != routes)
			continue;
		buf_clear(&labels);
		metrics_label(&labels, "route", route->pattern);
		route->rows =
		    metrics_counter(bus->metrics, "cqrsd_query_rows_total", metrics_labels(&labels),
		                    "Rows that queries returned");
	}
	buf_release(&labels);
}

bool query_bus_started(struct cqrs_routes *routes, void *self, struct buf *errors)
{
	routes->self = self;
	if (self && !routes->error.len) {
		add_metrics(((struct owner *)routes)->bus, routes);
		return true;
	}
	buf_printf(errors, "module %s: %s\n", routes->module,
	           routes->error.len ? buf_str(&routes->error) : "start() failed without a reason");
	return false;
}
