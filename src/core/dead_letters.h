/* SPDX-License-Identifier: MIT */
/*
 * What people do with dead letters: an errand, from the question to the answer,
 * for the command line and for the admin listener alike.
 *
 *   list:     CONNECTING ─► COUNTING ─► LISTING ─► done
 *   show:     CONNECTING ─► LISTING ─► done
 *   discard:  CONNECTING ─► DISCARDING ─► COUNTING ─► done
 *   redrive:  CONNECTING ─► BOUNDING ─► CHOOSING ─► REDRIVING ─┐
 *                                         ▲   └─ no more ─► COUNTING ─► done
 *                                         └────────────────────┘
 *
 * Each errand has connections of its own, which end with it.
 */
#ifndef DEAD_LETTERS_H
#define DEAD_LETTERS_H

#include "command_bus.h"
#include "letter_filter.h"
#include <jansson.h>

enum letters_verb { LETTERS_LIST, LETTERS_SHOW, LETTERS_REDRIVE, LETTERS_DISCARD };

struct letters_request {
	enum letters_verb verb;
	struct letter_filter filter; /* the errand's, from dead_letters_run() on */
	char by[200];                /* who redrives or discards */
	bool dry_run;                /* says what would happen */
};

struct dead_letters_config {
	const char *dsn;
	const char *group;
	int64_t timeout_us;      /* of a transaction */
	int64_t patience_us;     /* how long the database may keep us waiting */
	size_t chunk_bytes;      /* payloads in memory at a time, about */
	struct command_bus *bus; /* for redrive */
	struct metrics *metrics;
};

struct dead_letters;

enum letters_outcome {
	LETTERS_DONE,
	LETTERS_UNKNOWN, /* there is no such letter */
	LETTERS_FAILED,  /* the database refuses, or is away: `why` */
};

/* Called once, from the event loop; `answer` and `why` are borrowed, the errand may be freed from
 * inside.  Also when it failed `answer` may say what was done before; NULL: no memory for it. */
typedef void letters_done_fn(void *owner, enum letters_outcome outcome, json_t *answer,
                             const char *why);

/* Borrows `config`, takes the filter of `request`; NULL: no memory. */
struct dead_letters *dead_letters_run(struct loop *loop, const struct dead_letters_config *config,
                                      struct letters_request *request, letters_done_fn *done,
                                      void *owner);
/* Before done(): it is not called any more, and what is not committed does not happen. */
void dead_letters_free(struct dead_letters *letters);

#endif
