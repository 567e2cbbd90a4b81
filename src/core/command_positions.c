/* SPDX-License-Identifier: MIT */
/*
 * Where the partitions that we are given stand, and what happens when they are
 * taken back.
 *
 *   assigned ─► all writers idle ─► read cqrs.offsets ─► all known ─► fetch
 *                                        ▲      │ some never read before
 *                                        └── add them, by `start` ◄── ask Kafka
 */
#include "backoff.h"
#include "command_bus_internal.h"
#include "container.h"
#include "gaps.h"
#include "log.h"
#include "offsets.h"
#include "progress.h"

#include <cqrs/time.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPORT_US          1000000
#define LOCATE_US          200000
#define LOCATE_MOST        5000000

#define CONTROL_TIMEOUT_US 30000000 /* as in its setup */

static bool parse_start(const char *text, int64_t *start_us)
{
	if (!strcmp(text, "earliest"))
		*start_us = KAFKA_OFFSET_EARLIEST;
	else if (!strcmp(text, "latest"))
		*start_us = KAFKA_OFFSET_LATEST;
	else
		return cqrs_time_from_rfc3339(text, strlen(text), start_us);
	return true;
}

static void free_partitions(struct command_bus *bus)
{
	for (size_t i = 0; i < bus->n_partitions; i++) {
		metrics_remove(bus->metrics, bus->partitions[i].lag);
		metrics_remove(bus->metrics, bus->partitions[i].stored);
	}
	free(bus->partitions);
	bus->partitions = NULL;
	bus->n_partitions = 0;
}

bool writers_are_idle(const struct command_bus *bus)
{
	for (int i = 0; i < bus->config->writers; i++)
		if (!pg_writer_is_idle(bus->lanes[i].writer))
			return false;
	return true;
}

static void partition_init(struct partition *partition, struct command_bus *bus,
                           const struct kafka_position *given)
{
	struct buf labels = BUF_INIT;
	char number[16];
	partition->position = *given;
	partition->position.offset = KAFKA_OFFSET_UNKNOWN;
	partition->topic = bus->topic_names[given->topic];
	partition->reported = -1;
	snprintf(number, sizeof number, "%" PRId32, given->partition);
	metrics_label(&labels, "topic", partition->topic);
	metrics_label(&labels, "partition", number);
	partition->lag = metrics_gauge(bus->metrics, "cqrsd_kafka_lag", metrics_labels(&labels),
	                               "Messages still to be stored");
	partition->stored = metrics_gauge(bus->metrics, "cqrsd_kafka_next_offset",
	                                  metrics_labels(&labels), "The next offset to be stored");
	buf_release(&labels);
}

/*
 * The old partitions go only now: a batch at work points to them.  So does one that
 * fills, if Kafka gives us partitions anew and has not taken the old ones back first.
 */
static bool adopt(struct command_bus *bus)
{
	for (int i = 0; i < bus->config->writers; i++)
		command_bus_done(bus, bus->lanes[i].open, false);
	free_partitions(bus);
	bus->partitions = calloc(bus->n_assigned + 1, sizeof *bus->partitions);
	if (!bus->partitions)
		return false;
	bus->n_partitions = bus->n_assigned;
	for (size_t i = 0; i < bus->n_partitions; i++)
		partition_init(&bus->partitions[i], bus, &bus->assigned[i]);
	bus->has_assigned = false;
	bus->owned = true;
	gaps_tell(bus);
	return true;
}

void positions_retry(struct command_bus *bus)
{
	unsigned tries = (unsigned)++bus->locate_tries;
	timer_arm(bus->locate_timer, backoff_us(bus->loop, tries, LOCATE_US, LOCATE_MOST));
}

void positions_ask(struct command_bus *bus, pg_result_fn *on_result, pg_done_fn *done)
{
	bus->request.on_result = on_result;
	bus->request.done = done;
	bus->request.sql = buf_str(&bus->sql);
	bus->asking = !bus->sql.failed && pg_conn_send(bus->control, &bus->request);
	/* A connection that is not ready tells when it is. */
	if (bus->sql.failed)
		positions_retry(bus);
}

static void on_offsets(struct pg_request *request, const PGresult *answer);
static void on_asked(struct pg_request *request, enum pg_outcome outcome,
                     const struct pg_error *error);

/* Finds out where the partitions stand that we do not know of. */
void positions_locate(struct command_bus *bus)
{
	if (bus->asking || bus->revoking || bus->draining || !bus->source)
		return;
	if (bus->has_assigned && (!writers_are_idle(bus) || !adopt(bus))) {
		if (writers_are_idle(bus))
			positions_retry(bus);
		return;
	}
	bool any = !bus->started;
	if (!bus->owned)
		return;
	for (size_t i = 0; i < bus->n_partitions; i++)
		any |= bus->partitions[i].state == PARTITION_LOCATING;
	if (!any) {
		if (bus->fetch_again)
			positions_fetch(bus);
		gaps_record(bus);
		return;
	}
	buf_clear(&bus->sql);
	if (bus->forget_offsets)
		offsets_forget_sql(&bus->sql, bus->config->group);
	if (!bus->views_registered)
		progress_register_sql(bus, &bus->sql);
	gaps_settle_sql(&bus->sql, bus->config->group);
	offsets_read_sql(&bus->sql, bus->config->group);
	positions_ask(bus, on_offsets, on_asked);
}

