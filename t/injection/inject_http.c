/* SPDX-License-Identifier: MIT */
/* The server over real sockets: who cannot be served is refused or dropped, and the next is served.
 */
#include "injection.h"

#include "http_server.h"
#include "turn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STREAM_SIZE 150000

/* A client and the server that it talks to. */
struct talk {
	struct loop *loop;
	struct metrics *metrics;
	struct http_server *server;
	struct http_request *stream, *later;
	size_t streamed;
	int fd;
	char answer[STREAM_SIZE + 4096];
	size_t len;
	bool is_over; /* the server has closed */
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
	t->fd = -1;
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

static void dial(struct talk *t)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	in.sin_port = htons((uint16_t)atoi(strrchr(http_server_address(t->server), ':') + 1));
	t->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(connect(t->fd, (struct sockaddr *)&in, sizeof in) == 0);
	t->len = 0;
	t->is_over = false;
}

static void hang_up(struct talk *t)
{
	close(t->fd);
	t->fd = -1;
}

static void hear(struct talk *t)
{
	ssize_t n;
	while ((n = recv(t->fd, t->answer + t->len, sizeof t->answer - 1 - t->len, MSG_DONTWAIT)) >
	       0)
		t->len += (size_t)n;
	t->answer[t->len] = '\0';
	if (n == 0 || (n < 0 && errno != EAGAIN))
		t->is_over = true;
}

/* The answer is complete, or there will be none. */
static bool is_answered(void *arg)
{
	struct talk *t = arg;
	hear(t);
	char *body = strstr(t->answer, "\r\n\r\n");
	if (t->is_over || !body)
		return t->is_over;
	char *length = strcasestr(t->answer, "Content-Length: ");
	if (length && length < body)
		return t->len >= (size_t)(body + 4 - t->answer) + strtoul(length + 16, NULL, 10);
	return strstr(body, "\r\n0\r\n\r\n");
}

/* A client asks, on a connection of its own; true: it got the answer that it asked for. */
static bool ask(struct talk *t, const char *request, const char *expected)
{
	dial(t);
	MUST(send(t->fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request));
	must_happen(t->loop, is_answered, t);
	bool ok = t->len && strstr(t->answer, expected) && is_answered(t);
	if (!ok && t->len && !t->is_over)
		MUST(strncmp(t->answer, "HTTP/1.1 503", 12) == 0 ||
		     strncmp(t->answer, "HTTP/1.1 500", 12) == 0 ||
		     strstr(t->answer, "Content-Length: 0\r\n"));
	hang_up(t);
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
	hear(t);
	return t->later || t->is_over || t->len;
}

/* The client leaves before it is answered. */
static bool leave(struct talk *t)
{
	static const char request[] = "GET /later HTTP/1.1\r\nHost: a\r\n\r\n";
	dial(t);
	MUST(send(t->fd, request, sizeof request - 1, MSG_NOSIGNAL) > 0);
	must_happen(t->loop, asked_later, t);
	bool ok = t->later;
	/* With a reset: that it has only said all that it has to say would be known later. */
	const struct linger now = {.l_onoff = 1};
	setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	hang_up(t);
	while (t->later)
		turn(t->loop);
	return ok;
}

static bool serves(void)
{
	static struct talk t;
	t = (struct talk){.fd = -1};
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
    {.name = "serves", .run = serves},
    {.name = NULL},
};

const struct injection injection = {.name = "http", .scenarios = scenarios};
