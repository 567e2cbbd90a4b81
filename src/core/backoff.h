/* SPDX-License-Identifier: MIT */
/*
 * How long to wait before trying again: longer each time, and not in step with
 * others that wait for the same.
 */
#ifndef BACKOFF_H
#define BACKOFF_H

#include "loop.h"

/*
 * After `failures` in a row (from 1): between half of d and d, where d is
 * `least_us`, doubled with each further failure up to `most_us`.
 */
int64_t backoff_us(struct loop *loop, unsigned failures, int64_t least_us, int64_t most_us);

#endif
