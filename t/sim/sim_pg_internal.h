/* SPDX-License-Identifier: MIT */
/* What the files of the simulated PostgreSQL share. */
#ifndef SIM_PG_INTERNAL_H
#define SIM_PG_INTERNAL_H

#include "sim_log.h"
#include "sim_pg.h"

#include <sys/queue.h>

struct session;

struct sim_row {
	int64_t k, element;
	int32_t bad;
	int32_t n; /* staged: its number */
};

/* ---- what a transaction has done, to be committed ---- */

enum change_kind {
	CHANGE_ROW,
	CHANGE_EFFECT,
	CHANGE_DEAD,
	CHANGE_PARENT,
	CHANGE_OUTCOME,
	CHANGE_OFFSET
};

struct change {
	enum change_kind kind;
	enum sim_table table;   /* ROW */
	enum sim_effect effect; /* EFFECT */
	int64_t k, element;     /* ROW, EFFECT; PARENT: k; OUTCOME: `k` is the command */
	int log;                /* OFFSET, DEAD, OUTCOME */
	int status;             /* OUTCOME */
	bool is_gap;            /* OFFSET: what it goes past is not there */
	int64_t from, to, mark; /* OFFSET; DEAD, OUTCOME: `from` is its offset */
	int index;              /* DEAD */
	char sqlstate[6];
	char payload[2 * SIM_ELEMENTS];
	int len;
};

enum lock_kind { LOCK_OFFSET, LOCK_KEY, LOCK_COUNTER, LOCK_PARENT, LOCK_COMMAND };

struct lock {
	int64_t what; /* kind and id */
	struct session *holder;
};

/* ---- between client and server ---- */

/* What the module gives to a decision. */
struct sim_decision {
	int64_t element, what; /* 0: it is decided, 1: refused, 2: that fails */
};

enum packet_kind { PACKET_QUERY, PACKET_COPY, PACKET_BOUND, PACKET_SYNC };

struct packet {
	STAILQ_ENTRY(packet) link;
	enum packet_kind kind;
	const char *sql;   /* BOUND: borrowed */
	int64_t params[4]; /* BOUND */
	bool decides;      /* BOUND: `text` is struct sim_decision, as many as fit */
	size_t len;
	_Alignas(int64_t) char text[]; /* QUERY, COPY; terminated */
};
STAILQ_HEAD(packets, packet);

enum answer_kind {
	ANSWER_RESULT,
	ANSWER_COPY, /* go on, send the data */
	ANSWER_ERROR,
	ANSWER_ABORTED, /* not run, because of an error before */
	ANSWER_NEXT,    /* a bound request is complete */
	ANSWER_END,     /* a Query or Sync is complete */
	ANSWER_CLOSED,  /* by the server */
};

struct answer {
	STAILQ_ENTRY(answer) link;
	enum answer_kind kind;
	PGresult *result;
	char sqlstate[6];
	const char *message;
};
STAILQ_HEAD(answers, answer);

/* ---- a session ---- */

enum step {
	STEP_DONE,
	STEP_BLOCKED, /* by somebody's lock: again when it is free */
	STEP_COPY,    /* wants the client's data: again when they are there */
	STEP_FAILED,  /* `sqlstate` and `message` say why */
	STEP_ENDED,   /* the session is no more */
};

struct stage {
	struct sim_row *rows;
	size_t n, cap;
};

struct session {
	TAILQ_ENTRY(session) link;
	struct sim *sim;
	int id, member;
	struct pg_conn *conn; /* NULL: gone */
	struct timer *carry;  /* brings packets */
	struct timer *work;
	struct packets sent, arrived;
	bool silent;     /* the server does not know yet that the client is gone */
	int64_t gone_at; /* when it will know */
	int64_t lock_timeout, statement_timeout, idle_timeout; /* us; 0: none */

	/* the transaction */
	bool block, aborted; /* BEGIN was said; something failed since */
	int64_t began;       /* 0: there is none */
	int64_t idle_since;
	bool notified; /* pg_notify() */
	struct change *changes;
	size_t n_changes, cap_changes;
	struct stage stages[SIM_TABLES];

	/* the Query, or the bound statement, at hand */
	struct packet *packet;
	char *rest; /* of a Query: from the statement at hand on */
	int64_t query_began;
	bool failed;         /* bound: nothing runs before the next Sync */
	bool slowed;         /* the statement at hand has been slow already */
	struct packet *copy; /* the data of the COPY at hand */
	bool copy_asked;
	size_t at;      /* how far the statement has come, when it was blocked */
	char *outcomes; /* of the rows of a cqrs.store() */
	struct session *waits_for;
	int64_t blocked_until;
	const char *sqlstate, *message;
};
TAILQ_HEAD(sessions, session);

struct sim_server {
	struct sessions sessions;
	int n_sessions, last_id;
	int64_t away_until;                  /* nobody may connect */
	int64_t keyed[SIM_TABLES][SIM_KEYS]; /* the element that has the key; 0: none */
	bool parents[SIM_PARENTS];
	struct lock *locks;
	size_t n_locks, cap_locks;
};

/* ---- sim_conn.c ---- */

/* Takes the answer over. */
void conn_answer(struct pg_conn *conn, struct answer *answer);

/* ---- sim_session.c ---- */

struct session *session_new(struct sim *sim, struct pg_conn *conn, int member);
/* Takes the packet over. */
void session_send(struct session *session, struct packet *packet);
/* The client is gone; what it sent last may arrive or not. */
void session_abandon(struct session *session, bool orderly);
/* Ended by the server: rolled back, closed, freed. */
void session_kill(struct session *session, const char *sqlstate, const char *why);
/* Something may go on. */
void session_wake(struct session *session);
void session_answer(struct session *session, enum answer_kind kind, PGresult *result);
enum step session_refuse(struct session *session, const char *sqlstate, const char *message);
enum step session_commit(struct session *session);
void session_roll_back(struct session *session);

/* ---- sim_sql.c ---- */

/* Runs the first statement of a Query, or goes on with it; `end` is then where it ends. */
enum step sql_run(struct session *session, char *sql, char **end);
enum step sql_run_bound(struct session *session, const struct packet *packet);
PGresult *sql_command(const char *tag, long rows);

/* ---- sim_tables.c ---- */

enum on_conflict { CONFLICT_REFUSE, CONFLICT_IGNORE, CONFLICT_UPDATE };

struct change *add_change(struct session *session, enum change_kind kind);
/* False: somebody else has it (blocked), or that would be a deadlock (`sqlstate`). */
enum step take_lock(struct session *session, enum lock_kind kind, int64_t id);
/* STEP_DONE; with `*stored` false it was there already. */
enum step insert_row(struct session *session, enum sim_table table, const struct sim_row *row,
                     enum on_conflict conflict, bool *stored);
/* As the session sees it. */
int64_t find_key(const struct session *session, enum sim_table table, int64_t key);
bool find_parent(const struct session *session, int64_t id);
/* Gives the locks back, and wakes who waits for them. */
void release_locks(struct session *session);
/* All changes, at once. */
void apply_changes(struct session *session);

#endif
