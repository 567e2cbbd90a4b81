/* SPDX-License-Identifier: MIT */
/* One client: reading requests, writing responses, and what takes too long. */
#include "http_connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGER_US     2000000     /* for the client to read the last answer */
#define HALF_CLOSE_US 2000000     /* for answers to a client that may be gone or may listen */
#define PROGRESS      (64 * 1024) /* bytes that a slow reader must take in each write timeout */

static void on_event(evutil_socket_t fd, short what, void *arg);

struct http_connection *http_connection_new(struct http_server *server, int fd,
                                            const struct sockaddr *from)
{
	struct http_connection *c = calloc(1, sizeof *c);
	int on = 1;
	if (!c) {
		close(fd);
		return NULL;
	}
	/* Fails on unix sockets, which do not delay. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	c->server = server;
	c->fd = fd;
	c->read_since = loop_now(server->loop);
	TAILQ_INIT(&c->requests);
	TAILQ_INSERT_TAIL(&server->connections, c, link);
	http_metrics_connections(server->metrics, ++server->n_connections);
	if (server->limit)
		c->client = http_limit_join(server->limit, from);
	event_assign(&c->event, loop_base(server->loop), fd, EV_READ | EV_PERSIST, on_event, c);
	if (event_add(&c->event, NULL) == 0)
		return c;
	http_connection_free(c);
	return NULL;
}

/* Hands the memory of what is written back, for whoever writes next. */
static void drop_output(struct http_connection *c)
{
	struct buf *spare = &c->server->spare_out;
	c->out_at = 0;
	buf_clear(&c->out);
	if (!spare->data && c->out.cap <= HTTP_KEEP_SIZE) {
		*spare = c->out;
		c->out = (struct buf)BUF_INIT;
	}
	buf_release(&c->out);
}

static void abandon_requests(struct http_connection *c)
{
	struct http_request *req;
	while ((req = TAILQ_FIRST(&c->requests))) {
		if (req->gone)
			req->gone(req->gone_arg);
		http_request_free(req);
	}
}

void http_connection_free(struct http_connection *c)
{
	struct http_server *server = c->server;
	event_del(&c->event);
	if (c->is_unsettled)
		TAILQ_REMOVE(&server->unsettled, c, unsettled);
	abandon_requests(c);
	http_input_drop(c);
	drop_output(c);
	server->output -= c->owed;
	if (c->client)
		http_limit_leave(server->limit, c->client);
	close(c->fd);
	TAILQ_REMOVE(&server->connections, c, link);
	http_metrics_connections(server->metrics, --server->n_connections);
	if (server->draining && !server->n_connections)
		timer_arm(server->drain, 0);
	if (server->paused)
		timer_arm(server->resume, 0);
	free(c);
}

void http_connection_touch(struct http_connection *c)
{
	struct http_server *server = c->server;
	if (c->is_unsettled || c->is_settling)
		return;
	/* Behind everything that is already due in this turn. */
	if (TAILQ_EMPTY(&server->unsettled))
		event_active(server->settle, EV_TIMEOUT, 1);
	TAILQ_INSERT_TAIL(&server->unsettled, c, unsettled);
	c->is_unsettled = true;
}

size_t http_connection_unwritten(const struct http_connection *c)
{
	return c->out.len - c->out_at;
}

bool http_connection_is_idle(const struct http_connection *c)
{
	return c->state == HTTP_OPEN && !c->in_head && !c->in_body && !c->n_requests &&
	       !http_connection_unwritten(c) && !http_input_can_parse(c);
}

/* ---- reading ---- */

bool http_connection_has_room(const struct http_connection *c)
{
	return c->n_requests < HTTP_IN_FLIGHT_MAX && http_connection_unwritten(c) < HTTP_OUTPUT_MAX;
}

static bool wants_to_read(const struct http_connection *c)
{
	return !c->ended && (c->state != HTTP_OPEN || http_connection_has_room(c));
}

/* Behind the last request: not looked at, but read, to see when the client goes. */
static void discard_some(struct http_connection *c)
{
	char rest[4096];
	ssize_t n = recv(c->fd, rest, sizeof rest, 0);
	c->ended = n == 0;
	if (c->ended && c->state == HTTP_CLOSING)
		c->read_since = loop_now(c->server->loop);
	c->lost = n < 0 && errno != EAGAIN && errno != EINTR;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct http_connection *c = arg;
	(void)fd;
	if ((what & EV_READ) && c->state != HTTP_OPEN)
		discard_some(c);
	else if ((what & EV_READ) && wants_to_read(c))
		http_input_read(c);
	http_connection_touch(c);
}

/* ---- writing ---- */

/* RFC 9110, 10.1.1: not when the body is already coming, and not before earlier answers. */
static void invite_body(struct http_connection *c)
{
	struct http_parser *p = c->input ? &c->input->parser : NULL;
	if (!p || !p->expects_continue || !http_parser_in_body(p) || c->n_requests)
		return;
	p->expects_continue = false;
	if (c->input->bytes.len == p->body.at)
		buf_puts(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
}

static bool stream_waits(const struct http_connection *c)
{
	const struct http_request *first = TAILQ_FIRST(&c->requests);
	return first && first->writer_waits;
}

static void let_stream_write(struct http_connection *c)
{
	struct http_request *req = TAILQ_FIRST(&c->requests);
	if (!stream_waits(c) || http_connection_unwritten(c) >= HTTP_STREAM_MAX / 2)
		return;
	req->writer_waits = false;
	if (req->writable)
		req->writable(req->writable_arg);
}

/* Cut short to a client for which the end of the connection is the end of the response. */
static void reset(struct http_connection *c)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	c->lost = true;
}

static void write_some(struct http_connection *c)
{
	size_t len = http_connection_unwritten(c);
	/* There was no memory for all of an answer, so none of it may look like one. */
	if (c->out.failed)
		reset(c);
	if (!len || c->lost)
		return;
	int64_t now = loop_now(c->server->loop);
	bool had_room = http_connection_has_room(c);
	ssize_t n = send(c->fd, c->out.data + c->out_at, len, MSG_NOSIGNAL);
	if (n < 0) {
		c->lost = errno != EAGAIN && errno != EINTR;
		n = 0;
	}
	http_metrics_sent(c->server->metrics, (size_t)n);
	c->out_at += (size_t)n;
	c->progress += (size_t)n;
	if (!c->write_since || c->progress >= PROGRESS) {
		c->write_since = now;
		c->progress = 0;
	}
	/* What we did not read meanwhile was not late. */
	if (!had_room && http_connection_has_room(c))
		c->read_since = now;
	if (http_connection_unwritten(c))
		return;
	drop_output(c);
	/* A stream that waits for its turn waits for the client, who has a deadline. */
	c->write_since = stream_waits(c) ? now : 0;
	/* An idle time begins when the answer is out. */
	if (!c->in_head && !c->in_body && !c->ended)
		c->read_since = now;
}

/* Watches for what can go on; the kernel is told only when that changes. */
static void watch(struct http_connection *c)
{
	bool can_parse = http_input_can_parse(c);
	short what = EV_PERSIST;
	if (wants_to_read(c) && !can_parse)
		what |= EV_READ;
	if (http_connection_unwritten(c) || stream_waits(c) || can_parse)
		what |= EV_WRITE;
	if (what == event_get_events(&c->event))
		return;
	event_del(&c->event);
	event_assign(&c->event, loop_base(c->server->loop), c->fd, what, on_event, c);
	if (what != EV_PERSIST && event_add(&c->event, NULL) != 0)
		c->lost = true;
}

/* Nothing was sent that we have not read: closing does not reset the connection. */
static bool nothing_came(const struct http_connection *c)
{
	char byte;
	return recv(c->fd, &byte, 1, MSG_PEEK) < 0;
}

/* RFC 9112, 9.6: closing at once could reset the connection under the last answer. */
static void linger(struct http_connection *c)
{
	if (shutdown(c->fd, SHUT_WR) != 0)
		c->lost = true;
	c->state = HTTP_LINGERING;
	c->read_since = loop_now(c->server->loop);
}

/* The end, if everything is answered and written. */
static void finish(struct http_connection *c)
{
	if (http_connection_unwritten(c) || c->lost || c->state == HTTP_LINGERING)
		return;
	if (c->cut)
		abandon_requests(c);
	if (c->cut && c->cut_unframed)
		reset(c);
	else if (c->state == HTTP_CLOSING && !c->n_requests)
		linger(c);
	else if (c->server->draining && http_connection_is_idle(c) && nothing_came(c))
		c->lost = true;
}

/* What a client does not take is the server's to keep; it is known when all has been written. */
static void count_output(struct http_connection *c)
{
	const struct http_request *req;
	size_t bytes = c->out.cap;
	TAILQ_FOREACH (req, &c->requests, link)
		bytes += req->held.cap;
	c->server->output += bytes - c->owed;
	c->owed = bytes;
}

void http_connection_settle(struct http_connection *c)
{
	c->is_settling = true;
	if (!c->lost && http_input_can_parse(c))
		http_input_parse(c);
	if (c->ended && !c->input && c->state == HTTP_OPEN)
		c->state = HTTP_CLOSING;
	if (!c->lost) {
		let_stream_write(c);
		invite_body(c);
		write_some(c);
	}
	finish(c);
	watch(c);
	count_output(c);
	c->is_settling = false;
	if (c->lost || (c->ended && c->state == HTTP_LINGERING))
		http_connection_free(c);
}

/* ---- deadlines ---- */

void http_connection_expire(struct http_connection *c, const char *code)
{
	http_metrics_refused(c->server->metrics, code);
	http_connection_free(c);
}

void http_connection_check(struct http_connection *c, int64_t now)
{
	static const struct http_refusal head = {
	    408, "header_timeout", "The request line and the header did not come in time."};
	static const struct http_refusal body = {408, "body_timeout",
	                                         "The body did not come in time."};
	const struct http_server_config *config = c->server->config;
	const struct http_request *first = TAILQ_FIRST(&c->requests);
	int64_t reading = now - c->read_since;
	if (c->write_since && now - c->write_since > config->write_timeout_us)
		http_connection_expire(c, "write_timeout");
	else if (c->state == HTTP_LINGERING && reading > LINGER_US)
		http_connection_free(c);
	else if (c->ended && first && first->phase == HTTP_WAITING && reading > HALF_CLOSE_US)
		http_connection_expire(c, "client_gone");
	else if (c->in_head && http_connection_has_room(c) && reading > config->header_timeout_us)
		http_connection_refuse(c, &head);
	else if (c->in_body && http_connection_has_room(c) && reading > config->body_timeout_us)
		http_connection_refuse(c, &body);
	else if (http_connection_is_idle(c) && reading > config->idle_timeout_us)
		http_connection_free(c);
}
