/* SPDX-License-Identifier: MIT */
/* What OpenAPI says of a command: its body and its answers. */
#include "command_route.h"
#include "openapi.h"
#include <cqrs/json.h>

#include <stdio.h>

const struct cqrs_param command_route_headers[] = {
    {.name = "Prefer",
     .type = CQRS_PARAM_TEXT,
     .help = "respond-async: 202 when it is accepted; wait=N: the outcome, within N seconds"},
    {.name = "Idempotency-Key",
     .type = CQRS_PARAM_TEXT,
     .min = 1,
     .max = 255,
     .help = "requests with the same key are one command"},
    {.name = "If-Match",
     .type = CQRS_PARAM_TEXT,
     .help = "the version in quotes that the command is meant for"},
    {.name = NULL},
};

static void put_answer(struct cqrs_json *out, const char *status, const char *description,
                       const char *schema)
{
	openapi_open(out, status);
	openapi_text(out, "description", description);
	openapi_open(out, "headers");
	openapi_header(out, "Command-Id", "string", "what the outcome is found by");
	openapi_header(out, "Consistency-Token", "string", "where Kafka has the command");
	openapi_header(out, "Location", "string", "what was made, or where the outcome will be");
	cqrs_json_close_object(out);
	if (schema)
		openapi_json(out, schema);
	cqrs_json_close_object(out);
}

void command_route_describe(const struct route *route, struct cqrs_json *out)
{
	static const char *const problems[] = {"400", "404", "409", "412",    "413",
	                                       "415", "422", "503", "default"};
	const struct cqrs_command_route *def = ((const struct command_route *)route)->def;
	char status[12];
	if (def->body) {
		openapi_open(out, "requestBody");
		cqrs_json_name(out, "required");
		cqrs_json_bool(out, true);
		openapi_json(out, def->body);
		cqrs_json_close_object(out);
	}
	snprintf(status, sizeof status, "%d", def->status == 202 ? 200 : def->status);
	openapi_open(out, "responses");
	put_answer(out, status, def->status == 202 ? "Applied, with Prefer: wait" : def->summary,
	           def->answer);
	put_answer(out, "202", "Accepted, and not applied yet", NULL);
	for (size_t i = 0; i < sizeof problems / sizeof *problems; i++)
		openapi_reference(out, problems[i], OPENAPI_PROBLEM);
	cqrs_json_close_object(out);
}
