/* SPDX-License-Identifier: MIT */
/* A route of a command module: what it declares, checked. */
#include "command_route.h"

#include "openapi.h"

#include <stdlib.h>

static bool check(struct command_route *route, struct buf *error)
{
	const struct cqrs_command_route *def = route->def;
	enum http_method method = route->base.method;
	if (method == HTTP_GET || method == HTTP_HEAD || method >= HTTP_OPTIONS)
		buf_puts(error, "a command's method is POST, PUT, PATCH or DELETE");
	else if (!def->accept || def->status < 200 || def->status > 202)
		buf_puts(error, "a command has an accept function, and status 200, 201 or 202");
	else
		return openapi_is_schema(def->body, "body", error) &&
		       openapi_is_schema(def->answer, "answer", error) &&
		       route_compile(&route->base, def->path, def->params, 0, error);
	return false;
}

struct command_route *command_route_new(const char *module, const struct cqrs_command_route *def,
                                        struct buf *error)
{
	struct command_route *route = calloc(1, sizeof *route);
	if (!route) {
		buf_puts(error, "out of memory");
		return NULL;
	}
	route->def = def;
	route->base = (struct route){.method = http_method_named(def->method, strlen(def->method)),
	                             .module = module,
	                             .summary = def->summary,
	                             .describe = command_route_describe,
	                             .headers = command_route_headers};
	if (check(route, error))
		return route;
	route_free(&route->base);
	return NULL;
}
