/* SPDX-License-Identifier: MIT */
/*
 * The inside of a pool, shared by pg_pool.c (its connections) and pg_pool_query.c
 * (the way of a query).  Nobody else includes this.
 */
#ifndef PG_POOL_PRIVATE_H
#define PG_POOL_PRIVATE_H

#include "buf.h"
#include "pg_pool.h"

TAILQ_HEAD(pg_query_list, pg_query);

/* Carries one query over a connection. */
struct pg_slot {
	struct pg_request request;
	struct pg_member *member;
	struct pg_query *query; /* NULL: it has given up */
	SLIST_ENTRY(pg_slot) link;
};

/* A connection and what it carries. */
struct pg_member {
	struct pg_side *side;
	struct pg_conn *conn;
	struct pg_conn_config config;
	char name[40];
	struct pg_slot *slots;
	SLIST_HEAD(slot_list, pg_slot) idle;
	int in_flight;
	bool dirty;       /* was sent something since the last Sync */
	int64_t progress; /* when it answered last, or was sent something while idle */
};

/* The pipelined connections, or those for streams. */
struct pg_side {
	struct pg_pool *pool;
	struct pg_member *members;
	int n, n_ready, depth;
	bool started;
	struct buf setup;
	struct pg_query_list waiting;
	int n_waiting;
	struct metric *ready, *away, *in_use, *queue, *seconds;
};

struct pg_pool {
	struct loop *loop;
	const struct pg_pool_config *config;
	struct health_check *check;
	struct pg_side queries, streams;
	struct pg_query_list by_deadline; /* the earliest first */
	struct pg_query_list ended;       /* abandoned; done() comes in the next turn */
	struct timer *turn, *deadline;
	struct pg_error away; /* why the last connection was lost */
	bool closing;
};

/* Connects, unless it has. */
void pg_side_start(struct pg_side *side);
/* Gives waiting queries to connections with room. */
void pg_pool_dispatch(struct pg_side *side);
/* Ends the group of what was sent to this connection. */
void pg_member_sync(struct pg_member *member);
/* done() for those that were abandoned. */
void pg_pool_end_abandoned(struct pg_pool *pool);
/* Ends all that wait on this side: the pool is closing. */
void pg_pool_end_waiting(struct pg_side *side);
/* A loop_fn: ends what is late, and waits for the next deadline. */
void pg_pool_on_deadline(void *pool);

#endif
