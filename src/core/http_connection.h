/* SPDX-License-Identifier: MIT */
/*
 * The server's own: its connections and their requests.
 *
 *   OPEN ─(last request read, refusal, end of input)─► CLOSING ─(all answered
 *   and written)─► LINGERING ─(client closed, or 2 s)─► freed
 *
 * What happens to a connection in a turn of the loop is settled once, at the
 * end of the turn: one write, and the one place where it can be freed, apart
 * from its deadline and the server's end.
 */
#ifndef HTTP_CONNECTION_H
#define HTTP_CONNECTION_H

#include "http_limit.h"
#include "http_listen.h"
#include "http_metrics.h"
#include "http_parser.h"
#include "http_server.h"
#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>

#define HTTP_IN_FLIGHT_MAX 16           /* requests of one connection that are not answered */
#define HTTP_OUTPUT_MAX    (256 * 1024) /* bytes not written, from which on nothing is read */
#define HTTP_KEEP_SIZE     (64 * 1024)  /* of a buffer that the next connection may have */
#define HTTP_STREAM_MAX    (64 * 1024)  /* bytes not written, from which on a stream waits */

/* What has been read and not yet made a request: only connections in the middle of one have it. */
struct http_input {
	struct http_parser parser;
	struct buf bytes;
};

TAILQ_HEAD(http_connections, http_connection);
TAILQ_HEAD(http_requests, http_request);

struct http_server {
	struct loop *loop;
	const struct http_server_config *config;
	http_handler_fn *handler;
	void *owner;
	struct http_metrics *metrics;
	int fd;
	char address[HTTP_ADDRESS_MAX];
	struct event *accept, *settle;
	struct timer *sweep, *resume, *drain;
	struct http_connections connections, unsettled;
	size_t n_connections;
	struct http_input *spare;  /* lent to whoever reads */
	struct http_requests idle; /* requests that were answered, for the next ones */
	unsigned n_idle;
	struct buf spare_out;
	size_t memory, max_memory; /* of inputs that connections keep, and of requests */
	size_t output, max_output; /* of answers that are not taken yet */
	struct http_limit *limit;  /* NULL: there is none */
	int64_t head_second;
	char head[64];      /* what every response of this second has */
	int64_t complained; /* loop_now(), when it was logged that accepting fails */
	bool paused;        /* so it is not tried */
	bool draining;
	loop_fn *drained;
	void *drained_arg;
};

enum http_connection_state { HTTP_OPEN, HTTP_CLOSING, HTTP_LINGERING };

struct http_connection {
	struct http_server *server;
	struct event event;
	int fd;
	enum http_connection_state state;
	bool is_unsettled, is_settling;
	bool ended;        /* the client sends no more */
	bool lost;         /* reading or writing failed */
	bool cut;          /* a response ends in the middle: nothing after it */
	bool cut_unframed; /* and the client cannot tell that from its end */
	bool needs_more;   /* `input` has no whole request */
	bool in_body;      /* what `read_since` measures */
	bool in_head;
	struct http_input *input;
	size_t kept;                /* bytes of `input` that count as the server's memory */
	size_t owed;                /* bytes of answers that count as the server's output */
	struct http_client *client; /* NULL: is not limited */
	struct buf out;
	size_t out_at;                 /* how much of `out` is written */
	size_t progress;               /* bytes written since `write_since` */
	struct http_requests requests; /* in their order, the first is being answered */
	unsigned n_requests;
	int64_t read_since, write_since; /* loop_now() */
	TAILQ_ENTRY(http_connection) link, unsettled;
};

/* Takes the socket over. NULL: out of memory, and the socket is closed. */
struct http_connection *http_connection_new(struct http_server *server, int fd,
                                            const struct sockaddr *from);
/* Requests that are not answered learn that the client is gone. */
void http_connection_free(struct http_connection *c);
/* Something changed: it will be settled at the end of the turn. */
void http_connection_touch(struct http_connection *c);
void http_connection_settle(struct http_connection *c);
/* Answers what cannot be read as a request, and reads no more. */
void http_connection_refuse(struct http_connection *c, const struct http_refusal *why);
/* Ends it without a word; `code` is for the metrics. */
void http_connection_expire(struct http_connection *c, const char *code);
/* Acts on what took too long. */
void http_connection_check(struct http_connection *c, int64_t now);
/* Nothing is being read, answered or written. */
bool http_connection_is_idle(const struct http_connection *c);

/* Few enough requests are open, and little enough is unwritten, to read more. */
bool http_connection_has_room(const struct http_connection *c);
size_t http_connection_unwritten(const struct http_connection *c);

/* Reads once, and parses. */
void http_input_read(struct http_connection *c);
/* Makes requests of what was read, as long as there is room for answers. */
void http_input_parse(struct http_connection *c);
bool http_input_can_parse(const struct http_connection *c);
void http_input_drop(struct http_connection *c);

/* ---- requests ---- */

struct http_header {
	const char *name, *value;
};

struct http_request {
	TAILQ_ENTRY(http_request) link;
	struct http_connection *connection;
	size_t memory; /* that counts as the server's */
	size_t room;   /* behind the struct */
	int64_t time;
	enum http_method method;
	bool is_1_0, keep_alive;
	enum { HTTP_WAITING, HTTP_STREAMING, HTTP_COMPLETE } phase;
	bool chunked, no_body; /* of the response */
	bool cut;
	const struct http_refusal *refusal; /* it is no request, but stands for what was refused */
	int status;
	const char *route;
	loop_fn *gone, *writable;
	void *gone_arg, *writable_arg;
	bool writer_waits;
	struct buf headers; /* of the response to come */
	struct buf held;    /* its bytes, while others are before it */
	char trace_id[33];
	const char *method_name, *path, *query, *body;
	size_t body_len;
	struct buf joined; /* repeated headers, put together */
	unsigned n_headers;
	struct http_header *headers_in;
};

/* A copy of what the parser found; NULL: out of memory.  Put at the end of the connection's. */
struct http_request *http_request_new(struct http_connection *c, const struct http_parser *p,
                                      const char *data);
/* One that stands for a refusal, which is borrowed until it is answered. */
struct http_request *http_request_new_refused(struct http_connection *c,
                                              const struct http_parser *p, const char *data,
                                              const struct http_refusal *why);
/* Gives it back to the server, for the next one. */
void http_request_free(struct http_request *req);
/* Frees those that were given back. */
void http_requests_release(struct http_server *server);

/* Where the bytes of its response go: the connection's output when it is the first. */
struct buf *http_request_out(struct http_request *req);

#endif
