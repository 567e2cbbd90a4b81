/* SPDX-License-Identifier: MIT */
/*
 * A route of a command module: what cqrs_setup_route() makes of a definition.
 *
 * The module's bus keeps it until somebody serves HTTP and takes it.
 */
#ifndef COMMAND_ROUTE_H
#define COMMAND_ROUTE_H

#include "route.h"
#include <cqrs/command.h>
#include <sys/queue.h>

struct command_http;

struct command_route {
	struct route base; /* first: a command's route is found back from it */
	const struct cqrs_command_route *def;
	int module;                /* the bus's number of it */
	void *self;                /* what its start() returned; set when it is taken */
	struct command_http *http; /* who serves it; set by whom takes it */
	STAILQ_ENTRY(command_route) link;
};

STAILQ_HEAD(command_routes, command_route);

/* NULL, with a sentence in `error`: a mistake of the module, or no memory. */
struct command_route *command_route_new(const char *module, const struct cqrs_command_route *def,
                                        struct buf *error);

/* A route_describe_fn. */
void command_route_describe(const struct route *route, struct cqrs_json *out);
/* The headers that requests with commands may have, for OpenAPI. */
extern const struct route_header command_route_headers[];

#endif
