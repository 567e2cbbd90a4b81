/* SPDX-License-Identifier: MIT */
/*
 * The course of a command: decided by its module, its key claimed if it has one,
 * sent to Kafka, and waited for if its client would like to know the outcome.
 */
#include "command_http_internal.h"
#include "container.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- deciding ---- */

/* W3C Trace Context: the client's own, or the one that its answers have. */
static void add_trace(struct command *c)
{
	char made[56];
	const char *trace = http_request_trace_id(c->http);
	const char *given = http_request_header(c->http, "traceparent");
	if (given && strlen(given) >= 55 && !memcmp(given + 3, trace, 32)) {
		cqrs_forward_header(&c->forward, "traceparent", given);
		return;
	}
	/* The parent is this process, whose span has the first half of the command's id. */
	snprintf(made, sizeof made, "00-%s-%.8s%.4s%.4s-00", trace, c->id, c->id + 9, c->id + 14);
	cqrs_forward_header(&c->forward, "traceparent", made);
}

static void add_headers(struct command *c, const struct command_request *req)
{
	cqrs_forward_header(&c->forward, "command-id", c->id);
	cqrs_forward_header(&c->forward, "content-type", "application/json");
	add_trace(c);
	if (*c->key)
		cqrs_forward_header(&c->forward, "idempotency-key", c->key);
	if (*req->if_match && *req->if_match != '*')
		cqrs_forward_header(&c->forward, "if-match", req->if_match);
	if (c->prefer.wait_s)
		cqrs_forward_header(&c->forward, "prefer", "wait");
}

/* Has the module make its message; false: there is none. */
static bool decide(struct command *c, struct command_request *req)
{
	struct cqrs_forward *f = &c->forward;
	c->bus->bytes -= f->data.len;
	forward_clear(f);
	req->id = c->id;
	add_headers(c, req);
	c->route->def->accept(c->route->self, &req->params, f);
	c->bus->bytes += f->data.len;
	return f->state == FORWARD_SENT && forward_is_whole(f);
}

/* ---- waiting ---- */

static void on_known(struct outcome_wait *wait, const struct outcome *outcome)
{
	struct command *c = container_of(wait, struct command, wait);
	if (c->route)
		command_answer_outcome(c, outcome);
	else
		command_outcome_answer(c, outcome);
	command_let_go(c);
}

void command_wait(struct command *c, int64_t deadline, bool once)
{
	c->state = COMMAND_WAITING;
	c->deadline = deadline;
	c->wait = (struct outcome_wait){.id = c->id, .once = once, .known = on_known};
	command_db_wait(c->bus->db, &c->wait);
}

/* ---- Kafka ---- */

static void on_sent(struct kafka_record *record, int32_t partition, int64_t offset,
                    const char *error)
{
	struct command *c = container_of(record, struct command, record);
	struct command_http *commands = c->bus;
	c->is_sending = false;
	if (c->http && error) {
		command_answer_away(c, error);
	} else if (c->http) {
		int64_t began = http_request_time(c->http);
		snprintf(c->token, sizeof c->token, "%s:%" PRId32 "@%" PRId64, record->topic,
		         partition, offset);
		metric_observe(commands->seconds, (double)(loop_now(commands->loop) - began) / 1e6);
		if (c->prefer.wait_s)
			command_wait(c, began + c->prefer.wait_s * 1000000, false);
		else
			command_answer_accepted(c);
	}
	command_let_go(c);
}

/* The producer, opened by the first who needs it. */
static bool has_sink(struct command_http *commands)
{
	if (commands->sink)
		return true;
	if (!commands->sink_health)
		commands->sink_health = health_add(commands->health, "kafka commands");
	commands->sink =
	    kafka_sink_new(commands->loop, &commands->sink_config, commands->sink_health);
	return commands->sink;
}

