/* SPDX-License-Identifier: MIT */
/* What Kafka tells the command bus: partitions given and taken back, brokers away. */
#include "command_bus_internal.h"

#include <stdlib.h>
#include <string.h>

#define REVOKE_US 3000000 /* how long a revocation waits for writers at work */

static bool on_assigned(void *owner, const struct kafka_position *list, size_t n)
{
	struct command_bus *bus = owner;
	struct kafka_position *assigned = calloc(n + 1, sizeof *assigned);
	if (!assigned)
		return false;
	if (n)
		memcpy(assigned, list, n * sizeof *list);
	free(bus->assigned);
	bus->assigned = assigned;
	bus->n_assigned = n;
	bus->has_assigned = true;
	bus->started = false;
	positions_locate(bus);
	return true;
}

static void release(struct command_bus *bus)
{
	timer_disarm(bus->revoke_timer);
	bus->revoking = false;
	bus->started = false;
	kafka_source_release(bus->source);
}

/* What is being stored may end in peace; what waits, or was only taken, is dropped. */
static void on_revoked(void *owner, const char *lost)
{
	struct command_bus *bus = owner;
	if (lost)
		metric_add(bus->evictions[!strcmp(lost, "poll")], 1);
	bus->revoking = true;
	bus->has_assigned = bus->owned = false;
	for (int i = 0; i < bus->config->writers; i++) {
		struct bus_lane *lane = &bus->lanes[i];
		if (pg_writer_cancel(lane->writer))
			command_bus_done(bus, lane->storing, false);
		lane_forget(lane);
	}
	for (size_t i = 0; i < bus->n_partitions; i++)
		bus->partitions[i].state = PARTITION_LOCATING;
	if (writers_are_idle(bus))
		release(bus);
	else
		timer_arm(bus->revoke_timer, REVOKE_US);
}

void positions_on_revoke_timer(void *arg)
{
	struct command_bus *bus = arg;
	/* The writer is left to the fence. */
	if (bus->revoking)
		release(bus);
}

void positions_writer_idle(struct command_bus *bus)
{
	if (bus->revoking && writers_are_idle(bus))
		release(bus);
	if (bus->has_assigned || bus->locate_again) {
		bus->locate_again = false;
		positions_locate(bus);
	}
}

static void on_messages(void *owner, int lane)
{
	struct command_bus *bus = owner;
	lane_pump(&bus->lanes[lane]);
}

static void on_doubt(void *owner)
{
	gaps_doubt_all(owner);
}

static void on_brokers(void *owner, const char *why_not)
{
	struct command_bus *bus = owner;
	if (why_not)
		health_fail(bus->kafka, "%s", why_not);
	else if (bus->started)
		health_ok(bus->kafka);
	else
		health_fail(bus->kafka, "waiting for the group to give us partitions");
}

const struct kafka_source_events positions_events = {
    .on_assigned = on_assigned,
    .on_revoked = on_revoked,
    .on_messages = on_messages,
    .on_doubt = on_doubt,
    .on_brokers = on_brokers,
};
