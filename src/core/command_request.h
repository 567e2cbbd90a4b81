/* SPDX-License-Identifier: MIT */
/*
 * A request with a command: its parameters, its body, and the headers that say
 * how it is meant.
 */
#ifndef COMMAND_REQUEST_H
#define COMMAND_REQUEST_H

#include "command_route.h"
#include "forward.h"
#include "http_server.h"
#include "param.h"
#include "prefer.h"
#include "uuid.h"

#define COMMAND_KEY_MAX 255 /* bytes of an Idempotency-Key */

/* Used again for each request, since accept() runs at once.  Zeroed at first. */
struct command_request {
	struct cqrs_request params; /* first: modules find the others from it */
	struct http_request *http;
	const char *id;                /* of the command */
	char if_match[24];             /* "": there is none */
	char key[COMMAND_KEY_MAX + 1]; /* "": there is none */
	struct prefer prefer;
};

/*
 * Fills it; `now_us` is wall-clock time.  False after a refusal: the request is
 * answered.
 */
bool command_request_read(struct command_request *req, const struct command_route *route,
                          struct http_request *http, const struct param_text *path, int64_t now_us);
/*
 * What two requests with one Idempotency-Key must have in common: method, path, query, If-Match
 * and body, as a digest (SHA-256).  False: no memory.
 */
bool command_request_fingerprint(const struct command_request *req, char out[32]);
void command_request_release(struct command_request *req);

#endif