static void send(struct command *c)
{
	const struct cqrs_forward *f = &c->forward;
	struct cqrs_header headers[FORWARD_HEADERS_MAX];
	c->state = COMMAND_SENDING;
	c->record = (struct kafka_record){.topic = forward_text(f, f->topic),
	                                  .partition = KAFKA_PARTITION_ANY,
	                                  .key = forward_text(f, f->key),
	                                  .key_len = f->key.len,
	                                  .value = forward_text(f, f->value),
	                                  .value_len = f->value.len,
	                                  .headers = headers,
	                                  .n_headers = forward_headers(f, headers),
	                                  .done = on_sent};
	c->is_sending = has_sink(c->bus) && kafka_sink_send(c->bus->sink, &c->record);
	if (!c->is_sending)
		command_answer_overloaded(command_take_client(c));
}

/* ---- keys ---- */

/* Once more, with the id that the key stands for; false: the client is answered. */
static bool decide_again(struct command *c)
{
	struct command_request *req = &c->bus->request;
	struct http_request *http = command_take_client(c);
	if (!command_request_read(req, c->route, http, c->path, loop_wall_clock(c->bus->loop)))
		return false;
	c->http = http;
	if (decide(c, req))
		return true;
	command_answer_refused(c);
	return false;
}

static void on_gone(void *arg);

static void on_claimed(struct command_claim *claim, enum claim_answer answer)
{
	struct command *c = container_of(claim, struct command, claim);
	c->is_claiming = false;
	if (c->http && answer == CLAIM_FAILED)
		command_answer_unclaimed(c);
	else if (c->http && answer == CLAIM_OTHER)
		command_answer_other(c);
	else if (c->http && answer == CLAIM_OURS)
		send(c);
	else if (c->http) {
		memcpy(c->id, claim->id, sizeof c->id);
		if (decide_again(c)) {
			http_request_on_gone(c->http, on_gone, c);
			send(c);
		}
	}
	command_let_go(c);
}

/* The same key may come to several processes at once: the database says who is the first. */
static void claim_key(struct command *c, struct command_request *req)
{
	c->state = COMMAND_CLAIMING;
	c->claim.key = c->key;
	c->claim.done = on_claimed;
	memcpy(c->claim.id, c->id, sizeof c->claim.id);
	if (!command_request_fingerprint(req, c->claim.fingerprint)) {
		c->forward.why.no_memory = true;
		command_answer_refused(c);
		return;
	}
	c->is_claiming = true;
	command_db_claim(c->bus->db, &c->claim);
}

/* ---- the client ---- */

static void stop_waiting(struct command *c)
{
	if (c->state == COMMAND_CLAIMING && c->is_claiming)
		c->is_claiming = !command_claim_give_up(&c->claim);
	else if (c->state == COMMAND_WAITING)
		outcome_wait_leave(&c->wait);
}

static void on_gone(void *arg)
{
	struct command *c = arg;
	c->http = NULL;
	stop_waiting(c);
	command_let_go(c);
}

void command_is_late(struct command *c)
{
	stop_waiting(c);
	if (c->state == COMMAND_CLAIMING)
		command_answer_unclaimed(c);
	else if (c->state == COMMAND_SENDING)
		command_answer_away(c, "no answer in time");
	else if (c->route)
		command_answer_later(c);
	else
		command_outcome_unknown(c);
	command_let_go(c);
}

void command_begin(struct command *c, struct command_request *req, const struct param_text *path)
{
	int64_t wall_us = loop_wall_clock(c->bus->loop);
	const struct command_http_config *config = c->bus->config;
	c->prefer = req->prefer;
	if (c->prefer.wait_s > config->max_wait_us / 1000000)
		c->prefer.wait_s = config->max_wait_us / 1000000;
	c->deadline = http_request_time(c->http) + config->timeout_us;
	memcpy(c->key, req->key, sizeof c->key);
	memcpy(c->path, path, c->route->base.params.n_path * sizeof *path);
	http_request_on_gone(c->http, on_gone, c);
	if (!uuid_v7(c->id, wall_us)) {
		c->forward.why.no_memory = true;
		command_answer_refused(c);
	} else if (!decide(c, req)) {
		command_answer_refused(c);
	} else if (*c->key) {
		claim_key(c, req);
	} else {
		send(c);
	}
	command_let_go(c);
}
