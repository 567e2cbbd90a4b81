/* SPDX-License-Identifier: MIT */
/* Who owns the paths of the public listener. */
#include "api.h"

#include "openapi.h"
#include "suggest.h"

#include <stdlib.h>

#define OPENAPI_PATH ROUTE_BASE "/openapi.json"

struct api {
	struct route_table routes;
	struct buf page, openapi; /* made when first asked for */
};

struct api *api_new(void)
{
	return calloc(1, sizeof(struct api));
}

void api_free(struct api *api)
{
	if (!api)
		return;
	route_table_release(&api->routes);
	buf_release(&api->page);
	buf_release(&api->openapi);
	free(api);
}

struct route_table *api_routes(struct api *api)
{
	return &api->routes;
}

/* ---- what is nobody's ---- */

static void refuse_path(struct api *api, struct http_request *http, const char *path)
{
	const char *patterns[ROUTE_TABLE_MAX];
	for (size_t i = 0; i < api->routes.n; i++)
		patterns[i] = api->routes.list[i]->pattern;
	const char *near = suggest(path, patterns, api->routes.n);
	http_respond_problem(http, 404, "no_such_route", NULL,
	                     "there is nothing at %s%s%s; GET / lists what there is", path,
	                     near ? ", did you mean " : "", near ? near : "");
}

/* "GET, HEAD, PUT" and, before the last of them, OPTIONS, `between`. */
static void put_methods(struct buf *out, struct route *first, const char *between)
{
	for (int method = 0; method < HTTP_OPTIONS; method++)
		if (route_for(first, (enum http_method)method))
			buf_printf(out, "%s%s", out->len ? ", " : "",
			           http_method_label((enum http_method)method));
	buf_printf(out, "%sOPTIONS", between);
}

/* OPTIONS, and methods that the path does not have. */
static void refuse_method(struct http_request *http, struct route *first)
{
	struct buf allow = BUF_INIT, list = BUF_INIT;
	put_methods(&allow, first, ", ");
	put_methods(&list, first, " and ");
	if (!allow.failed)
		http_respond_header(http, "Allow", buf_str(&allow));
	if (allow.failed || list.failed)
		http_respond_no_memory(http);
	else if (http_request_method(http) == HTTP_OPTIONS)
		http_respond(http, 204, NULL, NULL, 0);
	else
		http_respond_problem(http, 405, "method_not_allowed", NULL,
		                     "%s is not possible here, only %s",
		                     http_request_method_name(http), buf_str(&list));
	buf_release(&allow);
	buf_release(&list);
}

/* ---- documents ---- */

typedef void write_fn(const struct route_table *routes, struct buf *out);

static void respond_document(struct api *api, struct http_request *http, const char *path,
                             const char *type, struct buf *document, write_fn *write)
{
	struct route gets = {.method = HTTP_GET};
	http_request_set_route(http, path);
	if (!route_for(&gets, http_request_method(http))) {
		refuse_method(http, &gets);
		return;
	}
	if (!document->len || document->failed) {
		buf_clear(document);
		write(&api->routes, document);
	}
	if (document->failed)
		http_respond_no_memory(http);
	else
		http_respond(http, 200, type, document->data, document->len);
}

/* ---- requests ---- */

void api_handle(void *owner, struct http_request *http)
{
	struct api *api = owner;
	struct param_text values[PARAM_PATH_MAX];
	const char *path = http_request_path(http);
	struct route *first = route_find(&api->routes, path, values);
	if (first) {
		struct route *route = route_for(first, http_request_method(http));
		http_request_set_route(http, first->pattern);
		if (route)
			route->handle(route, http, values);
		else
			refuse_method(http, first);
	} else if (!strcmp(path, "/")) {
		respond_document(api, http, "/", "text/html; charset=utf-8", &api->page,
		                 openapi_write_page);
	} else if (!strcmp(path, OPENAPI_PATH)) {
		respond_document(api, http, OPENAPI_PATH, "application/json", &api->openapi,
		                 openapi_write);
	} else {
		refuse_path(api, http, path);
	}
}
