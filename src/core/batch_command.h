/* SPDX-License-Identifier: MIT */
/*
 * The messages of a batch that are commands: they have an id, and their outcome is kept.
 *
 * What a decision said counts for the try at hand; the next one asks anew.
 */
#ifndef BATCH_COMMAND_H
#define BATCH_COMMAND_H

#include "batch.h"

struct batch_command {
	char id[16];
	uint32_t message;
	bool waited;   /* somebody waits for the outcome, which a refusal is then */
	bool repeated; /* applied before, or by a message before this one: nothing of it counts */
	bool shadowed; /* a dead letter: another one of the batch has the same id */

	/* what its decision said, in batch->said */
	int16_t status; /* 0: nothing */
	uint32_t reason, reason_len;
	uint32_t body, body_len; /* as PostgreSQL sends jsonb; len 0: none */

	/* batch_settle() */
	bool refused;        /* as a whole, or all there is of it */
	uint32_t refusal;    /* the one that counts; UINT32_MAX: none */
	uint32_t n_refusals; /* of its elements */
};

/* What the database said of a message: as in cqrs.outcome. */
struct batch_answer {
	int status;         /* 0: null */
	const char *reason; /* NULL: null */
	const char *body;
	size_t body_len; /* 0: null */
};

/* The message at hand has these headers; the batch has failed when memory is out. */
void batch_take_headers(struct cqrs_batch *batch, const struct cqrs_header *headers, size_t n);
/* NULL: the message is no command. */
struct batch_command *batch_command_of(const struct cqrs_batch *batch, uint32_t message);
/* The first command of a message `message` or behind it. */
size_t batch_first_command(const struct cqrs_batch *batch, uint32_t message);

/* Commands with the id of one before them are repeated, dead letters shadowed; false: no memory. */
bool batch_find_repeated(struct cqrs_batch *batch);
/* The command has been applied before. */
void batch_repeat(struct cqrs_batch *batch, struct batch_command *command);

/* The answer of a decision; false: no memory. */
bool batch_decided(struct cqrs_batch *batch, const struct batch_statement *statement,
                   const struct batch_answer *answer);
/* Forgets the answers about message `from` and those behind it. */
void batch_undecide(struct cqrs_batch *batch, uint32_t from);
/* What was refused of the message by its decision is for good; false: nothing was. */
bool batch_confirm(struct cqrs_batch *batch, uint32_t message);

/* What becomes of the commands low <= i < high, as far as is known. */
void batch_settle(struct cqrs_batch *batch, size_t low, size_t high);
/* Somebody is told of the refusal by the outcome of a settled command, or was before. */
bool batch_refusal_is_told(const struct cqrs_batch *batch, size_t refusal);
/* An HTTP status: the refusal's own, or what its SQLSTATE amounts to. */
int batch_refusal_status(const struct batch_refusal *refusal);

#endif
