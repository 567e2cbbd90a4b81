/* SPDX-License-Identifier: MIT */
/* What comes from a client, and the requests that are made of it. */
#include "http_connection.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define READ_SIZE (16 * 1024)

static const struct http_refusal out_of_memory = {
    503, "out_of_memory", "The server has no memory for this request now; try again soon."};

static struct http_input *borrow_input(struct http_server *server)
{
	struct http_input *input = server->spare;
	server->spare = NULL;
	if (!input && (input = calloc(1, sizeof *input)))
		http_parser_init(&input->parser, (size_t)server->config->max_body);
	return input;
}

static void return_input(struct http_server *server, struct http_input *input)
{
	if (!input)
		return;
	if (server->spare || input->bytes.cap > HTTP_KEEP_SIZE) {
		buf_release(&input->bytes);
		free(input);
		return;
	}
	buf_clear(&input->bytes);
	http_parser_init(&input->parser, (size_t)server->config->max_body);
	server->spare = input;
}

void http_input_drop(struct http_connection *c)
{
	c->server->memory -= c->kept;
	c->kept = 0;
	return_input(c->server, c->input);
	c->input = NULL;
	c->in_head = c->in_body = false;
}

static void refuse(struct http_connection *c, const struct http_parser *p, const char *data,
                   const struct http_refusal *why)
{
	struct http_request *req = http_request_new_refused(c, p, data, why);
	c->state = HTTP_CLOSING;
	if (!req) {
		c->lost = true;
		return;
	}
	if (why->status == 503 || why->status == 429)
		http_respond_header(req, "Retry-After", "1");
	http_respond_problem(req, why->status, why->code, NULL, "%s", why->detail);
}

void http_connection_refuse(struct http_connection *c, const struct http_refusal *why)
{
	refuse(c, c->input ? &c->input->parser : NULL, c->input ? c->input->bytes.data : NULL, why);
	http_input_drop(c);
	http_connection_touch(c);
}

/* draft-ietf-httpapi-ratelimit-headers-10, 3 and 4: what is left of a second's requests. */
static void tell_quota(struct http_request *req, const struct http_quota *quota)
{
	char text[80];
	const int64_t seconds = (quota->wait_us + 999999) / 1000000;
	snprintf(text, sizeof text, "\"client\";q=%" PRId64 ";w=1",
	         req->connection->server->config->rate_limit);
	http_respond_header(req, "RateLimit-Policy", text);
	snprintf(text, sizeof text, "\"client\";r=%" PRId64 ";t=%" PRId64, quota->remaining,
	         seconds);
	http_respond_header(req, "RateLimit", text);
	if (!quota->refused)
		return;
	snprintf(text, sizeof text, "%" PRId64, seconds);
	http_respond_header(req, "Retry-After", text);
}

/* False: answered, for the client has had what it may have for now. */
static bool has_quota(struct http_connection *c, struct http_request *req)
{
	struct http_server *server = c->server;
	if (!c->client || !server->config->rate_limit)
		return true;
	struct http_quota quota = http_limit_take(server->limit, c->client, loop_now(server->loop));
	tell_quota(req, &quota);
	if (!quota.refused)
		return true;
	http_metrics_refused(server->metrics, "rate_limited");
	http_respond_problem(req, 429, "rate_limited", NULL,
	                     "One client may send %" PRId64
	                     " requests a second; this one was not looked at.",
	                     server->config->rate_limit);
	return false;
}

