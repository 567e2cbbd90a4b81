/* SPDX-License-Identifier: MIT */
/*
 * The way of a query through the pool: waiting, running, ended.
 *
 * A query waits until a connection has room for it; then a slot of that
 * connection carries it.  A query that gives up (deadline, client gone) leaves
 * its slot behind, and the answer that comes for it goes nowhere.
 */
#include "pg_pool_private.h"

#include "container.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define STALL_US  20000 /* a connection silent for so long gets no more of them */
#define TRIES_MAX 3     /* connections that one query may see break */

enum { QUERY_WAITING, QUERY_RUNNING, QUERY_ENDED };

static pg_result_fn on_result;
static pg_done_fn on_done;

/* ---- deadlines ---- */

static void arm_deadline(struct pg_pool *pool)
{
	const struct pg_query *first = TAILQ_FIRST(&pool->by_deadline);
	int64_t left = first ? first->deadline - loop_now(pool->loop) : 0;
	if (first)
		timer_arm(pool->deadline, left > 0 ? left : 0);
	else
		timer_disarm(pool->deadline);
}

static void add_deadline(struct pg_pool *pool, struct pg_query *query)
{
	/* Nearly always the last: timeouts differ little, and time goes forward. */
	struct pg_query *before = TAILQ_LAST(&pool->by_deadline, pg_query_list);
	while (before && before->deadline > query->deadline)
		before = TAILQ_PREV(before, pg_query_list, by_deadline);
	if (before)
		TAILQ_INSERT_AFTER(&pool->by_deadline, before, query, by_deadline);
	else
		TAILQ_INSERT_HEAD(&pool->by_deadline, query, by_deadline);
	query->timed = true;
	if (!before)
		arm_deadline(pool);
}

/* The timer is left as it is: it finds out when it fires. */
static void remove_deadline(struct pg_pool *pool, struct pg_query *query)
{
	if (query->timed)
		TAILQ_REMOVE(&pool->by_deadline, query, by_deadline);
	query->timed = false;
}

/* ---- a query's way: waiting, running, ended ---- */

static struct pg_side *side_of(const struct pg_query *query)
{
	return query->stream ? &query->pool->streams : &query->pool->queries;
}

/* Takes the query out of wherever it is; who runs it now runs it for nobody. */
static void detach(struct pg_query *query)
{
	struct pg_side *side = side_of(query);
	if (query->phase == QUERY_WAITING) {
		TAILQ_REMOVE(&side->waiting, query, link);
		metric_set(side->queue, --side->n_waiting);
	} else if (query->phase == QUERY_ENDED) {
		TAILQ_REMOVE(&query->pool->ended, query, link);
	} else if (query->slot) {
		query->slot->query = NULL;
		/* It would go on sending rows. */
		if (query->stream)
			pg_conn_reset(query->slot->member->conn, "a stream was given up");
		query->slot = NULL;
	}
	remove_deadline(query->pool, query);
}

/* In order of arrival: one that comes back after a failure stands in front. */
static void wait_in_line(struct pg_query *query)
{
	struct pg_side *side = side_of(query);
	struct pg_query *before = TAILQ_LAST(&side->waiting, pg_query_list), *first;
	query->phase = QUERY_WAITING;
	query->slot = NULL;
	metric_set(side->queue, ++side->n_waiting);
	if (!before || before->submitted <= query->submitted) {
		TAILQ_INSERT_TAIL(&side->waiting, query, link);
		return;
	}
	TAILQ_FOREACH (first, &side->waiting, link) {
		if (first->submitted > query->submitted)
			break;
	}
	TAILQ_INSERT_BEFORE(first, query, link);
}

static void end(struct pg_query *query, enum pg_answer answer, const struct pg_error *error)
{
	struct pg_pool *pool = query->pool;
	int64_t took = loop_now(pool->loop) - query->submitted;
	metric_observe(side_of(query)->seconds, (double)took / 1e6);
	query->done(query, answer, answer == PG_ANSWER_OK ? NULL : error);
}

