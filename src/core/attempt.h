/* SPDX-License-Identifier: MIT */
/*
 * One try to store a range of a batch: which rows in which order, the SQL
 * around them, and the bytes of each COPY.
 *
 * Directly, rows are copied straight into their tables, sorted by key.  There are
 * two ways by temporary tables, which go together:
 * Sifted: cqrs.sift() finds what the tables would refuse, all of it at once, and
 * the others are copied as they would be directly; "skipping", but for those whose
 * key is there already, where that is no reason to refuse them.
 * Stored: cqrs.store() moves the rows on, which knows what to do with duplicates,
 * and halves what is refused until it knows the row.
 */
#ifndef ATTEMPT_H
#define ATTEMPT_H

#include "batch.h"
#include "buf.h"

enum { ATTEMPT_DIRECT = 0, ATTEMPT_SIFT = 1, ATTEMPT_STORE = 2, ATTEMPT_SKIP = 4 };

struct attempt_row {
	const struct batch_row *row;
	bool repeated; /* another one with its key gave way to it */
	bool refused;
	bool conflicts; /* refused, since its key was there */
	bool skipped;   /* for the same reason, and all is well */
};

struct attempt_rows {
	const struct batch_rows *source;
	struct attempt_row *rows; /* sorted, alive, in the range */
	size_t n, cap;
	size_t repeated; /* left out: the same key twice in the range */
	size_t present;  /* rows that update one that was there, if that was looked up */
	size_t stored;   /* what cqrs.store() said */
	size_t refused, skipped;
};

/* What the nth COPY of a simple Query carries. */
enum attempt_copy {
	ATTEMPT_STAGE,
	ATTEMPT_ROWS,
	ATTEMPT_EVENTS,
	ATTEMPT_DEAD_LETTERS,
	ATTEMPT_OUTCOMES
};

/* Of a dead letter: too large to be copied. */
struct attempt_payload {
	const char *data;
	size_t len, given;
};

struct attempt {
	struct cqrs_batch *batch;
	const char *group;
	uint32_t low, high; /* the messages low <= i < high */
	unsigned way;       /* ATTEMPT_SIFT | ATTEMPT_STORE, or ATTEMPT_SIFT | ATTEMPT_SKIP */
	unsigned needed;
	struct attempt_rows *tables; /* batch->n_tables of them */
	size_t n_events, n_dead;
	size_t low_command,
	    high_command; /* the commands of the range, by their place in the batch */
	size_t n_outcomes, n_refused_commands, n_repeated; /* when settled */
	bool waited;                                       /* somebody waits for one of them */
	/* the COPYs of the Query at hand, and where the current one stands */
	struct {
		enum attempt_copy what;
		int table;
	} * copies;
	int n_copies, cap_copies, current;
	size_t next;                    /* row, event, refusal or command */
	bool head, tail;                /* the COPY's header and trailer have been given */
	struct buf chunk;               /* what was given last */
	size_t given;                   /* of a chunk larger than a piece */
	struct attempt_payload payload; /* comes after the chunk, if it has a length */
};

/* Closes the batch.  False, and nothing to release, when memory is out. */
bool attempt_init(struct attempt *attempt, struct cqrs_batch *batch, const char *group);
void attempt_release(struct attempt *attempt);

/*
 * Chooses what is alive in the range; false when memory is out.  To
 * be called again after the batch has learned of refusals.  What `references`
 * ask for is at least sifted.
 */
bool attempt_prepare(struct attempt *attempt, uint32_t low, uint32_t high, unsigned way);

/* Appends the statements; `attempt_copy_data` then serves their COPYs in order. */
void attempt_staging_sql(struct attempt *attempt, struct buf *sql); /* sifts, stores */
void attempt_rows_sql(struct attempt *attempt, struct buf *sql);    /* unless stored so */
/* Events, dead letters, outcomes: first it is settled what becomes of commands. */
void attempt_rest_sql(struct attempt *attempt, struct buf *sql);
/* Forgets the COPYs of the Query before. */
void attempt_begin_sql(struct attempt *attempt);
/* False when the nth COPY is complete, or (`chunk.failed`) memory is out. */
bool attempt_copy_data(struct attempt *attempt, int nth, const char **data, size_t *len);

/* For attempt_stage.c. */
void attempt_add_copy(struct attempt *attempt, enum attempt_copy what, int table);
bool attempt_has_references(const struct attempt *attempt);
/* Whether it has rows for the table, which does not mind a key that is there already. */
bool attempt_ignores(const struct attempt *attempt, int table);

/*
 * Reads an answer of the staging SQL: counts, and marks refused elements dead
 * in the batch.  `redo` is set when an element that was refused has more
 * effects than the refused row.  False when memory is out.
 */
bool attempt_read_staged(struct attempt *attempt, const PGresult *answer, bool *redo);
/* Nothing of it stays: who was refused for the key of a row that goes, too, is judged anew. */
void attempt_forgive(struct attempt *attempt);

/* The rows that the range asked for and that were there already, or twice; valid when stored. */
size_t attempt_duplicates(const struct attempt *attempt);
size_t attempt_stored(const struct attempt *attempt);

/* Whether the attempt runs a statement, and writes a refusal as a dead letter. */
bool attempt_wants(const struct attempt *attempt, const struct batch_statement *statement);
bool attempt_is_dead_letter(const struct attempt *attempt, size_t refusal);

/* ---- attempt_command.c ---- */

bool attempt_has_commands(const struct attempt *attempt);
/* Appends a statement that asks which commands have been applied before, if that is to be asked. */
void attempt_known_sql(const struct attempt *attempt, struct buf *sql);
/* Its answer; true if there are any, which are dead in the batch then: prepare the attempt anew. */
bool attempt_read_known(const struct attempt *attempt, const PGresult *answer);
/* For attempt.c, attempt_sql.c and attempt_copy.c. */
void attempt_choose_commands(struct attempt *attempt);
void attempt_settle(struct attempt *attempt);
void attempt_outcomes_sql(struct attempt *attempt, struct buf *sql);
/* Appends the tuple of a command to the chunk, if it has one. */
void attempt_add_outcome(struct attempt *attempt, size_t number);

/* The way that it would have taken, as far as the answers tell. */
unsigned attempt_needed(const struct attempt *attempt);
/* The way to try when a key was there. */
unsigned attempt_after_duplicate(const struct attempt *attempt);

/* Whether the range asks for anything but rows and events. */
bool attempt_has_statements(const struct attempt *attempt);

#endif