/* RFC 9112, 9.3.2 and RFC 9110, 7.1: OPTIONS * asks about the server, not about anything in it. */
static void hand_over(struct http_server *server, struct http_request *req)
{
	if (req->path[0] == '/') {
		server->handler(server->owner, req);
		return;
	}
	http_respond_header(req, "Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
	http_respond(req, 204, NULL, NULL, 0);
}

static void take_request(struct http_connection *c, const struct http_parser *p, const char *data)
{
	struct http_server *server = c->server;
	struct http_request *req =
	    server->memory < server->max_memory ? http_request_new(c, p, data) : NULL;
	if (!req) {
		refuse(c, p, data, &out_of_memory);
		return;
	}
	/* Behind a request that ends the connection nothing is read as one. */
	if (!req->keep_alive)
		c->state = HTTP_CLOSING;
	if (has_quota(c, req))
		hand_over(server, req);
}

/* What is not a whole request stays with the connection, in no more memory than it needs. */
static void keep_input(struct http_connection *c, size_t used)
{
	struct http_server *server = c->server;
	struct buf *bytes = &c->input->bytes;
	buf_drop(bytes, used);
	if (c->state != HTTP_OPEN || (!bytes->len && http_parser_is_fresh(&c->input->parser))) {
		http_input_drop(c);
		return;
	}
	char *data = bytes->cap > 2 * bytes->len ? realloc(bytes->data, bytes->len + 512) : NULL;
	if (data) {
		bytes->data = data;
		bytes->cap = bytes->len + 512;
	}
	server->memory += bytes->cap + sizeof *c->input - c->kept;
	c->kept = bytes->cap + sizeof *c->input;
	if (server->memory > server->max_memory)
		http_connection_refuse(c, &out_of_memory);
}

/* When the deadlines of header and body begin. */
static void note_phase(struct http_connection *c)
{
	const struct http_parser *p = c->input ? &c->input->parser : NULL;
	bool in_body = p && http_parser_in_body(p);
	bool in_head = p && !in_body && !http_parser_is_fresh(p);
	if (in_head != c->in_head || in_body != c->in_body)
		c->read_since = loop_now(c->server->loop);
	c->in_head = in_head;
	c->in_body = in_body;
}

bool http_input_can_parse(const struct http_connection *c)
{
	return c->input && c->state == HTTP_OPEN && !c->needs_more && c->input->bytes.len &&
	       http_connection_has_room(c);
}

void http_input_parse(struct http_connection *c)
{
	struct http_parser *p = &c->input->parser;
	struct buf *bytes = &c->input->bytes;
	size_t at = 0;
	enum http_parse verdict = HTTP_PARSE_DONE;
	/* Not more at once, however quickly they are answered: others wait for this turn to end. */
	for (int n = 0; n < HTTP_IN_FLIGHT_MAX && verdict == HTTP_PARSE_DONE &&
	                c->state == HTTP_OPEN && http_connection_has_room(c) && at < bytes->len;
	     n++) {
		size_t len = bytes->len - at;
		verdict = http_parser_feed(p, bytes->data + at, &len);
		bytes->len = at + len;
		if (verdict == HTTP_PARSE_REFUSED)
			refuse(c, p, bytes->data + at, &p->refusal);
		if (verdict != HTTP_PARSE_DONE)
			break;
		take_request(c, p, bytes->data + at);
		at += p->consumed;
		http_parser_init(p, (size_t)c->server->config->max_body);
		c->read_since = loop_now(c->server->loop);
	}
	c->needs_more = verdict == HTTP_PARSE_MORE;
	/* The rest of a request will never come. */
	if (c->ended && c->state == HTTP_OPEN && (c->needs_more || at == bytes->len))
		c->state = HTTP_CLOSING;
	keep_input(c, at);
	note_phase(c);
}

void http_input_read(struct http_connection *c)
{
	struct http_server *server = c->server;
	if (!c->input && !(c->input = borrow_input(server))) {
		c->lost = true;
		return;
	}
	char *room = buf_reserve(&c->input->bytes, READ_SIZE);
	ssize_t n = room ? recv(c->fd, room, READ_SIZE, 0) : -1;
	if (n < 0 && room && (errno == EAGAIN || errno == EINTR)) {
		http_input_parse(c);
		return;
	}
	c->lost = n < 0;
	c->ended = n == 0;
	if (n > 0) {
		c->input->bytes.len += (size_t)n;
		http_metrics_received(server->metrics, (size_t)n);
	}
	if (c->ended)
		c->read_since = loop_now(server->loop);
	http_input_parse(c);
}
