/* SPDX-License-Identifier: MIT */
/*
 * The event loop: time, timers, and things to do at the end of a turn.
 *
 * Everything that must know what time it is asks here, so that a simulated
 * loop can take the place of this one.  Adaptors with a descriptor to watch
 * add events to the base themselves.
 */
#ifndef LOOP_H
#define LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct loop;
struct timer;

typedef void loop_fn(void *arg);

struct loop *loop_new(void);
void loop_free(struct loop *loop);
struct event_base *loop_base(struct loop *loop);

/* Runs until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* Microseconds on a clock that never goes back. */
int64_t loop_now(const struct loop *loop);
/* Microseconds since 1970, for people and for tables. */
int64_t loop_wall_clock(const struct loop *loop);
/* A random number below `n` (> 0): for jitter. */
uint32_t loop_random(struct loop *loop, uint32_t n);

/* A timer calls `fn` once each time it was armed.  Free disarms it. */
struct timer *timer_new(struct loop *loop, loop_fn *fn, void *arg);
void timer_free(struct timer *timer);
/* Arms, or arms anew; 0 means: in the next turn, before waiting.  Cannot fail. */
void timer_arm(struct timer *timer, int64_t delay_us);
void timer_disarm(struct timer *timer);
bool timer_is_armed(const struct timer *timer);

#endif
