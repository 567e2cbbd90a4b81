/* SPDX-License-Identifier: MIT */
/* The routes of query modules: what they declare, checked. */
#include "query_route.h"

#include "openapi.h"

#include <stdarg.h>
#include <stdlib.h>

static uint64_t hash_text(uint64_t hash, const char *text)
{
	do {
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3u; /* FNV-1a */
	} while (*text++);
	return hash;
}

static uint64_t hash_route(const struct query_route *route)
{
	uint64_t hash = hash_text(0xcbf29ce484222325u, route->base.pattern);
	for (const char *const *key = route->def->key; key && *key; key++)
		hash = hash_text(hash, *key);
	return hash;
}

static bool check_lookup(const struct query_route *route, struct buf *error)
{
	const struct cqrs_route *def = route->def;
	enum cqrs_type type =
	    route->base.params.n_own ? route->base.params.initial[0].type : CQRS_BOOL;
	if (!def->lookup || (def->one && route->base.params.n_own == 1 &&
	                     !strcmp(route->base.params.list[0]->name, def->lookup) &&
	                     (type == CQRS_INT4 || type == CQRS_TEXT)))
		return true;
	buf_printf(error,
	           "what is looked up by \"%s\" is one object, and that its only parameter, "
	           "text or an integer within int4",
	           def->lookup);
	return false;
}

/* Everything about a route that can be wrong is a mistake in a module. */
static bool check(struct query_route *route, struct buf *error)
{
	const struct cqrs_route *def = route->def;
	size_t keys = 0;
	while (def->key && def->key[keys])
		keys++;
	if (!def->query || keys > CQRS_KEY_MAX || (def->key && (!keys || def->one))) {
		buf_printf(error,
		           "a route has a query function, and if it is a list a key of at most "
		           "%d columns",
		           CQRS_KEY_MAX);
		return false;
	}
	if (def->cached &&
	    (!def->one || !def->params || !def->params[0].name || def->params[1].name)) {
		buf_puts(error, "what is kept is one object, by its only parameter");
		return false;
	}
	return openapi_is_schema(def->object, "object", error) &&
	       route_compile(&route->base, def->path, def->params,
	                     keys ? PARAM_N_CORE : PARAM_TIME_FORMAT + 1, error) &&
	       check_lookup(route, error);
}

void cqrs_routes_add(struct cqrs_routes *routes, const struct cqrs_route *def)
{
	struct buf why = BUF_INIT;
	struct query_route *route = calloc(1, sizeof *route);
	if (route) {
		route->base = (struct route){.method = HTTP_GET,
		                             .module = routes->module,
		                             .summary = def->summary,
		                             .handle = routes->handle,
		                             .describe = query_route_describe,
		                             .headers = query_route_headers(def)};
		route->def = def;
		route->owner = routes;
	} else {
		buf_puts(&why, "out of memory");
	}
	if (route && check(route, &why) && route_add(routes->table, &route->base, &why)) {
		route->hash = hash_route(route);
		return;
	}
	buf_printf(&routes->error, "%sroute %s: %s", routes->error.len ? "; " : "", def->path,
	           buf_str(&why));
	buf_release(&why);
	if (route)
		route_free(&route->base);
}

void cqrs_routes_fail(struct cqrs_routes *routes, const char *fmt, ...)
{
	va_list ap;
	if (routes->error.len)
		buf_puts(&routes->error, "; ");
	va_start(ap, fmt);
	buf_vprintf(&routes->error, fmt, ap);
	va_end(ap);
}
