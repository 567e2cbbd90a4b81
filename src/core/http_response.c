/* SPDX-License-Identifier: MIT */
/* Responses: whole, in chunks, and as problems; in the order of their requests. */
#include "decimal.h"
#include "http_connection.h"
#include "http_problem.h"
#include "log.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define DETAIL_MAX     1000
#define REQUEST_ID_MAX 128

static bool is_first(const struct http_request *req)
{
	return req == TAILQ_FIRST(&req->connection->requests);
}

struct buf *http_request_out(struct http_request *req)
{
	struct http_connection *c = req->connection;
	if (!is_first(req))
		return &req->held;
	/* An idle connection holds no memory, a busy one takes what the last one left. */
	if (!c->out.data && !c->out.failed) {
		c->out = c->server->spare_out;
		c->server->spare_out = (struct buf)BUF_INIT;
	}
	return &c->out;
}

static void count(struct http_request *req)
{
	struct http_server *server = req->connection->server;
	int64_t us = loop_now(server->loop) - req->time;
	if (req->refusal)
		http_metrics_refused(server->metrics, req->refusal->code);
	else
		http_metrics_answered(server->metrics, req->route, http_method_label(req->method),
		                      req->status, us);
}

/* Lets those that are complete go, and the next one write to the connection. */
static void advance(struct http_connection *c)
{
	struct http_request *req = TAILQ_FIRST(&c->requests);
	while (req && req->phase == HTTP_COMPLETE && !c->cut) {
		c->cut = req->cut;
		c->cut_unframed = !req->chunked;
		http_request_free(req);
		req = TAILQ_FIRST(&c->requests);
		if (!req || (!req->held.len && !req->held.failed))
			continue;
		struct buf *out = http_request_out(req);
		buf_add(out, req->held.data, req->held.len);
		out->failed = out->failed || req->held.failed;
		buf_release(&req->held);
	}
	http_connection_touch(c);
}

static void complete(struct http_request *req)
{
	count(req);
	req->phase = HTTP_COMPLETE;
	req->gone = NULL;
	req->writable = NULL;
	req->writer_waits = false;
	advance(req->connection);
}

