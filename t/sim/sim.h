/* SPDX-License-Identifier: MIT */
/*
 * A world of its own for the write path: virtual time, one source of chance,
 * faults, and a timeline for people.
 *
 * Everything that happens is a timer; one runs at a time, and the seed decides
 * in which order those of the same instant run.  So the same seed is the same
 * world, to the last detail.
 */
#ifndef SIM_H
#define SIM_H

#include "loop.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MS  INT64_C(1000)
#define SEC INT64_C(1000000)

struct sim_cluster; /* sim_kafka.h */
struct sim_server;  /* sim_pg.h */
struct sim_logs;    /* sim_log.h */

/* What may go wrong; which of it, and how often, is a schedule's own. */
enum sim_fault {
	FAULT_CUT,       /* a connection is cut: what is on its way may arrive or not */
	FAULT_SILENCE,   /* the same, and the client finds out only after seconds */
	FAULT_KILL,      /* the server ends a session */
	FAULT_ERROR,     /* a statement is refused for a reason that passes */
	FAULT_COMMIT,    /* a COMMIT is refused */
	FAULT_DEAF,      /* the COMMIT happens, its answer is lost */
	FAULT_SLOW,      /* a statement takes seconds */
	FAULT_SCHEMA,    /* a statement is refused for somebody's mistake */
	FAULT_TOO_BIG,   /* a statement with more than a few rows is refused */
	FAULT_RESTART,   /* the server restarts: all sessions end, nobody may connect for a while */
	FAULT_CONNECT,   /* a connection cannot be made */
	FAULT_CRASH,     /* kill -9 of a member, which comes back later */
	FAULT_STOP,      /* SIGSTOP of a member, and SIGCONT later */
	FAULT_LEAVE,     /* SIGTERM of a member, which comes back later */
	FAULT_REBALANCE, /* the group begins anew for no reason */
	FAULT_BROKERS,   /* no broker can be reached for a while */
	FAULT_AGAIN,     /* messages are delivered once more */
	FAULT_RESOLVE,   /* the brokers do not say where a partition begins */
	FAULT_DOUBT,     /* it looks as if a topic had been made anew */
	FAULT_RETENTION, /* the beginning of a log is deleted, read or not */
	N_FAULTS
};

struct sim {
	uint64_t seed, chance;
	int64_t now;
	struct timer **heap;
	size_t n_timers, cap_timers;
	uint64_t turns;
	uint64_t digest;      /* of all that happened: the same seed gives the same */
	struct loop *outside; /* of servers and brokers: never stopped */
	bool traced;          /* the timeline goes to stderr */
	bool failed;
	char failure[400];      /* the first: "lost …" */
	unsigned lost, doubled; /* elements */
	int64_t faults_until;
	int faults_left;
	unsigned odds[N_FAULTS]; /* one in so many; 0: never */
	unsigned faults[N_FAULTS];
	struct sim_logs *logs;
	struct sim_cluster *cluster;
	struct sim_server *server;
};

/* ---- sim_loop.c ---- */

void sim_init(struct sim *sim, uint64_t seed, bool traced);
void sim_release(struct sim *sim);
/* A random number below `n` (> 0). */
uint32_t sim_random(struct sim *sim, uint32_t n);
static inline bool sim_chance(struct sim *sim, unsigned percent)
{
	return sim_random(sim, 100) < percent;
}
/* low <= n <= high */
static inline int sim_between(struct sim *sim, int low, int high)
{
	return low + (int)sim_random(sim, (uint32_t)(high - low + 1));
}
/* Mostly a moment, now and then longer, up to `most`. */
int64_t sim_delay(struct sim *sim, int64_t most);
/* Runs the next timer; false: there is none before `until`, which it is then. */
bool sim_turn(struct sim *sim, int64_t until);

/* The loop of a member (from 0) or, with -1, of what is outside. */
struct loop *sim_loop_new(struct sim *sim, int member);
/* No timer of it may be left. */
void sim_loop_free(struct loop *loop);
struct sim *sim_of(const struct loop *loop);
int sim_member_of(const struct loop *loop);
/* SIGSTOP until then: its timers wait. */
void sim_loop_stop(struct loop *loop, int64_t until);
/* kill -9: what belongs to it is freed, and tells nobody. */
void sim_loop_crash(struct loop *loop);
bool sim_loop_is_crashed(const struct loop *loop);

/* ---- sim_trace.c ---- */

/* Whether this fault happens now; if so it is on the timeline. */
bool sim_fault(struct sim *sim, enum sim_fault fault, int member);
const char *sim_fault_name(enum sim_fault fault);
/* A line of the timeline; `member` -1: outside. */
void sim_say(struct sim *sim, int member, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define say(sim, ...)                                \
	do {                                         \
		if ((sim)->traced)                   \
			sim_say((sim), __VA_ARGS__); \
	} while (0)
/* The promise is broken. */
void sim_fail(struct sim *sim, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What the write path did is not in any contract: says so with the seed and aborts. */
void sim_abort(struct sim *sim, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), noreturn));
/* Whose lines log.h writes. */
void sim_trace_log(struct sim *sim);

#endif
