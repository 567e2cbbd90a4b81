/* SPDX-License-Identifier: MIT */
/* The event loop on libevent. */
#include "loop.h"

#include "log.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <time.h>

#define TIMERS_MAX 4096 /* hundreds of connections to PostgreSQL have a few each */

struct loop {
	struct event_base *base;
	uint64_t seed;
	int n_timers;
};

struct timer {
	struct loop *loop;
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

static void on_message(int severity, const char *message)
{
	static void (*const write[])(const char *fmt, ...) = {log_debug, log_info, log_warning,
	                                                      log_error};
	write[severity & 3]("libevent: %s", message);
}

static void on_never(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

/*
 * libevent's heap of timers grows and never shrinks: with room for all that
 * there can be, arming one cannot fail later, when memory is out.
 */
static bool reserve_timers(struct event_base *base)
{
	struct event *events = calloc(TIMERS_MAX, sizeof *events);
	const struct timeval far = {.tv_sec = 1000000};
	int n = 0;
	while (events && n < TIMERS_MAX) {
		event_assign(&events[n], base, -1, 0, on_never, NULL);
		if (event_add(&events[n], &far) != 0)
			break;
		n++;
	}
	for (int i = 0; i < n; i++)
		event_del(&events[i]);
	free(events);
	return n == TIMERS_MAX;
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
	event_set_log_callback(on_message);
	if (!loop->base || !reserve_timers(loop->base)) {
		loop_free(loop);
		return NULL;
	}
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	if (loop->base)
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
	struct timer *timer = loop->n_timers < TIMERS_MAX ? calloc(1, sizeof *timer) : NULL;
	if (!timer)
		return NULL;
	timer->loop = loop;
	timer->fn = fn;
	timer->arg = arg;
	timer->event = event_new(loop->base, -1, 0, on_timer, timer);
	if (!timer->event) {
		free(timer);
		return NULL;
	}
	loop->n_timers++;
	return timer;
}

void timer_free(struct timer *timer)
{
	if (!timer)
		return;
	timer->loop->n_timers--;
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
