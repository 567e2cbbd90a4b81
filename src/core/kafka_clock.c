/* SPDX-License-Identifier: MIT */
/*
 * How long librdkafka waits.
 *
 * It waits for times of day.  When the clock is set back by an hour meanwhile,
 * that is an hour more, in which its threads do nothing: no heartbeat, no
 * connection.  What the program defines comes before the C library's, so the
 * time that is left is waited for by the clock that nobody can set.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <threads.h>
#include <time.h>

#define SECOND_NS INT64_C(1000000000)

static int64_t ns_of(const struct timespec *t)
{
	return (int64_t)t->tv_sec * SECOND_NS + t->tv_nsec;
}

static int64_t now_ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return ns_of(&t);
}

/* In glibc, as in musl, cnd_t and mtx_t are those of POSIX in other words. */
__attribute__((visibility("default"))) int cnd_timedwait(cnd_t *restrict cond,
                                                         mtx_t *restrict mutex,
                                                         const struct timespec *restrict until)
{
	int64_t at = now_ns(CLOCK_MONOTONIC) + ns_of(until) - now_ns(CLOCK_REALTIME);
	struct timespec end = {.tv_sec = at / SECOND_NS, .tv_nsec = at % SECOND_NS};
	int rc = at < 0 ? ETIMEDOUT
	                : pthread_cond_clockwait((pthread_cond_t *)cond, (pthread_mutex_t *)mutex,
	                                         CLOCK_MONOTONIC, &end);
	return rc == 0 ? thrd_success : rc == ETIMEDOUT ? thrd_timedout : thrd_error;
}
