/* SPDX-License-Identifier: MIT */
/* The loop, turned by hand until something holds. */
#ifndef TURN_H
#define TURN_H

#include "loop.h"

#include <event2/event.h>
#include <stdbool.h>
#include <time.h>

typedef bool turn_until_fn(void *arg);

static inline void turn(struct loop *loop)
{
	event_base_loop(loop_base(loop), EVLOOP_NONBLOCK);
}

/* False if it does not hold within `us`. */
static inline bool turn_until(struct loop *loop, turn_until_fn *holds, void *arg, int64_t us)
{
	int64_t until = loop_now(loop) + us;
	for (int i = 1; !holds(arg); i++) {
		if (loop_now(loop) >= until)
			return false;
		turn(loop);
		/* Most of it is there at once. */
		if (i % 8 == 0)
			nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
	}
	return true;
}

#endif
