/* SPDX-License-Identifier: MIT */
/*
 * The hot parts whose instructions are counted, those of each path in a file.
 */
#ifndef INSTRUCTIONS_H
#define INSTRUCTIONS_H

#include "loop.h"
#include "metrics.h"
#include <stdbool.h>
#include <stddef.h>

#define START_S INT64_C(1646352000) /* 2022-03-04T00:00:00Z */

struct part {
	const char *name;      /* NULL: there are no more */
	const char *unit;      /* of work */
	int units;             /* in one run */
	void (*prepare)(void); /* is not counted; NULL: nothing to do */
	void (*run)(void);
};

/* Ends the program unless it is so: what has failed would cost little. */
void must(bool is);

/* Each makes what its parts work on, and frees it. */
const struct part *instructions_start_writing(struct loop *loop, struct metrics *metrics);
void instructions_stop_writing(void);
const struct part *instructions_start_reading(struct loop *loop, struct metrics *metrics);
void instructions_stop_reading(void);

#endif