/* Where to fetch: who is not sure of the log begins with the message stored last. */
static int64_t fetch_offset(const struct partition *partition)
{
	return partition->state == PARTITION_CHECKING ? partition->taken - 1 : partition->taken;
}

void positions_fetch(struct command_bus *bus)
{
	struct kafka_position *list = calloc(bus->n_partitions + 1, sizeof *list);
	size_t n = 0;
	for (size_t i = 0; list && i < bus->n_partitions; i++) {
		const struct partition *partition = &bus->partitions[i];
		if (partition->state != PARTITION_CHECKING && partition->state != PARTITION_ACTIVE)
			continue;
		list[n] = partition->position;
		list[n++].offset = fetch_offset(partition);
	}
	bus->fetch_again = !list || !kafka_source_start(bus->source, list, n);
	if (bus->fetch_again)
		positions_retry(bus);
	free(list);
}

/* All are known: begin to fetch there. */
static void start(struct command_bus *bus)
{
	for (size_t i = 0; i < bus->n_partitions; i++) {
		struct partition *partition = &bus->partitions[i];
		if (partition->state != PARTITION_LOCATING)
			continue;
		/* What was taken since is from further on: it comes again, in order. */
		lane_drop(bus_lane(bus, partition), partition);
		partition->taken = partition->position.offset;
		partition->end = 0;
		partition->is_other = partition->is_proven = false;
		partition->state = partition->has_mark && partition->taken > partition->first
		                       ? PARTITION_CHECKING
		                       : PARTITION_ACTIVE;
	}
	if (!bus->started)
		log_info("kafka: group %s gave us %zu partitions", bus->config->group,
		         bus->n_partitions);
	bus->locate_tries = 0;
	positions_fetch(bus);
	bus->started = true;
	health_ok(bus->kafka);
	gaps_tell(bus);
}

static void on_resolved(void *owner, const struct kafka_position *list, size_t n, const char *error)
{
	struct command_bus *bus = owner;
	if (error) {
		health_fail(bus->kafka, "cannot find out where partitions begin: %s", error);
		positions_retry(bus);
		return;
	}
	if (bus->asking || bus->has_assigned || !bus->owned || bus->draining) {
		positions_retry(bus);
		return;
	}
	for (size_t i = 0; i < n; i++)
		log_info("kafka: %s [%" PRId32 "] was never read before, begins at offset %" PRId64,
		         bus->topic_names[list[i].topic], list[i].partition, list[i].offset);
	buf_clear(&bus->sql);
	offsets_insert_sql(&bus->sql, bus->config->group, bus->topic_names, list, n);
	buf_putc(&bus->sql, ';');
	offsets_read_sql(&bus->sql, bus->config->group);
	positions_ask(bus, on_offsets, on_asked);
}

static void resolve(struct command_bus *bus)
{
	struct kafka_position *list = calloc(bus->n_partitions + 1, sizeof *list);
	size_t n = 0;
	for (size_t i = 0; list && i < bus->n_partitions; i++)
		if (bus->partitions[i].position.offset == KAFKA_OFFSET_UNKNOWN)
			list[n++] = bus->partitions[i].position;
	if (!list || !kafka_source_resolve(bus->source, list, n, bus->start_us, on_resolved))
		positions_retry(bus);
	free(list);
}

static void on_offsets(struct pg_request *request, const PGresult *answer)
{
	struct command_bus *bus = container_of(request, struct command_bus, request);
	/* Of partitions taken back a batch may still be at work, whose fence must stay. */
	if (PQresultStatus(answer) != PGRES_TUPLES_OK || bus->has_assigned || !bus->owned)
		return;
	for (size_t i = 0; i < bus->n_partitions; i++) {
		struct partition *partition = &bus->partitions[i];
		if (partition->state != PARTITION_LOCATING)
			continue;
		partition->position.offset = KAFKA_OFFSET_UNKNOWN;
		offsets_find(answer, partition->topic, partition->position.partition,
		             &partition->position.offset);
		partition->has_mark = offsets_find_mark(
		    answer, partition->topic, partition->position.partition, &partition->mark);
	}
}

