/* SPDX-License-Identifier: MIT */
/* What OpenAPI says of a command: the headers of its requests, its body and its answers. */
#include "command_route.h"
#include "openapi.h"
#include <cqrs/json.h>

#include <stdio.h>

/* command_request.c: in quotes, or bare. */
#define KEY_PATTERN                         \
	"^([!#-+.-:<-\\\\[\\\\]-~-]{1,255}" \
	"|\\\"([ !#-\\\\[\\\\]-~]|\\\\\\\\[\\\"\\\\\\\\]){1,255}\\\")$"

const struct route_header command_route_headers[] = {
    {"Prefer", "respond-async: 202 when it is accepted; wait=N: the outcome, within N seconds",
     "{\"type\":\"string\",\"examples\":[\"respond-async\",\"wait=10\"]}"},
    {"Idempotency-Key", "requests with the same key are one command",
     "{\"type\":\"string\",\"pattern\":\"" KEY_PATTERN "\"}"},
    {"If-Match", "the version in quotes that the command is meant for, or *",
     "{\"type\":\"string\",\"pattern\":\"^([*]|\\\"[0-9]{1,18}\\\")$\"}"},
    {.name = NULL},
};

/* ---- answers ---- */

#define TOKEN  "where Kafka has the command; what is asked with it shows what it has done"
#define PREFER "what of Prefer was listened to"

static const struct openapi_header done[] = {
    {.name = "Command-Id", .description = "what the outcome is found by", .always = true},
    {.name = "Consistency-Token", .description = TOKEN, .always = true},
    {.name = "Location", .description = "what was made"},
    {.name = "Preference-Applied", .description = PREFER},
    {.name = NULL}};
static const struct openapi_header accepted[] = {
    {.name = "Command-Id", .description = "what the outcome is found by", .always = true},
    {.name = "Consistency-Token", .description = TOKEN, .always = true},
    {.name = "Location", .description = "where the outcome will be", .always = true},
    {.name = "Preference-Applied", .description = PREFER},
    {.name = NULL}};
static const struct openapi_header refused[] = {
    {.name = "Command-Id", .description = "if Kafka has the command"},
    {.name = "Consistency-Token", .description = "if Kafka has the command, where"},
    {.name = "Preference-Applied", .description = PREFER},
    {.name = NULL}};
static const struct openapi_header away[] = {
    {.name = "Retry-After", .description = "seconds", .always = true, .is_number = true},
    {.name = "Command-Id", .description = "if Kafka may have the command all the same"},
    {.name = "Location", .description = "where its outcome will be then"},
    {.name = NULL}};

static const struct openapi_problem problems[] = {{404, refused}, {409, refused}, {412, refused},
                                                  {415, NULL},    {422, refused}, {503, away},
                                                  {0, NULL}};

static void put_answer(struct cqrs_json *out, int status, const char *description,
                       const struct openapi_header *headers, const char *schema)
{
	char name[12];
	snprintf(name, sizeof name, "%d", status);
	openapi_open(out, name);
	openapi_text(out, "description", description);
	openapi_headers(out, headers);
	if (schema)
		openapi_json(out, schema);
	cqrs_json_close_object(out);
}

void command_route_describe(const struct route *route, struct cqrs_json *out)
{
	const struct cqrs_command_route *def = ((const struct command_route *)route)->def;
	if (def->body) {
		openapi_open(out, "requestBody");
		cqrs_json_name(out, "required");
		cqrs_json_bool(out, true);
		openapi_json(out, def->body);
		cqrs_json_close_object(out);
	}
	openapi_open(out, "responses");
	if (def->status == 202)
		put_answer(out, 200, "Applied, with Prefer: wait", done, OPENAPI_OUTCOME);
	else
		put_answer(out, def->status, def->summary, done, def->answer);
	put_answer(out, 202, "Accepted, and not applied yet", accepted, OPENAPI_COMMAND);
	openapi_problems(out, problems);
	cqrs_json_close_object(out);
}
