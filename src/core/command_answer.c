/* SPDX-License-Identifier: MIT */
/* What the client of a command is told. */
#include "command_http_internal.h"
#include "log.h"

#include <inttypes.h>
#include <stdio.h>

#define LOG_US 1000000 /* between two lines about mistakes of modules: a route may be popular */

struct http_request *command_take_client(struct command *c)
{
	struct http_request *http = c->http;
	c->http = NULL;
	http_request_on_gone(http, NULL, NULL);
	return http;
}

static void put_location(struct http_request *http, const char *below)
{
	char location[1024];
	int len = snprintf(location, sizeof location, "%s%s", ROUTE_BASE, below);
	if (len < (int)sizeof location)
		http_respond_header(http, "Location", location);
}

static void put_command_location(const struct command *c, struct http_request *http)
{
	char location[sizeof "/commands/" + UUID_TEXT];
	snprintf(location, sizeof location, "/commands/%s", c->id);
	put_location(http, location);
}

static void put_ids(const struct command *c, struct http_request *http)
{
	http_respond_header(http, "Command-Id", c->id);
	http_respond_header(http, "Consistency-Token", c->token);
}

static void put_wait(const struct command *c, struct http_request *http)
{
	char applied[32];
	snprintf(applied, sizeof applied, "wait=%" PRId64, c->prefer.wait_s);
	http_respond_header(http, "Preference-Applied", applied);
}

/* Accepted, but whether it will be applied is not known yet: RFC 9110, 15.3.3. */
static void answer_later(struct command *c, struct http_request *http)
{
	char body[sizeof "{\"commandId\":\"\"}\n" + UUID_TEXT];
	int len = snprintf(body, sizeof body, "{\"commandId\":\"%s\"}\n", c->id);
	put_ids(c, http);
	put_command_location(c, http);
	http_respond(http, 202, "application/json", body, (size_t)len);
}

void command_answer_later(struct command *c)
{
	struct http_request *http = command_take_client(c);
	put_wait(c, http);
	answer_later(c, http);
}

void command_answer_accepted(struct command *c)
{
	struct http_request *http = command_take_client(c);
	const char *location = forward_text(&c->forward, c->forward.location);
	const char *json = forward_text(&c->forward, c->forward.json);
	if (c->prefer.respond_async)
		http_respond_header(http, "Preference-Applied", "respond-async");
	if (c->prefer.respond_async || c->route->def->status == 202) {
		answer_later(c, http);
		return;
	}
	put_ids(c, http);
	if (location)
		put_location(http, location);
	http_respond(http, c->route->def->status, json ? "application/json" : NULL, json,
	             c->forward.json.len);
}

/* ---- its outcome ---- */

/* For programs; what a module says of it is for people. */
static const char *code_of(int status)
{
	switch (status) {
	case 404:
		return "not_found";
	case 409:
		return "conflict";
	case 412:
		return "precondition_failed";
	default:
		return "refused";
	}
}

/*
 * What the outcome says, or the module has said; of one with a remark, or whose client was not to
 * be told more than that it is accepted, all of it.
 */
static void answer_applied(struct command *c, struct http_request *http,
                           const struct outcome *outcome)
{
	const char *location = forward_text(&c->forward, c->forward.location);
	const char *json = forward_text(&c->forward, c->forward.json);
	/* 202 would say that it is not applied yet. */
	int status = c->route->def->status == 202 ? 200 : c->route->def->status;
	struct buf body = BUF_INIT;
	if (outcome->body)
		buf_add(&body, outcome->body, outcome->body_len);
	else if (outcome->reason || c->route->def->status == 202)
		command_outcome_write(&body, c->id, outcome);
	else if (json)
		buf_add(&body, json, c->forward.json.len);
	if (location)
		put_location(http, location);
	if (body.failed)
		http_respond_no_memory(http);
	else
		http_respond(http, status, body.len ? "application/json" : NULL, body.data,
		             body.len);
	buf_release(&body);
}

void command_answer_outcome(struct command *c, const struct outcome *outcome)
{
	struct http_request *http = command_take_client(c);
	put_ids(c, http);
	put_wait(c, http);
	if (outcome->status < 400)
		answer_applied(c, http, outcome);
	else
		http_respond_problem(http, outcome->status, code_of(outcome->status), NULL, "%s",
		                     outcome->reason ? outcome->reason : "refused");
}

/* ---- it was not sent ---- */

static void answer_broken(struct command *c, struct http_request *http)
{
	struct command_http *commands = c->bus;
	int64_t now = loop_now(commands->loop);
	if (!commands->logged_at || now - commands->logged_at >= LOG_US) {
		commands->logged_at = now;
		log_error("command: %s %s of module %s: %s", c->route->def->method,
		          c->route->base.pattern, c->route->base.module,
		          *c->forward.why.text ? c->forward.why.text : "it forwarded no message");
	}
	http_respond_problem(http, 500, "internal_error", NULL,
	                     "the server could not take this command; its log says why");
}

void command_answer_refused(struct command *c)
{
	struct http_request *http = command_take_client(c);
	const struct param_error *why = &c->forward.why;
	if (!forward_is_whole(&c->forward))
		http_respond_no_memory(http);
	else if (c->forward.state == FORWARD_REFUSED)
		http_respond_problem(http, c->forward.status, c->forward.code,
		                     *why->param ? why->param : NULL, "%s", why->text);
	else
		answer_broken(c, http);
}

void command_answer_away(struct command *c, const char *why)
{
	struct http_request *http = command_take_client(c);
	http_respond_header(http, "Retry-After", "1");
	http_respond_header(http, "Command-Id", c->id);
	put_command_location(c, http);
	http_respond_problem(http, 503, "kafka_away", NULL,
	                     "Kafka does not say that it has the command (%s): it may have it all "
	                     "the same.  Look at Location whether it was applied before you send "
	                     "it again, or send it with an Idempotency-Key",
	                     why);
}

void command_answer_unclaimed(struct command *c)
{
	struct http_request *http = command_take_client(c);
	http_respond_header(http, "Retry-After", "1");
	http_respond_problem(http, 503, "database_away", NULL,
	                     "the database does not say whether this Idempotency-Key is new; "
	                     "nothing was done, try again with the same key");
}

void command_answer_other(struct command *c)
{
	http_respond_problem(command_take_client(c), 422, "idempotency_key_reused",
	                     "Idempotency-Key",
	                     "this key was used for another request: each command has its own");
}

void command_answer_overloaded(struct http_request *http)
{
	http_respond_header(http, "Retry-After", "1");
	http_respond_problem(http, 503, "overloaded", NULL,
	                     "too many commands are on their way to Kafka; nothing was done, try "
	                     "again soon");
}
