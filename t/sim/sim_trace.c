/* SPDX-License-Identifier: MIT */
/* The timeline of a world: what happened, which faults, and what the write path logs. */
#include "log.h"
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const fault_names[N_FAULTS] = {
    [FAULT_CUT] = "connection cut",
    [FAULT_SILENCE] = "network silent",
    [FAULT_KILL] = "session killed",
    [FAULT_ERROR] = "statement fails",
    [FAULT_COMMIT] = "COMMIT fails",
    [FAULT_DEAF] = "answer to COMMIT lost",
    [FAULT_SLOW] = "server slow",
    [FAULT_SCHEMA] = "schema broken",
    [FAULT_TOO_BIG] = "too many rows",
    [FAULT_RESTART] = "server restarts",
    [FAULT_CONNECT] = "connection refused",
    [FAULT_CRASH] = "kill -9",
    [FAULT_STOP] = "SIGSTOP",
    [FAULT_LEAVE] = "SIGTERM",
    [FAULT_REBALANCE] = "rebalance",
    [FAULT_BROKERS] = "brokers away",
    [FAULT_AGAIN] = "delivered again",
    [FAULT_RESOLVE] = "no answer about beginnings",
    [FAULT_DOUBT] = "doubtful log",
    [FAULT_RETENTION] = "retention",
};

/* log.h knows no world: the one that is being traced, if any. */
static struct sim *logging;

const char *sim_fault_name(enum sim_fault fault)
{
	return fault_names[fault];
}

bool sim_fault(struct sim *sim, enum sim_fault fault, int member)
{
	unsigned odds = sim->odds[fault];
	if (!odds || !sim->faults_left || sim->now > sim->faults_until || sim_random(sim, odds))
		return false;
	sim->faults_left--;
	sim->faults[fault]++;
	say(sim, member, "*** %s", fault_names[fault]);
	return true;
}

static void write_line(const struct sim *sim, int member, const char *text, va_list ap)
{
	char who[16] = "-";
	if (member >= 0)
		snprintf(who, sizeof who, "m%d", member);
	fprintf(stderr, "%10.6f %-3s ", (double)(sim->now - SEC) / 1e6, who);
	vfprintf(stderr, text, ap);
	fputc('\n', stderr);
}

void sim_say(struct sim *sim, int member, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	write_line(sim, member, fmt, ap);
	va_end(ap);
}

void sim_fail(struct sim *sim, const char *fmt, ...)
{
	va_list ap;
	char failure[sizeof sim->failure];
	va_start(ap, fmt);
	vsnprintf(failure, sizeof failure, fmt, ap);
	va_end(ap);
	say(sim, -1, "!!! %s", failure);
	if (!sim->failed)
		snprintf(sim->failure, sizeof sim->failure, "%s", failure);
	sim->failed = true;
}

void sim_abort(struct sim *sim, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fprintf(stderr, "sim: seed %llu: ", (unsigned long long)sim->seed);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	abort();
}

/* ---- log.h ---- */

void sim_trace_log(struct sim *sim)
{
	logging = sim && sim->traced ? sim : NULL;
}

#define DEFINE(name)                              \
	void name(const char *fmt, ...)           \
	{                                         \
		va_list ap;                       \
		if (!logging)                     \
			return;                   \
		va_start(ap, fmt);                \
		write_line(logging, -1, fmt, ap); \
		va_end(ap);                       \
	}

DEFINE(log_debug)
DEFINE(log_info)
DEFINE(log_warning)
DEFINE(log_error)
