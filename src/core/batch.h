/* SPDX-License-Identifier: MIT */
/*
 * A batch: messages in order of arrival, and what their modules asked for.
 *
 * The batch implements the effects of <cqrs/command.h>.  It keeps rows as
 * binary COPY tuples, so that storing them is copying bytes.  Who refuses an
 * element later (the database did) marks it dead, and its effects are left
 * out of the next attempt.
 */
#ifndef BATCH_H
#define BATCH_H

#include "buf.h"
#include "kafka_source.h"
#include <cqrs/command.h>
#include <libpq-fe.h>

struct batch_command; /* a message with an id: batch_command.h */
struct partition;     /* where a message came from: partition.h */
struct dead_letter;   /* or what it is tried again of: dead_letter.h */

struct cqrs_table {
	const struct cqrs_table_def *def;
	int index; /* among the tables of the process */
	int n_columns;
	int n_key;
	bool key_is_exact; /* batch_row.key tells two keys apart for sure */
	bool has_references;
	char *name;    /* quoted */
	char *columns; /* quoted and joined by commas */
	char *key;     /* quoted and joined by commas; "" without a key */
};

struct cqrs_statement {
	size_t index; /* among the statements of the process */
	const char *sql;
	int n_params;
	Oid *types; /* of a decision: of the arrays that it takes */
	const enum cqrs_type *param_types;
	bool decides; /* those that follow each other are one call, see batch_decision.c */
};

struct cqrs_decision {
	struct cqrs_statement statement;
	char *sql;
};

struct batch_message {
	struct kafka_message kafka;
	struct partition *partition;      /* NULL: it came from no partition of ours */
	const struct dead_letter *letter; /* NULL: it is not tried again */
	bool refused;                     /* as a whole, or it was applied before */
	uint32_t command;                 /* its number in `commands`, from 1 on; 0: it is none */
};

/* An element of a message, or (index < 0) the message as a whole. */
struct batch_element {
	uint32_t message;
	int32_t index;
	uint32_t data, data_len; /* where its bytes are in the message's value; len 0: all of it */
	uint32_t effects;
	bool dead;
};

struct batch_row {
	uint64_t key[2]; /* the beginning of the key, comparable as an unsigned number */
	uint32_t element;
	uint32_t offset, len; /* of the tuple in batch_rows.tuples */
};

struct batch_rows {
	const struct cqrs_table *table;
	struct buf tuples;
	struct batch_row *rows; /* in order of arrival; of a closed batch in that of their keys */
	size_t n, cap;
	struct batch_row *spare; /* as much room again, to sort them */
	size_t spare_cap;
};

struct batch_statement {
	const struct cqrs_statement *statement;
	uint32_t element; /* UINT32_MAX: it belongs to the batch (cqrs_ensure) */
	uint32_t message;
	uint32_t params; /* first index in values/lengths */
	int64_t expect;
	const char *reason;
};

struct batch_event {
	uint32_t element;
	uint32_t offset, len; /* tuple in `events` */
};

struct batch_refusal {
	uint32_t element;
	char sqlstate[6];
	bool decided;   /* by the database, in the try at hand */
	int16_t status; /* 0: see batch_refusal_status() */
	char *reason;
};

/* Where the effects of a message begin. */
struct batch_mark {
	size_t elements, statements, params, param_refs, events, event_tuples, refusals, bytes,
	    rows;
};

/* The batches of a process, for cqrs_batch_sees(): what one of them asks for is not yet stored. */
struct batch_peers {
	struct cqrs_batch **list;
	size_t n, cap;
	uint64_t oldest; /* the lowest of their numbers: all before it are done with */
};

