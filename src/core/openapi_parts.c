/* SPDX-License-Identifier: MIT */
/* What many operations of the OpenAPI document share: problems, and the schemas of the core. */
#include "http_problem.h"
#include "json_tree.h"
#include "json_writer.h"
#include "openapi.h"

#include <stdio.h>

bool openapi_is_schema(const char *text, const char *name, struct buf *error)
{
	json_error_t why = {.text = ""};
	json_t *json = text ? json_tree_load(text, strlen(text), &why) : NULL;
	bool fine = !text || json_is_object(json);
	if (!fine && !json && !*why.text)
		buf_puts(error, "out of memory");
	else if (!fine)
		buf_printf(error, "the schema of its %s is no JSON object%s%s", name,
		           *why.text ? ": " : "", why.text);
	json_decref(json);
	return fine;
}

void openapi_headers(struct cqrs_json *out, const struct openapi_header *headers)
{
	openapi_open(out, "headers");
	for (; headers->name; headers++) {
		openapi_open(out, headers->name);
		openapi_text(out, "description", headers->description);
		cqrs_json_name(out, "required");
		cqrs_json_bool(out, headers->always);
		openapi_open(out, "schema");
		openapi_text(out, "type", headers->is_number ? "integer" : "string");
		cqrs_json_close_object(out);
		cqrs_json_close_object(out);
	}
	cqrs_json_close_object(out);
}

/* ---- problems ---- */

static const struct openapi_header methods[] = {
    {.name = "Allow", .description = "the methods that the path has", .always = true},
    {.name = NULL}};
static const struct openapi_header later[] = {
    {.name = "Retry-After", .description = "seconds", .always = true, .is_number = true},
    {.name = NULL}};
static const struct openapi_header too_often[] = {
    {.name = "Retry-After", .description = "seconds", .always = true, .is_number = true},
    {.name = "RateLimit", .description = "what is left of http.rate_limit"},
    {.name = "RateLimit-Policy", .description = "what http.rate_limit is"},
    {.name = NULL}};

static const struct problem {
	int status;
	bool any; /* request may be answered with it */
	const char *description;
	const struct openapi_header *headers; /* NULL: none */
} problems[] = {
    {400, true, "It is not understood: detail and param say what", NULL},
    {404, false, "There is no such thing", NULL},
    {405, true, "The path has other methods", methods},
    {406, false, "It cannot be had in the formats of Accept", NULL},
    {408, true, "The request did not come in time", NULL},
    {409, false, "It contradicts what is there", NULL},
    {412, false, "If-Match names another version than there is", NULL},
    {413, true, "The body is too large", NULL},
    {414, true, "The target is too long", NULL},
    {415, false, "The body is said to be something else than JSON", NULL},
    {417, true, "Expect has something else than 100-continue", NULL},
    {422, false, "It is understood, and against the rules", NULL},
    {429, true, "This client sends too much at once", too_often},
    {431, true, "The header is too large", NULL},
    {500, true, "The server is at fault; its log says more", NULL},
    {501, true, "A method, or a transfer coding, that nobody knows", NULL},
    {503, true, "Not now; try again", later},
    {504, false, "It took longer than this server allows", NULL},
    {505, true, "Another version of HTTP than 1.1 and 1.0", NULL},
};

#define N_PROBLEMS (sizeof problems / sizeof *problems)

static void put_problem(struct cqrs_json *out, const char *name, const char *description,
                        const struct openapi_header *headers)
{
	openapi_open(out, name);
	openapi_text(out, "description", description);
	if (headers)
		openapi_headers(out, headers);
	openapi_open(out, "content");
	openapi_open(out, HTTP_PROBLEM_TYPE);
	openapi_raw(out, "schema", "{\"$ref\":\"#/components/schemas/Problem\"}");
	for (int i = 0; i < 3; i++)
		cqrs_json_close_object(out);
}

static void refer_to_problem(struct cqrs_json *out, const char *name)
{
	char reference[64];
	snprintf(reference, sizeof reference, "{\"$ref\":\"#/components/responses/Problem%s\"}",
	         name);
	openapi_raw(out, name, reference);
}

void openapi_problems(struct cqrs_json *out, const struct openapi_problem *own)
{
	char name[12];
	for (size_t i = 0; i < N_PROBLEMS; i++) {
		const struct problem *p = &problems[i];
		const struct openapi_problem *mine = own;
		while (mine->status && mine->status != p->status)
			mine++;
		snprintf(name, sizeof name, "%d", p->status);
		if (mine->headers)
			put_problem(out, name, p->description, mine->headers);
		else if (mine->status || p->any)
			refer_to_problem(out, name);
	}
}

/* ---- components ---- */

/* RFC 9457, and what we add to it. */
static const char problem_schema[] =
    "{\"type\":\"object\","
    "\"required\":[\"type\",\"title\",\"status\",\"detail\",\"code\",\"trace_id\"],"
    "\"properties\":{\"type\":{\"type\":\"string\",\"format\":\"uri-reference\"},"
    "\"title\":{\"type\":\"string\"},"
    "\"status\":{\"type\":\"integer\",\"minimum\":400,\"maximum\":599},"
    "\"detail\":{\"type\":\"string\",\"description\":\"what is wrong, and what to do about it\"},"
    "\"instance\":{\"type\":\"string\",\"format\":\"uri-reference\"},"
    "\"code\":{\"type\":\"string\",\"description\":\"what is wrong, for programs\"},"
    "\"param\":{\"type\":\"string\",\"description\":\"the parameter, header or member at fault\"},"
    "\"trace_id\":{\"type\":\"string\",\"pattern\":\"^[0-9a-f]{32}$\"}}}";

#define COMMAND_ID "\"commandId\":{\"type\":\"string\",\"format\":\"uuid\"}"

static const char command_schema[] =
    "{\"type\":\"object\",\"required\":[\"commandId\"],\"properties\":{" COMMAND_ID "}}";

static const char outcome_schema[] =
    "{\"type\":\"object\",\"required\":[\"commandId\",\"state\",\"status\",\"reason\",\"body\","
    "\"token\",\"appliedAt\"],\"properties\":{" COMMAND_ID ","
    "\"state\":{\"type\":\"string\",\"enum\":[\"applied\",\"refused\"]},"
    "\"status\":{\"type\":\"integer\",\"minimum\":200,\"maximum\":499},"
    "\"reason\":{\"type\":[\"string\",\"null\"]},\"body\":{},"
    "\"token\":{\"type\":\"string\"},"
    "\"appliedAt\":{\"type\":\"string\",\"format\":\"date-time\"}}}";

void openapi_components(struct cqrs_json *out)
{
	char name[24];
	openapi_open(out, "components");
	openapi_open(out, "schemas");
	openapi_raw(out, "Problem", problem_schema);
	openapi_raw(out, "Command", command_schema);
	openapi_raw(out, "Outcome", outcome_schema);
	cqrs_json_close_object(out);
	openapi_open(out, "responses");
	for (size_t i = 0; i < N_PROBLEMS; i++) {
		snprintf(name, sizeof name, "Problem%d", problems[i].status);
		put_problem(out, name, problems[i].description, problems[i].headers);
	}
	cqrs_json_close_object(out);
	cqrs_json_close_object(out);
}
