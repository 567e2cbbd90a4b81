/* SPDX-License-Identifier: MIT */
/* What a query module decided: one statement with bound values, or a refusal. */
#include "answer.h"

#include "decimal.h"
#include "pg_value.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

void answer_clear(struct cqrs_answer *ans)
{
	buf_clear(&ans->sql);
	buf_clear(&ans->data);
	ans->n = 0;
	ans->refused = false;
}

void answer_release(struct cqrs_answer *ans)
{
	buf_release(&ans->sql);
	buf_release(&ans->data);
	answer_clear(ans);
}

bool answer_finish(struct cqrs_answer *ans)
{
	buf_str(&ans->sql);
	/* A value of no bytes still needs an address: NULL means null. */
	buf_str(&ans->data);
	if (ans->sql.failed || ans->data.failed)
		return false;
	for (int i = 0; i < ans->n; i++)
		ans->values[i] =
		    ans->offsets[i] == ANSWER_NULL ? NULL : ans->data.data + ans->offsets[i];
	return true;
}

static void bind(struct cqrs_answer *ans, const struct cqrs_value *value)
{
	assert(ans->n < ANSWER_BINDS_MAX);
	int i = ans->n++;
	size_t start = ans->data.len;
	ans->types[i] = pg_value_oid(value->type);
	ans->offsets[i] = value->is_null ? ANSWER_NULL : start;
	if (!value->is_null && !pg_value_encode(&ans->data, value))
		cqrs_answer_refuse(ans, NULL,
		                   "a value is out of the range that the database can hold");
	ans->lengths[i] = (int)(ans->data.len - start);
}

void cqrs_sql(struct cqrs_answer *ans, const char *text)
{
	buf_puts(&ans->sql, text);
}

/*
 * What stands for the last value.  For an array PostgreSQL would make a plan each time, as how many
 * elements it has makes one that is for all look dear (its manual, PREPARE, Notes); of what a
 * subquery gives it knows nothing beforehand.
 */
static void put_mark(struct cqrs_answer *ans, enum cqrs_type type)
{
	bool is_array = type == CQRS_INT4_ARRAY || type == CQRS_TEXT_ARRAY;
	char digits[24];
	buf_puts(&ans->sql, is_array ? "(SELECT $" : "$");
	buf_add(&ans->sql, digits, decimal_from_integer(digits, ans->n));
	if (!is_array)
		return;
	buf_puts(&ans->sql, ")::");
	buf_puts(&ans->sql, pg_value_type_name(type));
}

void cqrs_sql_bind(struct cqrs_answer *ans, const char *text, const struct cqrs_value *values,
                   size_t n)
{
	const char *mark;
	for (; (mark = strstr(text, "$?")); text = mark + 2, n--, values++) {
		assert(n);
		bind(ans, values);
		buf_add(&ans->sql, text, (size_t)(mark - text));
		put_mark(ans, values->type);
	}
	assert(!n);
	buf_puts(&ans->sql, text);
}

void cqrs_answer_refuse(struct cqrs_answer *ans, const char *param, const char *fmt, ...)
{
	va_list ap;
	if (ans->refused)
		return; /* the first reason is the one to mend */
	ans->refused = true;
	snprintf(ans->error.param, sizeof ans->error.param, "%s", param ? param : "");
	va_start(ap, fmt);
	vsnprintf(ans->error.text, sizeof ans->error.text, fmt, ap);
	va_end(ap);
}
