/* SPDX-License-Identifier: MIT */
/*
 * The database side of commands over HTTP: whose command an Idempotency-Key
 * stands for (cqrs.idempotency), and what became of a command (cqrs.outcomes).
 *
 * One connection, made for the first who asks.  Who waits for an outcome is woken by
 * NOTIFY, and looks twice a second besides.  While the database is away everybody
 * waits; how long is for those who ask to say.
 */
#ifndef COMMAND_DB_H
#define COMMAND_DB_H

#include "health.h"
#include "loop.h"
#include "pg_conn.h"
#include "uuid.h"
#include <sys/queue.h>

struct command_db;

struct command_db_config {
	const char *dsn; /* where the writers store what becomes of commands */
	int64_t network_timeout_us;
	int64_t timeout_us; /* of a statement */
};

/* Borrows all for good; NULL: out of memory. */
struct command_db *command_db_new(struct loop *loop, const struct command_db_config *config,
                                  struct health *health);
/* Claims that were sent end with CLAIM_FAILED; nobody waits any more. */
void command_db_free(struct command_db *db);

/* ---- keys ---- */

enum claim_answer {
	CLAIM_OURS,   /* the first with this key */
	CLAIM_THEIRS, /* a repetition: `id` is that of the first */
	CLAIM_OTHER,  /* the key was used for another request */
	CLAIM_FAILED, /* not known; the key may be ours all the same */
};

struct command_claim;
typedef void command_claim_fn(struct command_claim *claim, enum claim_answer answer);

#define CLAIM_FINGERPRINT 32 /* bytes */

/* Embedded in the caller's struct, borrowed until done(). */
struct command_claim {
	const char *key; /* 1 to 255 bytes */
	char fingerprint[CLAIM_FINGERPRINT];
	char id[UUID_TEXT]; /* of the command if it is the first; afterwards see above */
	command_claim_fn *done;
	/* the database's own */
	struct command_db *db;
	struct pg_request request;
	const char *values[3];
	int lengths[3];
	char uuid[16];
	bool is_sent;
	enum claim_answer answer;
	TAILQ_ENTRY(command_claim) link;
};

/* done() is called once, from the loop. */
void command_db_claim(struct command_db *db, struct command_claim *claim);
/* Nobody is interested any more.  True: done() is not called; false: it will be. */
bool command_claim_give_up(struct command_claim *claim);

/* ---- outcomes ---- */

/* A row of cqrs.outcomes, valid during the call. */
struct outcome {
	int status;
	const char *reason; /* NULL: null */
	const char *body;   /* JSON text; NULL: null */
	size_t body_len;
	const char *topic;
	int32_t partition;
	int64_t offset;
	int64_t applied_us; /* since 1970 */
};

struct outcome_wait;
typedef void outcome_wait_fn(struct outcome_wait *wait, const struct outcome *outcome);

/* Embedded in the caller's struct, borrowed until known() or outcome_wait_leave(). */
struct outcome_wait {
	const char *id; /* 36 characters of a UUID */
	bool once;      /* known() is also called, with NULL, if there is none yet */
	outcome_wait_fn *known;
	/* the database's own */
	struct command_db *db; /* NULL: it does not wait */
	size_t asked;          /* its place in the question under way, from 1 on; 0: none */
	LIST_ENTRY(outcome_wait) link;
};

/* known() is called once, from the loop. */
void command_db_wait(struct command_db *db, struct outcome_wait *wait);
/* Does nothing for who does not wait. */
void outcome_wait_leave(struct outcome_wait *wait);

#endif
