/* SPDX-License-Identifier: MIT */
/* Sessions of the simulated PostgreSQL: what arrives, is run, and is answered. */
#include "sim_pg_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static loop_fn on_carry, on_work;

/* ---- the server ---- */

void sim_server_init(struct sim *sim)
{
	TAILQ_INIT(&sim->server->sessions);
}

void sim_server_free(struct sim *sim)
{
	struct session *session;
	while ((session = TAILQ_FIRST(&sim->server->sessions)))
		session_kill(session, "57P01", "the end of the world");
	free(sim->server->locks);
	sim->server->locks = NULL;
}

void sim_server_restart(struct sim *sim)
{
	struct session *session;
	while ((session = TAILQ_FIRST(&sim->server->sessions)))
		session_kill(session, "57P01",
		             "terminating connection due to administrator command");
	sim->server->away_until = sim->now + sim_delay(sim, 20 * SEC);
}

int sim_server_sessions(const struct sim *sim)
{
	return sim->server->n_sessions;
}

/* ---- a session ---- */

struct session *session_new(struct sim *sim, struct pg_conn *conn, int member)
{
	struct session *session = calloc(1, sizeof *session);
	assert(session);
	session->sim = sim;
	session->conn = conn;
	session->member = member;
	session->id = ++sim->server->last_id;
	session->carry = timer_new(sim->outside, on_carry, session);
	session->work = timer_new(sim->outside, on_work, session);
	session->idle_since = sim->now;
	STAILQ_INIT(&session->sent);
	STAILQ_INIT(&session->arrived);
	TAILQ_INSERT_TAIL(&sim->server->sessions, session, link);
	sim->server->n_sessions++;
	return session;
}

static void free_packets(struct packets *packets)
{
	struct packet *packet;
	while ((packet = STAILQ_FIRST(packets))) {
		STAILQ_REMOVE_HEAD(packets, link);
		free(packet);
	}
}

static void forget_statement(struct session *session)
{
	free(session->copy);
	free(session->outcomes);
	session->copy = NULL;
	session->outcomes = NULL;
	session->copy_asked = session->slowed = false;
	session->at = 0;
}

static void forget_query(struct session *session)
{
	forget_statement(session);
	free(session->packet);
	session->packet = NULL;
	session->idle_since = session->sim->now;
}

static void destroy(struct session *session)
{
	session_roll_back(session);
	forget_query(session);
	free_packets(&session->sent);
	free_packets(&session->arrived);
	timer_free(session->carry);
	timer_free(session->work);
	for (int i = 0; i < SIM_TABLES; i++)
		free(session->stages[i].rows);
	free(session->changes);
	TAILQ_REMOVE(&session->sim->server->sessions, session, link);
	session->sim->server->n_sessions--;
	free(session);
}

void session_kill(struct session *session, const char *sqlstate, const char *why)
{
	say(session->sim, session->member, "session %d ends: %s", session->id, why);
	session->sqlstate = sqlstate;
	session->message = why;
	session_answer(session, ANSWER_CLOSED, NULL);
	destroy(session);
}

void session_wake(struct session *session)
{
	timer_arm(session->work, sim_delay(session->sim, 5 * MS));
}

void session_send(struct session *session, struct packet *packet)
{
	STAILQ_INSERT_TAIL(&session->sent, packet, link);
	if (!timer_is_armed(session->carry))
		timer_arm(session->carry, sim_delay(session->sim, 5 * MS));
}

static void on_carry(void *arg)
{
	struct session *session = arg;
	struct packet *packet = STAILQ_FIRST(&session->sent);
	STAILQ_REMOVE_HEAD(&session->sent, link);
	STAILQ_INSERT_TAIL(&session->arrived, packet, link);
	if (!STAILQ_EMPTY(&session->sent))
		timer_arm(session->carry, sim_delay(session->sim, 2 * MS));
	/* What runs or waits for a lock goes on by itself. */
	if (!session->packet || session->copy_asked)
		session_wake(session);
}

void session_abandon(struct session *session, bool orderly)
{
	struct sim *sim = session->sim;
	struct packet *packet;
	session->conn = NULL;
	timer_disarm(session->carry);
	/* Of what is on its way the beginning arrives. */
	while ((packet = STAILQ_FIRST(&session->sent)) && (orderly || sim_chance(sim, 50))) {
		STAILQ_REMOVE_HEAD(&session->sent, link);
		STAILQ_INSERT_TAIL(&session->arrived, packet, link);
	}
	free_packets(&session->sent);
	session->gone_at = sim->now + (orderly ? 0 : sim_delay(sim, 30 * SEC));
	if (!session->packet || session->copy_asked)
		session_wake(session);
}

