/* SPDX-License-Identifier: MIT */
/* The server over real sockets: who cannot be served is refused or dropped, and the next is served.
 */
#include "injection.h"

#include "client.h"
#include "http_server.h"

#include <string.h>

#define STREAM_SIZE 150000

/* A client and the server that it talks to. */
struct talk {
	struct loop *loop;
	struct metrics *metrics;
	struct http_server *server;
	struct http_request *stream, *later;
	size_t streamed;
	struct client client;
};

static void write_stream(void *arg)
{
	static char piece[10000];
	struct talk *t = arg;
	memset(piece, 'x', sizeof piece);
	while (t->stream && t->streamed < STREAM_SIZE) {
		t->streamed += sizeof piece;
		if (!http_stream_write(t->stream, piece, sizeof piece))
			return;
	}
	struct http_request *stream = t->stream;
	t->stream = NULL;
	if (stream)
		http_stream_end(stream);
}

static void on_stream_gone(void *arg)
{
	struct talk *t = arg;
	t->stream = NULL;
}

static void on_later_gone(void *arg)
{
	struct talk *t = arg;
	t->later = NULL;
}

static void handle(void *owner, struct http_request *req)
{
	struct talk *t = owner;
	const char *path = http_request_path(req);
	size_t len;
	const char *body = http_request_body(req, &len);
	http_request_set_route(req, "/route");
	if (strcmp(path, "/stream") == 0) {
		t->stream = req;
		t->streamed = 0;
		http_request_on_gone(req, on_stream_gone, t);
		http_stream_begin(req, 200, "text/plain", write_stream, t);
		write_stream(t);
	} else if (strcmp(path, "/problem") == 0) {
		http_respond_problem(req, 400, "bad", "thing", "The thing is %s.", "bad");
	} else if (strcmp(path, "/later") == 0) {
		t->later = req;
		http_request_on_gone(req, on_later_gone, t);
	} else {
		http_respond_header(req, "X-Trace", http_request_trace_id(req));
		http_respond(req, 200, "text/plain", len ? body : path, len ? len : strlen(path));
	}
}

static bool begin(struct talk *t)
{
	static const struct http_server_config config = {.name = "http",
	                                                 .listen = "127.0.0.1:0",
	                                                 .header_timeout_us = 60000000,
	                                                 .body_timeout_us = 60000000,
	                                                 .idle_timeout_us = 60000000,
	                                                 .write_timeout_us = 60000000,
	                                                 .max_body = 100000,
	                                                 .max_connections = 10,
	                                                 .max_connections_per_client = 5,
	                                                 .rate_limit = 1000};
	t->loop = loop_new();
	t->metrics = t->loop ? metrics_new() : NULL;
	t->server = t->metrics ? http_server_new(t->loop, &config, t->metrics, handle, t) : NULL;
	/* A listener that does not know its own address says "?", and listens. */
	return t->server && !strchr(http_server_address(t->server), '?');
}

static void end(struct talk *t)
{
	http_server_free(t->server);
	MUST(!t->stream && !t->later);
	metrics_free(t->metrics);
	loop_free(t->loop);
}

/* A client asks, on a connection of its own; true: it got the answer that it asked for. */
static bool ask(struct talk *t, const char *request, const char *expected)
{
	bool ok = client_ask(&t->client, t->loop, http_server_address(t->server), request) &&
	          strstr(t->client.answer, expected);
	if (!ok)
		client_must_be_refused(&t->client);
	return ok;
}

static bool is_true(void *arg)
{
	return *(bool *)arg;
}

static void on_drained(void *arg)
{
	*(bool *)arg = true;
}

static bool drain(struct talk *t)
{
	bool drained = false;
	http_server_drain(t->server, on_drained, &drained);
	must_happen(t->loop, is_true, &drained);
	return true;
}

static bool asked_later(void *arg)
{
	struct talk *t = arg;
	client_hear(&t->client);
	return t->later || t->client.is_over || t->client.len;
}

/* The client leaves before it is answered. */
static bool leave(struct talk *t)
{
	client_dial(&t->client, http_server_address(t->server));
	client_say(&t->client, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
	must_happen(t->loop, asked_later, t);
	bool ok = t->later;
	/* With a reset: that it has only said all that it has to say would be known later. */
	const struct linger now = {.l_onoff = 1};
	setsockopt(t->client.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	client_hang_up(&t->client);
	while (t->later)
		turn(t->loop);
	return ok;
}

static bool serves(void)
{
	static struct talk t;
	t = (struct talk){.loop = NULL};
	bool ok = begin(&t);
	if (ok) {
		/* Each may be refused, the others are served all the same. */
		ok &= ask(&t, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
		          "/hello");
		ok &= ask(&t,
		          "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		          "5\r\n12345\r\n5\r\n67890\r\n0\r\n\r\n",
		          "\r\n\r\n1234567890");
		ok &= ask(&t, "GET /problem HTTP/1.1\r\nHost: a\r\n\r\n", "The thing is bad.");
		ok &= ask(&t, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n0\r\n\r\n");
		ok &= leave(&t);
		ok &= ask(&t, "GARBAGE\r\n\r\n", "HTTP/1.1 400");
		injection_end();
		MUST(ask(&t, "GET /after HTTP/1.1\r\nHost: a\r\n\r\n", "/after"));
		drain(&t);
	}
	end(&t);
	return ok;
}

static const struct injection_scenario scenarios[] = {
    {.name = "serves", .run = serves, .jobs = 4},
    {.name = NULL},
};

const struct injection injection = {.name = "http", .scenarios = scenarios};
