/* SPDX-License-Identifier: MIT */
/* The statements about cqrs.offsets, as the simulated PostgreSQL runs them. */
#include "sim_sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the session sees: only cqrs.advance() itself has moved anything. */
static int64_t offset_now(const struct session *session, int log)
{
	for (size_t i = session->n_changes; i-- > 0;)
		if (session->changes[i].kind == CHANGE_OFFSET && session->changes[i].log == log)
			return session->changes[i].to;
	return session->sim->logs->logs[log].stored;
}

/* What matches is locked row by row, in an order that nobody knows. */
static enum step move_offsets(struct session *session, const int *logs, const int64_t *from,
                              const int64_t *to, const int64_t *marks, size_t n)
{
	size_t first = (size_t)session->id % n;
	for (; session->at < n; session->at++) {
		size_t i = (session->at + first) % n;
		if (logs[i] < 0 || offset_now(session, logs[i]) != from[i])
			return session_refuse(session, "CQ001", "fence");
		enum step step = take_lock(session, LOCK_OFFSET, logs[i]);
		if (step != STEP_DONE)
			return step;
		struct change *change = add_change(session, CHANGE_OFFSET);
		change->log = logs[i];
		change->from = from[i];
		change->to = to[i];
		change->mark = marks[i];
	}
	return STEP_DONE;
}

enum step sql_advance(struct session *session, char *sql)
{
	int64_t partitions[SIM_LOGS], from[SIM_LOGS], to[SIM_LOGS], marks[SIM_LOGS];
	int logs[SIM_LOGS];
	char text[64];
	static const char *const names[] = {"advance"};
	const char *p = sql_literal(session, sql, text, sizeof text), *topics = p;
	const char *end = strchr(p, ']');
	p = end;
	size_t n = sql_numbers(session, &p, partitions, SIM_LOGS);
	if (sql_numbers(session, &p, from, SIM_LOGS) != n ||
	    sql_numbers(session, &p, to, SIM_LOGS) != n ||
	    sql_numbers(session, &p, marks, SIM_LOGS) != n || !n)
		sim_abort(session->sim, "arrays of different lengths: %s", sql);
	for (size_t i = 0; i < n; i++) {
		topics = sql_literal(session, topics, text, sizeof text);
		logs[i] = sql_log(session, text, (int32_t)partitions[i]);
	}
	enum step step = move_offsets(session, logs, from, to, marks, n);
	if (step != STEP_DONE)
		return step;
	PGresult *result = sql_rows(1, names);
	sql_set_text(result, 0, 0, "");
	return sql_answer(session, result);
}

enum step sql_read_offsets(struct session *session, char *sql)
{
	static const char *const names[] = {"topic", "partition", "next_offset", "case"};
	int row = 0;
	(void)sql;
	PGresult *result = sql_rows(4, names);
	for (int i = 0; i < session->sim->logs->n; i++) {
		const struct sim_log *log = &session->sim->logs->logs[i];
		if (offset_now(session, i) < 0)
			continue;
		sql_set_text(result, row, 0, sim_topics[log->topic]);
		sql_set_number(result, row, 1, log->partition);
		sql_set_number(result, row, 2, offset_now(session, i));
		if (log->mark)
			sql_set_number(result, row, 3, log->mark);
		row++;
	}
	return sql_answer(session, result);
}

enum step sql_add_offsets(struct session *session, char *sql)
{
	char text[64];
	long added = 0;
	const char *p = strstr(sql, "VALUES ");
	while ((p = strchr(p, '('))) {
		p = sql_literal(session, p, text, sizeof text);
		p = sql_literal(session, p, text, sizeof text);
		long partition;
		long long next;
		if (sscanf(p, ", %ld, %lld)", &partition, &next) != 2)
			sim_abort(session->sim, "no offset in: %s", p);
		int log = sql_log(session, text, (int32_t)partition);
		if (log < 0)
			sim_abort(session->sim, "no such partition: %s", p);
		enum step step = take_lock(session, LOCK_OFFSET, log);
		if (step != STEP_DONE)
			return step;
		if (offset_now(session, log) >= 0)
			continue;
		struct change *change = add_change(session, CHANGE_OFFSET);
		change->log = log;
		change->is_gap = true; /* or nothing */
		change->from = -1;
		change->to = next;
		added++;
	}
	return sql_answer(session, sql_command("INSERT 0", added));
}

/* "SELECT … FROM cqrs.record_gap('group', 'topic', partition, from, to, 'reason')" */
enum step sql_record_gap(struct session *session, char *sql)
{
	static const char *const names[] = {"since", "is_new"};
	char text[64];
	long partition;
	long long from, to;
	const char *p = sql_literal(session, strstr(sql, "record_gap("), text, sizeof text);
	p = sql_literal(session, p, text, sizeof text);
	if (sscanf(p, ", %ld, %lld, %lld, 'deleted')", &partition, &from, &to) != 3)
		sim_abort(session->sim, "no gap in: %s", sql);
	int log = sql_log(session, text, (int32_t)partition);
	enum step step = take_lock(session, LOCK_OFFSET, log);
	if (step != STEP_DONE)
		return step;
	if (offset_now(session, log) != from)
		return session_refuse(session, "CQ001", "fence");
	struct change *change = add_change(session, CHANGE_OFFSET);
	change->is_gap = true;
	change->log = log;
	change->from = from;
	change->to = to;
	PGresult *result = sql_rows(2, names);
	sql_set_text(result, 0, 0, "2023-11-14T22:13:20Z");
	sql_set_text(result, 0, 1, "t");
	return sql_answer(session, result);
}

static bool has_moved(const struct session *session)
{
	for (size_t i = 0; i < session->n_changes; i++)
		if (session->changes[i].kind == CHANGE_OFFSET)
			return true;
	return false;
}

/* Ends sessions that wait for a member in the middle of a transaction that is too old. */
enum step sql_evict(struct session *session, char *sql)
{
	static const char *const names[] = {"evict"};
	struct session *other, *next;
	const char *p = strstr(sql, "interval '");
	int64_t older = p ? strtoll(p + 10, NULL, 10) : 0, n = 0;
	if (older <= 0)
		sim_abort(session->sim, "no interval in: %s", sql);
	for (other = TAILQ_FIRST(&session->sim->server->sessions); other; other = next) {
		bool waits = other->copy_asked && !other->copy && STAILQ_EMPTY(&other->arrived);
		bool idle = other->block && !other->packet && STAILQ_EMPTY(&other->arrived);
		next = TAILQ_NEXT(other, link);
		if (other == session || !other->began || !(waits || idle) || !has_moved(other) ||
		    other->began >= session->sim->now - older)
			continue;
		session_kill(other, "57P01", "evicted");
		n++;
	}
	PGresult *result = sql_rows(1, names);
	sql_set_number(result, 0, 0, n);
	return sql_answer(session, result);
}