/* What every response has; its Date (RFC 9110, 5.6.7) is new once a second. */
static const char *common_head(struct http_server *server)
{
	int64_t second = loop_wall_clock(server->loop) / 1000000;
	if (second != server->head_second) {
		time_t t = (time_t)second;
		struct tm tm;
		gmtime_r(&t, &tm);
		strftime(server->head, sizeof server->head,
		         "Server: cqrsd\r\nDate: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
		server->head_second = second;
	}
	return server->head;
}

static void add_number(struct buf *out, int64_t n)
{
	char *at = buf_reserve(out, 24);
	if (at)
		out->len += decimal_from_integer(at, n);
}

static void add_header(struct buf *out, const char *name, const char *value)
{
	buf_puts(out, name);
	buf_add(out, ": ", 2);
	/* Whatever a value was made from, it cannot begin another line. */
	size_t at = out->len;
	buf_puts(out, value);
	for (; at < out->len; at++)
		if ((unsigned char)out->data[at] < 0x20 || out->data[at] == 0x7f)
			out->data[at] = ' ';
	buf_add(out, "\r\n", 2);
}

/* What the client calls the request comes back, if it is a name and not a flood. */
static void echo_request_id(struct http_request *req, struct buf *out)
{
	const char *id = req->n_headers ? http_request_header(req, "x-request-id") : NULL;
	size_t len = id ? strlen(id) : 0;
	if (len && len <= REQUEST_ID_MAX)
		add_header(out, "X-Request-Id", id);
}

/* The last request that is read says so, and so does the last one before the server stops. */
static bool closes(struct http_request *req)
{
	struct http_connection *c = req->connection;
	if (c->server->draining && !TAILQ_NEXT(req, link) && !c->input) {
		req->keep_alive = false;
		if (c->state == HTTP_OPEN)
			c->state = HTTP_CLOSING;
	}
	return !req->keep_alive;
}

static void add_head(struct http_request *req, struct buf *out, int status, const char *type)
{
	req->status = status;
	req->no_body = req->method == HTTP_HEAD || status == 204 || status == 304;
	buf_puts(out, "HTTP/1.1 ");
	add_number(out, status);
	buf_putc(out, ' ');
	buf_puts(out, http_reason(status));
	buf_puts(out, "\r\n");
	buf_puts(out, common_head(req->connection->server));
	if (type) {
		buf_puts(out, "Content-Type: ");
		buf_puts(out, type);
		buf_puts(out, "\r\n");
	}
	if (closes(req))
		buf_puts(out, "Connection: close\r\n");
	echo_request_id(req, out);
	buf_add(out, req->headers.data, req->headers.len);
	out->failed = out->failed || req->headers.failed;
}

void http_respond_header(struct http_request *req, const char *name, const char *value)
{
	add_header(&req->headers, name, value);
}

void http_respond(struct http_request *req, int status, const char *content_type, const void *body,
                  size_t len)
{
	struct buf *out = http_request_out(req);
	add_head(req, out, status, content_type);
	/* RFC 9110, 8.6: forbidden with 204, and with 304 it may be left out. */
	if (status != 204 && status != 304) {
		buf_puts(out, "Content-Length: ");
		add_number(out, (int64_t)len);
		buf_puts(out, "\r\n");
	}
	buf_puts(out, "\r\n");
	if (!req->no_body)
		buf_add(out, body, len);
	complete(req);
}

void http_respond_problem(struct http_request *req, int status, const char *code, const char *param,
                          const char *fmt, ...)
{
	char detail[DETAIL_MAX];
	struct buf body = BUF_INIT;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(detail, sizeof detail, fmt, ap);
	va_end(ap);
	http_problem_write(&body, &(struct http_problem){
	                              .status = status,
	                              .code = code,
	                              .detail = detail,
	                              .param = param,
	                              .instance = req->path[0] ? req->path : NULL,
	                              .trace_id = http_request_trace_id(req),
	                          });
	/* Without memory for its text the status says enough. */
	if (body.failed)
		http_respond(req, status, NULL, NULL, 0);
	else
		http_respond(req, status, HTTP_PROBLEM_TYPE, body.data, body.len);
	buf_release(&body);
}

void http_respond_no_memory(struct http_request *req)
{
	http_respond_header(req, "Retry-After", "1");
	http_respond_problem(req, 503, "out_of_memory", NULL,
	                     "There is no memory for the answer now; try again soon.");
}

void http_stream_begin(struct http_request *req, int status, const char *content_type,
                       loop_fn *writable, void *arg)
{
	struct buf *out = http_request_out(req);
	/* RFC 9112, 6.1: never to a 1.0 client; the end of the connection ends the body. */
	req->chunked = !req->is_1_0;
	if (req->is_1_0)
		req->keep_alive = false;
	add_head(req, out, status, content_type);
	if (req->chunked && status != 204 && status != 304)
		add_header(out, "Transfer-Encoding", "chunked");
	buf_add(out, "\r\n", 2);
	req->phase = HTTP_STREAMING;
	req->writable = writable;
	req->writable_arg = arg;
	http_connection_touch(req->connection);
}

bool http_stream_write(struct http_request *req, const void *data, size_t len)
{
	struct buf *out = http_request_out(req);
	/* A chunk of no bytes would be the end. */
	if (len && !req->no_body) {
		char size[24];
		int n = req->chunked ? snprintf(size, sizeof size, "%zx\r\n", len) : 0;
		buf_add(out, size, (size_t)n);
		buf_add(out, data, len);
		if (req->chunked)
			buf_add(out, "\r\n", 2);
	}
	http_connection_touch(req->connection);
	size_t waiting = is_first(req) ? http_connection_unwritten(req->connection) : req->held.len;
	req->writer_waits = waiting >= HTTP_STREAM_MAX;
	return !req->writer_waits;
}

void http_stream_end(struct http_request *req)
{
	if (req->chunked && !req->no_body)
		buf_puts(http_request_out(req), "0\r\n\r\n");
	complete(req);
}

void http_stream_abort(struct http_request *req, const char *why)
{
	log_warning("%s: the response to %s is cut short: %s",
	            req->connection->server->config->name, req->path, why);
	req->cut = true;
	req->connection->state = HTTP_CLOSING;
	complete(req);
}
