/* SPDX-License-Identifier: MIT */
/*
 * What the files of pg_writer share, and nobody else.
 */
#ifndef PG_WRITER_INTERNAL_H
#define PG_WRITER_INTERNAL_H

#include "attempt.h"
#include "fence.h"
#include "partition.h"
#include "pg_conn.h"
#include "pg_writer.h"

enum writer_state {
	WRITER_IDLE,
	WRITER_BEGINNING,  /* BEGIN and the fence, before statements */
	WRITER_STATEMENTS, /* the modules' statements, pipelined */
	WRITER_STAGING,    /* rows into temporary tables and on */
	WRITER_STORING,    /* the Query that commits */
	WRITER_ROLLBACK,   /* then again, or waiting */
	WRITER_EVICTING,   /* a member that sleeps on our locks */
	WRITER_ASKING,     /* where the fence stands, about a COMMIT without an answer */
	WRITER_WAITING,    /* for the connection or for better times */
};

/* How ranges are begun: as the ones before had to be stored. */
struct writer_habit {
	unsigned usual; /* ATTEMPT_SIFT | ATTEMPT_STORE | ATTEMPT_SKIP */
	unsigned most;  /* that was needed by the */
	int quiet;      /* ranges in a row that needed less than the usual */
	int patience;   /* so many, and then less is tried */
	bool trying;    /* less, for the first time since */
};

struct writer_statement {
	struct pg_request request;
	struct pg_writer *writer;
	size_t index;    /* in batch->statements */
	size_t first, n; /* in writer->members: of decisions all that it asks for, of others one */
	int64_t touched;
};

struct writer_metrics {
	struct metric *rows, *duplicates, *batches, *fenced, *retries, *batch_rows, *commit_seconds,
	    *latency, *applied, *refused, *repeated;
};

struct pg_writer {
	struct loop *loop;
	const struct pg_writer_config *config;
	struct metrics *metrics;
	struct writer_metrics m;
	struct health_check *health;
	pg_writer_done_fn *done;
	void *owner;
	struct pg_conn_config conn_config;
	struct pg_conn *conn;
	struct timer *timer;
	enum writer_state state;
	struct cqrs_batch *batch;
	struct attempt attempt;
	struct fence fence;   /* of the range at hand */
	uint32_t low, high;   /* the messages to try next */
	unsigned way, needed; /* as in struct attempt */
	struct writer_habit habit;
	int64_t wait_us;     /* after the ROLLBACK; 0: again at once */
	bool in_transaction; /* an explicit one */
	bool unknown;        /* the COMMIT was on its way when the connection was lost */
	bool redo;           /* staging refused an element that has other effects */
	bool rolled_back;    /* the COMMIT of an aborted transaction */
	bool blocked;        /* somebody held a lock for too long */
	bool fenced;         /* as soon as the ROLLBACK is done */
	bool out_of_memory;  /* while reading an answer */
	bool known;          /* some of the commands were applied before */
	int tries;           /* that failed in a row */
	int64_t began_us;
	char why[600];
	struct buf setup, sql;
	struct pg_request request;
	struct writer_statement *statements;
	size_t n_statements, cap_statements, n_done;
	uint32_t *members; /* statements of the batch that are sent, in order */
	size_t n_members;
	const char **values; /* of all statements, one after the other */
	int *lengths;
	size_t cap_values;
	struct buf arrays;            /* parameters of decisions */
	const struct pg_error *unfit; /* what is wrong with the answer of one; NULL: nothing */
	bool refused;                 /* one of the statements was, by: */
	size_t culprit;
	struct pg_error culprit_error;
	bool lost;
};

/* What an error means for the batch at hand. */
enum verdict {
	VERDICT_FENCED,    /* the offsets are not where we left them */
	VERDICT_DUPLICATE, /* a key is there already */
	VERDICT_DATA,      /* the data is at fault: class 22, 23, 44, P0 and the like */
	VERDICT_FORMAT,    /* a column is of another type than ours: COPY cannot, INSERT may */
	VERDICT_TOO_BIG,   /* less at a time may do: 53200, class 54, 57014 */
	VERDICT_SCHEMA,    /* our mistake or the administrator's: class 42 and the like */
	VERDICT_ELSEWHERE, /* this server takes no writes: 25006, after a failover */
	VERDICT_TRANSIENT, /* time heals it */
};
enum verdict writer_verdict(const char *sqlstate);