static void say(struct pg_error *error, const char *message)
{
	*error = (struct pg_error){.sqlstate = ""};
	snprintf(error->message, sizeof error->message, "%s", message);
}

/* ---- giving queries to connections ---- */

static bool has_room(const struct pg_member *m, int64_t now)
{
	return pg_conn_state(m->conn) == PG_CONN_READY && !SLIST_EMPTY(&m->idle) &&
	       (m->in_flight == 0 || now - m->progress < STALL_US);
}

static struct pg_member *find_least_loaded(struct pg_side *side, int64_t now)
{
	struct pg_member *best = NULL;
	for (int i = 0; i < side->n; i++) {
		struct pg_member *m = &side->members[i];
		if (has_room(m, now) && (!best || m->in_flight < best->in_flight))
			best = m;
	}
	return best;
}

void pg_member_sync(struct pg_member *m)
{
	if (m->dirty)
		pg_conn_sync(m->conn);
	m->dirty = false;
}

static void carry(struct pg_member *m, struct pg_query *query, int64_t now)
{
	struct pg_slot *slot = SLIST_FIRST(&m->idle);
	SLIST_REMOVE_HEAD(&m->idle, link);
	slot->request = (struct pg_request){.sql = query->sql,
	                                    .n_params = query->n_params,
	                                    .types = query->types,
	                                    .values = query->values,
	                                    .lengths = query->lengths,
	                                    .single_row = query->stream,
	                                    .on_result = on_result,
	                                    .done = on_done};
	slot->query = query;
	query->slot = slot;
	query->phase = QUERY_RUNNING;
	if (m->in_flight++ == 0)
		m->progress = now;
	metric_add(m->side->in_use, 1);
	if (query->alone)
		pg_member_sync(m);
	bool sent = pg_conn_send(m->conn, &slot->request);
	assert(sent);
	(void)sent;
	m->dirty = true;
	if (query->alone)
		pg_member_sync(m);
	else
		timer_arm(m->side->pool->turn, 0);
}

void pg_pool_dispatch(struct pg_side *side)
{
	struct pg_query *query;
	struct pg_member *m;
	int64_t now = loop_now(side->pool->loop);
	while ((query = TAILQ_FIRST(&side->waiting)) && (m = find_least_loaded(side, now))) {
		TAILQ_REMOVE(&side->waiting, query, link);
		metric_set(side->queue, --side->n_waiting);
		carry(m, query, now);
	}
}

bool pg_pool_submit(struct pg_pool *pool, struct pg_query *query)
{
	query->pool = pool;
	struct pg_side *side = side_of(query);
	assert(query->n_params >= 0 && query->done);
	if (pool->closing)
		return false;
	/* What cannot be sent at once would have to wait. */
	if (side->n_waiting >= pool->config->max_waiting)
		return false;
	query->timed = query->alone = false;
	query->results = query->tries = 0;
	query->submitted = loop_now(pool->loop);
	pg_side_start(side);
	wait_in_line(query);
	add_deadline(pool, query);
	pg_pool_dispatch(side);
	return true;
}

void pg_query_abandon(struct pg_query *query)
{
	if (query->phase == QUERY_ENDED)
		return;
	detach(query);
	query->phase = QUERY_ENDED;
	TAILQ_INSERT_TAIL(&query->pool->ended, query, link);
	timer_arm(query->pool->turn, 0);
}

void pg_query_pause(struct pg_query *query, bool pause)
{
	if (query->stream && query->phase == QUERY_RUNNING && query->slot)
		pg_conn_pause(query->slot->member->conn, pause);
}

/* ---- answers ---- */

#define slot_of(req) container_of(req, struct pg_slot, request)

