/* SPDX-License-Identifier: MIT */
/* A schedule: faults, messages and members as a seed has them, until all is stored. */
#include "sim_schedule.h"

#include "sim_kafka.h"
#include "sim_log.h"
#include "sim_member.h"
#include "sim_pg.h"
#include "sim_pg_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMBERS_MAX 3
#define PATIENCE_US (180 * SEC) /* after the last fault all must be stored within this */
#define TURNS_MAX   2000000     /* who gets nowhere must not go on for ever */

struct schedule;

struct life {
	struct schedule *schedule;
	struct member *member;
	struct timer *timer; /* to start it again */
};

struct schedule {
	struct sim sim;
	struct sim_logs logs;
	struct sim_cluster cluster;
	struct sim_server server;
	struct life lives[MEMBERS_MAX];
	int n_members;
	struct timer *append;
	int64_t pace_us;      /* between two messages, about */
	struct life *stopped; /* for good; NULL: nobody */
	bool leaving;         /* all is stored: nobody starts again */
};

/* ---- chance ---- */

/* One in how many of its occasions a fault happens, when it happens at all. */
static const unsigned odds[N_FAULTS] = {
    [FAULT_CUT] = 100,   [FAULT_SILENCE] = 200, [FAULT_KILL] = 80,      [FAULT_ERROR] = 50,
    [FAULT_COMMIT] = 15, [FAULT_DEAF] = 8,      [FAULT_SLOW] = 60,      [FAULT_SCHEMA] = 100,
    [FAULT_TOO_BIG] = 2, [FAULT_RESTART] = 200, [FAULT_CONNECT] = 4,    [FAULT_CRASH] = 400,
    [FAULT_STOP] = 400,  [FAULT_LEAVE] = 600,   [FAULT_REBALANCE] = 10, [FAULT_BROKERS] = 50,
    [FAULT_AGAIN] = 5,   [FAULT_RESOLVE] = 3,   [FAULT_DOUBT] = 30,     [FAULT_RETENTION] = 300,
};

static void choose_faults(struct sim *sim)
{
	unsigned percent = (unsigned)sim_between(sim, 5, 60);
	for (int i = 0; i < N_FAULTS; i++)
		if (sim_chance(sim, percent))
			sim->odds[i] = 1 + sim_random(sim, 2 * odds[i]);
	sim->faults_left = sim_between(sim, 0, sim_chance(sim, 30) ? 30 : 10);
	sim->faults_until = sim->now + sim_between(sim, 2, 40) * SEC;
}

/* ---- messages ---- */

static void on_append(void *arg)
{
	struct schedule *s = arg;
	struct sim *sim = &s->sim;
	int number = (int)sim_random(sim, (uint32_t)s->logs.n);
	struct sim_log *log = &s->logs.logs[number];
	bool any = false;
	if (!log->exists) {
		log->exists = true;
		sim_cluster_rebalance(sim, "there is a new partition");
	}
	if (log->n < log->planned)
		sim_log_append(sim, number);
	sim_cluster_wake(sim);
	for (int i = 0; i < s->logs.n; i++)
		any |= s->logs.logs[i].n < s->logs.logs[i].planned;
	if (any)
		timer_arm(s->append, sim_delay(sim, s->pace_us));
}

/* ---- members ---- */

static void on_life(void *arg)
{
	struct life *life = arg;
	if (life->schedule->leaving)
		return;
	if (member_state(life->member) == MEMBER_DOWN)
		member_start(life->member);
	else if (member_state(life->member) == MEMBER_LEAVING)
		timer_arm(life->timer, 500 * MS);
}

/* One of several may stay so, and then nothing else befalls it: the others must do without it. */
static void stop(struct schedule *s, struct life *life)
{
	struct sim *sim = &s->sim;
	int64_t until = sim->now + sim_between(sim, 1, 25) * SEC;
	if (s->n_members > 1 && !s->stopped && sim_chance(sim, 20)) {
		s->stopped = life;
		until = INT64_MAX / 2;
	}
	member_stop(life->member, until);
}

static void disturb(struct schedule *s)
{
	struct sim *sim = &s->sim;
	if (sim_fault(sim, FAULT_RETENTION, -1))
		sim_log_delete(sim, (int)sim_random(sim, (uint32_t)s->logs.n));
	int number = (int)sim_random(sim, (uint32_t)s->n_members);
	struct life *life = &s->lives[number];
	enum member_state state = member_state(life->member);
	if (state == MEMBER_DOWN || sim->now > sim->faults_until || s->stopped == life)
		return;
	if (sim_fault(sim, FAULT_CRASH, number)) {
		member_crash(life->member);
		timer_arm(life->timer, sim_delay(sim, 20 * SEC));
	} else if (sim_fault(sim, FAULT_STOP, number)) {
		stop(s, life);
	} else if (state == MEMBER_UP && sim_fault(sim, FAULT_LEAVE, number)) {
		member_leave(life->member);
		timer_arm(life->timer, sim_delay(sim, 20 * SEC));
	}
}

