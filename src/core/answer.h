/* SPDX-License-Identifier: MIT */
/*
 * What a query module decided: one statement with bound values, or a refusal.
 *
 * The statement is collected piece by piece; each `$?` becomes $1, $2, … and
 * its value is kept in PostgreSQL's binary format.
 */
#ifndef ANSWER_H
#define ANSWER_H

#include "buf.h"
#include "param.h"
#include <cqrs/query.h>

#define ANSWER_BINDS_MAX 64

/* Zeroed at first, then cleared and used again. */
struct cqrs_answer {
	struct buf sql;  /* not terminated */
	struct buf data; /* the values, one after the other */
	int n;
	Oid types[ANSWER_BINDS_MAX];
	int lengths[ANSWER_BINDS_MAX];
	size_t offsets[ANSWER_BINDS_MAX];     /* in `data`; ANSWER_NULL: null */
	const char *values[ANSWER_BINDS_MAX]; /* valid after answer_finish() */
	bool refused;
	struct param_error error; /* why, if `refused` */
};

#define ANSWER_NULL SIZE_MAX

void answer_clear(struct cqrs_answer *ans);
void answer_release(struct cqrs_answer *ans);

/* Terminates the statement and fills `values`; false when memory ran out. */
bool answer_finish(struct cqrs_answer *ans);

#endif
