/* SPDX-License-Identifier: MIT */
/* A member: the write path of one process, started, drained, stopped and killed. */
#include "sim_member.h"

#include "command_bus.h"

#include <assert.h>
#include <stdlib.h>

struct member {
	struct sim *sim;
	int number;
	enum member_state state;
	struct loop *loop;
	struct command_bus_config config;
	struct metrics *metrics;
	struct health *health;
	struct sim_module *module;
	struct command_bus *bus;
	struct timer *deadline; /* of the draining; then all is taken down */
};

struct member *member_new(struct sim *sim, int number)
{
	struct member *member = calloc(1, sizeof *member);
	assert(member);
	*member = (struct member){.sim = sim, .number = number};
	member->config = (struct command_bus_config){
	    .brokers = "simulated",
	    .group = "it's",
	    .start = "earliest",
	    .on_gap = GAP_CONTINUE,
	    .session_timeout_us = 6 * SEC,
	    .dsn = "simulated",
	    .writers = sim_between(sim, 1, 2),
	    .max_rows = sim_chance(sim, 50) ? sim_between(sim, 1, 12) : 1000,
	    .max_delay_us = sim_between(sim, 1, 200) * MS,
	    .timeout_us = sim_between(sim, 2, 6) * SEC,
	    .memory = 16777216,
	};
	return member;
}

void member_free(struct member *member)
{
	assert(!member || member->state == MEMBER_DOWN);
	free(member);
}

enum member_state member_state(const struct member *member)
{
	return member->state;
}

static void take_down(struct member *member)
{
	command_bus_stop(member->bus);
	sim_module_free(member->module);
	command_bus_free(member->bus);
	timer_free(member->deadline);
	health_free(member->health);
	metrics_free(member->metrics);
	sim_loop_free(member->loop);
	member->state = MEMBER_DOWN;
}

static void on_deadline(void *arg)
{
	struct member *member = arg;
	say(member->sim, member->number, "is down");
	take_down(member);
}

void member_start(struct member *member)
{
	const char *error;
	say(member->sim, member->number, "starts");
	member->state = MEMBER_UP;
	member->loop = sim_loop_new(member->sim, member->number);
	member->deadline = timer_new(member->loop, on_deadline, member);
	member->metrics = metrics_new();
	member->health = health_new(member->loop);
	member->bus =
	    command_bus_new(member->loop, &member->config, member->metrics, member->health);
	assert(member->bus);
	struct cqrs_setup *setup = command_bus_setup(member->bus, &sim_module);
	member->module = sim_module_new(member->sim, setup);
	if (!command_bus_add(member->bus, setup, member->module, &error))
		sim_abort(member->sim, "the module does not start: %s", error);
	if (!command_bus_start(member->bus))
		sim_abort(member->sim, "the write path does not start");
}

/* Not from inside: the bus is freed then. */
static void on_drained(void *arg)
{
	struct member *member = arg;
	if (member->state == MEMBER_LEAVING)
		timer_arm(member->deadline, 0);
}

void member_leave(struct member *member)
{
	assert(member->state == MEMBER_UP);
	member->state = MEMBER_LEAVING;
	timer_arm(member->deadline, 10 * SEC);
	command_bus_drain(member->bus, on_drained, member);
}

void member_crash(struct member *member)
{
	assert(member->state != MEMBER_DOWN);
	sim_loop_crash(member->loop);
	take_down(member);
}

void member_describe(const struct member *member)
{
	if (member->state == MEMBER_DOWN || !member->sim->traced)
		return;
	json_t *status = command_bus_status(member->bus);
	char *text = json_dumps(status, JSON_COMPACT);
	say(member->sim, member->number, "%s", text);
	free(text);
	json_decref(status);
}

void member_stop(struct member *member, int64_t until)
{
	sim_loop_stop(member->loop, until);
}
