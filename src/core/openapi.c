/* SPDX-License-Identifier: MIT */
/* The routes described as an OpenAPI 3.1 document. */
#include "openapi.h"

#include "json_writer.h"
#include "param_value.h"

void openapi_text(struct cqrs_json *out, const char *name, const char *text)
{
	cqrs_json_name(out, name);
	cqrs_json_string(out, text, strlen(text));
}

/* Without memory for the text the document fails. */
static void put_made(struct cqrs_json *out, const char *name, struct buf *text)
{
	openapi_text(out, name, buf_str(text));
	out->out->failed |= text->failed;
}

void openapi_open(struct cqrs_json *out, const char *name)
{
	cqrs_json_name(out, name);
	cqrs_json_open_object(out);
}

void openapi_raw(struct cqrs_json *out, const char *name, const char *schema)
{
	cqrs_json_name(out, name);
	json_writer_raw(out, schema, strlen(schema));
}

void openapi_json(struct cqrs_json *out, const char *schema)
{
	openapi_open(out, "content");
	openapi_open(out, "application/json");
	openapi_raw(out, "schema", schema);
	cqrs_json_close_object(out);
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

#define DURATION_PATTERN "[0-9]+(us|ms|s|m|h|d)"
/* timestamp_parse(): a plus sign that nobody has escaped is a space. */
#define TIME_PATTERN                                                           \
	"^(now([ +-]" DURATION_PATTERN ")?|[0-9]+|"                            \
	"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?" \
	"([Zz]|[ +-][0-9]{2}:[0-9]{2}))$"

/* The schema of one value, without what is around it when it is repeatable. */
static void put_value_schema(struct cqrs_json *out, const struct cqrs_param *param,
                             const struct cqrs_value *initial)
{
	bool integer = param->type == CQRS_PARAM_INTEGER;
	openapi_text(out, "type", integer ? "integer" : "string");
	if (integer) {
		openapi_text(out, "format",
		             param_value_type(param) == CQRS_INT8 ? "int64" : "int32");
		put_limits(out, param, "minimum", "maximum");
	} else if (param->type == CQRS_PARAM_UUID) {
		openapi_text(out, "format", "uuid");
	} else if (param->type == CQRS_PARAM_TEXT) {
		put_limits(out, param, "minLength", "maxLength");
	} else if (param->type == CQRS_PARAM_CHOICE) {
		put_choices(out, param->choices);
	} else if (param->type == CQRS_PARAM_TIME) {
		openapi_text(out, "pattern", TIME_PATTERN);
	} else if (param->type == CQRS_PARAM_DURATION) {
		openapi_text(out, "pattern", "^" DURATION_PATTERN "$");
	}
	if (!param->initial)
		return;
	if (integer) {
		cqrs_json_name(out, "default");
		cqrs_json_integer(out, initial->i);
	} else {
		openapi_text(out, "default", param->initial);
	}
}

static void put_schema(struct cqrs_json *out, const struct cqrs_param *param,
                       const struct cqrs_value *initial)
{
	openapi_open(out, "schema");
	if (param->repeatable) {
		openapi_text(out, "type", "array");
		cqrs_json_name(out, "maxItems");
		cqrs_json_integer(out, PARAM_REPEAT_MAX);
		openapi_open(out, "items");
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

static void put_param(struct cqrs_json *out, const struct cqrs_param *param,
                      const struct cqrs_value *initial, const char *in)
{
	cqrs_json_open_object(out);
	openapi_text(out, "name", param->name);
	openapi_text(out, "in", in);
	cqrs_json_name(out, "required");
	cqrs_json_bool(out, *in == 'p');
	put_description(out, param);
	put_schema(out, param, initial);
	cqrs_json_close_object(out);
}

static void put_header(struct cqrs_json *out, const struct route_header *header)
{
	cqrs_json_open_object(out);
	openapi_text(out, "name", header->name);
	openapi_text(out, "in", "header");
	cqrs_json_name(out, "required");
	cqrs_json_bool(out, false);
	openapi_text(out, "description", header->help);
	openapi_raw(out, "schema", header->schema);
	cqrs_json_close_object(out);
}

static void put_params(struct cqrs_json *out, const struct route *route)
{
	const struct param_table *table = &route->params;
	cqrs_json_name(out, "parameters");
	cqrs_json_open_array(out);
	for (size_t i = 0; i < table->n; i++)
		put_param(out, table->list[i], &table->initial[i],
		          table->in_path[i] ? "path" : "query");
	for (const struct route_header *header = route->headers; header && header->name; header++)
		put_header(out, header);
	cqrs_json_close_array(out);
}

/* ---- the document ---- */

/* GET of "/api/v1/sensors/{id}" as "get_sensors_id". */
static void put_operation_id(struct cqrs_json *out, const struct route *route, const char *method)
{
	struct buf id = BUF_INIT;
	buf_puts(&id, method);
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

static void put_operation(struct cqrs_json *out, const struct route *route)
{
	const char *name = http_method_label(route->method);
	char method[16];
	size_t n = 0;
	for (; name[n] && n < sizeof method - 1; n++)
		method[n] = (char)(name[n] | 0x20); /* small letters */
	method[n] = '\0';
	openapi_open(out, method);
	openapi_text(out, "summary", route->summary);
	put_operation_id(out, route, method);
	cqrs_json_name(out, "tags");
	cqrs_json_open_array(out);
	cqrs_json_string(out, route->module, strlen(route->module));
	cqrs_json_close_array(out);
	put_params(out, route);
	route->describe(route, out);
	cqrs_json_close_object(out);
}

static void put_path(struct cqrs_json *out, const struct route *route)
{
	openapi_open(out, route->pattern);
	for (; route; route = route->next)
		put_operation(out, route);
	cqrs_json_close_object(out);
}

void openapi_write(const struct route_table *routes, struct buf *buf)
{
	struct cqrs_json writer, *out = &writer;
	json_writer_init(out, buf);
	cqrs_json_open_object(out);
	openapi_text(out, "openapi", "3.1.0");
	openapi_open(out, "info");
	openapi_text(out, "title", "cqrsd");
	openapi_text(out, "version", CQRSD_VERSION);
	openapi_text(
	    out, "description",
	    "What can be asked and told.  Lists are paged by key; follow the Link header.  "
	    "HEAD is answered wherever GET is, and OPTIONS everywhere.");
	cqrs_json_close_object(out);
	openapi_open(out, "paths");
	for (size_t i = 0; i < routes->n; i++)
		put_path(out, routes->list[i]);
	cqrs_json_close_object(out);
	openapi_components(out);
	cqrs_json_close_object(out);
	buf_putc(buf, '\n');
}