void session_answer(struct session *session, enum answer_kind kind, PGresult *result)
{
	if (!session->conn) {
		PQclear(result);
		return;
	}
	struct answer *answer = calloc(1, sizeof *answer);
	assert(answer);
	answer->kind = kind;
	answer->result = result;
	if (kind == ANSWER_ERROR || kind == ANSWER_CLOSED) {
		strcpy(answer->sqlstate, session->sqlstate);
		answer->message = session->message;
	}
	conn_answer(session->conn, answer);
}

enum step session_refuse(struct session *session, const char *sqlstate, const char *message)
{
	session->sqlstate = sqlstate;
	session->message = message;
	return STEP_FAILED;
}

/* ---- transactions ---- */

static void end_transaction(struct session *session)
{
	session->n_changes = 0;
	session->notified = false;
	for (int i = 0; i < SIM_TABLES; i++)
		session->stages[i].n = 0;
	session->began = 0;
	release_locks(session);
}

void session_roll_back(struct session *session)
{
	end_transaction(session);
	session->block = session->aborted = false;
}

enum step session_commit(struct session *session)
{
	struct sim *sim = session->sim;
	bool matters = session->n_changes > 0;
	if (matters && sim_fault(sim, FAULT_COMMIT, session->member)) {
		session_roll_back(session);
		return session_refuse(session, "40001", "could not serialize access");
	}
	apply_changes(session);
	session_roll_back(session);
	if (matters && session->conn && sim_fault(sim, FAULT_DEAF, session->member)) {
		session_kill(session, "57P01", "crash after a commit");
		return STEP_ENDED;
	}
	return STEP_DONE;
}

static void on_failure(struct session *session)
{
	say(session->sim, session->member, "session %d refuses: %s (%s)", session->id,
	    session->message, session->sqlstate);
	end_transaction(session);
	session->aborted = session->block;
	session_answer(session, ANSWER_ERROR, NULL);
}

/* ---- running ---- */

static enum step fail_somehow(struct session *session, bool schema)
{
	static const char *const passing[] = {"40001", "40P01", "53100", "53200", "57014",
	                                      "25006", "55P03", "53300", "XX000"};
	static const char *const broken[] = {"42P01", "42703", "42501"};
	uint32_t n = schema ? 3 : 9;
	return session_refuse(session, (schema ? broken : passing)[sim_random(session->sim, n)],
	                      "a fault");
}

/* Whether a fault takes the place of the statement. */
static bool is_faulty(struct session *session, enum step *step)
{
	struct sim *sim = session->sim;
	*step = STEP_FAILED;
	if (sim_fault(sim, FAULT_ERROR, session->member)) {
		fail_somehow(session, false);
	} else if (sim_fault(sim, FAULT_SCHEMA, session->member)) {
		fail_somehow(session, true);
	} else if (sim_fault(sim, FAULT_RESTART, session->member)) {
		sim_server_restart(sim);
		*step = STEP_ENDED;
	} else if (sim_fault(sim, FAULT_KILL, session->member)) {
		session_kill(session, "57P01", "terminating connection");
		*step = STEP_ENDED;
	} else if (!session->slowed && sim_fault(sim, FAULT_SLOW, session->member)) {
		session->slowed = true;
		timer_arm(session->work, sim_between(sim, 100, 10000) * MS);
		*step = STEP_BLOCKED;
	} else {
		return false;
	}
	return true;
}

static bool may_fail(const struct session *session)
{
	const char *sql = session->packet->kind == PACKET_BOUND ? "" : session->rest;
	return strncmp(sql, "ROLLBACK", 8) && strncmp(sql, "COMMIT", 6) && !session->copy_asked &&
	       !session->at;
}

/* Waits for a lock, but not for ever. */
static enum step wait_for_lock(struct session *session)
{
	struct sim *sim = session->sim;
	if (!session->blocked_until) {
		int64_t most = session->lock_timeout;
		session->blocked_until = most ? sim->now + most : INT64_MAX;
	}
	if (sim->now >= session->blocked_until)
		return session_refuse(session, "55P03", "canceling statement due to lock timeout");
	if (session->blocked_until != INT64_MAX)
		timer_arm(session->work, session->blocked_until - sim->now);
	return STEP_BLOCKED;
}

