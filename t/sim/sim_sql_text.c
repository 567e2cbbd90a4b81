/* SPDX-License-Identifier: MIT */
/* Reading the SQL of the write path, and making results of rows. */
#include "sim_sql.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- results ---- */

PGresult *sql_command(const char *tag, long rows)
{
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_COMMAND_OK);
	/* The one place where libpq lets an application write the tag. */
	if (rows < 0)
		snprintf(PQcmdStatus(result), 64, "%s", tag);
	else
		snprintf(PQcmdStatus(result), 64, "%s %ld", tag, rows);
	return result;
}

PGresult *sql_rows(int n, const char *const *names)
{
	PGresAttDesc columns[SQL_COLUMNS_MAX];
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	memset(columns, 0, sizeof columns);
	for (int i = 0; i < n; i++)
		columns[i].name = (char *)(uintptr_t)names[i];
	PQsetResultAttrs(result, n, columns);
	return result;
}

/* NULL: null. */
void sql_set_text(PGresult *result, int row, int column, const char *text)
{
	PQsetvalue(result, row, column, (char *)(uintptr_t)text, text ? (int)strlen(text) : -1);
}

void sql_set_number(PGresult *result, int row, int column, int64_t n)
{
	char text[24];
	snprintf(text, sizeof text, "%" PRId64, n);
	sql_set_text(result, row, column, text);
}

enum step sql_answer(struct session *session, PGresult *result)
{
	session_answer(session, ANSWER_RESULT, result);
	return STEP_DONE;
}

enum step sql_answer_command(struct session *session, const char *tag)
{
	return sql_answer(session, sql_command(tag, -1));
}

/* ---- reading SQL ---- */

/* The next 'literal', unquoted, and what follows it. */
const char *sql_literal(struct session *session, const char *sql, char *out, size_t size)
{
	size_t n = 0;
	const char *p = strchr(sql, '\'');
	if (!p)
		sim_abort(session->sim, "no literal in: %s", sql);
	for (p++; *p && !(p[0] == '\'' && p[1] != '\''); p++) {
		p += p[0] == '\'';
		if (n + 1 < size)
			out[n++] = *p;
	}
	out[n] = '\0';
	return p + 1;
}

/* The numbers of the next ARRAY[…]; how many. */
size_t sql_numbers(struct session *session, const char **sql, int64_t *out, size_t max)
{
	const char *p = strstr(*sql, "ARRAY[");
	size_t n = 0;
	if (!p)
		sim_abort(session->sim, "no array in: %s", *sql);
	for (p += 6; *p != ']' && n < max; p += *p == ',') {
		char *end;
		out[n++] = strtoll(p, &end, 10);
		p = end;
	}
	*sql = p;
	return n;
}

/* The names of "(a, b, c)" or "a, b FROM", unquoted, in place; how many. */
int sql_names(char *list, const char *names[SQL_COLUMNS_MAX])
{
	int n = 0;
	for (char *p = strtok(list, ", \""); p && n < SQL_COLUMNS_MAX; p = strtok(NULL, ", \""))
		names[n++] = p;
	return n;
}

enum sim_table sql_table(struct session *session, const char *name, size_t len)
{
	for (int i = 0; i < SIM_TABLES; i++)
		if (strlen(sim_table_names[i]) == len && !memcmp(sim_table_names[i], name, len))
			return (enum sim_table)i;
	sim_abort(session->sim, "no table %.*s", (int)len, name);
}

int sql_log(struct session *session, const char *topic, int32_t partition)
{
	for (int i = 0; i < SIM_TOPICS; i++)
		if (!strcmp(sim_topics[i], topic))
			return sim_log_find(session->sim, i, partition);
	sim_abort(session->sim, "no topic %s", topic);
}
