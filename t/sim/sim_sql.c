/* SPDX-License-Identifier: MIT */
/*
 * The statements of the write path, as the simulated PostgreSQL runs them: one
 * table, found by how they begin.
 */
#include "sim_sql.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const char sim_sql_ensure[] = "INSERT INTO parents (id) VALUES ($1) ON CONFLICT DO NOTHING";
const char sim_sql_insert[] = "INSERT INTO journal (element, bad) VALUES ($1, $2)";
const char sim_sql_count[] = "UPDATE counters SET n = n + 1, last = $2 WHERE id = $1";

/* ---- transactions ---- */

/* "3000" is in milliseconds, "'3s'" in seconds. */
static int64_t read_duration(const char *text)
{
	char *end;
	int64_t n = strtoll(text + (*text == '\''), &end, 10);
	return n * (*end == 's' ? 1000 * MS : MS);
}

static enum step run_set(struct session *session, char *sql)
{
	static const struct {
		const char *name;
		size_t offset;
	} settings[] = {
	    {"lock_timeout = ", offsetof(struct session, lock_timeout)},
	    {"statement_timeout = ", offsetof(struct session, statement_timeout)},
	    {"idle_in_transaction_session_timeout = ", offsetof(struct session, idle_timeout)},
	};
	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
		size_t len = strlen(settings[i].name);
		if (!strncmp(sql + 4, settings[i].name, len))
			*(int64_t *)(void *)((char *)session + settings[i].offset) =
			    read_duration(sql + 4 + len);
	}
	return sql_answer_command(session, "SET");
}

static enum step run_begin(struct session *session, char *sql)
{
	(void)sql;
	session->block = true;
	return sql_answer_command(session, "BEGIN");
}

/* Outside of a block it ends the implicit transaction of the Query so far. */
static enum step run_commit(struct session *session, char *sql)
{
	(void)sql;
	if (session->aborted) {
		session_roll_back(session);
		return sql_answer_command(session, "ROLLBACK");
	}
	enum step step = session_commit(session);
	return step == STEP_DONE ? sql_answer_command(session, "COMMIT") : step;
}

static enum step run_rollback(struct session *session, char *sql)
{
	(void)sql;
	session_roll_back(session);
	return sql_answer_command(session, "ROLLBACK");
}

static enum step run_nothing(struct session *session, char *sql)
{
	(void)sql;
	return sql_answer_command(session, "DONE");
}

/* ---- the statements ---- */

static const struct {
	const char *begins;
	enum step (*run)(struct session *session, char *sql);
	bool when_aborted;
} statements[] = {
    {"SET CONSTRAINTS ALL IMMEDIATE", run_nothing, false},
    {"SET ", run_set, false},
    /* Shared: only an operator takes it alone, and there is none here. */
    {"SELECT pg_advisory_lock_shared(", run_nothing, false},
    {"BEGIN", run_begin, false},
    {"COMMIT", run_commit, true},
    {"ROLLBACK", run_rollback, true},
    {"SELECT cqrs.advance(", sql_advance, false},
    {"SELECT cqrs.evict(", sql_evict, false},
    {SQL_READ_OFFSETS, sql_read_offsets, false},
    {"SELECT to_char(since AT TIME ZONE 'UTC', ", sql_record_gap, false},
    {"CALL cqrs.register_view(", run_nothing, false},
    {"UPDATE cqrs.gaps g SET to_offset = o.next_offset", run_nothing, false},
    {"INSERT INTO cqrs.offsets (", sql_add_offsets, false},
    {"COPY ", sql_copy, false},
    {"CREATE TEMP TABLE IF NOT EXISTS cqrs_stage_", run_nothing, false},
    {"DROP INDEX IF EXISTS pg_temp.cqrs_stage_", run_nothing, false},
    {"SELECT * FROM cqrs.sift(", sql_sift, false},
    {"SELECT * FROM cqrs.duplicates(", sql_duplicates, false},
    {"SELECT u.n AS cqrs_known FROM unnest(", sql_known, false},
    {"SELECT pg_notify('", sql_notify, false},
    {"SELECT ", sql_staged, false},
};

/* Where the statement ends: behind its semicolon, or at the end of the text. */
static char *end_of(char *sql)
{
	bool quoted = false;
	while (*sql && (quoted || *sql != ';'))
		quoted ^= *sql++ == '\'';
	return sql + (*sql == ';');
}

enum step sql_run(struct session *session, char *sql, char **end)
{
	sql += strspn(sql, " ");
	char *behind = *end = end_of(sql);
	char last = behind > sql ? behind[-1] : '\0', kept = *behind;
	enum step step;
	size_t i = 0;
	while (i < sizeof statements / sizeof *statements &&
	       strncmp(sql, statements[i].begins, strlen(statements[i].begins)) != 0)
		i++;
	if (i == sizeof statements / sizeof *statements)
		sim_abort(session->sim, "no such statement: %s", sql);
	if (session->aborted && !statements[i].when_aborted)
		return session_refuse(session, "25P02", "current transaction is aborted");
	struct packet *packet = session->packet;
	if (last == ';')
		behind[-1] = '\0';
	*behind = '\0';
	step = statements[i].run(session, sql);
	if (step == STEP_ENDED)
		return step;
	assert(packet == session->packet);
	*behind = kept;
	if (last == ';')
		behind[-1] = last;
	return step;
}

static enum step run_ensure(struct session *session, const int64_t *params)
{
	enum step step = take_lock(session, LOCK_PARENT, params[0]);
	if (step != STEP_DONE)
		return step;
	bool there = find_parent(session, params[0]);
	if (!there)
		add_change(session, CHANGE_PARENT)->k = params[0];
	return sql_answer(session, sql_command("INSERT 0", !there));
}

static enum step run_insert(struct session *session, const int64_t *params)
{
	if (params[1])
		return session_refuse(session, "23514", "new row violates check constraint");
	struct change *change = add_change(session, CHANGE_EFFECT);
	change->effect = EFFECT_STATEMENT;
	change->element = params[0];
	return sql_answer(session, sql_command("INSERT 0", 1));
}

static enum step run_count(struct session *session, const int64_t *params)
{
	if (params[0] == SIM_MISSING)
		return sql_answer(session, sql_command("UPDATE", 0));
	enum step step = take_lock(session, LOCK_COUNTER, params[0]);
	if (step != STEP_DONE)
		return step;
	struct change *change = add_change(session, CHANGE_EFFECT);
	change->effect = EFFECT_COUNTER;
	change->element = params[1];
	return sql_answer(session, sql_command("UPDATE", 1));
}

enum step sql_run_bound(struct session *session, const struct packet *packet)
{
	if (packet->decides)
		return sql_decide(session, packet);
	if (packet->sql == sim_sql_ensure)
		return run_ensure(session, packet->params);
	if (packet->sql == sim_sql_insert)
		return run_insert(session, packet->params);
	if (packet->sql == sim_sql_count)
		return run_count(session, packet->params);
	sim_abort(session->sim, "no such statement: %s", packet->sql);
}
