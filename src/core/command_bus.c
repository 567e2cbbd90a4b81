/* SPDX-License-Identifier: MIT */
/*
 * The write path, from top to bottom: a lane has messages (on_messages), they
 * are taken (take), decided by their modules (decide), collected in the open
 * batch, handed to the writer (flush), and done with (on_written).
 */
#include "command_bus.h"

#include "batch_command.h"
#include "command_bus_internal.h"
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURN_US     100    /* of taking messages at a stretch: meanwhile PostgreSQL waits */
#define MEMORY_US   100000 /* when memory is out, try again after this */
#define PREPARED    64
#define MESSAGE_MIN (8 << 20) /* bytes that one message may take, however small the budget */

static void flush(struct bus_lane *lane, bool more);

static bool is_full(struct bus_lane *lane)
{
	const struct cqrs_batch *open = lane->open;
	return open->closed ||
	       open->n_rows + open->n_statements + open->n_messages / 4 >=
	           (size_t)lane->bus->config->max_rows ||
	       open->bytes >= lane->bus->batch_bytes || !room_for_next(lane);
}

/* More messages into `pending`; false when the lane has none now. */
static bool take(struct bus_lane *lane)
{
	if (lane->next_pending < lane->n_pending)
		return true;
	int max = room_for_messages(lane);
	lane->next_pending = lane->n_pending = 0;
	if (max)
		lane->n_pending =
		    kafka_source_take(lane->bus->source, lane->index, lane->pending, max);
	room_took(lane);
	return lane->n_pending > 0;
}

/* Tells the modules that something they asked for was not stored. */
static void tell_dropped(struct command_bus *bus)
{
	for (int i = 0; i < bus->n_modules; i++)
		if (bus->modules[i].module->dropped)
			bus->modules[i].module->dropped(bus->modules[i].self);
}

bool command_bus_decide(struct command_bus *bus, struct cqrs_batch *batch,
                        const struct kafka_message *msg, struct partition *partition)
{
	struct bus_topic *topic = &bus->topics[msg->topic];
	struct cqrs_message message = msg->message;
	struct cqrs_header *headers;
	if (!kafka_message_headers(msg, &headers, &message.n_headers))
		return false;
	if (!batch_begin(batch, msg, partition)) {
		free(headers);
		return false;
	}
	message.headers = headers;
	if (headers)
		batch_take_headers(batch, headers, message.n_headers);
	topic->handle(bus->modules[topic->module].self, &message, batch);
	free(headers);
	if (!batch_end(batch)) {
		tell_dropped(bus);
		return false;
	}
	metric_add(topic->messages, 1);
	return true;
}

/* One message of a lane into its open batch; false when memory is out. */
static bool decide(struct bus_lane *lane, struct kafka_message *msg)
{
	struct command_bus *bus = lane->bus;
	struct partition *partition = bus_partition(bus, msg->topic, msg->message.partition);
	if (!partition || !gaps_admit(bus, partition, msg)) {
		kafka_message_free(msg); /* of an assignment or a position that is no more */
		return true;
	}
	if (!command_bus_decide(bus, lane->open, msg, partition))
		return false;
	if (lane->open->n_messages == 1)
		lane->open->opened_us = loop_now(bus->loop);
	partition->taken = msg->message.offset + 1;
	return true;
}

void lane_pump(struct bus_lane *lane)
{
	struct command_bus *bus = lane->bus;
	int64_t until = loop_now(bus->loop) + TURN_US;
	bool more = true;
	while (!bus->draining && (more = take(lane)) && !is_full(lane)) {
		if (!decide(lane, &lane->pending[lane->next_pending])) {
			timer_arm(lane->timer, MEMORY_US);
			break;
		}
		lane->next_pending++;
		if (loop_now(bus->loop) >= until) {
			timer_arm(lane->timer, 0);
			break;
		}
	}
	flush(lane, more);
}

/*
 * Hands the open batch to the writer, if that is idle: at once when there is
 * nothing more to take, otherwise when the batch is full or old.
 */
