/* SPDX-License-Identifier: MIT */
/* pg_conn.h on the simulated PostgreSQL: connecting, requests, answers, losses. */
#include "buf.h"
#include "pg_value.h"
#include "sim_pg_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TAILQ_HEAD(requests, pg_request);

enum { REQUEST_REFUSED = 1, REQUEST_SYNCED = 2 };

struct pg_conn {
	struct sim *sim;
	struct loop *loop;
	int member;
	const struct pg_conn_config *config;
	const struct pg_conn_events *events;
	void *owner;
	enum pg_conn_state state;
	struct session *session; /* NULL: not connected */
	struct requests requests;
	struct pg_request *at; /* of bound ones: whose answer comes next */
	struct answers answers;
	struct timer *timer; /* WAITING: backoff; CONNECTING: it takes a while */
	struct timer *read;  /* an answer comes */
	struct timer *turn;  /* tells of a loss; goes on with a COPY */
	unsigned failures;
	bool tell_loss, copying, silent;
	struct buf copy;
	struct pg_error error, lost;
	int depth;
	bool freed;
};

static loop_fn on_timer, on_read, on_turn;

struct pg_conn *pg_conn_new(struct loop *loop, const struct pg_conn_config *config,
                            const struct pg_conn_events *events, void *owner)
{
	struct pg_conn *conn = calloc(1, sizeof *conn);
	assert(conn);
	*conn = (struct pg_conn){.sim = sim_of(loop),
	                         .loop = loop,
	                         .member = sim_member_of(loop),
	                         .config = config,
	                         .events = events,
	                         .owner = owner};
	TAILQ_INIT(&conn->requests);
	STAILQ_INIT(&conn->answers);
	conn->timer = timer_new(loop, on_timer, conn);
	conn->read = timer_new(loop, on_read, conn);
	conn->turn = timer_new(loop, on_turn, conn);
	return conn;
}

static void enter(struct pg_conn *conn)
{
	conn->depth++;
}

static void leave(struct pg_conn *conn)
{
	if (--conn->depth == 0 && conn->freed)
		free(conn);
}

static void set_error(struct pg_error *error, const char *sqlstate, const char *message)
{
	memset(error, 0, sizeof *error);
	snprintf(error->sqlstate, sizeof error->sqlstate, "%s", sqlstate);
	snprintf(error->message, sizeof error->message, "%s", message);
}

static void forget_answers(struct pg_conn *conn)
{
	struct answer *answer;
	while ((answer = STAILQ_FIRST(&conn->answers))) {
		STAILQ_REMOVE_HEAD(&conn->answers, link);
		PQclear(answer->result);
		free(answer);
	}
	timer_disarm(conn->read);
}

static void disconnect(struct pg_conn *conn, bool orderly)
{
	if (conn->session)
		session_abandon(conn->session, orderly);
	conn->session = NULL;
	conn->at = NULL;
	conn->copying = conn->silent = false;
	buf_release(&conn->copy);
	forget_answers(conn);
	timer_disarm(conn->turn);
}

static void finish(struct pg_conn *conn, struct pg_request *request, enum pg_outcome outcome,
                   const struct pg_error *error)
{
	TAILQ_REMOVE(&conn->requests, request, link);
	request->done(request, outcome, outcome == PG_DONE ? NULL : error);
}

static void fail_requests(struct pg_conn *conn, const struct pg_error *error)
{
	struct pg_request *request;
	while ((request = TAILQ_FIRST(&conn->requests)))
		finish(conn, request, PG_LOST, error);
}

void pg_conn_free(struct pg_conn *conn)
{
	struct pg_error error;
	if (!conn)
		return;
	conn->freed = true;
	conn->state = PG_CONN_WAITING;
	disconnect(conn, !sim_loop_is_crashed(conn->loop));
	timer_free(conn->timer);
	timer_free(conn->read);
	timer_free(conn->turn);
	set_error(&error, "", "the connection was closed");
	enter(conn);
	fail_requests(conn, &error);
	leave(conn);
}

void pg_conn_start(struct pg_conn *conn)
{
	if (conn->state == PG_CONN_WAITING && !conn->tell_loss)
		timer_arm(conn->timer, 0);
}

enum pg_conn_state pg_conn_state(const struct pg_conn *conn)
{
	return conn->state;
}

int pg_conn_in_flight(const struct pg_conn *conn)
{
	const struct pg_request *request;
	int n = 0;
	TAILQ_FOREACH (request, &conn->requests, link)
		n++;
	return n;
}

/* ---- losing it ---- */

static void lose(struct pg_conn *conn, const char *sqlstate, const char *why)
{
	if (conn->state == PG_CONN_WAITING)
		return;
	say(conn->sim, conn->member, "%s: lost: %s", conn->config->name, why);
	disconnect(conn, false);
	set_error(&conn->lost, sqlstate, why);
	conn->failures = conn->state == PG_CONN_READY ? 0 : conn->failures + 1;
	conn->state = PG_CONN_WAITING;
	conn->tell_loss = true;
	timer_disarm(conn->timer);
	timer_arm(conn->turn, 0);
}

