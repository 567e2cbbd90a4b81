/* SPDX-License-Identifier: MIT */
/* The routes described: as an OpenAPI 3.1 document and as a page for people. */
#include "openapi.h"

#include "json_writer.h"
#include "media_type.h"
#include "param_value.h"
#include "url.h"

static void put(struct cqrs_json *out, const char *name, const char *text)
{
	cqrs_json_name(out, name);
	cqrs_json_string(out, text, strlen(text));
}

/* Without memory for the text the document fails. */
static void put_made(struct cqrs_json *out, const char *name, struct buf *text)
{
	put(out, name, buf_str(text));
	out->out->failed |= text->failed;
}

static void open_member(struct cqrs_json *out, const char *name)
{
	cqrs_json_name(out, name);
	cqrs_json_open_object(out);
}

/* {"$ref": …} as a member. */
static void put_reference(struct cqrs_json *out, const char *name, const char *target)
{
	open_member(out, name);
	put(out, "$ref", target);
	cqrs_json_close_object(out);
}

/* ---- parameters ---- */

static void put_limits(struct cqrs_json *out, const struct cqrs_param *param, const char *low,
                       const char *high)
{
	if (!param->min && !param->max)
		return;
	cqrs_json_name(out, low);
	cqrs_json_integer(out, param->min);
	cqrs_json_name(out, high);
	cqrs_json_integer(out, param->max);
}

static void put_choices(struct cqrs_json *out, const char *choices)
{
	const char *choice;
	cqrs_json_name(out, "enum");
	cqrs_json_open_array(out);
	for (size_t len; (len = param_choice_next(&choices, &choice));)
		cqrs_json_string(out, choice, len);
	cqrs_json_close_array(out);
}

/* The schema of one value, without what is around it when it is repeatable. */
static void put_value_schema(struct cqrs_json *out, const struct cqrs_param *param,
                             const struct cqrs_value *initial)
{
	bool integer = param->type == CQRS_PARAM_INTEGER;
	put(out, "type", integer ? "integer" : "string");
	if (integer) {
		put(out, "format", param_value_type(param) == CQRS_INT8 ? "int64" : "int32");
		put_limits(out, param, "minimum", "maximum");
	} else if (param->type == CQRS_PARAM_TEXT) {
		put_limits(out, param, "minLength", "maxLength");
	} else if (param->type == CQRS_PARAM_CHOICE) {
		put_choices(out, param->choices);
	}
	if (!param->initial)
		return;
	if (integer) {
		cqrs_json_name(out, "default");
		cqrs_json_integer(out, initial->i);
	} else {
		put(out, "default", param->initial);
	}
}

static void put_schema(struct cqrs_json *out, const struct cqrs_param *param,
                       const struct cqrs_value *initial)
{
	open_member(out, "schema");
	if (param->repeatable) {
		put(out, "type", "array");
		cqrs_json_name(out, "maxItems");
		cqrs_json_integer(out, PARAM_REPEAT_MAX);
		open_member(out, "items");
		put_value_schema(out, param, initial);
		cqrs_json_close_object(out);
	} else {
		put_value_schema(out, param, initial);
	}
	cqrs_json_close_object(out);
}

/* What the schema cannot say about times and durations stands here. */
static void put_description(struct cqrs_json *out, const struct cqrs_param *param)
{
	struct buf text = BUF_INIT;
	buf_puts(&text, param->help ? param->help : "");
	if (param->type == CQRS_PARAM_TIME || param->type == CQRS_PARAM_DURATION) {
		buf_puts(&text, text.len ? "; " : "");
		param_value_describe(param, &text);
	}
	put_made(out, "description", &text);
	buf_release(&text);
}

static void put_param(struct cqrs_json *out, const struct param_table *table, size_t i)
{
	const struct cqrs_param *param = table->list[i];
	cqrs_json_open_object(out);
	put(out, "name", param->name);
	put(out, "in", table->in_path[i] ? "path" : "query");
	cqrs_json_name(out, "required");
	cqrs_json_bool(out, table->in_path[i]);
	put_description(out, param);
	put_schema(out, param, &table->initial[i]);
	cqrs_json_close_object(out);
}

/* ---- responses ---- */

static void put_content(struct cqrs_json *out, const struct cqrs_route *def)
{
	open_member(out, "content");
	for (int type = 0; type < MEDIA_TYPES; type++) {
		open_member(out, media_type_name((enum media_type)type));
		open_member(out, "schema");
		if (type != MEDIA_JSON) {
			put(out, "type", "string");
		} else if (def->one) {
			put(out, "type", "object");
		} else {
			put(out, "type", "array");
			open_member(out, "items");
			put(out, "type", "object");
			cqrs_json_close_object(out);
		}
		cqrs_json_close_object(out);
		cqrs_json_close_object(out);
	}
	cqrs_json_close_object(out);
}

static void put_header(struct cqrs_json *out, const char *name, const char *type,
                       const char *description)
{
	open_member(out, name);
	put(out, "description", description);
	open_member(out, "schema");
	put(out, "type", type);
	cqrs_json_close_object(out);
	cqrs_json_close_object(out);
}

