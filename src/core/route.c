/* SPDX-License-Identifier: MIT */
/* All routes of the process, and which one a path means. */
#include "route.h"

#include <stdio.h>
#include <stdlib.h>

void route_free(struct route *route)
{
	if (!route)
		return;
	free(route->pattern);
	free(route);
}

void route_table_release(struct route_table *table)
{
	for (size_t i = 0; i < table->n; i++) {
		struct route *route = table->list[i], *next;
		for (; route; route = next) {
			next = route->next;
			route_free(route);
		}
	}
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

bool route_compile(struct route *route, const char *path, const struct cqrs_param *params,
                   size_t n_core, struct buf *error)
{
	struct param_text names[ROUTE_SEGMENTS_MAX];
	size_t n = 0, size = sizeof ROUTE_BASE + strlen(path);
	route->pattern = malloc(size);
	if (!route->pattern) {
		buf_puts(error, "out of memory");
		return false;
	}
	snprintf(route->pattern, size, "%s%s", ROUTE_BASE, path);
	if (path[0] != '/' || !compile(route)) {
		buf_puts(error, "a path is \"/text/{parameter}/…\" of letters, digits and _-.");
		return false;
	}
	for (size_t i = 0; i < route->n_segments; i++) {
		if (route->segments[i].param)
			names[n++] =
			    (struct param_text){route->segments[i].text, route->segments[i].len};
	}
	return param_table_init(&route->params, params, names, n, n_core, error);
}

/* Another method of a path that is there already. */
static bool join(struct route *first, struct route *route, struct buf *error)
{
	struct route *same = route_for(first, route->method);
	if (same)
		buf_printf(error, "module %s has that path already", same->module);
	else if (strcmp(first->pattern, route->pattern) != 0)
		buf_printf(error, "module %s calls it %s: give its parameters the same names",
		           first->module, first->pattern + strlen(ROUTE_BASE));
	else
		return true;
	return false;
}

bool route_add(struct route_table *table, struct route *route, struct buf *error)
{
	size_t i = table->n;
	while (i && compare(route, table->list[i - 1]) < 0)
		i--;
	if (i && compare(route, table->list[i - 1]) == 0) {
		struct route *first = table->list[i - 1];
		if (!join(first, route, error))
			return false;
		while (first->next)
			first = first->next;
		first->next = route;
		return true;
	}
	if (table->n == ROUTE_TABLE_MAX) {
		buf_printf(error, "more than %d paths", ROUTE_TABLE_MAX);
		return false;
	}
	memmove(&table->list[i + 1], &table->list[i], (table->n - i) * sizeof *table->list);
	table->list[i] = route;
	table->n++;
	return true;
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

struct route *route_for(struct route *first, enum http_method method)
{
	if (method == HTTP_HEAD)
		method = HTTP_GET;
	while (first && first->method != method)
		first = first->next;
	return first;
}
