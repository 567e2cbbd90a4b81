/* SPDX-License-Identifier: MIT */
/* cqrs.sift(), cqrs.duplicates() and cqrs.store(), as the simulated PostgreSQL runs them. */
#include "sim_sql.h"

#include <stdlib.h>
#include <string.h>

static const char *const refused_names[] = {"cqrs_table", "stored", "refused", "state", "reason"};

static void add_refused(PGresult *result, int table, int32_t n, const char *state)
{
	int row = PQntuples(result);
	sql_set_number(result, row, 0, table);
	sql_set_text(result, row, 1, NULL);
	sql_set_number(result, row, 2, n);
	sql_set_text(result, row, 3, state);
	sql_set_text(result, row, 4, "refused by the database");
}

/* Why sifting takes the row out; NULL: it does not.  The catalog knows about every second check. */
static const char *sifted(const struct session *session, int table, const struct sim_row *row)
{
	bool has_parent = table == SIM_CHILDREN || table == SIM_REFERRING;
	if (row->bad && row->element % 2 == 0)
		return "23514";
	return has_parent && !find_parent(session, row->k) ? "23503" : NULL;
}

static void sift(struct session *session, int table, PGresult *result)
{
	struct stage *stage = &session->stages[table];
	size_t kept = 0;
	for (size_t i = 0; i < stage->n; i++) {
		const char *state = sifted(session, table, &stage->rows[i]);
		int row = PQntuples(result);
		if (!state) {
			stage->rows[kept++] = stage->rows[i];
			continue;
		}
		sql_set_number(result, row, 0, table);
		sql_set_number(result, row, 1, stage->rows[i].n);
		sql_set_text(result, row, 2, state);
		sql_set_text(result, row, 3, "sifted out");
	}
	stage->n = kept;
}

/* "SELECT * FROM cqrs.sift(ARRAY[N, N]::integer[], …)" */
enum step sql_sift(struct session *session, char *sql)
{
	static const char *const names[] = {"cqrs_table", "refused", "state", "reason"};
	PGresult *result = sql_rows(4, names);
	char *number = strchr(sql, '[');
	while (*number != ']')
		sift(session, (int)strtol(number + 1, &number, 10), result);
	return sql_answer(session, result);
}

static void find_duplicates(const struct session *session, int table, PGresult *result)
{
	const struct stage *stage = &session->stages[table];
	for (size_t i = 0; i < stage->n; i++) {
		int row = PQntuples(result);
		if (!find_key(session, (enum sim_table)table, stage->rows[i].k))
			continue;
		sql_set_number(result, row, 0, table);
		sql_set_number(result, row, 1, stage->rows[i].n);
	}
}

/* "SELECT * FROM cqrs.duplicates(ARRAY[N, N]::integer[], …)", of tables with a key */
enum step sql_duplicates(struct session *session, char *sql)
{
	static const char *const names[] = {"cqrs_table", "duplicate"};
	PGresult *result = sql_rows(2, names);
	char *number = strchr(sql, '[');
	while (*number != ']')
		find_duplicates(session, (int)strtol(number + 1, &number, 10), result);
	return sql_answer(session, result);
}

/* "SELECT N AS cqrs_table, count(*) AS present FROM cqrs_stage_N JOIN …" */
static enum step count_present(struct session *session, int table)
{
	static const char *const names[] = {"cqrs_table", "present"};
	const struct stage *stage = &session->stages[table];
	PGresult *result = sql_rows(2, names);
	int64_t n = 0;
	for (size_t i = 0; i < stage->n; i++)
		n += find_key(session, (enum sim_table)table, stage->rows[i].k) != 0;
	sql_set_number(result, 0, 0, table);
	sql_set_number(result, 0, 1, n);
	return sql_answer(session, result);
}

static void answer_store(struct session *session, int table)
{
	static const char *const states[] = {"23514", "23503", "23505"};
	const struct stage *stage = &session->stages[table];
	PGresult *result = sql_rows(5, refused_names);
	int64_t stored = 0;
	for (size_t i = 0; i < stage->n; i++) {
		char outcome = session->outcomes[i];
		stored += outcome == 's';
		if (outcome >= '0' && outcome <= '2')
			add_refused(result, table, stage->rows[i].n, states[outcome - '0']);
	}
	int row = PQntuples(result);
	sql_set_number(result, row, 0, table);
	sql_set_number(result, row, 1, stored);
	for (int i = 2; i < 5; i++)
		sql_set_text(result, row, i, NULL);
	sql_answer(session, result);
}

/* cqrs.store(): row by row, as if every range had been halved. */
static enum step store(struct session *session, int table, enum on_conflict conflict)
{
	struct stage *stage = &session->stages[table];
	bool stored;
	if (!session->outcomes)
		session->outcomes = calloc(stage->n + 1, 1);
	for (; session->at < stage->n; session->at++) {
		char *outcome = &session->outcomes[session->at];
		enum step step = insert_row(session, (enum sim_table)table,
		                            &stage->rows[session->at], conflict, &stored);
		if (step == STEP_DONE) {
			*outcome = stored ? 's' : 'i';
			continue;
		}
		if (step != STEP_FAILED || strncmp(session->sqlstate, "23", 2))
			return step;
		*outcome = session->sqlstate[4] == '4'   ? '0'
		           : session->sqlstate[4] == '3' ? '1'
		                                         : '2';
	}
	answer_store(session, table);
	return STEP_DONE;
}

enum step sql_staged(struct session *session, char *sql)
{
	int table = atoi(sql + 7);
	if (strstr(sql, "count(*) AS present"))
		return count_present(session, table);
	if (!strstr(sql, "* FROM cqrs.store("))
		sim_abort(session->sim, "no such statement: %s", sql);
	if (strstr(sql, "ON CONFLICT DO NOTHING"))
		return store(session, table, CONFLICT_IGNORE);
	return store(session, table,
	             strstr(sql, "DO UPDATE SET") ? CONFLICT_UPDATE : CONFLICT_REFUSE);
}