static enum step run(struct session *session, char **end)
{
	enum step step;
	struct sim *sim = session->sim;
	bool bound = session->packet->kind == PACKET_BOUND;
	if (session->statement_timeout && !session->copy_asked &&
	    sim->now > session->query_began + session->statement_timeout)
		return session_refuse(session, "57014",
		                      "canceling statement due to statement timeout");
	if (may_fail(session) && is_faulty(session, &step))
		return step;
	if (!session->began)
		session->began = sim->now;
	if (bound)
		step = session->aborted ? session_refuse(session, "25P02", "transaction is aborted")
		                        : sql_run_bound(session, session->packet);
	else
		step = sql_run(session, session->rest, end);
	if (step == STEP_BLOCKED)
		return wait_for_lock(session);
	if (step != STEP_ENDED)
		session->blocked_until = 0;
	return step;
}

/* The Query is over: what is not in a block is committed now. */
static void end_query(struct session *session)
{
	if (!session->block && session->began) {
		enum step step = session_commit(session);
		if (step == STEP_ENDED)
			return;
		if (step == STEP_FAILED)
			on_failure(session);
	}
	session_answer(session, ANSWER_END, NULL);
	forget_query(session);
	session_wake(session);
}

static void step_query(struct session *session)
{
	char *end = NULL;
	switch (run(session, &end)) {
	case STEP_DONE:
		forget_statement(session);
		session->rest = end;
		if (*end)
			session_wake(session);
		else
			end_query(session);
		break;
	case STEP_FAILED:
		on_failure(session);
		session_answer(session, ANSWER_END, NULL);
		forget_query(session);
		session_wake(session);
		break;
	case STEP_COPY:
		session_wake(session);
		break;
	default:
		break;
	}
}

static void step_bound(struct session *session)
{
	char *end = NULL;
	if (session->failed) {
		session_answer(session, ANSWER_ABORTED, NULL);
	} else {
		switch (run(session, &end)) {
		case STEP_DONE:
			break;
		case STEP_FAILED:
			session->failed = true;
			on_failure(session);
			break;
		default:
			return;
		}
	}
	session_answer(session, ANSWER_NEXT, NULL);
	forget_query(session);
	session_wake(session);
}

static void begin(struct session *session, struct packet *packet)
{
	STAILQ_REMOVE_HEAD(&session->arrived, link);
	session->packet = packet;
	session->query_began = session->sim->now;
	session->blocked_until = 0;
	session->rest = packet->text;
	switch (packet->kind) {
	case PACKET_QUERY:
		say(session->sim, session->member, "session %d runs: %s", session->id,
		    packet->text);
		step_query(session);
		break;
	case PACKET_BOUND:
		step_bound(session);
		break;
	case PACKET_SYNC:
		if (!session->block && session->began)
			sim_abort(session->sim, "statements outside of a transaction");
		session->failed = false;
		session_answer(session, ANSWER_END, NULL);
		forget_query(session);
		session_wake(session);
		break;
	case PACKET_COPY:
		/* Of a COPY that failed before: passed over. */
		forget_query(session);
		session_wake(session);
		break;
	}
}

/* Nothing to do: the client is gone, or leaves us waiting. */
static void on_idle(struct session *session)
{
	struct sim *sim = session->sim;
	int64_t until = INT64_MAX;
	if (!session->conn)
		until = session->gone_at;
	if (session->block && !session->packet && session->idle_timeout &&
	    session->idle_since + session->idle_timeout < until)
		until = session->idle_since + session->idle_timeout;
	if (until == INT64_MAX)
		return;
	if (sim->now < until)
		timer_arm(session->work, until - sim->now);
	else
		session_kill(session, session->conn ? "25P03" : "08006",
		             session->conn ? "idle-in-transaction timeout" : "its client is gone");
}

static void on_work(void *arg)
{
	struct session *session = arg;
	struct packet *next = STAILQ_FIRST(&session->arrived);
	if (session->packet && session->copy_asked && !session->copy) {
		if (!next) {
			on_idle(session);
			return;
		}
		STAILQ_REMOVE_HEAD(&session->arrived, link);
		session->copy = next;
	}
	if (session->packet && session->packet->kind == PACKET_BOUND)
		step_bound(session);
	else if (session->packet)
		step_query(session);
	else if (next)
		begin(session, next);
	else
		on_idle(session);
}
