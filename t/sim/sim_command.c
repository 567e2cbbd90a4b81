/* SPDX-License-Identifier: MIT */
/* Commands, as the simulated PostgreSQL knows them: their outcomes, and a function that decides. */
#include "pg_value.h"
#include "sim_sql.h"

#include <stdlib.h>
#include <string.h>

/* ---- outcomes ---- */

/* As the session sees it. */
static bool has_outcome(const struct session *session, int64_t command)
{
	for (size_t i = 0; i < session->n_changes; i++)
		if (session->changes[i].kind == CHANGE_OUTCOME && session->changes[i].k == command)
			return true;
	return sim_log_has_outcome(session->sim, command);
}

/* "SELECT u.n AS cqrs_known FROM unnest('{uuid,uuid}'::uuid[]) …" */
enum step sql_known(struct session *session, char *sql)
{
	static const char *const names[] = {"cqrs_known"};
	PGresult *result = sql_rows(1, names);
	int rows = 0;
	char *id = strchr(sql, '{');
	for (int64_t n = 1; *id != '}'; id += 37, n++) {
		/* Its last 12 digits are those of the command. */
		if (has_outcome(session, strtoll(id + 1 + 24, NULL, 16)))
			sql_set_number(result, rows++, 0, n);
		if (id[37] == '}')
			break;
	}
	return sql_answer(session, result);
}

enum step sql_notify(struct session *session, char *sql)
{
	static const char *const names[] = {"pg_notify"};
	PGresult *result = sql_rows(1, names);
	session->notified |= strstr(sql, "'cqrs_outcomes'") != NULL;
	sql_set_text(result, 0, 0, "");
	return sql_answer(session, result);
}

enum step sql_insert_outcome(struct session *session, const char *id, struct change outcome)
{
	outcome.k = (int64_t)(pg_get64(id + 8) & UINT64_C(0xffffffffffff));
	enum step step = take_lock(session, LOCK_COMMAND, outcome.k);
	if (step != STEP_DONE)
		return step;
	if (has_outcome(session, outcome.k))
		return session_refuse(session, "23505", "duplicate key value");
	*add_change(session, CHANGE_OUTCOME) = outcome;
	return STEP_DONE;
}

/* ---- decisions ---- */

static PGresult *outcome_rows(void)
{
	PGresAttDesc columns[3] = {{.name = (char[]){"status"}, .typid = PG_OID_INT2, .format = 1},
	                           {.name = (char[]){"reason"}, .typid = PG_OID_TEXT, .format = 1},
	                           {.name = (char[]){"body"}, .typid = PG_OID_JSONB, .format = 1}};
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PQsetResultAttrs(result, 3, columns);
	return result;
}

static void add_outcome(PGresult *result, int row, bool refused)
{
	PQsetvalue(result, row, 0, refused ? (char[]){1, (char)148} : NULL, refused ? 2 : -1);
	sql_set_text(result, row, 1, refused ? "it is not there" : NULL);
	PQsetvalue(result, row, 2, refused ? NULL : (char[]){"\001{}"}, refused ? -1 : 3);
}

static enum step decide(struct session *session, const struct sim_decision *decision)
{
	enum step step = take_lock(session, LOCK_COUNTER, decision->element & 1);
	if (step != STEP_DONE)
		return step;
	if (decision->what == 2)
		return session_refuse(session, "22012", "division by zero");
	if (decision->what == 0) {
		struct change *change = add_change(session, CHANGE_EFFECT);
		change->effect = EFFECT_DECISION;
		change->element = decision->element;
	}
	return STEP_DONE;
}

/* Those before `at` have been made. */
enum step sql_decide(struct session *session, const struct packet *packet)
{
	const struct sim_decision *list = (const struct sim_decision *)(const void *)packet->text;
	size_t n = packet->len / sizeof *list;
	if (!session->at && n > 1 && sim_fault(session->sim, FAULT_TOO_BIG, session->member))
		return session_refuse(session, "54000", "too many decisions");
	for (; session->at < n; session->at++) {
		enum step step = decide(session, &list[session->at]);
		if (step != STEP_DONE)
			return step;
	}
	PGresult *result = outcome_rows();
	for (size_t i = 0; i < n; i++)
		add_outcome(result, (int)i, list[i].what == 1);
	return sql_answer(session, result);
}