static void put_responses(struct cqrs_json *out, const struct cqrs_route *def)
{
	open_member(out, "responses");
	open_member(out, "200");
	put(out, "description", def->summary);
	if (def->key) {
		open_member(out, "headers");
		put_header(out, "Link", "string", "rel=\"next\": the next page, if there is one");
		put_header(out, "Total-Count", "integer", "all rows, with count=exact");
		cqrs_json_close_object(out);
	}
	put_content(out, def);
	cqrs_json_close_object(out);
	put_reference(out, "400", "#/components/responses/Problem");
	if (def->one)
		put_reference(out, "404", "#/components/responses/Problem");
	put_reference(out, "406", "#/components/responses/Problem");
	put_reference(out, "503", "#/components/responses/Problem");
	put_reference(out, "504", "#/components/responses/Problem");
	put_reference(out, "default", "#/components/responses/Problem");
	cqrs_json_close_object(out);
}

/* ---- the document ---- */

/* "/api/v1/sensors/{id}" as "get_sensors_id". */
static void put_operation_id(struct cqrs_json *out, const struct route *route)
{
	struct buf id = BUF_INIT;
	buf_puts(&id, "get");
	for (size_t i = 2; i < route->n_segments; i++) {
		buf_putc(&id, '_');
		for (size_t c = 0; c < route->segments[i].len; c++) {
			char letter = route->segments[i].text[c];
			buf_putc(&id, letter == '-' || letter == '.' ? '_' : letter);
		}
	}
	put_made(out, "operationId", &id);
	buf_release(&id);
}

static void put_route(struct cqrs_json *out, const struct route *route)
{
	open_member(out, route->pattern);
	open_member(out, "get");
	put(out, "summary", route->def->summary);
	put_operation_id(out, route);
	cqrs_json_name(out, "tags");
	cqrs_json_open_array(out);
	cqrs_json_string(out, route->owner->module, strlen(route->owner->module));
	cqrs_json_close_array(out);
	cqrs_json_name(out, "parameters");
	cqrs_json_open_array(out);
	for (size_t i = 0; i < route->params.n; i++)
		put_param(out, &route->params, i);
	cqrs_json_close_array(out);
	put_responses(out, route->def);
	cqrs_json_close_object(out);
	cqrs_json_close_object(out);
}

/* RFC 9457, and what we add to it. */
static void put_problem_schema(struct cqrs_json *out)
{
	static const char *const texts[] = {"type", "title", "detail",  "instance",
	                                    "code", "param", "trace_id"};
	open_member(out, "schemas");
	open_member(out, "Problem");
	put(out, "type", "object");
	open_member(out, "properties");
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		open_member(out, texts[i]);
		put(out, "type", "string");
		cqrs_json_close_object(out);
	}
	open_member(out, "status");
	put(out, "type", "integer");
	cqrs_json_close_object(out);
	cqrs_json_close_object(out);
	cqrs_json_close_object(out);
	cqrs_json_close_object(out);
}

static void put_components(struct cqrs_json *out)
{
	open_member(out, "components");
	put_problem_schema(out);
	open_member(out, "responses");
	open_member(out, "Problem");
	put(out, "description", "What is wrong, and what to do about it");
	open_member(out, "content");
	open_member(out, "application/problem+json");
	put_reference(out, "schema", "#/components/schemas/Problem");
	for (int i = 0; i < 5; i++)
		cqrs_json_close_object(out);
}

void openapi_write(const struct route_table *routes, struct buf *buf)
{
	struct cqrs_json writer, *out = &writer;
	json_writer_init(out, buf);
	cqrs_json_open_object(out);
	put(out, "openapi", "3.1.0");
	open_member(out, "info");
	put(out, "title", "cqrsd");
	put(out, "version", CQRSD_VERSION);
	put(out, "description",
	    "What can be asked.  Lists are paged by key; follow the Link header.");
	cqrs_json_close_object(out);
	open_member(out, "paths");
	for (size_t i = 0; i < routes->n; i++)
		put_route(out, routes->list[i]);
	cqrs_json_close_object(out);
	put_components(out);
	cqrs_json_close_object(out);
	buf_putc(buf, '\n');
}

/* ---- the page ---- */

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
		else if (param->type == CQRS_PARAM_DURATION)
			param_value_duration(out, param->min ? param->min : 1000000);
		else
			buf_printf(out, "%lld", (long long)(param->min > 1 ? param->min : 1));
	}
}

static void put_item(struct buf *out, const struct route *route)
{
	buf_puts(out, "<li><a href=\"");
	put_example(out, route);
	buf_puts(out, "\">");
	put_html(out, route->pattern);
	buf_puts(out, "</a> – ");
	put_html(out, route->def->summary);
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
	buf_puts(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">"
	              "<title>cqrsd</title></head>\n<body>\n<h1>What can be asked</h1>\n<ul>\n");
	for (size_t i = 0; i < routes->n; i++)
		put_item(out, routes->list[i]);
	buf_puts(out, "</ul>\n<p>All parameters: <a href=\"" ROUTE_BASE "/openapi.json\">"
	              "OpenAPI document</a>.  Formats, by Accept: application/json, "
	              "application/x-ndjson, text/csv.</p>\n</body>\n</html>\n");
}
