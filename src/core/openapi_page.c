/* SPDX-License-Identifier: MIT */
/* The routes described as a page for people. */
#include "openapi.h"
#include "param_value.h"

static void put_html(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '<')
			buf_puts(out, "&lt;");
		else if (*text == '&')
			buf_puts(out, "&amp;");
		else if (*text == '"')
			buf_puts(out, "&quot;");
		else
			buf_putc(out, *text);
	}
}

/* A path that can be asked for: each parameter has some value that is allowed. */
static void put_example(struct buf *out, const struct route *route)
{
	for (size_t i = 0, nth = 0; i < route->n_segments; i++) {
		const struct route_segment *s = &route->segments[i];
		buf_putc(out, '/');
		if (!s->param) {
			buf_add(out, s->text, s->len);
			continue;
		}
		const struct cqrs_param *param = route->params.list[route->params.path[nth++]];
		if (param->initial)
			put_html(out, param->initial);
		else if (param->type == CQRS_PARAM_CHOICE)
			buf_add(out, param->choices, strcspn(param->choices, "|"));
		else if (param->type == CQRS_PARAM_TIME)
			buf_puts(out, "now");
		else if (param->type == CQRS_PARAM_UUID)
			buf_puts(out, "00000000-0000-0000-0000-000000000000");
		else if (param->type == CQRS_PARAM_DURATION)
			param_value_duration(out, param->min ? param->min : 1000000);
		else
			buf_printf(out, "%lld", (long long)(param->min > 1 ? param->min : 1));
	}
}

static void put_item(struct buf *out, const struct route *route)
{
	bool reads = route->method == HTTP_GET;
	buf_puts(out, "<li>");
	if (reads) {
		buf_puts(out, "<a href=\"");
		put_example(out, route);
		buf_puts(out, "\">");
	} else {
		buf_printf(out, "%s ", http_method_label(route->method));
	}
	put_html(out, route->pattern);
	buf_puts(out, reads ? "</a> – " : " – ");
	put_html(out, route->summary);
	const char *before = "<br><small>";
	for (size_t i = 0; i < route->params.n_own; i++) {
		buf_puts(out, before);
		buf_puts(out, "<code title=\"");
		put_html(out, route->params.list[i]->help ? route->params.list[i]->help : "");
		buf_puts(out, "\">");
		put_html(out, route->params.list[i]->name);
		buf_puts(out, "</code>");
		before = " ";
	}
	buf_puts(out, route->params.n_own ? "</small></li>\n" : "</li>\n");
}

void openapi_write_page(const struct route_table *routes, struct buf *out)
{
	buf_puts(
	    out,
	    "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">"
	    "<title>cqrsd</title></head>\n<body>\n<h1>What can be asked and told</h1>\n<ul>\n");
	for (size_t i = 0; i < routes->n; i++)
		for (const struct route *route = routes->list[i]; route; route = route->next)
			put_item(out, route);
	buf_puts(out, "</ul>\n<p>All parameters: <a href=\"" ROUTE_BASE "/openapi.json\">"
	              "OpenAPI document</a>.  Formats, by Accept: application/json, "
	              "application/x-ndjson, text/csv.</p>\n</body>\n</html>\n");
}