void pg_conn_reset(struct pg_conn *conn, const char *why)
{
	lose(conn, "", why);
}

static void tell_loss(struct pg_conn *conn)
{
	struct pg_error error = conn->lost;
	int64_t backoff = 100 * MS << (conn->failures < 6 ? conn->failures : 6);
	conn->tell_loss = false;
	timer_arm(conn->timer, backoff / 2 + sim_random(conn->sim, (uint32_t)backoff / 2));
	fail_requests(conn, &error);
	if (!conn->freed && conn->events->on_lost)
		conn->events->on_lost(conn->owner, conn, &error);
}

/* Whether the connection is cut here, or goes silent; what is sent then is sent to nobody. */
static bool is_cut(struct pg_conn *conn)
{
	if (sim_fault(conn->sim, FAULT_CUT, conn->member)) {
		lose(conn, "", "cut");
		return true;
	}
	if (conn->session && sim_fault(conn->sim, FAULT_SILENCE, conn->member)) {
		session_abandon(conn->session, false);
		conn->session = NULL;
		conn->silent = true;
		forget_answers(conn);
		timer_arm(conn->timer, sim_delay(conn->sim, 20 * SEC));
	}
	return conn->silent;
}

/* ---- connecting ---- */

static void become_ready(struct pg_conn *conn)
{
	conn->failures = 0;
	conn->state = PG_CONN_READY;
	if (conn->events->on_ready)
		conn->events->on_ready(conn->owner, conn);
}

static void set_up(struct pg_conn *conn)
{
	size_t len = strlen(conn->config->setup);
	struct packet *packet = calloc(1, sizeof *packet + len + 1);
	assert(packet);
	packet->kind = PACKET_QUERY;
	memcpy(packet->text, conn->config->setup, len);
	conn->session = session_new(conn->sim, conn, conn->member);
	conn->state = PG_CONN_SETUP;
	session_send(conn->session, packet);
}

static void on_timer(void *arg)
{
	struct pg_conn *conn = arg;
	struct sim *sim = conn->sim;
	enter(conn);
	if (conn->state == PG_CONN_WAITING) {
		conn->state = PG_CONN_CONNECTING;
		timer_arm(conn->timer, sim_delay(sim, 200 * MS));
	} else if (conn->silent) {
		lose(conn, "", "no answer for too long");
	} else if (sim->now < sim->server->away_until ||
	           sim_fault(sim, FAULT_CONNECT, conn->member)) {
		lose(conn, "57P03", "the database system is starting up");
	} else {
		set_up(conn);
	}
	leave(conn);
}

/* ---- answers ---- */

void conn_answer(struct pg_conn *conn, struct answer *answer)
{
	STAILQ_INSERT_TAIL(&conn->answers, answer, link);
	if (!timer_is_armed(conn->read))
		timer_arm(conn->read, sim_delay(conn->sim, 5 * MS));
	if (answer->kind == ANSWER_CLOSED)
		conn->session = NULL;
}

/* The request whose answers come now. */
static struct pg_request *current(struct pg_conn *conn)
{
	return conn->at ? conn->at : TAILQ_FIRST(&conn->requests);
}

static void finish_all(struct pg_conn *conn)
{
	struct pg_request *request;
	struct pg_error error = conn->error;
	bool simple = false, last = false;
	conn->at = NULL;
	if (conn->state == PG_CONN_SETUP) {
		become_ready(conn);
		return;
	}
	while (!last && !conn->freed && (request = TAILQ_FIRST(&conn->requests))) {
		simple = request->n_params < 0;
		last = simple || (request->phase & REQUEST_SYNCED);
		finish(conn, request, request->outcome, &error);
	}
}

static void on_answer(struct pg_conn *conn, const struct answer *answer)
{
	struct pg_request *request = current(conn);
	switch (answer->kind) {
	case ANSWER_RESULT:
		if (request && request->on_result)
			request->on_result(request, answer->result);
		break;
	case ANSWER_COPY:
		conn->copying = true;
		timer_arm(conn->turn, 0);
		break;
	case ANSWER_ERROR:
		if (conn->state == PG_CONN_SETUP) {
			lose(conn, answer->sqlstate, answer->message);
			break;
		}
		if (request->outcome == PG_DONE)
			set_error(&conn->error, answer->sqlstate, answer->message);
		request->outcome = PG_REFUSED;
		break;
	case ANSWER_ABORTED:
		request->outcome = PG_ABORTED;
		break;
	case ANSWER_NEXT:
		if (!(request->phase & REQUEST_SYNCED))
			conn->at = TAILQ_NEXT(request, link);
		break;
	case ANSWER_END:
		finish_all(conn);
		break;
	case ANSWER_CLOSED:
		lose(conn, answer->sqlstate, answer->message);
		break;
	}
}

