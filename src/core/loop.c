/* SPDX-License-Identifier: MIT */
/* The event loop on libevent. */
#include "loop.h"

#include <event2/event.h>
#include <stdlib.h>
#include <time.h>

struct loop {
	struct event_base *base;
	uint64_t seed;
};

struct timer {
	struct event *event;
	loop_fn *fn;
	void *arg;
};

static int64_t read_clock(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

struct loop *loop_new(void)
{
	struct loop *loop = calloc(1, sizeof *loop);
	if (!loop)
		return NULL;
	struct event_config *config = event_config_new();
	if (config) {
		/* Sub-millisecond timers, and a clock that setting the time does not move. */
		event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
		event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
		loop->base = event_base_new_with_config(config);
		event_config_free(config);
	}
	loop->seed = (uint64_t)read_clock(CLOCK_REALTIME) ^ (uintptr_t)loop;
	if (!loop->base) {
		free(loop);
		return NULL;
	}
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	event_base_free(loop->base);
	free(loop);
}

struct event_base *loop_base(struct loop *loop)
{
	return loop->base;
}

void loop_run(struct loop *loop)
{
	event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

void loop_stop(struct loop *loop)
{
	event_base_loopbreak(loop->base);
}

int64_t loop_now(const struct loop *loop)
{
	(void)loop;
	return read_clock(CLOCK_MONOTONIC);
}

int64_t loop_wall_clock(const struct loop *loop)
{
	(void)loop;
	return read_clock(CLOCK_REALTIME);
}

uint32_t loop_random(struct loop *loop, uint32_t n)
{
	/* xorshift64*: jitter, not secrets. */
	loop->seed ^= loop->seed >> 12;
	loop->seed ^= loop->seed << 25;
	loop->seed ^= loop->seed >> 27;
	return (uint32_t)((loop->seed * 0x2545F4914F6CDD1Du) >> 33) % n;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct timer *timer = arg;
	(void)fd;
	(void)what;
	timer->fn(timer->arg);
}

struct timer *timer_new(struct loop *loop, loop_fn *fn, void *arg)
{
	struct timer *timer = calloc(1, sizeof *timer);
	if (!timer)
		return NULL;
	timer->fn = fn;
	timer->arg = arg;
	timer->event = event_new(loop->base, -1, 0, on_timer, timer);
	if (!timer->event) {
		free(timer);
		return NULL;
	}
	return timer;
}

void timer_free(struct timer *timer)
{
	if (!timer)
		return;
	event_free(timer->event);
	free(timer);
}

void timer_arm(struct timer *timer, int64_t delay_us)
{
	struct timeval delay = {.tv_sec = delay_us / 1000000, .tv_usec = delay_us % 1000000};
	event_add(timer->event, &delay);
}

void timer_disarm(struct timer *timer)
{
	event_del(timer->event);
}

bool timer_is_armed(const struct timer *timer)
{
	return event_pending(timer->event, EV_TIMEOUT, NULL);
}
