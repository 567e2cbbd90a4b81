/* SPDX-License-Identifier: MIT */
/* A request that is complete: what its handler sees. */
#include "http_connection.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define IDLE_ROOM 2048 /* bytes for a header and a body */

/* Requests of that room whose memory is kept for the next ones. */
#ifdef __SANITIZE_ADDRESS__
static const unsigned idle_max = 0; /* so that it sees who uses one too late */
#else
static const unsigned idle_max = 64;
#endif

/* Everything behind a span of the parser is a delimiter that nobody needs any more. */
static const char *terminate(char *data, struct http_span span)
{
	data[span.at + span.len] = '\0';
	return data + span.at;
}

/* The memory of one that was answered, if it will do, with the buffer for headers that it had. */
static struct http_request *take_idle(struct http_server *server, size_t room)
{
	struct http_request *req = room <= IDLE_ROOM ? TAILQ_FIRST(&server->idle) : NULL;
	if (!req)
		return NULL;
	TAILQ_REMOVE(&server->idle, req, link);
	server->n_idle--;
	return req;
}

static struct http_request *allocate(struct http_connection *c, size_t n_headers, size_t len)
{
	struct http_server *server = c->server;
	size_t room = n_headers * sizeof(struct http_header) + len + 1;
	struct buf headers = BUF_INIT;
	struct http_request *req = take_idle(server, room);
	if (req)
		headers = req->headers;
	else if (!(req = malloc(sizeof *req + (room < IDLE_ROOM ? IDLE_ROOM : room))))
		return NULL;
	memset(req, 0, sizeof *req);
	req->headers = headers;
	req->connection = c;
	req->memory = sizeof *req + room;
	req->room = room < IDLE_ROOM ? IDLE_ROOM : room;
	req->time = loop_now(server->loop);
	req->headers_in = (struct http_header *)(req + 1);
	req->n_headers = (unsigned)n_headers;
	req->method_name = req->path = req->query = req->body = "";
	server->memory += req->memory;
	TAILQ_INSERT_TAIL(&c->requests, req, link);
	c->n_requests++;
	return req;
}

struct http_request *http_request_new(struct http_connection *c, const struct http_parser *p,
                                      const char *data)
{
	size_t len = p->body.at + p->body.len;
	struct http_request *req = allocate(c, p->n_fields, len);
	if (!req)
		return NULL;
	char *own = (char *)(req->headers_in + p->n_fields);
	memcpy(own, data, len);
	for (unsigned i = 0; i < p->n_fields; i++)
		req->headers_in[i] = (struct http_header){terminate(own, p->fields[i].name),
		                                          terminate(own, p->fields[i].value)};
	req->method = http_method_named(own + p->method.at, p->method.len);
	req->method_name = terminate(own, p->method);
	req->path = terminate(own, p->path);
	req->query = p->query.len ? terminate(own, p->query) : "";
	req->body = terminate(own, p->body);
	req->body_len = p->body.len;
	req->is_1_0 = p->is_1_0;
	req->keep_alive = p->keep_alive;
	return req;
}

struct http_request *http_request_new_refused(struct http_connection *c,
                                              const struct http_parser *p, const char *data,
                                              const struct http_refusal *why)
{
	struct http_request *req = allocate(c, 0, 0);
	if (!req)
		return NULL;
	req->refusal = why;
	/* A refused HEAD has no body either, if that much was understood. */
	req->method =
	    p && p->method.len ? http_method_named(data + p->method.at, p->method.len) : HTTP_OTHER;
	return req;
}

void http_request_free(struct http_request *req)
{
	struct http_connection *c = req->connection;
	struct http_server *server = c->server;
	TAILQ_REMOVE(&c->requests, req, link);
	c->n_requests--;
	server->memory -= req->memory;
	buf_release(&req->held);
	buf_release(&req->joined);
	if (req->room == IDLE_ROOM && server->n_idle < idle_max && req->headers.cap <= IDLE_ROOM) {
		buf_clear(&req->headers);
		TAILQ_INSERT_HEAD(&server->idle, req, link);
		server->n_idle++;
		return;
	}
	buf_release(&req->headers);
	free(req);
}