static void flush(struct bus_lane *lane, bool more)
{
	struct cqrs_batch *batch = lane->open;
	if (!batch->n_messages)
		return;
	if (!pg_writer_is_idle(lane->writer)) {
		/* While there is time; without memory it is done when it is stored. */
		if (is_full(lane))
			batch_close(batch);
		return;
	}
	int64_t age = loop_now(lane->bus->loop) - batch->opened_us;
	if (more && !is_full(lane) && age < lane->bus->config->max_delay_us && !lane->bus->draining)
		return; /* lane_pump() comes back: it stopped because of the time */
	lane->open = lane->storing;
	lane->storing = batch;
	pg_writer_store(lane->writer, batch);
	if (more)
		timer_arm(lane->timer, 0); /* the next one fills meanwhile */
}

static bool is_drained(const struct command_bus *bus)
{
	for (int i = 0; i < bus->config->writers; i++)
		if (!pg_writer_is_idle(bus->lanes[i].writer) || bus->lanes[i].open->n_messages)
			return false;
	return true;
}

void command_bus_done(struct command_bus *bus, struct cqrs_batch *batch, bool stored)
{
	if (batch->effects_lost || (!stored && batch->n_messages))
		tell_dropped(bus);
	if ((batch->n_events || batch->decides) && stored && bus->on_events)
		bus->on_events(bus->events_arg);
	batch_clear(batch);
}

static void on_written(void *owner, struct pg_writer *writer, struct cqrs_batch *batch, bool fenced)
{
	struct bus_lane *lane = owner;
	struct command_bus *bus = lane->bus;
	(void)writer;
	command_bus_done(bus, batch, !fenced);
	if (fenced)
		positions_lost(bus, lane);
	positions_writer_idle(bus);
	room_was_made(lane, false);
	lane_pump(lane);
	if (bus->draining && is_drained(bus))
		bus->on_drained(bus->drained_arg);
}

static void on_timer(void *arg)
{
	lane_pump(arg);
}

void lane_forget(struct bus_lane *lane)
{
	while (lane->next_pending < lane->n_pending)
		kafka_message_free(&lane->pending[lane->next_pending++]);
	command_bus_done(lane->bus, lane->open, false);
	room_was_made(lane, true);
	/* A lane tells of its first message only: nobody would come for what it still has. */
	timer_arm(lane->timer, 0);
}

void lane_drop(struct bus_lane *lane, const struct partition *partition)
{
	int kept = lane->next_pending;
	for (int i = lane->next_pending; i < lane->n_pending; i++) {
		if (lane->pending[i].topic == partition->position.topic &&
		    lane->pending[i].message.partition == partition->position.partition)
			kafka_message_free(&lane->pending[i]);
		else
			lane->pending[kept++] = lane->pending[i];
	}
	lane->n_pending = kept;
	room_was_made(lane, true);
}

struct bus_lane *bus_lane(const struct command_bus *bus, const struct partition *partition)
{
	return &bus->lanes[partition->position.partition % bus->config->writers];
}

struct partition *bus_partition(const struct command_bus *bus, int topic, int32_t partition)
{
	for (size_t i = 0; i < bus->n_partitions; i++)
		if (bus->partitions[i].position.topic == topic &&
		    bus->partitions[i].position.partition == partition)
			return &bus->partitions[i];
	return NULL;
}

struct cqrs_batch *command_bus_batch(struct command_bus *bus)
{
	struct cqrs_batch *batch = batch_new(bus->tables, bus->n_tables);
	if (batch && batch_join(batch, &bus->batches)) {
		batch->message_max =
		    bus->batch_bytes > MESSAGE_MIN ? bus->batch_bytes : MESSAGE_MIN;
		return batch;
	}
	batch_free(batch);
	return NULL;
}

int command_bus_find_topic(const struct command_bus *bus, const char *name)
{
	for (int i = 0; i < bus->n_topics; i++)
		if (!strcmp(bus->topic_names[i], name))
			return i;
	return -1;
}

/* ---- life ---- */

static bool lane_init(struct bus_lane *lane, struct command_bus *bus, int index)
{
	const struct command_bus_config *config = bus->config;
	lane->bus = bus;
	lane->index = index;
	snprintf(lane->name, sizeof lane->name, "postgres write %d", index);
	lane->writer_config = (struct pg_writer_config){
	    .name = lane->name,
	    .dsn = config->dsn,
	    .group = config->group,
	    .topics = bus->topic_names,
	    .timeout_us = config->timeout_us,
	    .network_timeout_us = config->network_timeout_us,
	    .max_statements = PREPARED,
	};
	lane->timer = timer_new(bus->loop, on_timer, lane);
	lane->open = command_bus_batch(bus);
	lane->storing = command_bus_batch(bus);
	if (!lane->timer || !lane->open || !lane->storing)
		return false;
	lane->writer = pg_writer_new(bus->loop, &lane->writer_config, bus->metrics, bus->health,
	                             on_written, lane);
	return lane->writer != NULL;
}

