/* SPDX-License-Identifier: MIT */
/*
 * Parameters of a route: what may stand in its path and its query string.
 *
 * The core validates a request by these rows, and describes them in the OpenAPI
 * document; a module sees only requests whose parameters are valid.
 */
#ifndef CQRS_PARAM_H
#define CQRS_PARAM_H

#include <cqrs/abi.h>
#include <cqrs/value.h>

struct cqrs_request; /* a request whose parameters are valid */

enum cqrs_param_type {
	CQRS_PARAM_INTEGER,  /* CQRS_INT8; CQRS_INT4 where the range fits; INT4_ARRAY if repeatable
	                      */
	CQRS_PARAM_TEXT,     /* CQRS_TEXT; TEXT_ARRAY if repeatable */
	CQRS_PARAM_CHOICE,   /* CQRS_TEXT, one of `choices` */
	CQRS_PARAM_TIME,     /* CQRS_TIMESTAMPTZ: RFC 3339, epoch s or ms, now, now-6h */
	CQRS_PARAM_DURATION, /* CQRS_INT8, microseconds: 30m */
	CQRS_PARAM_UUID,     /* CQRS_UUID, in small letters however it was sent */
};

/* One parameter of a route, in the path if the path names it, else in the query string. */
struct cqrs_param {
	const char *name;
	enum cqrs_param_type type;
	bool repeatable;     /* INTEGER within int4, TEXT: ?id=1&id=2; at most 100 times */
	const char *initial; /* the default, as in a URL; NULL: the value is then null */
	int64_t min, max;    /* INTEGER: value; TEXT: characters; DURATION: us; both 0: any */
	const char *choices; /* CHOICE: "time|-time" */
	const char *help;    /* one line */
};

#define CQRS_PARAMS_MAX 16

/* A parameter of the route: given, else its default, else null.  Never NULL. */
CQRS_EXPORT const struct cqrs_value *cqrs_param(const struct cqrs_request *req, const char *name);

#endif
