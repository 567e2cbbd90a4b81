/* SPDX-License-Identifier: MIT */
/* What OpenAPI says of a query: the headers of its requests, and its answers. */
#include "json_writer.h"
#include "media_type.h"
#include "openapi.h"
#include "query_route.h"

/* ---- requests ---- */

/* The first is for objects with an ETag. */
static const struct route_header request_headers[] = {
    {"If-None-Match", "the ETag of an earlier answer as JSON: 304 if it still has it",
     "{\"type\":\"string\"}"},
    /* token_parse() */
    {"Consistency-Token", "as a command's answer had it: the answer shows what it has done",
     "{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9._-]+:[0-9]+@[0-9]+"
     "( *, *[A-Za-z0-9._-]+:[0-9]+@[0-9]+){0,15}$\"}"},
    {"Prefer",
     "wait=N: for the token, at most N seconds; handling=lenient: then answer all the same",
     "{\"type\":\"string\",\"examples\":[\"wait=10\",\"handling=lenient\"]}"},
    {.name = NULL}};

const struct route_header *query_route_headers(const struct cqrs_route *def)
{
	return request_headers + !def->etag;
}

/* ---- answers ---- */

static const struct openapi_header object_headers[] = {
    {.name = "ETag", .description = "of the object as JSON, for If-None-Match"},
    {.name = "Vary", .description = "Accept", .always = true},
    {.name = "Preference-Applied", .description = "handling=lenient, if it was needed"},
    {.name = "Warning", .description = "the answer is older than Consistency-Token"},
    {.name = NULL}};
static const struct openapi_header list_headers[] = {
    {.name = "Link", .description = "rel=\"next\": the next page, if there is one"},
    {.name = "Total-Count", .description = "all rows, with count=exact", .is_number = true},
    {.name = "Vary", .description = "Accept", .always = true},
    {.name = "Preference-Applied", .description = "handling=lenient, if it was needed"},
    {.name = "Warning", .description = "the answer is older than Consistency-Token"},
    {.name = NULL}};

static void put_json_schema(struct cqrs_json *out, const struct cqrs_route *def)
{
	const char *object = def->object ? def->object : "{\"type\":\"object\"}";
	if (def->one) {
		openapi_raw(out, "schema", object);
		return;
	}
	openapi_open(out, "schema");
	openapi_text(out, "type", "array");
	openapi_raw(out, "items", object);
	cqrs_json_close_object(out);
}

static void put_content(struct cqrs_json *out, const struct cqrs_route *def)
{
	openapi_open(out, "content");
	for (int type = 0; type < MEDIA_TYPES; type++) {
		openapi_open(out, media_type_name((enum media_type)type));
		if (type == MEDIA_JSON)
			put_json_schema(out, def);
		else
			openapi_raw(out, "schema", "{\"type\":\"string\"}");
		cqrs_json_close_object(out);
	}
	cqrs_json_close_object(out);
}

static void put_ok(struct cqrs_json *out, const struct cqrs_route *def)
{
	openapi_open(out, "200");
	openapi_text(out, "description", def->summary);
	openapi_headers(out, def->key ? list_headers : object_headers + !def->etag);
	put_content(out, def);
	cqrs_json_close_object(out);
	if (!def->etag)
		return;
	openapi_open(out, "304");
	openapi_text(out, "description", "It is still what If-None-Match names");
	openapi_headers(out, object_headers);
	cqrs_json_close_object(out);
}

void query_route_describe(const struct route *route, struct cqrs_json *out)
{
	const struct cqrs_route *def = ((const struct query_route *)route)->def;
	/* The first is for what may be missing. */
	static const struct openapi_problem problems[] = {
	    {404, NULL}, {406, NULL}, {504, NULL}, {0, NULL}};
	const bool may_miss = def->one || route->params.n_path;
	openapi_open(out, "responses");
	put_ok(out, def);
	openapi_problems(out, problems + !may_miss);
	cqrs_json_close_object(out);
}