/* ---- life ---- */

static void begin(struct schedule *s, uint64_t seed, bool traced)
{
	struct sim *sim = &s->sim;
	sim_init(sim, seed, traced);
	sim->logs = &s->logs;
	sim->cluster = &s->cluster;
	sim->server = &s->server;
	sim_trace_log(sim);
	choose_faults(sim);
	sim_logs_init(sim);
	sim_server_init(sim);
	sim_cluster_init(sim);
	s->pace_us = sim_chance(sim, 30) ? 0 : sim_between(sim, 10, 3000) * MS;
	s->append = timer_new(sim->outside, on_append, s);
	timer_arm(s->append, sim_delay(sim, SEC));
	s->n_members = sim_between(sim, 1, MEMBERS_MAX);
	for (int i = 0; i < s->n_members; i++) {
		struct life *life = &s->lives[i];
		*life = (struct life){.schedule = s, .member = member_new(sim, i)};
		life->timer = timer_new(sim->outside, on_life, life);
		timer_arm(life->timer, i ? sim_delay(sim, 20 * SEC) : 0);
	}
}

static bool all_are_down(const struct schedule *s)
{
	for (int i = 0; i < s->n_members; i++)
		if (member_state(s->lives[i].member) != MEMBER_DOWN)
			return false;
	return true;
}

static void say_stuck(struct schedule *s)
{
	char text[300] = "";
	for (int i = 0; i < s->logs.n; i++) {
		const struct sim_log *log = &s->logs.logs[i];
		size_t len = strlen(text);
		snprintf(text + len, sizeof text - len, " %s [%d] %d of %d", sim_topics[log->topic],
		         (int)log->partition, (int)log->stored, (int)log->end);
	}
	for (int i = 0; i < s->n_members; i++)
		member_describe(s->lives[i].member);
	sim_fail(&s->sim, "stuck:%s", text);
}

/* Until `done`, or too long. */
static bool run_until(struct schedule *s, int64_t until, bool (*done)(const struct schedule *))
{
	struct sim *sim = &s->sim;
	while (!sim->failed && sim->turns < TURNS_MAX) {
		if (!sim_turn(sim, until))
			return false;
		disturb(s);
		if (sim->turns % 8 == 0 && done(s))
			return true;
	}
	return false;
}

static bool all_is_stored(const struct schedule *s)
{
	return sim_logs_are_stored(&s->sim);
}

static bool nobody_is_left(const struct schedule *s)
{
	return all_are_down(s) && !sim_server_sessions(&s->sim);
}

static bool never(const struct schedule *s)
{
	(void)s;
	return false;
}

static void play(struct schedule *s)
{
	struct sim *sim = &s->sim;
	if (!run_until(s, sim->faults_until + PATIENCE_US, all_is_stored) && !sim->failed)
		say_stuck(s);
	/* What lingers must not change anything any more. */
	if (!sim->failed && sim_chance(sim, 30))
		run_until(s, sim->now + sim_between(sim, 1, 40) * SEC, never);
	s->leaving = true;
	sim->faults_left = 0;
	if (s->stopped && member_state(s->stopped->member) != MEMBER_DOWN)
		member_crash(s->stopped->member);
	for (int i = 0; i < s->n_members && !sim->failed; i++)
		if (member_state(s->lives[i].member) == MEMBER_UP)
			member_leave(s->lives[i].member);
	if (!sim->failed && !run_until(s, sim->now + 120 * SEC, nobody_is_left) && !sim->failed)
		sim_fail(sim, "stuck: a member does not end");
	sim_oracle_end(sim);
}

static void end(struct schedule *s)
{
	struct sim *sim = &s->sim;
	for (int i = 0; i < s->n_members; i++) {
		if (member_state(s->lives[i].member) != MEMBER_DOWN)
			member_crash(s->lives[i].member);
		member_free(s->lives[i].member);
		timer_free(s->lives[i].timer);
	}
	if (s->cluster.loans)
		sim_fail(sim, "leak: %d messages were never given back", s->cluster.loans);
	timer_free(s->append);
	sim_cluster_release(sim);
	sim_server_free(sim);
	sim_trace_log(NULL);
}

void sim_schedule_run(uint64_t seed, bool traced, struct sim_verdict *verdict)
{
	struct schedule *s = calloc(1, sizeof *s);
	if (!s)
		abort();
	begin(s, seed, traced);
	play(s);
	end(s);
	*verdict = (struct sim_verdict){.failed = s->sim.failed,
	                                .lost = s->sim.lost,
	                                .doubled = s->sim.doubled,
	                                .turns = s->sim.turns,
	                                .digest = s->sim.digest ^ s->sim.chance,
	                                .elements = (unsigned)s->logs.passed};
	memcpy(verdict->failure, s->sim.failure, sizeof verdict->failure);
	memcpy(verdict->faults, s->sim.faults, sizeof verdict->faults);
	sim_release(&s->sim);
	free(s);
}
