/* SPDX-License-Identifier: MIT */
/*
 * Makes a view anew, from the events in Kafka, while the old one answers.
 *
 *   the bus reads the view's topics from their beginning, as a group of its own,
 *   into the shadow (shadow.h, sql/010-rebuild.sql)
 *
 *   LOCKING ─► BEGINNING ─► WAITING ─► LOOKING ─(it has seen all that the old one has)─► SWITCHING
 * ─► done ▲           │ not yet                                         │
 *                              └───────────┴──────────────(somebody is in the way)───────────┘
 *
 * What ends before it is done leaves the view as it is; the next rebuild clears up.
 */
#ifndef REBUILD_H
#define REBUILD_H

#include "command_bus.h"

struct rebuild_config {
	const char *view;
	const char *group;         /* that feeds the view */
	const char *rebuild_group; /* the bus's */
	const char *dsn;
	int64_t network_timeout_us;
	bool progress; /* is written to stderr, over itself */
};

/*
 * Starts the bus, which has the view's module and shadow_of, and runs the loop until
 * the view is switched (true) or that cannot be, and `why` says why not.
 */
bool rebuild_run(struct loop *loop, struct command_bus *bus, const struct rebuild_config *config,
                 struct buf *why);

/* The group that rebuilds a view, for free(); NULL: no memory. */
char *rebuild_group(const char *group, const char *view);

#endif
