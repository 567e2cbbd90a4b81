/* SPDX-License-Identifier: MIT */
/*
 * The network side of HTTP/1.1 (RFC 9112): connections, deadlines, limits.
 *
 * The server reads requests, hands each complete one to the handler, and
 * writes the responses in the order of the requests.  Whatever the parser
 * refuses is answered here and closes the connection.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "buf.h"
#include "health.h"
#include "http_method.h"
#include "loop.h"
#include "metrics.h"
#include <stdbool.h>
#include <stddef.h>

struct http_server;
struct http_request; /* lives until its response is complete or the client is gone */

/*
 * Called once for each complete request.  The handler answers with one of the
 * http_respond functions, now or later.
 */
typedef void http_handler_fn(void *owner, struct http_request *req);

struct http_server_config {
	const char *name; /* for logs and metrics: "http", "admin" */
	const char
	    *listen; /* "127.0.0.1:8080", "[::1]:8080", "unix:/run/cqrsd.sock"; port 0: any */
	int64_t header_timeout_us, body_timeout_us, idle_timeout_us;
	int64_t write_timeout_us; /* for each 64 KiB of an answer */
	int64_t max_body;         /* bytes */
	int64_t max_connections;
	int64_t max_connections_per_client, rate_limit; /* see http_limit.h; 0: any number */
	int64_t max_memory; /* bytes of all requests at once, then 503; 0: 32 MiB */
	int64_t
	    max_output; /* bytes of all answers at once, then the slowest reader goes; 0: 32 MiB */
};

/* Listens at once; NULL after logging why.  Borrows `config` for good. */
struct http_server *http_server_new(struct loop *loop, const struct http_server_config *config,
                                    struct metrics *metrics, http_handler_fn *handler, void *owner);
void http_server_free(struct http_server *server);
/* Stops accepting, closes idle connections; `drained` is called when the last has gone. */
void http_server_drain(struct http_server *server, loop_fn *drained, void *arg);
/* Where it listens, as in the configuration, with the port that was chosen. */
const char *http_server_address(const struct http_server *server);

/* ---- the request ---- */

enum http_method http_request_method(const struct http_request *req);
const char *http_request_method_name(const struct http_request *req);
/* The path, percent-decoded once, without query; always begins with '/'. */
const char *http_request_path(const struct http_request *req);
/* The raw query string without '?'; "" if there is none. */
const char *http_request_query(const struct http_request *req);
/* A header's value, names compared without case; NULL if absent; joined by ", " if repeated. */
const char *http_request_header(struct http_request *req, const char *name);
const char *http_request_body(const struct http_request *req, size_t *len);
/* When the request was complete, loop_now(). */
int64_t http_request_time(const struct http_request *req);
/* The request's trace id: 32 lower-case hex digits, from traceparent or made up. */
const char *http_request_trace_id(struct http_request *req);

/* `gone` is called when the client is gone before the response is complete; then the request
 * must not be used any more.  NULL forgets it.  Who answers later than from the handler sets it. */
void http_request_on_gone(struct http_request *req, loop_fn *gone, void *arg);
/* What the metrics call the route: a pattern, borrowed for good ("/api/v1/sensors/{id}"). */
void http_request_set_route(struct http_request *req, const char *route);

/* ---- the response ---- */

/* Adds a header to the response to come. */
void http_respond_header(struct http_request *req, const char *name, const char *value);
/* The whole response; the body is copied.  HEAD gets the headers alone. */
void http_respond(struct http_request *req, int status, const char *content_type, const void *body,
                  size_t len);
/* problem+json (RFC 9457); `param` may be NULL. */
void http_respond_problem(struct http_request *req, int status, const char *code, const char *param,
                          const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* 503: memory is out, and the client may try again. */
void http_respond_no_memory(struct http_request *req);

/*
 * A response of unknown length, in chunks (HTTP/1.0: until close).  After a
 * write that returns false the writer waits for `writable`, which is called
 * when the client has read enough; the bytes of that write were taken all the
 * same.  Call http_stream_end() or, to cut the response short so that the
 * client notices, http_stream_abort().
 */
void http_stream_begin(struct http_request *req, int status, const char *content_type,
                       loop_fn *writable, void *arg);
bool http_stream_write(struct http_request *req, const void *data, size_t len);
void http_stream_end(struct http_request *req);
void http_stream_abort(struct http_request *req, const char *why);

#endif