void http_requests_release(struct http_server *server)
{
	struct http_request *req;
	while ((req = TAILQ_FIRST(&server->idle))) {
		TAILQ_REMOVE(&server->idle, req, link);
		buf_release(&req->headers);
		free(req);
	}
}

enum http_method http_request_method(const struct http_request *req)
{
	return req->method;
}

const char *http_request_method_name(const struct http_request *req)
{
	return req->method_name;
}

const char *http_request_path(const struct http_request *req)
{
	return req->path;
}

const char *http_request_query(const struct http_request *req)
{
	return req->query;
}

const char *http_request_body(const struct http_request *req, size_t *len)
{
	*len = req->body_len;
	return req->body;
}

int64_t http_request_time(const struct http_request *req)
{
	return req->time;
}

void http_request_on_gone(struct http_request *req, loop_fn *gone, void *arg)
{
	req->gone = gone;
	req->gone_arg = arg;
}

void http_request_set_route(struct http_request *req, const char *route)
{
	req->route = route;
}

/*
 * RFC 9110, 5.3: repeated fields are one list.  What was joined must stay where
 * it is, so the buffer gets all the room it can need before its first use.
 */
static const char *join(struct http_request *req, const char *name, unsigned first)
{
	struct buf *joined = &req->joined;
	if (!joined->cap &&
	    !buf_reserve(joined, HTTP_LINE_MAX + HTTP_HEAD_MAX + HTTP_FIELDS_MAX * 3))
		return req->headers_in[first].value;
	const size_t at = joined->len;
	for (unsigned i = first; i < req->n_headers; i++) {
		struct http_header *header = &req->headers_in[i];
		if (!header->name || strcasecmp(header->name, name) != 0)
			continue;
		if (i != first)
			buf_add(joined, ", ", 2);
		buf_puts(joined, header->value);
		if (i != first)
			header->name = NULL;
	}
	buf_putc(joined, '\0');
	req->headers_in[first].value = joined->data + at;
	return joined->data + at;
}

const char *http_request_header(struct http_request *req, const char *name)
{
	int first = -1;
	for (unsigned i = 0; i < req->n_headers; i++) {
		const char *other = req->headers_in[i].name;
		if (!other || strcasecmp(other, name) != 0)
			continue;
		if (first >= 0)
			return join(req, name, (unsigned)first);
		first = (int)i;
	}
	return first >= 0 ? req->headers_in[first].value : NULL;
}

static bool is_lower_hex(const char *text, size_t len)
{
	return strspn(text, "0123456789abcdef") >= len;
}

/* W3C Trace Context, 3.2: 00-TRACE-PARENT-FLAGS; later versions may have more behind it. */
static bool read_traceparent(const char *text, char trace_id[33])
{
	if (!text || strlen(text) < 55 || !is_lower_hex(text, 2) || memcmp(text, "ff", 2) == 0 ||
	    text[2] != '-' || !is_lower_hex(text + 3, 32) || text[35] != '-' ||
	    !is_lower_hex(text + 36, 16) || text[52] != '-' || !is_lower_hex(text + 53, 2))
		return false;
	bool is_00 = memcmp(text, "00", 2) == 0;
	if (text[55] && (is_00 || text[55] != '-'))
		return false;
	if (strspn(text + 3, "0") >= 32 || strspn(text + 36, "0") >= 16)
		return false;
	memcpy(trace_id, text + 3, 32);
	trace_id[32] = '\0';
	return true;
}

const char *http_request_trace_id(struct http_request *req)
{
	if (req->trace_id[0] ||
	    read_traceparent(http_request_header(req, "traceparent"), req->trace_id))
		return req->trace_id;
	for (int i = 0; i < 32; i++)
		req->trace_id[i] =
		    "0123456789abcdef"[loop_random(req->connection->server->loop, 16)];
	return req->trace_id;
}
