/* SPDX-License-Identifier: MIT */
/*
 * Sets the clock of one process, and leaves that of the machine alone.
 *
 *   LD_PRELOAD=shifted_clock.so SHIFTED_CLOCK=FILE cqrsd ...
 *
 * FILE has two numbers of 64 bits: the first, written by the test, is how many
 * seconds the time of day is off; the second counts who asked.  The monotonic
 * clock is not touched, as no administrator can.  Waiting for a time of day ends
 * when this clock says so, even if it was set while somebody waited.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SLICE_NS 20000000

int pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t id,
                           const struct timespec *until);

struct control {
	_Atomic int64_t seconds, asked;
};

static struct control *_Atomic control;

__attribute__((constructor)) static void set_up(void)
{
	const char *path = getenv("SHIFTED_CLOCK");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at =
	    fd < 0 ? MAP_FAILED
	           : mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (at != MAP_FAILED)
		atomic_store(&control, at);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
	struct control *now = atomic_load(&control);
	int rc = (int)syscall(SYS_clock_gettime, id, t);
	if (rc == 0 && now && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
		t->tv_sec += atomic_load(&now->seconds);
		atomic_fetch_add(&now->asked, 1);
	}
	return rc;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
	struct timespec now;
	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	*t = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
	return 0;
}

int timespec_get(struct timespec *t, int base)
{
	return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, t) == 0 ? base : 0;
}

time_t time(time_t *at)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (at)
		*at = now.tv_sec;
	return now.tv_sec;
}

static bool is_past(const struct timespec *until)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec > until->tv_sec ||
	       (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec);
}

/* In slices of real time, for the clock may be set meanwhile. */
int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until)
{
	int rc = ETIMEDOUT;
	while (rc == ETIMEDOUT && !is_past(until)) {
		struct timespec slice;
		syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &slice);
		slice.tv_nsec += SLICE_NS;
		slice.tv_sec += slice.tv_nsec / 1000000000;
		slice.tv_nsec %= 1000000000;
		rc = pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, &slice);
	}
	return rc;
}

/* What librdkafka waits with; in glibc the types are those of POSIX in other words. */
int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex,
                  const struct timespec *restrict until)
{
	int rc = pthread_cond_timedwait((pthread_cond_t *)cond, (pthread_mutex_t *)mutex, until);
	return rc == 0 ? thrd_success : rc == ETIMEDOUT ? thrd_timedout : thrd_error;
}
