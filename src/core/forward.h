/* SPDX-License-Identifier: MIT */
/*
 * What a command module makes of a request: the message for Kafka and the
 * answer, or why there is none.
 */
#ifndef FORWARD_H
#define FORWARD_H

#include "buf.h"
#include "param.h"
#include <cqrs/command.h>

#define FORWARD_MAX         900000 /* bytes of key and value, as for events */
#define FORWARD_CORE        6      /* headers that the core adds */
#define FORWARD_HEADERS_MAX (CQRS_FORWARD_HEADERS_MAX + FORWARD_CORE)

/* A piece of `data`; what is not there begins at FORWARD_NONE. */
struct forward_piece {
	size_t at, len;
};

#define FORWARD_NONE SIZE_MAX

enum forward_state { FORWARD_EMPTY, FORWARD_SENT, FORWARD_REFUSED, FORWARD_BROKEN };

/* Zeroed at first, then cleared and used again. */
struct cqrs_forward {
	enum forward_state state;
	struct buf data; /* all pieces, each terminated */
	struct forward_piece topic, key, value, location, json;
	struct {
		struct forward_piece name, value;
	} headers[FORWARD_HEADERS_MAX];
	size_t n_headers;
	/* FORWARD_REFUSED: what the client is told; FORWARD_BROKEN: what the log is */
	int status;
	const char *code;
	struct param_error why; /* why.no_memory: nothing else counts */
};

void forward_clear(struct cqrs_forward *f);
void forward_release(struct cqrs_forward *f);

/* A piece as text; NULL: it is not there. */
const char *forward_text(const struct cqrs_forward *f, struct forward_piece piece);
/* False: memory ran out while it was made. */
bool forward_is_whole(const struct cqrs_forward *f);
/* The headers as they are sent, borrowed from the forward until it changes; how many. */
size_t forward_headers(const struct cqrs_forward *f, struct cqrs_header out[FORWARD_HEADERS_MAX]);

#endif