static void on_asked(struct pg_request *request, enum pg_outcome outcome,
                     const struct pg_error *error)
{
	struct command_bus *bus = container_of(request, struct command_bus, request);
	bool unknown = false;
	bus->asking = false;
	if (outcome == PG_REFUSED) {
		health_fail(bus->control_health, "cannot read the offsets: %s", error->message);
		positions_retry(bus);
		return;
	}
	/* Lost, revoked or assigned anew meanwhile: from the beginning, when it is time. */
	if (outcome != PG_DONE || bus->has_assigned || !bus->owned) {
		positions_locate(bus);
		return;
	}
	health_ok(bus->control_health);
	bus->forget_offsets = false;
	bus->views_registered = true;
	for (size_t i = 0; i < bus->n_partitions; i++)
		unknown |= bus->partitions[i].position.offset == KAFKA_OFFSET_UNKNOWN;
	if (unknown)
		resolve(bus);
	else
		start(bus);
	gaps_record(bus);
}

void positions_lost(struct command_bus *bus, const struct bus_lane *lane)
{
	lane_forget(&bus->lanes[lane->index]);
	for (size_t i = 0; i < bus->n_partitions; i++) {
		struct partition *partition = &bus->partitions[i];
		if (bus_lane(bus, partition) == lane && partition->state != PARTITION_HALTED)
			partition->state = PARTITION_LOCATING;
	}
	bus->locate_again = true;
}

/* ---- what we tell Kafka ---- */

static void on_report_timer(void *arg)
{
	struct command_bus *bus = arg;
	struct kafka_position *list = calloc(bus->n_partitions + 1, sizeof *list);
	size_t n = 0;
	for (size_t i = 0; list && bus->started && i < bus->n_partitions; i++) {
		struct partition *partition = &bus->partitions[i];
		/* What is known of it tells a log that lost its end from one made anew. */
		if (partition->state != PARTITION_ACTIVE || !partition->is_proven ||
		    partition->reported == partition->position.offset)
			continue;
		list[n++] = partition->position;
		partition->reported = partition->position.offset;
	}
	if (n)
		kafka_source_report(bus->source, list, n);
	free(list);
	timer_arm(bus->report_timer, REPORT_US);
}

/* ---- life ---- */

static void on_control_ready(void *owner, struct pg_conn *conn)
{
	struct command_bus *bus = owner;
	(void)conn;
	/* While the offsets cannot be read, on_asked() says when they can. */
	if (!bus->locate_tries)
		health_ok(bus->control_health);
	positions_locate(bus);
}

static void on_control_lost(void *owner, struct pg_conn *conn, const struct pg_error *error)
{
	struct command_bus *bus = owner;
	(void)conn;
	health_fail(bus->control_health, "%s", error ? error->message : "connection lost");
}

static void on_locate_timer(void *arg)
{
	positions_locate(arg);
}

static const struct pg_conn_events control_events = {.on_ready = on_control_ready,
                                                     .on_lost = on_control_lost};

/* Whoever sets an offset by hand is to see that this member is alive. */
static bool announce(struct command_bus *bus)
{
	struct buf *setup = &bus->control_setup;
	buf_printf(setup, "%s;", bus->control_config.setup);
	offsets_member_sql(setup, bus->config->group);
	bus->control_config.setup = buf_str(setup);
	return !setup->failed;
}

bool positions_init(struct command_bus *bus)
{
	bus->control_config = (struct pg_conn_config){
	    .name = "postgres control",
	    .dsn = bus->config->dsn,
	    .setup = "SET statement_timeout = '30s'; SET lock_timeout = '3s';"
	             "SET client_min_messages = warning; SET timezone = 'UTC'",
	    .writes = true,
	    .network_timeout_us = bus->config->network_timeout_us,
	    .statement_timeout_us = CONTROL_TIMEOUT_US,
	    .max_statements = 8,
	};
	bus->request = (struct pg_request){.n_params = -1};
	bus->control = pg_conn_new(bus->loop, &bus->control_config, &control_events, bus);
	bus->locate_timer = timer_new(bus->loop, on_locate_timer, bus);
	bus->report_timer = timer_new(bus->loop, on_report_timer, bus);
	bus->revoke_timer = timer_new(bus->loop, positions_on_revoke_timer, bus);
	if (!bus->control || !bus->locate_timer || !bus->report_timer || !bus->revoke_timer ||
	    !parse_start(bus->config->start, &bus->start_us))
		return false;
	timer_arm(bus->report_timer, REPORT_US);
	return announce(bus);
}

bool positions_start(struct command_bus *bus)
{
	bus->kafka = health_add(bus->health, "kafka");
	bus->control_health = health_add(bus->health, "postgres control");
	if (!bus->kafka || !bus->control_health)
		return false;
	pg_conn_start(bus->control);
	return true;
}

void positions_release(struct command_bus *bus)
{
	pg_conn_free(bus->control);
	timer_free(bus->locate_timer);
	timer_free(bus->report_timer);
	timer_free(bus->revoke_timer);
	free_partitions(bus);
	free(bus->assigned);
	buf_release(&bus->sql);
	buf_release(&bus->control_setup);
}
