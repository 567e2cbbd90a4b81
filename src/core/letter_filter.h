/* SPDX-License-Identifier: MIT */
/*
 * Which dead letters are meant: what people say on the command line, in a query
 * string or in JSON, as the parameters of a statement.
 */
#ifndef LETTER_FILTER_H
#define LETTER_FILTER_H

#include "buf.h"
#include "pg_conn.h"
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

/* The condition, with the parameters $1 to $LETTER_PARAMS, all of them text. */
#define LETTER_PARAMS 8
#define LETTER_WHERE                                                            \
	"consumer_group = $1 AND ($2::text IS NULL OR id = ANY ($2::bigint[]))" \
	" AND ($3::text IS NULL OR topic = $3)"                                 \
	" AND ($4::text IS NULL OR strpos(reason, $4) > 0)"                     \
	" AND ($5::text IS NULL OR coalesce(sqlstate, 'module') = $5)"          \
	" AND ($6::text IS NULL OR created_at >= $6::timestamptz)"              \
	" AND ($7::boolean OR resolution IS NULL) AND id < $8::bigint"

/* Values of the parameters, for struct pg_request; they borrow from the filter and themselves. */
struct letter_params {
	struct buf ids;
	const char *values[LETTER_PARAMS + 3]; /* $9 and on are the caller's, text as well */
	int lengths[LETTER_PARAMS + 3];
	Oid types[LETTER_PARAMS + 3];
	char numbers[4][24];
	int n_numbers;
	int n;
};
/* False when memory is out.  To be released in either case. */
bool letter_params_init(struct letter_params *params, const struct letter_filter *filter,
                        const char *group);
/* One more parameter: $9, $10, $11.  `text` is borrowed. */
void letter_params_add(struct letter_params *params, const char *text);
void letter_params_add_number(struct letter_params *params, int64_t value);
void letter_params_release(struct letter_params *params);

#endif