struct cqrs_batch {
	uint64_t number;           /* no other batch of the process ever has it */
	struct batch_peers *peers; /* NULL: it is the only one */
	struct batch_message *messages;
	size_t n_messages, cap_messages;
	struct batch_element *elements;
	size_t n_elements, cap_elements;
	struct batch_rows *tables; /* one per table of the process */
	int n_tables;
	struct batch_statement *statements;
	size_t n_statements, cap_statements;
	struct buf params;     /* binary values of all statements */
	struct buf param_refs; /* struct batch_param, one per value */
	struct batch_event *events;
	size_t n_events, cap_events;
	struct buf event_tuples;
	struct batch_refusal *refusals;
	size_t n_refusals, cap_refusals;
	struct batch_command *commands; /* in the order of their messages */
	size_t n_commands, cap_commands;
	struct buf said;    /* by decisions */
	bool decides;       /* it asks for some */
	size_t n_rows;      /* in all tables, dead ones too */
	size_t bytes;       /* what the batch keeps in memory, about */
	size_t message_max; /* bytes that one message may make it keep */
	int64_t opened_us;  /* loop time of its first message */
	bool closed;        /* see batch_close() */
	bool failed;        /* memory ran out while the last message was decided */
	bool effects_lost;  /* something that a module asked for was not stored */
	struct batch_mark mark;
	uint32_t element; /* the element at hand; UINT32_MAX: none yet */
};

struct batch_param {
	uint32_t offset;
	int32_t len; /* -1: null */
};

/* `tables` are borrowed for good. */
struct cqrs_batch *batch_new(struct cqrs_table *const *tables, int n_tables);
/* From now on it is one of `peers`; false when memory is out. */
bool batch_join(struct cqrs_batch *batch, struct batch_peers *peers);
/* Leaves its peers, and frees the messages too. */
void batch_free(struct cqrs_batch *batch);
/* Makes it empty again, with a new number, and frees its messages; keeps memory for the next. */
void batch_clear(struct cqrs_batch *batch);

/*
 * Takes a message in; the module then decides it.  False when memory is out:
 * the message was not taken.
 */
bool batch_begin(struct cqrs_batch *batch, const struct kafka_message *msg,
                 struct partition *partition);
/* The message is decided.  False when memory ran out: it was taken back, with its effects, and
 * is the caller's again. */
bool batch_end(struct cqrs_batch *batch);
/*
 * No message comes any more: finds commands that are repeated, and puts the rows of each
 * table in order of their keys; equal keys stay in order of arrival.  False when memory is
 * out: to be tried again.
 */
bool batch_close(struct cqrs_batch *batch);
/* For batch_close(). */
bool batch_sort(struct batch_rows *rows);

/*
 * The message that was decided last is a dead letter that is tried again.  If
 * only an element of it was refused but all of it was kept, that element alone
 * counts now.  False when memory is out.
 */
bool batch_redrive(struct cqrs_batch *batch, const struct dead_letter *letter);
/* Whether a refusal becomes a dead letter: that of a message as a whole is the only one of it. */
bool batch_refusal_counts(const struct cqrs_batch *batch, size_t refusal);

/* The database refused an element: all its effects are dead from now on. */
bool batch_refuse(struct cqrs_batch *batch, uint32_t element, const char *sqlstate,
                  const char *reason);
/* It was refused too early: takes that back. */
void batch_forgive(struct cqrs_batch *batch, uint32_t element);
/* The element that stands for all of a message, made if need be; UINT32_MAX: no memory. */
uint32_t batch_whole(struct cqrs_batch *batch, uint32_t message);

static inline bool batch_element_is_dead(const struct cqrs_batch *batch, uint32_t element)
{
	const struct batch_element *e = &batch->elements[element];
	return e->dead || batch->messages[e->message].refused;
}

/* How the definition of a table, and a decision, become ones that a batch can use; NULL: no memory.
 */
struct cqrs_table *batch_table_new(const struct cqrs_table_def *def, int index);
void batch_table_free(struct cqrs_table *table);
struct cqrs_decision *batch_decision_new(const char *function, const enum cqrs_type *types,
                                         size_t n, bool many);
void batch_decision_free(struct cqrs_decision *decision);

#endif
