/* SPDX-License-Identifier: MIT */
/*
 * The logs of the simulated topics, what must become of each element of each
 * message in them, and what has become of it: the oracle.
 *
 * An element is two bytes of a message's value, a letter and a number; the
 * letter says what the module asks for and what the database thinks of it
 * (kinds[] in sim_log.c).  Whoever commits tells the oracle at once, so the
 * first wrong commit is the last line of the timeline.
 */
#ifndef SIM_LOG_H
#define SIM_LOG_H

#include "sim.h"

#define SIM_LOGS     6 /* partitions of all topics */
#define SIM_TOPICS   2
#define SIM_RECORDS  48 /* of a log */
#define SIM_ELEMENTS 7  /* of a record, the message as a whole among them */
#define SIM_OFFSETS  256
#define SIM_KEYS     64
#define SIM_PARENTS  100 /* ids from here on are never registered */
#define SIM_MISSING  99  /* the counter that is not there */

/* What can become of an element, counted; the keyed tables are known by their keys. */
enum sim_effect {
	EFFECT_ROW,
	EFFECT_STATEMENT,
	EFFECT_COUNTER,
	EFFECT_EVENT,
	EFFECT_DEAD,
	EFFECT_DECISION,
	N_EFFECTS
};

struct sim_record {
	int64_t offset;
	int len; /* of the value; 0: a tombstone */
	char value[2 * SIM_ELEMENTS];
	bool skipped; /* in a gap */
	/* It has a command-id. */
	int64_t command; /* whose: sim_command(); 0: none */
	char id[40];     /* as text */
	bool waited, repeats, has_outcome;
	/* of the message as a whole at 0, of element i at i + 1 */
	uint8_t counts[SIM_ELEMENTS + 1][N_EFFECTS];
};

struct sim_log {
	int topic;
	int32_t partition;
	bool exists;
	struct sim_record records[SIM_RECORDS];
	int n;                /* that can be read */
	int planned;          /* that there will be */
	int64_t begin;        /* the first offset that there is */
	int64_t end;          /* the next offset, also after a hole */
	int64_t stored;       /* where cqrs.offsets stands; -1: nowhere yet */
	int64_t mark;         /* of the message before it; 0: none yet */
	bool first[SIM_KEYS]; /* the keys that table `single` has */
};

struct sim_logs {
	struct sim_log logs[SIM_LOGS];
	int n, n_topics;
	uint64_t kinds;    /* bits of kinds[] that this schedule has */
	unsigned whole;    /* percent of records with something of the message as a whole */
	unsigned commands; /* percent of records with a command-id */
	int passed;        /* elements that a commit went past */
};

/* Rows, statements and events carry the number of their element. */
static inline int64_t sim_element(int log, int64_t offset, int index)
{
	return ((int64_t)log << 32) | (offset << 8) | (index + 1);
}

/* The record that was the first with a command-id has it as its number. */
static inline int64_t sim_command(int log, int record)
{
	return ((int64_t)(log + 1) << 32) | record;
}

/* Decides how many logs there are and what will be in them. */
void sim_logs_init(struct sim *sim);
/* One more record in it. */
void sim_log_append(struct sim *sim, int log);
/* Some of its beginning is deleted. */
void sim_log_delete(struct sim *sim, int log);
int sim_log_find(const struct sim *sim, int topic, int32_t partition);
extern const char *const sim_topics[SIM_TOPICS];
extern const char sim_whole_letters[]; /* which of a value are of the message as a whole */
/* Whether all that there is, and will be, is stored. */
bool sim_logs_are_stored(const struct sim *sim);

/* ---- what was committed ---- */

void sim_oracle_effect(struct sim *sim, enum sim_effect effect, int64_t element);
/* `index` < 0: the whole message. */
void sim_oracle_dead(struct sim *sim, int log, int64_t offset, int index, const char *sqlstate,
                     const char *payload, int len);
/* A row of cqrs.outcomes; `notified`: who waits is told. */
void sim_oracle_outcome(struct sim *sim, int log, int64_t offset, int64_t command, int status,
                        bool notified);
/* Whether there is one. */
bool sim_log_has_outcome(const struct sim *sim, int64_t command);
/* An offset has moved; `-1`: it was not there.  The effects of the same commit were told before. */
void sim_oracle_moved(struct sim *sim, int log, int64_t from, int64_t to);
/* It moves over what the log does not have any more. */
void sim_oracle_skipped(struct sim *sim, int log, int64_t from, int64_t to);
/* All has been stored: is that so? */
void sim_oracle_end(struct sim *sim);

#endif