static void on_result(struct pg_request *req, const PGresult *result)
{
	struct pg_query *query = slot_of(req)->query;
	if (!query)
		return;
	/* A stream that flows may take its time. */
	if (query->stream)
		remove_deadline(query->pool, query);
	query->results++;
	if (query->on_result)
		query->on_result(query, result);
}

static bool is(const struct pg_error *error, const char *sqlstate)
{
	return strcmp(error->sqlstate, sqlstate) == 0;
}

/* A reader may ask again when it was not its own fault, and nobody has seen an answer. */
static bool may_retry(struct pg_query *query, enum pg_outcome outcome, const struct pg_error *error)
{
	if (query->results || outcome == PG_DONE || query->pool->closing)
		return false;
	/* Its neighbour's fault, and now it goes alone: no try. */
	if (outcome == PG_ABORTED)
		return true;
	/* A stale plan, a statement that somebody deallocated, a conflict on a replica. */
	if (outcome == PG_REFUSED && !is(error, "0A000") && !is(error, "26000") &&
	    !is(error, "40001") && !is(error, "40P01"))
		return false;
	return ++query->tries < TRIES_MAX;
}

static void settle(struct pg_query *query, enum pg_outcome outcome, const struct pg_error *error)
{
	query->slot = NULL;
	if (may_retry(query, outcome, error)) {
		query->alone = outcome != PG_LOST;
		wait_in_line(query);
		return;
	}
	remove_deadline(query->pool, query);
	/* Without a stream the only result is the whole answer; that the Sync was lost is no loss.
	 */
	if (outcome == PG_DONE || (outcome == PG_LOST && query->results && !query->stream))
		end(query, PG_ANSWER_OK, NULL);
	else if (outcome == PG_REFUSED)
		end(query, is(error, "57014") ? PG_ANSWER_TIMEOUT : PG_ANSWER_REFUSED, error);
	else
		end(query, PG_ANSWER_AWAY, error);
}

static void on_done(struct pg_request *req, enum pg_outcome outcome, const struct pg_error *error)
{
	struct pg_slot *slot = slot_of(req);
	struct pg_member *m = slot->member;
	struct pg_query *query = slot->query;
	slot->query = NULL;
	SLIST_INSERT_HEAD(&m->idle, slot, link);
	m->in_flight--;
	m->progress = loop_now(m->side->pool->loop);
	metric_add(m->side->in_use, -1);
	if (query)
		settle(query, outcome, error);
	if (!m->side->pool->closing)
		pg_pool_dispatch(m->side);
}

/* ---- giving up ---- */

void pg_pool_end_abandoned(struct pg_pool *pool)
{
	struct pg_query *query;
	struct pg_error error;
	say(&error, "the client is gone");
	while ((query = TAILQ_FIRST(&pool->ended))) {
		TAILQ_REMOVE(&pool->ended, query, link);
		end(query, PG_ANSWER_AWAY, &error);
	}
}

static void expire(struct pg_pool *pool, struct pg_query *query)
{
	struct pg_error error = pool->away;
	bool away = query->phase == QUERY_WAITING && side_of(query)->n_ready == 0;
	if (query->phase == QUERY_RUNNING)
		say(&error, "the database did not answer in time");
	else if (!away)
		say(&error, "no connection to the database became free in time");
	detach(query);
	end(query, away ? PG_ANSWER_AWAY : PG_ANSWER_TIMEOUT, &error);
}

void pg_pool_on_deadline(void *arg)
{
	struct pg_pool *pool = arg;
	struct pg_query *query;
	int64_t now = loop_now(pool->loop);
	while ((query = TAILQ_FIRST(&pool->by_deadline)) && query->deadline <= now)
		expire(pool, query);
	arm_deadline(pool);
}

void pg_pool_end_waiting(struct pg_side *side)
{
	struct pg_error error;
	struct pg_query *query;
	say(&error, "cqrsd is shutting down");
	while ((query = TAILQ_FIRST(&side->waiting))) {
		detach(query);
		end(query, PG_ANSWER_AWAY, &error);
	}
}
