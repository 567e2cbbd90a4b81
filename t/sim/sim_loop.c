/* SPDX-License-Identifier: MIT */
/* The event loop on virtual time: timers in a heap, and chance from a seed. */
#include "sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NOT_ARMED SIZE_MAX

struct loop {
	struct sim *sim;
	int member;
	int64_t stopped_until;
	bool crashed;
	int n_timers;
};

struct timer {
	struct loop *loop;
	loop_fn *fn;
	void *arg;
	int64_t due;
	uint32_t order; /* among those of the same instant */
	size_t at;      /* in the heap */
};

/* ---- chance ---- */

static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = (*state += 0x9E3779B97F4A7C15u);
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

uint32_t sim_random(struct sim *sim, uint32_t n)
{
	return (uint32_t)((splitmix(&sim->chance) >> 32) * n >> 32);
}

int64_t sim_delay(struct sim *sim, int64_t most)
{
	uint32_t kind = sim_random(sim, 16);
	int64_t limit = kind ? most / 50 : most;
	return kind < 4 && kind ? 0 : (int64_t)sim_random(sim, (uint32_t)limit + 1);
}

/* ---- the heap ---- */

static bool is_before(const struct timer *a, const struct timer *b)
{
	return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void put(struct sim *sim, struct timer *timer, size_t at)
{
	sim->heap[at] = timer;
	timer->at = at;
}

static void move_up(struct sim *sim, struct timer *timer, size_t at)
{
	while (at && is_before(timer, sim->heap[(at - 1) / 2])) {
		put(sim, sim->heap[(at - 1) / 2], at);
		at = (at - 1) / 2;
	}
	put(sim, timer, at);
}

static void move_down(struct sim *sim, struct timer *timer, size_t at)
{
	size_t child;
	while ((child = 2 * at + 1) < sim->n_timers) {
		if (child + 1 < sim->n_timers && is_before(sim->heap[child + 1], sim->heap[child]))
			child++;
		if (is_before(timer, sim->heap[child]))
			break;
		put(sim, sim->heap[child], at);
		at = child;
	}
	put(sim, timer, at);
}

static void take_out(struct timer *timer)
{
	struct sim *sim = timer->loop->sim;
	size_t at = timer->at;
	timer->at = NOT_ARMED;
	struct timer *last = sim->heap[--sim->n_timers];
	if (last == timer)
		return;
	if (at && is_before(last, sim->heap[(at - 1) / 2]))
		move_up(sim, last, at);
	else
		move_down(sim, last, at);
}

static void put_in(struct timer *timer, int64_t due)
{
	struct sim *sim = timer->loop->sim;
	if (sim->n_timers == sim->cap_timers) {
		sim->cap_timers = sim->cap_timers ? sim->cap_timers * 2 : 64;
		sim->heap = realloc(sim->heap, sim->cap_timers * sizeof(struct timer *));
		assert(sim->heap);
	}
	timer->due = due;
	timer->order = sim_random(sim, UINT32_MAX);
	move_up(sim, timer, sim->n_timers++);
}

/* ---- the world ---- */

void sim_init(struct sim *sim, uint64_t seed, bool traced)
{
	*sim = (struct sim){.seed = seed, .chance = seed * 2 + 1, .traced = traced, .now = SEC};
	sim->outside = sim_loop_new(sim, -1);
}

void sim_release(struct sim *sim)
{
	sim_loop_free(sim->outside);
	free(sim->heap);
}

bool sim_turn(struct sim *sim, int64_t until)
{
	struct timer *timer = sim->n_timers ? sim->heap[0] : NULL;
	if (!timer || timer->due > until) {
		sim->now = until;
		return false;
	}
	take_out(timer);
	if (timer->due > sim->now)
		sim->now = timer->due;
	if (timer->loop->stopped_until > sim->now) {
		put_in(timer, timer->loop->stopped_until + sim_delay(sim, MS));
		return true;
	}
	sim->turns++;
	sim->digest = (sim->digest ^ (uint64_t)sim->now ^ (uint64_t)timer->loop->member) *
	              UINT64_C(0x100000001B3);
	timer->fn(timer->arg);
	return true;
}

struct loop *sim_loop_new(struct sim *sim, int member)
{
	struct loop *loop = calloc(1, sizeof *loop);
	assert(loop);
	loop->sim = sim;
	loop->member = member;
	return loop;
}

void sim_loop_free(struct loop *loop)
{
	assert(!loop || loop->n_timers == 0);
	free(loop);
}

struct sim *sim_of(const struct loop *loop)
{
	return loop->sim;
}

int sim_member_of(const struct loop *loop)
{
	return loop->member;
}

void sim_loop_stop(struct loop *loop, int64_t until)
{
	loop->stopped_until = until;
}

void sim_loop_crash(struct loop *loop)
{
	loop->crashed = true;
}

bool sim_loop_is_crashed(const struct loop *loop)
{
	return loop->crashed;
}

/* ---- loop.h ---- */

/* Looking at the clock takes time, so that a turn may last too long anywhere. */
int64_t loop_now(const struct loop *loop)
{
	struct sim *sim = loop->sim;
	if (loop->member >= 0 && sim_random(sim, 8) == 0)
		sim->now += sim_random(sim, 300);
	return sim->now;
}

int64_t loop_wall_clock(const struct loop *loop)
{
	return loop->sim->now + INT64_C(1700000000) * SEC;
}

uint32_t loop_random(struct loop *loop, uint32_t n)
{
	return sim_random(loop->sim, n);
}

struct timer *timer_new(struct loop *loop, loop_fn *fn, void *arg)
{
	struct timer *timer = calloc(1, sizeof *timer);
	assert(timer);
	*timer = (struct timer){.loop = loop, .fn = fn, .arg = arg, .at = NOT_ARMED};
	loop->n_timers++;
	return timer;
}

void timer_free(struct timer *timer)
{
	if (!timer)
		return;
	timer_disarm(timer);
	timer->loop->n_timers--;
	free(timer);
}

void timer_arm(struct timer *timer, int64_t delay_us)
{
	assert(delay_us >= 0);
	timer_disarm(timer);
	put_in(timer, timer->loop->sim->now + delay_us);
}

void timer_disarm(struct timer *timer)
{
	if (timer->at != NOT_ARMED)
		take_out(timer);
}

bool timer_is_armed(const struct timer *timer)
{
	return timer->at != NOT_ARMED;
}
