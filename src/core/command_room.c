/* SPDX-License-Identifier: MIT */
/*
 * How much the lanes have in hand: messages taken and not decided, and batches.
 *
 * A message that is larger than a batch may be comes when it and all batches
 * together fit into their share; if it never fits, when there is no other.
 */
#include "command_bus_internal.h"

#define BATCHES_SHARE 1 / 3 /* of memory: two batches for each lane, both of which may be full */
#define PENDING_SHARE 1 / 16
#define BATCH_MAX     (1 << 30) /* bytes; a batch counts in 32 bits */

void room_init(struct command_bus *bus)
{
	const struct command_bus_config *config = bus->config;
	bus->batch_bytes = (size_t)(config->memory * BATCHES_SHARE / (2 * config->writers));
	if (bus->batch_bytes > BATCH_MAX)
		bus->batch_bytes = BATCH_MAX;
	bus->pending_bytes = (size_t)(config->memory * PENDING_SHARE / config->writers);
}

static size_t size_of(const struct kafka_message *message)
{
	return message->message.value_len + message->message.key_len + KAFKA_MESSAGE_OVERHEAD;
}

static bool gives_way(const struct bus_lane *lane)
{
	return lane->bus->alone && lane->bus->alone != lane;
}

void room_took(struct bus_lane *lane)
{
	size_t sum = 0;
	for (int i = 0; i < lane->n_pending; i++)
		sum += size_of(&lane->pending[i]);
	if (lane->n_pending)
		lane->mean_bytes = sum / (size_t)lane->n_pending;
}

static size_t in_batches(const struct command_bus *bus)
{
	size_t bytes = 0;
	for (int i = 0; i < bus->config->writers; i++)
		bytes += bus->lanes[i].open->bytes + bus->lanes[i].storing->bytes;
	return bytes;
}

/* Of a message that is larger than a batch may be. */
static bool fits_with_all(const struct command_bus *bus, size_t size)
{
	size_t held = in_batches(bus);
	return !held || held + size <= 2 * (size_t)bus->config->writers * bus->batch_bytes;
}

int room_for_messages(const struct bus_lane *lane)
{
	struct command_bus *bus = lane->bus;
	size_t n = bus->pending_bytes / (lane->mean_bytes + 1);
	if (gives_way(lane))
		return 0;
	/* What would have to wait may as well wait where it counts as fetched. */
	if (lane->mean_bytes > bus->batch_bytes && !fits_with_all(bus, lane->mean_bytes)) {
		bus->is_left = true;
		return 0;
	}
	return n < 1 ? 1 : n > LANE_PENDING ? LANE_PENDING : (int)n;
}

static void wake_all(struct command_bus *bus)
{
	for (int i = 0; i < bus->config->writers; i++)
		timer_arm(bus->lanes[i].timer, 0);
}

static void set_alone(struct command_bus *bus, struct bus_lane *lane)
{
	if (bus->alone != lane) {
		bus->alone = lane;
		wake_all(bus);
	}
}

bool room_for_next(struct bus_lane *lane)
{
	struct command_bus *bus = lane->bus;
	size_t open = lane->open->bytes;
	if (gives_way(lane))
		return false;
	if (lane->next_pending == lane->n_pending)
		return true;
	size_t size = size_of(&lane->pending[lane->next_pending]);
	bool is_large = size > bus->batch_bytes;
	bool fits = is_large ? fits_with_all(bus, size) : !open || open + size <= bus->batch_bytes;
	set_alone(bus, is_large && !fits ? lane : NULL);
	return fits;
}

void room_was_made(struct bus_lane *lane, bool dropped)
{
	struct command_bus *bus = lane->bus;
	if (dropped && bus->alone == lane)
		set_alone(bus, NULL);
	if (bus->is_left)
		wake_all(bus);
	else if (bus->alone)
		timer_arm(bus->alone->timer, 0);
	bus->is_left = false;
}