/* ---- writer_habit.c ---- */

/* A range was refused, and is tried again in another way. */
void writer_habit_refused(struct writer_habit *habit, unsigned next);
/* A range is stored, and would have been if it had begun as `needed`. */
void writer_habit_stored(struct writer_habit *habit, unsigned needed);

/* ---- writer_statements.c ---- */

/* Begins with the range's statements; false: no memory. */
bool writer_send_statements(struct pg_writer *writer);

/* The kth statement of the batch that it asks for. */
static inline const struct batch_statement *writer_asked(const struct writer_statement *s, size_t k)
{
	return &s->writer->batch->statements[s->writer->members[s->first + k]];
}

/* ---- writer_decisions.c ---- */

/* Whether a statement of the batch can be asked for together with those of `s`. */
bool writer_extends(const struct writer_statement *s, const struct batch_statement *statement);
/* Makes the parameters of the decisions among the statements; false: no memory. */
bool writer_fill_decisions(struct pg_writer *writer);
/* What they say becomes that of the batch; otherwise what is wrong with it. */
const struct pg_error *writer_read_decisions(struct writer_statement *s, const PGresult *answer);
/* Whether a message that was refused by its decision has done something else. */
bool writer_undoes_decided(struct pg_writer *writer);
/* What was refused of the message by its decision is for good; false: nothing was. */
bool writer_confirm(struct pg_writer *writer, uint32_t message);

/* ---- writer_queries.c ---- */

/* An explicit transaction with the fence; asks for commands that were applied before. */
void writer_send_beginning(struct pg_writer *writer);
void writer_send_staging(struct pg_writer *writer);
/* The rows that are not stored yet, events, dead letters, outcomes, and COMMIT. */
void writer_send_storing(struct pg_writer *writer);
void writer_send_rollback(struct pg_writer *writer);
/* What became of a COMMIT. */
void writer_send_asking(struct pg_writer *writer);
/* Cuts off members that sleep on a lock. */
void writer_send_evicting(struct pg_writer *writer);

/* ---- pg_writer.c ---- */

/* What the range low..high comes to by now; false: no memory. */
bool writer_prepare(struct pg_writer *writer);
/* Tries the range low..high from the beginning. */
void writer_try(struct pg_writer *writer);
/* Ends the transaction, if there is one, and tries the range again after `wait_us`. */
void writer_again(struct pg_writer *writer, int64_t wait_us);
/* All statements did what they had to. */
void writer_statements_done(struct pg_writer *writer);
/* The batch is the owner's again. */
void writer_finish(struct pg_writer *writer, bool fenced);

/* ---- writer_outcome.c ---- */

void writer_make_metrics(struct pg_writer *writer, struct metrics *metrics);
/* The range is stored: the next one, or the end. */
void writer_stored(struct pg_writer *writer);
void writer_fenced(struct pg_writer *writer);
/* The database said no, or is gone. */
void writer_failed(struct pg_writer *writer, const struct pg_error *error);
void writer_lost(struct pg_writer *writer, const struct pg_error *error);
/* Tries again later; `slow`: a person has to do something first. */
void writer_wait(struct pg_writer *writer, const char *sqlstate, const char *message, bool slow);
/* Nothing is wrong with the batch: again later, and over another connection if the server is the
 * wrong one. */
void writer_postpone(struct pg_writer *writer, const struct pg_error *error);
/* The range cannot be stored as a whole: less of it, or, if it is one message, none. */
void writer_divide(struct pg_writer *writer, const struct pg_error *error);
/* Notes that a refusal has cost effects that the module had asked for. */
bool writer_refuse(struct pg_writer *writer, uint32_t element, const char *sqlstate,
                   const char *reason);

#endif
