/* SPDX-License-Identifier: MIT */
/* What became of a command, for who asks later: GET /commands/{id}. */
#include "command_http_internal.h"
#include "json_writer.h"
#include "openapi.h"
#include "timestamp.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct outcome_route {
	struct route base; /* first: it is found back from it */
	struct command_http *commands;
};

/* ---- answers ---- */

static void put_text(struct cqrs_json *json, const char *name, const char *text)
{
	cqrs_json_name(json, name);
	if (text)
		cqrs_json_string(json, text, strlen(text));
	else
		cqrs_json_null(json);
}

static void format_token(char out[COMMAND_TOKEN_MAX], const struct outcome *outcome)
{
	snprintf(out, COMMAND_TOKEN_MAX, "%s:%" PRId32 "@%" PRId64, outcome->topic,
	         outcome->partition, outcome->offset);
}

void command_outcome_write(struct buf *out, const char *id, const struct outcome *outcome)
{
	struct cqrs_json json;
	char token[COMMAND_TOKEN_MAX], time[40];
	format_token(token, outcome);
	timestamp_format(time, outcome->applied_us);
	json_writer_init(&json, out);
	cqrs_json_open_object(&json);
	put_text(&json, "commandId", id);
	put_text(&json, "state", outcome->status < 400 ? "applied" : "refused");
	cqrs_json_name(&json, "status");
	cqrs_json_integer(&json, outcome->status);
	put_text(&json, "reason", outcome->reason);
	cqrs_json_name(&json, "body");
	if (outcome->body)
		json_writer_raw(&json, outcome->body, outcome->body_len);
	else
		cqrs_json_null(&json);
	put_text(&json, "token", token);
	put_text(&json, "appliedAt", time);
	cqrs_json_close_object(&json);
	buf_putc(out, '\n');
}

void command_outcome_answer(struct command *c, const struct outcome *outcome)
{
	struct http_request *http = command_take_client(c);
	struct buf body = BUF_INIT;
	if (!outcome) {
		http_respond_header(http, "Retry-After", "1");
		http_respond_problem(http, 404, "not_found", NULL,
		                     "no outcome of command %s is known: it is not applied yet, or "
		                     "was forgotten, or was never sent",
		                     c->id);
		return;
	}
	command_outcome_write(&body, c->id, outcome);
	format_token(c->token, outcome);
	http_respond_header(http, "Consistency-Token", c->token);
	if (body.failed)
		http_respond_no_memory(http);
	else
		http_respond(http, 200, "application/json", body.data, body.len);
	buf_release(&body);
}

void command_outcome_unknown(struct command *c)
{
	struct http_request *http = command_take_client(c);
	http_respond_header(http, "Retry-After", "1");
	http_respond_problem(http, 503, "database_away", NULL,
	                     "the database does not say what became of the command");
}

/* ---- the route ---- */

static void handle(const struct route *base, struct http_request *http,
                   const struct param_text *path)
{
	struct command_http *commands = ((const struct outcome_route *)base)->commands;
	struct param_error error = {.param = ""};
	struct cqrs_request *params = &commands->request.params;
	if (!param_parse(&base->params, params, path, http_request_query(http),
	                 loop_wall_clock(commands->loop), &error)) {
		if (error.no_memory)
			http_respond_no_memory(http);
		else
			http_respond_problem(http, 400, "invalid_parameter",
			                     *error.param ? error.param : NULL, "%s", error.text);
		return;
	}
	struct command *c = command_take(commands, http, NULL);
	if (!c)
		return;
	snprintf(c->id, sizeof c->id, "%.*s", (int)path[0].len, path[0].text);
	command_wait(c, http_request_time(http) + commands->config->timeout_us, true);
}

static void describe(const struct route *route, struct cqrs_json *out)
{
	static const struct openapi_header known[] = {{.name = "Consistency-Token",
	                                               .description = "where Kafka has the command",
	                                               .always = true},
	                                              {.name = NULL}};
	static const struct openapi_header unknown[] = {
	    {.name = "Retry-After",
	     .description = "seconds, if there may be an outcome later",
	     .is_number = true},
	    {.name = NULL}};
	static const struct openapi_problem problems[] = {{404, unknown}, {0, NULL}};
	(void)route;
	openapi_open(out, "responses");
	openapi_open(out, "200");
	openapi_text(out, "description", "What became of it");
	openapi_headers(out, known);
	openapi_json(out, OPENAPI_OUTCOME);
	cqrs_json_close_object(out);
	openapi_problems(out, problems);
	cqrs_json_close_object(out);
}

bool command_outcome_add_route(struct command_http *commands, struct route_table *routes,
                               struct buf *errors)
{
	static const struct cqrs_param params[] = {
	    {.name = "id", .type = CQRS_PARAM_UUID, .help = "what Command-Id said"},
	    {.name = NULL}};
	struct outcome_route *route = calloc(1, sizeof *route);
	if (!route) {
		buf_puts(errors, "out of memory\n");
		return false;
	}
	route->commands = commands;
	route->base = (struct route){.method = HTTP_GET,
	                             .module = "commands",
	                             .summary = "What became of a command",
	                             .handle = handle,
	                             .describe = describe};
	if (route_compile(&route->base, "/commands/{id}", params, 0, errors) &&
	    route_add(routes, &route->base, errors))
		return true;
	buf_putc(errors, '\n');
	route_free(&route->base);
	return false;
}
