/* SPDX-License-Identifier: MIT */
/* A declared decision: the one statement that asks a function about any number of messages. */
#include "batch.h"

#include "pg_conn.h"
#include "pg_value.h"

#include <stdlib.h>

static void add_list(struct buf *sql, const char *prefix, size_t n)
{
	for (size_t i = 1; i <= n; i++)
		buf_printf(sql, "%s%s%zu", i > 1 ? ", " : "", prefix, i);
}

/* One text has one list of types, also where a function has several. */
static void add_params(struct buf *sql, const enum cqrs_type *types, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_printf(sql, "%s$%zu::%s[]", i ? ", " : "", i + 1, pg_value_type_name(types[i]));
}

/*
 * One call for each, in their order: OFFSET 0 keeps the planner from calling the function
 * for each member of its answer.
 */
static void ask_for_each(struct buf *sql, const char *function, const enum cqrs_type *types,
                         size_t n)
{
	buf_puts(sql, "SELECT (r).status, (r).reason, (r).body FROM (SELECT ");
	pg_add_identifier(sql, function);
	buf_putc(sql, '(');
	add_list(sql, "u.p", n);
	buf_puts(sql, ") AS r FROM unnest(");
	add_params(sql, types, n);
	buf_puts(sql, ") WITH ORDINALITY AS u (");
	add_list(sql, "p", n);
	buf_puts(sql, ", n) ORDER BY u.n OFFSET 0) AS decided");
}

/* One call for all. */
static void ask_for_all(struct buf *sql, const char *function, const enum cqrs_type *types,
                        size_t n)
{
	buf_puts(sql, "SELECT status, reason, body FROM ");
	pg_add_identifier(sql, function);
	buf_putc(sql, '(');
	add_params(sql, types, n);
	buf_putc(sql, ')');
}

static char *make_sql(const char *function, const enum cqrs_type *types, size_t n, bool many)
{
	struct buf sql = BUF_INIT;
	(many ? ask_for_all : ask_for_each)(&sql, function, types, n);
	buf_putc(&sql, '\0');
	if (sql.failed)
		buf_release(&sql);
	return sql.data;
}

struct cqrs_decision *batch_decision_new(const char *function, const enum cqrs_type *types,
                                         size_t n, bool many)
{
	struct cqrs_decision *decision = calloc(1, sizeof *decision);
	if (!decision)
		return NULL;
	decision->sql = make_sql(function, types, n, many);
	decision->statement = (struct cqrs_statement){
	    .sql = decision->sql,
	    .n_params = (int)n,
	    .types = calloc(n, sizeof *decision->statement.types),
	    .param_types = types,
	    .decides = true,
	};
	if (!decision->sql || !decision->statement.types) {
		batch_decision_free(decision);
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		decision->statement.types[i] = pg_value_array_oid(types[i]);
	return decision;
}

void batch_decision_free(struct cqrs_decision *decision)
{
	if (!decision)
		return;
	free(decision->statement.types);
	free(decision->sql);
	free(decision);
}
