/* SPDX-License-Identifier: MIT */
/* What PostgreSQL says when it refuses something, in a form that can be kept. */
#include "pg_conn_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void copy_field(char *to, size_t size, const PGresult *result, int field)
{
	const char *text = PQresultErrorField(result, field);
	snprintf(to, size, "%s", text ? text : "");
}

/* libpq's texts have several lines and end in a newline; people and logs want one. */
static void copy_line(char *to, size_t size, const char *text)
{
	size_t n = 0;
	for (; *text && n + 1 < size; text++) {
		if (*text == '\n' || *text == '\t')
			to[n++] = ' ';
		else
			to[n++] = *text;
	}
	while (n && to[n - 1] == ' ')
		n--;
	to[n] = '\0';
}

void pg_error_from_text(struct pg_error *error, const char *fmt, ...)
{
	char text[sizeof error->message];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	memset(error, 0, sizeof *error);
	copy_line(error->message, sizeof error->message, text);
}

void pg_error_from_result(struct pg_error *error, const PGresult *result)
{
	const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *schema = PQresultErrorField(result, PG_DIAG_SCHEMA_NAME);
	const char *table = PQresultErrorField(result, PG_DIAG_TABLE_NAME);
	memset(error, 0, sizeof *error);
	copy_line(error->message, sizeof error->message,
	          primary ? primary : PQresultErrorMessage(result));
	copy_field(error->sqlstate, sizeof error->sqlstate, result, PG_DIAG_SQLSTATE);
	copy_field(error->detail, sizeof error->detail, result, PG_DIAG_MESSAGE_DETAIL);
	copy_field(error->column, sizeof error->column, result, PG_DIAG_COLUMN_NAME);
	copy_field(error->constraint, sizeof error->constraint, result, PG_DIAG_CONSTRAINT_NAME);
	if (table)
		snprintf(error->table, sizeof error->table, "%s%s%s", schema ? schema : "",
		         schema ? "." : "", table);
}

bool pg_error_is_fatal(const PGresult *result)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
	return severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}
