/* SPDX-License-Identifier: MIT */
/*
 * Commands over HTTP: a request becomes one message of Kafka, and is answered
 * when all in-sync replicas have it, or, with Prefer: wait, when it was applied.
 *
 *   request ─► accept() ─┬───────────────► SENDING ─(acknowledged)─┬─────────────► 200, 201, 202
 *          Idempotency-Key └► CLAIMING ──────┘ │       Prefer: wait └► WAITING ───► and 4xx
 *                               └──────────────┴─(error, command_timeout)─► 503
 *
 * The first command opens the producer, and the first that needs it the connection to the
 * database: a process that gets none pays nothing.
 */
#ifndef COMMAND_HTTP_H
#define COMMAND_HTTP_H

#include "command_bus.h"
#include "health.h"
#include "loop.h"
#include "metrics.h"
#include "route.h"

struct command_http;

struct command_http_config {
	const char *brokers;
	const struct cqrs_option_pair *properties; /* of librdkafka */
	const char *dsn;                           /* where the outcomes of commands are */
	int64_t network_timeout_us;                /* of PostgreSQL */
	int64_t timeout_us;                        /* until Kafka has a command, or 503 */
	int64_t max_wait_us;                       /* for an outcome, whatever a client prefers */
	int64_t memory; /* bytes that commands on their way may take, about */
};

/* Borrows all for good; NULL: out of memory. */
struct command_http *command_http_new(struct loop *loop, const struct command_http_config *config,
                                      struct metrics *metrics, struct health *health);
/* After the HTTP server, and before the bus whose routes it has. */
void command_http_free(struct command_http *commands);

/*
 * Adds the routes that the bus's modules have declared to those of the process, and
 * GET /commands/{id} if there are any; false, with a line in `errors`, if one does not fit to the
 * others.
 */
bool command_http_add_routes(struct command_http *commands, struct command_bus *bus,
                             struct route_table *routes, struct buf *errors);

#endif
