/* SPDX-License-Identifier: MIT */
/*
 * The statements about the dead letters that a filter means.
 *
 * letter_params_init(), then one of them, which adds its parameters and returns
 * its text; both live as long as `params`, the filter and what was passed.
 */
#ifndef LETTER_QUERY_H
#define LETTER_QUERY_H

#include "letter_filter.h"
#include <libpq-fe.h>

#define LETTER_PARAMS_MAX 11

/* For struct pg_request. */
struct letter_params {
	struct buf ids;
	const char *values[LETTER_PARAMS_MAX]; /* all of them text */
	int lengths[LETTER_PARAMS_MAX];
	Oid types[LETTER_PARAMS_MAX];
	int n;
	char numbers[4][24];
	int n_numbers;
};

/* False when memory is out.  To be released in either case. */
bool letter_params_init(struct letter_params *params, const struct letter_filter *filter,
                        const char *group);
void letter_params_release(struct letter_params *params);

/* How many there are with an id above that one. */
const char *letter_query_count(struct letter_params *params, int64_t above);
/* DEAD_LETTER_COLUMNS, the newest first. */
const char *letter_query_list(struct letter_params *params, int64_t limit);
/* Marks the oldest of those that are open; `limit` 0: all. */
const char *letter_query_discard(struct letter_params *params, int64_t limit, const char *by);
/* The id that the next letter would have, about. */
const char *letter_query_bound(struct letter_params *params);
/* DEAD_LETTER_COLUMNS, the oldest first, with an id above that one: at most `n`, and as many as
 * these bytes hold, but one at least. */
const char *letter_query_choose(struct letter_params *params, int64_t above, int64_t n,
                                size_t bytes);

#endif
