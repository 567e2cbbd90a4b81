/* SPDX-License-Identifier: MIT */
/*
 * Which dead letters are meant: what people say on the command line, in a query
 * string or in JSON.
 */
#ifndef LETTER_FILTER_H
#define LETTER_FILTER_H

#include "buf.h"
#include <stdbool.h>
#include <stdint.h>

#define LETTER_IDS_MAX 10000

struct letter_filter {
	struct buf ids; /* "1,2,3" */
	size_t n_ids;
	char topic[250], reason[512], sqlstate[8]; /* "": any */
	char since[40];                            /* RFC 3339; "": always */
	int64_t before;                            /* ids below it; 0: all */
	int64_t limit;                             /* how many at most; 0: not said */
	bool all;                                  /* also those that are not open any more */
};

void letter_filter_release(struct letter_filter *filter);

/*
 * Takes a condition in: "id" (one more), "topic", "reason" (text in it),
 * "sqlstate" ("module": the module refused), "since" (RFC 3339, or a duration
 * ago, as 2h), "before", "limit", "all" ("", "true" or "false").  False, with a
 * sentence in `error`, when there is no such, or `text` is no value of it.
 */
bool letter_filter_set(struct letter_filter *filter, const char *name, const char *text,
                       int64_t now_us, struct buf *error);
/* Whether anything says which letters: a limit alone does not. */
bool letter_filter_is_open(const struct letter_filter *filter);

#endif
