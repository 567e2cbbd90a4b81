/* SPDX-License-Identifier: MIT */
/*
 * The write path: messages from Kafka, through the modules, into batches that
 * the writers store.
 *
 *   kafka_source ─(lane)─► module ─► open batch ─► pg_writer ─► PostgreSQL
 *
 * A lane has one writer, one batch that fills and one that is being stored.
 */
#ifndef COMMAND_BUS_H
#define COMMAND_BUS_H

#include "health.h"
#include "loop.h"
#include "metrics.h"
#include <cqrs/command.h>
#include <jansson.h>

struct command_bus;
struct command_route;
struct kafka_message;
struct partition;
struct cqrs_setup; /* what a module declares itself with */

/* What becomes of a partition whose next message Kafka does not have. */
enum gap_policy { GAP_HALT, GAP_CONTINUE };

struct command_bus_config {
	const char *brokers;
	const char *group;
	const char *start; /* earliest | latest | an RFC 3339 time */
	enum gap_policy on_gap;
	int64_t session_timeout_us;
	const struct cqrs_option_pair *properties;
	const char *dsn;
	int writers;
	int64_t network_timeout_us; /* of PostgreSQL */
	int64_t max_rows, max_delay_us, timeout_us;
	const char *progress; /* topic that tells how far events have come; NULL: nobody asks */
	const char
	    *shadow_of; /* a view: what is stored goes to its shadow, see shadow.h; or NULL */
	int64_t keep_outcomes_us; /* of commands; 0: for ever */
	int64_t memory;           /* bytes that messages and batches may take, about */
};

/* Borrows `config` for good; NULL: no memory. */
struct command_bus *command_bus_new(struct loop *loop, const struct command_bus_config *config,
                                    struct metrics *metrics, struct health *health);
/* Leaves the group and closes the connections; modules are not called any more. */
void command_bus_stop(struct command_bus *bus);
/* After the modules' stop(). */
void command_bus_free(struct command_bus *bus);

/* With what the start() of this module is to be called. */
struct cqrs_setup *command_bus_setup(struct command_bus *bus,
                                     const struct cqrs_command_module *module);
/* The module has started as `self`; false, and `error` says why, if what it declared is wrong. */
bool command_bus_add(struct command_bus *bus, struct cqrs_setup *setup, void *self,
                     const char **error);

/* Topics that the modules have declared. */
const char *const *command_bus_topics(const struct command_bus *bus, int *n);
/* Whether one of them has tables that are made of events. */
bool command_bus_projects(const struct command_bus *bus);
/* Whether one of them has said that it publishes events. */
bool command_bus_publishes(const struct command_bus *bus);
/* The tables that they have declared, counted from 0; NULL behind the last. */
const struct cqrs_table_def *command_bus_table(const struct command_bus *bus, int i);
/* The next HTTP route that they have declared, which is the caller's then; NULL: no more. */
struct command_route *command_bus_take_route(struct command_bus *bus);
/* `events` is called whenever a transaction with events has been committed. */
void command_bus_on_events(struct command_bus *bus, loop_fn *events, void *arg);

/*
 * Instead of the configured brokers our own, which has only just begun: what
 * cqrs.offsets says of the group is of an earlier one, and is forgotten.
 */
void command_bus_use_embedded(struct command_bus *bus, const char *brokers);

/*
 * Makes what takes its time, connections and a consumer, and asks for nothing
 * yet; false after logging why.  May be left out.
 */
bool command_bus_connect(struct command_bus *bus);
/* The schema is as it must be: joins the group; false after logging why. */
bool command_bus_start(struct command_bus *bus);
/* Takes no more messages; `drained` is called when what was taken is stored. */
void command_bus_drain(struct command_bus *bus, loop_fn *drained, void *arg);

/*
 * For guests who have messages to decide that the bus did not take itself: dead
 * letters that are tried again, a log that is read once more.  It takes started
 * modules, but no command_bus_start().
 *
 * command_bus_batch(): a batch for the guest, who frees it (batch_free()) before
 * the bus; NULL: no memory.
 */
struct cqrs_batch *command_bus_batch(struct command_bus *bus);
/* What kafka_message.topic has to be; -1: no module takes this topic. */
int command_bus_find_topic(const struct command_bus *bus, const char *name);
/*
 * Lets the module decide a message, which is the batch's then (`partition` may
 * be NULL); false when memory is out: the message is still the caller's.
 */
bool command_bus_decide(struct command_bus *bus, struct cqrs_batch *batch,
                        const struct kafka_message *msg, struct partition *partition);
/* The batch is stored, or given up: tells the modules what they must know, and empties it. */
void command_bus_done(struct command_bus *bus, struct cqrs_batch *batch, bool stored);

/* For /status; a new reference, NULL: no memory. */
json_t *command_bus_status(void *bus);

#endif
