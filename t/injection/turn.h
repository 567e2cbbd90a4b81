/* SPDX-License-Identifier: MIT */
/* The loop, turned by hand until something holds. */
#ifndef TURN_H
#define TURN_H

#include "injection.h"
#include "loop.h"

#include <event2/event.h>
#include <stdbool.h>
#include <time.h>

#define TROUBLE_US  400000
#define JOINING_US  7000000 /* the trouble of who has to join a group first, which takes 3 s */
#define PATIENCE_US 90000000

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

/* If it does not happen while calls fail, for so long, it does when that is over. */
static inline void must_happen_after(struct loop *loop, turn_until_fn *happened, void *arg,
                                     int64_t trouble_us)
{
	if (turn_until(loop, happened, arg, trouble_us))
		return;
	injection_end();
	MUST(turn_until(loop, happened, arg, PATIENCE_US));
}

static inline void must_happen(struct loop *loop, turn_until_fn *happened, void *arg)
{
	must_happen_after(loop, happened, arg, TROUBLE_US);
}

#endif