static void on_read(void *arg)
{
	struct pg_conn *conn = arg;
	struct answer *answer = STAILQ_FIRST(&conn->answers);
	if (is_cut(conn))
		return;
	STAILQ_REMOVE_HEAD(&conn->answers, link);
	if (!STAILQ_EMPTY(&conn->answers))
		timer_arm(conn->read, sim_delay(conn->sim, MS));
	enter(conn);
	on_answer(conn, answer);
	leave(conn);
	PQclear(answer->result);
	free(answer);
}

/* ---- requests ---- */

static void send_packet(struct pg_conn *conn, enum packet_kind kind, const char *text, size_t len,
                        const struct packet *like)
{
	struct packet *packet = calloc(1, sizeof *packet + len + 1);
	assert(packet);
	if (like)
		*packet = *like;
	packet->kind = kind;
	packet->len = len;
	if (len)
		memcpy(packet->text, text, len);
	if (conn->session)
		session_send(conn->session, packet);
	else
		free(packet);
}

/* The parameters are arrays, of an element and of what is to be decided. */
static void send_decisions(struct pg_conn *conn, const struct pg_request *request)
{
	struct packet like = {.decides = true};
	size_t n = pg_get32(request->values[0] + 12);
	struct sim_decision *list = calloc(n, sizeof *list);
	assert(list);
	for (size_t i = 0; i < n; i++) {
		list[i].element =
		    (int64_t)pg_get64(request->values[0] + PG_ARRAY_HEADER + i * 12 + 4);
		list[i].what = (int32_t)pg_get32(request->values[1] + PG_ARRAY_HEADER + i * 8 + 4);
	}
	send_packet(conn, PACKET_BOUND, (const char *)list, n * sizeof *list, &like);
	free(list);
}

static void send_bound(struct pg_conn *conn, const struct pg_request *request)
{
	if (!strncmp(request->sql, SIM_SQL_DECIDE, strlen(SIM_SQL_DECIDE))) {
		send_decisions(conn, request);
		return;
	}
	struct packet bound = {.sql = request->sql};
	for (int i = 0; i < request->n_params; i++)
		bound.params[i] = request->lengths[i] == 8 ? (int64_t)pg_get64(request->values[i])
		                                           : (int32_t)pg_get32(request->values[i]);
	send_packet(conn, PACKET_BOUND, NULL, 0, &bound);
}

bool pg_conn_send(struct pg_conn *conn, struct pg_request *request)
{
	struct pg_request *last = TAILQ_LAST(&conn->requests, requests);
	bool simple = request->n_params < 0;
	if (conn->state != PG_CONN_READY || sim_loop_is_crashed(conn->loop))
		return false;
	if (simple && last && last->n_params >= 0 && !(last->phase & REQUEST_SYNCED))
		sim_abort(conn->sim, "a simple Query behind a group without its Sync");
	request->phase = 0;
	request->outcome = PG_DONE;
	request->copies = request->results = 0;
	TAILQ_INSERT_TAIL(&conn->requests, request, link);
	if (is_cut(conn))
		return true;
	if (simple)
		send_packet(conn, PACKET_QUERY, request->sql, strlen(request->sql), NULL);
	else
		send_bound(conn, request);
	return true;
}

void pg_conn_sync(struct pg_conn *conn)
{
	struct pg_request *last = TAILQ_LAST(&conn->requests, requests);
	if (!last || last->n_params < 0 || (last->phase & REQUEST_SYNCED))
		return;
	last->phase |= REQUEST_SYNCED;
	if (conn->state == PG_CONN_READY)
		send_packet(conn, PACKET_SYNC, NULL, 0, NULL);
}

void pg_conn_pause(struct pg_conn *conn, bool pause)
{
	(void)pause;
	sim_abort(conn->sim, "pg_conn_pause() is not simulated");
}

/* One piece of a COPY; the rest in another turn, perhaps. */
static void go_on_copying(struct pg_conn *conn)
{
	struct pg_request *request = current(conn);
	const char *data;
	size_t len;
	while (request->copy(request, request->copies, &data, &len)) {
		if (!conn->copying || is_cut(conn))
			return;
		buf_add(&conn->copy, data, len);
		if (sim_chance(conn->sim, 30)) {
			timer_arm(conn->turn, sim_delay(conn->sim, 5 * MS));
			return;
		}
	}
	if (!conn->copying || is_cut(conn))
		return;
	conn->copying = false;
	request->copies++;
	send_packet(conn, PACKET_COPY, conn->copy.data, conn->copy.len, NULL);
	buf_clear(&conn->copy);
}

static void on_turn(void *arg)
{
	struct pg_conn *conn = arg;
	enter(conn);
	if (conn->tell_loss)
		tell_loss(conn);
	else if (conn->copying)
		go_on_copying(conn);
	leave(conn);
}
