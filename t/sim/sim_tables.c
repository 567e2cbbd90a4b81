/* SPDX-License-Identifier: MIT */
/* The tables of the simulated PostgreSQL: constraints, locks, what a commit does. */
#include "sim_pg_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const char *const sim_table_names[SIM_TABLES] = {
    [SIM_FACTS] = "facts",   [SIM_KEYED] = "keyed",       [SIM_LATEST] = "latest",
    [SIM_SINGLE] = "single", [SIM_CHILDREN] = "children", [SIM_REFERRING] = "referring",
};

struct change *add_change(struct session *session, enum change_kind kind)
{
	if (session->n_changes == session->cap_changes) {
		session->cap_changes = session->cap_changes ? 2 * session->cap_changes : 32;
		session->changes =
		    realloc(session->changes, session->cap_changes * sizeof *session->changes);
		assert(session->changes);
	}
	struct change *change = &session->changes[session->n_changes++];
	*change = (struct change){.kind = kind};
	return change;
}

/* ---- locks ---- */

static bool would_deadlock(const struct session *session, const struct session *holder)
{
	while (holder && holder != session)
		holder = holder->waits_for;
	return holder != NULL;
}

enum step take_lock(struct session *session, enum lock_kind kind, int64_t id)
{
	struct sim_server *server = session->sim->server;
	int64_t what = ((int64_t)kind << 48) | id;
	session->waits_for = NULL;
	for (size_t i = 0; i < server->n_locks; i++) {
		if (server->locks[i].what != what)
			continue;
		if (server->locks[i].holder == session)
			return STEP_DONE;
		if (would_deadlock(session, server->locks[i].holder))
			return session_refuse(session, "40P01", "deadlock detected");
		session->waits_for = server->locks[i].holder;
		return STEP_BLOCKED;
	}
	if (server->n_locks == server->cap_locks) {
		server->cap_locks = server->cap_locks ? 2 * server->cap_locks : 32;
		server->locks = realloc(server->locks, server->cap_locks * sizeof *server->locks);
		assert(server->locks);
	}
	server->locks[server->n_locks++] = (struct lock){what, session};
	return STEP_DONE;
}

void release_locks(struct session *session)
{
	struct sim_server *server = session->sim->server;
	struct session *other;
	size_t kept = 0;
	for (size_t i = 0; i < server->n_locks; i++)
		if (server->locks[i].holder != session)
			server->locks[kept++] = server->locks[i];
	server->n_locks = kept;
	session->waits_for = NULL;
	TAILQ_FOREACH (other, &server->sessions, link) {
		if (other->waits_for == session) {
			other->waits_for = NULL;
			session_wake(other);
		}
	}
}

/* ---- rows ---- */

int64_t find_key(const struct session *session, enum sim_table table, int64_t key)
{
	for (size_t i = session->n_changes; i-- > 0;) {
		const struct change *change = &session->changes[i];
		if (change->kind == CHANGE_ROW && change->table == table && change->k == key)
			return change->element;
	}
	return session->sim->server->keyed[table][key];
}

bool find_parent(const struct session *session, int64_t id)
{
	for (size_t i = 0; i < session->n_changes; i++)
		if (session->changes[i].kind == CHANGE_PARENT && session->changes[i].k == id)
			return true;
	return id < SIM_PARENTS && session->sim->server->parents[id];
}

enum step insert_row(struct session *session, enum sim_table table, const struct sim_row *row,
                     enum on_conflict conflict, bool *stored)
{
	bool has_key = table == SIM_KEYED || table == SIM_LATEST || table == SIM_SINGLE;
	bool has_parent = table == SIM_CHILDREN || table == SIM_REFERRING;
	*stored = true;
	if (row->bad)
		return session_refuse(session, "23514", "new row violates check constraint");
	if (has_parent && !find_parent(session, row->k))
		return session_refuse(session, "23503", "insert violates foreign key constraint");
	if (has_key) {
		enum step step = take_lock(session, LOCK_KEY, ((int64_t)table << 16) | row->k);
		if (step != STEP_DONE)
			return step;
		bool there = find_key(session, table, row->k) != 0;
		if (there && conflict == CONFLICT_REFUSE)
			return session_refuse(session, "23505", "duplicate key value");
		*stored = !there || conflict == CONFLICT_UPDATE;
	}
	if (*stored) {
		struct change *change = add_change(session, CHANGE_ROW);
		change->table = table;
		change->k = row->k;
		change->element = row->element;
	}
	return STEP_DONE;
}

/* ---- commit ---- */

static void apply(struct sim *sim, const struct change *change, bool notified)
{
	struct sim_server *server = sim->server;
	switch (change->kind) {
	case CHANGE_ROW:
		if (change->table == SIM_KEYED || change->table == SIM_LATEST ||
		    change->table == SIM_SINGLE)
			server->keyed[change->table][change->k] = change->element;
		if (change->table != SIM_KEYED && change->table != SIM_LATEST)
			sim_oracle_effect(sim, EFFECT_ROW, change->element);
		break;
	case CHANGE_EFFECT:
		sim_oracle_effect(sim, change->effect, change->element);
		break;
	case CHANGE_DEAD:
		sim_oracle_dead(sim, change->log, change->from, change->index, change->sqlstate,
		                change->payload, change->len);
		break;
	case CHANGE_OUTCOME:
		sim_oracle_outcome(sim, change->log, change->from, change->k, change->status,
		                   notified);
		break;
	case CHANGE_PARENT:
		server->parents[change->k] = true;
		break;
	case CHANGE_OFFSET:
		sim->logs->logs[change->log].mark = change->mark;
		break;
	}
}

void apply_changes(struct session *session)
{
	struct sim *sim = session->sim;
	for (size_t i = 0; i < session->n_changes; i++)
		apply(sim, &session->changes[i], session->notified);
	/* The oracle looks back from the new positions: all else must be there. */
	for (size_t i = 0; i < session->n_changes; i++) {
		const struct change *change = &session->changes[i];
		if (change->kind != CHANGE_OFFSET)
			continue;
		say(sim, session->member, "session %d: %s [%d] moves from %d to %d", session->id,
		    sim_topics[sim->logs->logs[change->log].topic],
		    sim->logs->logs[change->log].partition, (int)change->from, (int)change->to);
		if (change->is_gap)
			sim_oracle_skipped(sim, change->log, change->from, change->to);
		else
			sim_oracle_moved(sim, change->log, change->from, change->to);
	}
	session->n_changes = 0;
}

int64_t sim_server_find(struct sim *sim, enum sim_table table, int64_t key)
{
	return sim->server->keyed[table][key];
}