static void lane_release(struct bus_lane *lane)
{
	if (!lane->bus)
		return;
	pg_writer_free(lane->writer);
	while (lane->next_pending < lane->n_pending)
		kafka_message_free(&lane->pending[lane->next_pending++]);
	timer_free(lane->timer);
	batch_free(lane->open);
	batch_free(lane->storing);
	*lane = (struct bus_lane){.bus = NULL};
}

struct command_bus *command_bus_new(struct loop *loop, const struct command_bus_config *config,
                                    struct metrics *metrics, struct health *health)
{
	struct command_bus *bus = calloc(1, sizeof *bus);
	if (!bus)
		return NULL;
	bus->loop = loop;
	bus->config = config;
	bus->metrics = metrics;
	bus->health = health;
	bus->source_config.brokers = config->brokers;
	STAILQ_INIT(&bus->routes);
	room_init(bus);
	bus->lanes = calloc((size_t)config->writers, sizeof *bus->lanes);
	if (!bus->lanes || !positions_init(bus) || !gaps_init(bus)) {
		command_bus_free(bus);
		return NULL;
	}
	return bus;
}

void command_bus_stop(struct command_bus *bus)
{
	if (!bus)
		return;
	for (int i = 0; bus->lanes && i < bus->config->writers; i++)
		lane_release(&bus->lanes[i]);
	kafka_source_free(bus->source);
	bus->source = NULL;
}

void command_bus_free(struct command_bus *bus)
{
	if (!bus)
		return;
	command_bus_stop(bus);
	positions_release(bus);
	gaps_release(bus);
	setup_release(bus);
	free(bus->lanes);
	free(bus->batches.list);
	free(bus);
}

bool command_bus_projects(const struct command_bus *bus)
{
	return bus->projects;
}

bool command_bus_publishes(const struct command_bus *bus)
{
	bool any = false;
	for (int i = 0; i < bus->n_modules; i++)
		any |= bus->modules[i].publishes;
	return any;
}

void command_bus_use_embedded(struct command_bus *bus, const char *brokers)
{
	bus->source_config.brokers = brokers;
	bus->forget_offsets = true;
}

bool command_bus_connect(struct command_bus *bus)
{
	const struct command_bus_config *config = bus->config;
	if (!bus->n_topics)
		return true;
	bus->source_config = (struct kafka_source_config){
	    .brokers = bus->source_config.brokers,
	    .group = config->group,
	    .topics = bus->topic_names,
	    .n_topics = bus->n_topics,
	    .lanes = config->writers,
	    .session_timeout_us = config->session_timeout_us,
	    .queue_bytes = config->memory / 4,
	    .properties = config->properties,
	};
	if (!positions_start(bus) || !gaps_start(bus))
		return false;
	for (int i = 0; i < config->writers; i++)
		if (!lane_init(&bus->lanes[i], bus, i))
			return false;
	bus->source = kafka_source_new(bus->loop, &bus->source_config, &positions_events, bus);
	status_init(bus);
	return bus->source != NULL;
}

bool command_bus_start(struct command_bus *bus)
{
	if (!bus->n_topics)
		return true;
	return (bus->source || command_bus_connect(bus)) && periodics_start(bus) &&
	       kafka_source_open(bus->source);
}

void command_bus_drain(struct command_bus *bus, loop_fn *drained, void *arg)
{
	bus->draining = true;
	bus->on_drained = drained;
	bus->drained_arg = arg;
	for (int i = 0; bus->source && i < bus->config->writers; i++) {
		struct bus_lane *lane = &bus->lanes[i];
		/* What waits for better times is read again after the next start. */
		if (pg_writer_cancel(lane->writer)) {
			command_bus_done(bus, lane->storing, false);
			lane_forget(lane);
		}
		flush(lane, false);
	}
	if (!bus->source || is_drained(bus))
		drained(arg);
}
