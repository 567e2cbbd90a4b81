/* SPDX-License-Identifier: MIT */
/* What OpenAPI says of a query: its answers. */
#include "json_writer.h"
#include "media_type.h"
#include "openapi.h"
#include "query_route.h"

static void put_content(struct cqrs_json *out, const struct cqrs_route *def)
{
	openapi_open(out, "content");
	for (int type = 0; type < MEDIA_TYPES; type++) {
		openapi_open(out, media_type_name((enum media_type)type));
		openapi_open(out, "schema");
		if (type != MEDIA_JSON) {
			openapi_text(out, "type", "string");
		} else if (def->one) {
			openapi_text(out, "type", "object");
		} else {
			openapi_text(out, "type", "array");
			openapi_open(out, "items");
			openapi_text(out, "type", "object");
			cqrs_json_close_object(out);
		}
		cqrs_json_close_object(out);
		cqrs_json_close_object(out);
	}
	cqrs_json_close_object(out);
}

void query_route_describe(const struct route *route, struct cqrs_json *out)
{
	const struct cqrs_route *def = ((const struct query_route *)route)->def;
	openapi_open(out, "responses");
	openapi_open(out, "200");
	openapi_text(out, "description", def->summary);
	if (def->key || def->etag)
		openapi_open(out, "headers");
	if (def->etag)
		openapi_header(out, "ETag", "string", "of the object as JSON, for If-None-Match");
	if (def->key) {
		openapi_header(out, "Link", "string",
		               "rel=\"next\": the next page, if there is one");
		openapi_header(out, "Total-Count", "integer", "all rows, with count=exact");
	}
	if (def->key || def->etag)
		cqrs_json_close_object(out);
	put_content(out, def);
	cqrs_json_close_object(out);
	if (def->etag) {
		openapi_open(out, "304");
		openapi_text(out, "description", "It is still what If-None-Match names");
		cqrs_json_close_object(out);
	}
	openapi_reference(out, "400", OPENAPI_PROBLEM);
	if (def->one)
		openapi_reference(out, "404", OPENAPI_PROBLEM);
	openapi_reference(out, "406", OPENAPI_PROBLEM);
	openapi_reference(out, "503", OPENAPI_PROBLEM);
	openapi_reference(out, "504", OPENAPI_PROBLEM);
	openapi_reference(out, "default", OPENAPI_PROBLEM);
	cqrs_json_close_object(out);
}
