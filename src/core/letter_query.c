/* SPDX-License-Identifier: MIT */
/* The statements about the dead letters that a filter means. */
#include "letter_query.h"

#include "dead_letter.h"
#include "pg_value.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* $1 to $8; what a statement has besides begins with $9. */
#define WHERE                                                                   \
	"consumer_group = $1 AND ($2::text IS NULL OR id = ANY ($2::bigint[]))" \
	" AND ($3::text IS NULL OR topic = $3)"                                 \
	" AND ($4::text IS NULL OR strpos(reason, $4) > 0)"                     \
	" AND ($5::text IS NULL OR coalesce(sqlstate, 'module') = $5)"          \
	" AND ($6::text IS NULL OR created_at >= $6::timestamptz)"              \
	" AND ($7::boolean OR resolution IS NULL) AND id < $8::bigint"
#define COUNT_SQL "SELECT count(*) FROM cqrs.dead_letters WHERE " WHERE " AND id > $9::bigint"
#define LIST_SQL                                                             \
	"SELECT " DEAD_LETTER_COLUMNS " FROM cqrs.dead_letters WHERE " WHERE \
	" ORDER BY id DESC LIMIT $9::bigint"
#define BOUND_SQL "SELECT coalesce(max(id), 0) + 1 FROM cqrs.dead_letters"
#define CHOOSE_SQL                                                                               \
	"SELECT " DEAD_LETTER_COLUMNS " FROM (SELECT *, sum(coalesce(octet_length(payload), 0))" \
	" OVER (ORDER BY id) - coalesce(octet_length(payload), 0) AS before"                     \
	" FROM (SELECT * FROM cqrs.dead_letters WHERE " WHERE                                    \
	" AND id > $9::bigint ORDER BY id LIMIT $10::bigint) AS chosen) AS summed"               \
	" WHERE before < $11::bigint ORDER BY id"
#define DISCARD_SQL                                                                               \
	"UPDATE cqrs.dead_letters SET resolution = 'discarded', resolved_at = clock_timestamp()," \
	" resolved_by = $10 WHERE resolution IS NULL AND id IN (SELECT id FROM cqrs.dead_letters" \
	" WHERE " WHERE " ORDER BY id LIMIT $9::bigint)"

static void add(struct letter_params *params, const char *text)
{
	int i = params->n++;
	assert(i < LETTER_PARAMS_MAX);
	params->types[i] = PG_OID_TEXT;
	params->values[i] = text;
	params->lengths[i] = text ? (int)strlen(text) : 0;
}

static void add_number(struct letter_params *params, int64_t value)
{
	char *text = params->numbers[params->n_numbers++];
	snprintf(text, sizeof params->numbers[0], "%" PRId64, value);
	add(params, text);
}

static const char *unless_empty(const char *text)
{
	return *text ? text : NULL;
}

bool letter_params_init(struct letter_params *params, const struct letter_filter *filter,
                        const char *group)
{
	*params = (struct letter_params){.n = 0};
	if (filter->n_ids) {
		buf_putc(&params->ids, '{');
		buf_add(&params->ids, filter->ids.data, filter->ids.len);
		buf_putc(&params->ids, '}');
	}
	add(params, group);
	add(params, filter->n_ids ? buf_str(&params->ids) : NULL);
	add(params, unless_empty(filter->topic));
	add(params, unless_empty(filter->reason));
	add(params, unless_empty(filter->sqlstate));
	add(params, unless_empty(filter->since));
	add(params, filter->all ? "true" : "false");
	add_number(params, filter->before ? filter->before : INT64_MAX);
	return !params->ids.failed && !filter->ids.failed;
}

void letter_params_release(struct letter_params *params)
{
	buf_release(&params->ids);
}

/* ---- statements ---- */

const char *letter_query_count(struct letter_params *params, int64_t above)
{
	add_number(params, above);
	return COUNT_SQL;
}

const char *letter_query_list(struct letter_params *params, int64_t limit)
{
	add_number(params, limit);
	return LIST_SQL;
}

const char *letter_query_discard(struct letter_params *params, int64_t limit, const char *by)
{
	add_number(params, limit ? limit : INT64_MAX);
	add(params, by);
	return DISCARD_SQL;
}

const char *letter_query_bound(struct letter_params *params)
{
	params->n = 0;
	return BOUND_SQL;
}

const char *letter_query_choose(struct letter_params *params, int64_t above, int64_t n,
                                size_t bytes)
{
	add_number(params, above);
	add_number(params, n);
	add_number(params, (int64_t)bytes);
	return CHOOSE_SQL;
}
