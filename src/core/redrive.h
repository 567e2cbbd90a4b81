/* SPDX-License-Identifier: MIT */
/*
 * Puts dead letters through their modules again, some at a time, each exactly
 * once: they are decided into a batch of their own, whose fence is the letters.
 */
#ifndef REDRIVE_H
#define REDRIVE_H

#include "command_bus.h"
#include <jansson.h>
#include <libpq-fe.h>

#define REDRIVE_SHOWN 1000 /* letters in redrive_result.letters at most */

struct redrive_config {
	const char *dsn;
	const char *group;
	const char *by; /* who wants it */
	int64_t timeout_us;
	bool rehearsal; /* finds out what would happen, and leaves everything as it is */
};

struct redrive_result {
	int64_t redriven; /* all of it was accepted */
	int64_t refused;  /* it, or a part of it, was refused again */
	int64_t skipped;  /* no module takes its topic: it stays open */
	int64_t last_id;  /* letters up to this one are done with */
	bool fence_lost;  /* somebody else was quicker with some: take those still open again */
	json_t *letters; /* an array, the first REDRIVE_SHOWN: id, outcome, reason, sqlstate, … */
};

struct redrive;

/* The letters given to redrive_run() are done with.  Called from the event loop. */
typedef void redrive_done_fn(void *owner);

/* Borrows everything for good; connects at once.  NULL: no memory. */
struct redrive *redrive_new(struct loop *loop, struct command_bus *bus,
                            const struct redrive_config *config, struct metrics *metrics,
                            redrive_done_fn *done, void *owner);
/* What is at work then is left to the fence. */
void redrive_free(struct redrive *redrive);

/* `rows`, which are taken, are some of DEAD_LETTER_COLUMNS in order of id.  False: no memory. */
bool redrive_run(struct redrive *redrive, PGresult *rows);
/* Gives up what waits for the database; NULL: it is at work, otherwise what it waited for. */
const char *redrive_give_up(struct redrive *redrive);
/* Of all runs until now. */
const struct redrive_result *redrive_result(const struct redrive *redrive);

#endif
