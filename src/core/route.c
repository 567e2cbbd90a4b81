/* SPDX-License-Identifier: MIT */
/* The routes of all query modules, and which one a path means. */
#include "route.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void route_free(struct route *route)
{
	if (!route)
		return;
	free(route->pattern);
	free(route);
}

void route_table_release(struct route_table *table)
{
	for (size_t i = 0; i < table->n; i++)
		route_free(table->list[i]);
	table->n = 0;
}

/* ---- adding ---- */

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || c == '.';
}

static bool compile_segment(struct route *route, const char *text, size_t len)
{
	if (!len || route->n_segments == ROUTE_SEGMENTS_MAX)
		return false;
	bool param = len > 2 && text[0] == '{' && text[len - 1] == '}';
	if (param) {
		text++;
		len -= 2;
	}
	for (size_t i = 0; i < len; i++) {
		if (!is_name_char(text[i]))
			return false;
	}
	route->segments[route->n_segments++] = (struct route_segment){text, len, param};
	return true;
}

/* "/a/{b}" into segments; false: it is not of that form. */
static bool compile(struct route *route)
{
	const char *s = route->pattern;
	while (*s == '/') {
		size_t len = strcspn(++s, "/");
		if (!compile_segment(route, s, len))
			return false;
		s += len;
	}
	return !*s && route->n_segments;
}

/* Below 0: `a` is tried before `b`; 0: they mean the same paths. */
static int compare(const struct route *a, const struct route *b)
{
	size_t n = a->n_segments < b->n_segments ? a->n_segments : b->n_segments;
	for (size_t i = 0; i < n; i++) {
		const struct route_segment *x = &a->segments[i], *y = &b->segments[i];
		if (x->param != y->param)
			return x->param - y->param;
		if (x->param)
			continue;
		int order = strncmp(x->text, y->text, x->len < y->len ? x->len : y->len);
		if (order || x->len != y->len)
			return order ? order : (x->len < y->len ? -1 : 1);
	}
	return (a->n_segments > b->n_segments) - (a->n_segments < b->n_segments);
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
	do {
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3u; /* FNV-1a */
	} while (*text++);
	return hash;
}

static uint64_t hash_route(const struct route *route)
{
	uint64_t hash = hash_text(0xcbf29ce484222325u, route->pattern);
	for (const char *const *key = route->def->key; key && *key; key++)
		hash = hash_text(hash, *key);
	return hash;
}

static bool check_lookup(const struct route *route, struct buf *error)
{
	const struct cqrs_route *def = route->def;
	enum cqrs_type type = route->params.n_own ? route->params.initial[0].type : CQRS_BOOL;
	if (!def->lookup || (def->one && route->params.n_own == 1 &&
	                     !strcmp(route->params.list[0]->name, def->lookup) &&
	                     (type == CQRS_INT4 || type == CQRS_TEXT)))
		return true;
	buf_printf(error,
	           "what is looked up by \"%s\" is one object, and that its only parameter, "
	           "text or an integer within int4",
	           def->lookup);
	return false;
}

/* Everything about a route that can be wrong is a mistake in a module. */
static bool check(struct route *route, struct buf *error)
{
	struct param_text path[ROUTE_SEGMENTS_MAX];
	size_t n = 0, keys = 0;
	if (route->def->path[0] != '/' || !compile(route)) {
		buf_puts(error, "a path is \"/text/{parameter}/…\" of letters, digits and _-.");
		return false;
	}
	for (size_t i = 0; i < route->n_segments; i++) {
		if (route->segments[i].param)
			path[n++] =
			    (struct param_text){route->segments[i].text, route->segments[i].len};
	}
	while (route->def->key && route->def->key[keys])
		keys++;
	if (!route->def->query || keys > CQRS_KEY_MAX ||
	    (route->def->key && (!keys || route->def->one))) {
		buf_printf(error,
		           "a route has a query function, and if it is a list a key of at most "
		           "%d columns",
		           CQRS_KEY_MAX);
		return false;
	}
	return param_table_init(&route->params, route->def->params, path, n, keys > 0, error) &&
	       check_lookup(route, error);
}

static bool insert(struct route_table *table, struct route *route, struct buf *error)
{
	size_t i = table->n;
	if (table->n == ROUTE_TABLE_MAX) {
		buf_printf(error, "more than %d routes", ROUTE_TABLE_MAX);
		return false;
	}
	while (i && compare(route, table->list[i - 1]) < 0)
		i--;
	if (i && compare(route, table->list[i - 1]) == 0) {
		buf_printf(error, "module %s has that path already",
		           table->list[i - 1]->owner->module);
		return false;
	}
	memmove(&table->list[i + 1], &table->list[i], (table->n - i) * sizeof *table->list);
	table->list[i] = route;
	table->n++;
	return true;
}

static struct route *route_new(const struct cqrs_routes *owner, const struct cqrs_route *def)
{
	struct route *route = calloc(1, sizeof *route);
	if (!route)
		return NULL;
	route->owner = owner;
	route->def = def;
	size_t size = sizeof ROUTE_BASE + strlen(def->path);
	route->pattern = malloc(size);
	if (!route->pattern) {
		free(route);
		return NULL;
	}
	snprintf(route->pattern, size, "%s%s", ROUTE_BASE, def->path);
	return route;
}

void cqrs_routes_add(struct cqrs_routes *routes, const struct cqrs_route *def)
{
	struct buf why = BUF_INIT;
	struct route *route = route_new(routes, def);
	if (!route)
		buf_puts(&why, "out of memory");
	if (route && check(route, &why) && insert(routes->table, route, &why)) {
		route->hash = hash_route(route);
		return;
	}
	buf_printf(&routes->error, "%sroute %s: %s", routes->error.len ? "; " : "", def->path,
	           buf_str(&why));
	buf_release(&why);
	route_free(route);
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

/* ---- finding ---- */

/* Cuts a path at its slashes; -1: more segments than any route has, or an empty one. */
static int cut(const char *path, struct param_text segments[ROUTE_SEGMENTS_MAX])
{
	int n = 0;
	while (*path == '/') {
		size_t len = strcspn(++path, "/");
		if (!len || n == ROUTE_SEGMENTS_MAX)
			return -1;
		segments[n++] = (struct param_text){path, len};
		path += len;
	}
	return *path ? -1 : n;
}

static bool matches(const struct route *route, const struct param_text *segments)
{
	/* From behind: the first segments are the same for most routes. */
	for (size_t i = route->n_segments; i--;) {
		const struct route_segment *s = &route->segments[i];
		if (!s->param &&
		    (s->len != segments[i].len || memcmp(s->text, segments[i].text, s->len)))
			return false;
	}
	return true;
}

struct route *route_find(const struct route_table *table, const char *path,
                         struct param_text values[PARAM_PATH_MAX])
{
	struct param_text segments[ROUTE_SEGMENTS_MAX];
	int n_segments = cut(path, segments);
	for (size_t i = 0; n_segments > 0 && i < table->n; i++) {
		struct route *route = table->list[i];
		if (route->n_segments != (size_t)n_segments || !matches(route, segments))
			continue;
		for (size_t s = 0, n = 0; s < route->n_segments; s++) {
			if (route->segments[s].param)
				values[n++] = segments[s];
		}
		return route;
	}
	return NULL;
}
