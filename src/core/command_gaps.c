/* SPDX-License-Identifier: MIT */
/*
 * Is the log still the one that was read, and does it have what is next?
 *
 * Before a partition is read the message that was stored last is fetched once
 * more.  If it is another one, or if Kafka says that it does not have the
 * offset, the brokers are asked what they have.  Then it is all fine, or a gap,
 * which is recorded in cqrs.gaps before the partition goes on or is halted.
 *
 * So it is, too, when brokers or partitions were away for a moment: a topic that
 * is made anew and filled beyond our position is at once no other to the eye.
 */
#include "command_bus_internal.h"
#include "container.h"
#include "gaps.h"
#include "log.h"
#include "message_mark.h"
#include "offsets.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DOUBT_US                                                                                  \
	200000           /* between a doubt and the question, for brokers that just changed roles \
	                  */
#define AGAIN_US 1000000 /* the brokers did not know */
/* so long may Kafka take to forget what it was told of a topic that was deleted */
#define FORGET_US 5000000

/* ---- out of the lane ---- */

static void doubt(struct command_bus *bus, struct partition *partition)
{
	if (partition->state != PARTITION_ACTIVE && partition->state != PARTITION_CHECKING)
		return;
	partition->state = PARTITION_DOUBTED;
	partition->short_since = 0;
	if (!timer_is_armed(bus->doubt_timer))
		timer_arm(bus->doubt_timer, DOUBT_US);
}

/* Everything before `offset` has come, or was never there. */
static void reached(struct command_bus *bus, struct partition *partition, int64_t offset)
{
	bool is_behind = offset >= partition->taken;
	partition->end = offset;
	/* The message stored last may be gone from our log, too: that proves nothing. */
	if (partition->state == PARTITION_CHECKING && is_behind)
		partition->state = PARTITION_ACTIVE;
	else if (partition->state == PARTITION_CHECKING)
		doubt(bus, partition);
	partition->is_proven |= partition->state == PARTITION_ACTIVE && is_behind;
}

static void check(struct command_bus *bus, struct partition *partition,
                  const struct cqrs_message *message)
{
	if (message->offset == partition->taken - 1 && message_mark(message) != partition->mark) {
		partition->is_other = true;
		doubt(bus, partition);
	} else if (message->offset >= partition->taken - 1) {
		partition->state = PARTITION_ACTIVE;
	}
}

bool gaps_admit(struct command_bus *bus, struct partition *partition,
                const struct kafka_message *item)
{
	switch (item->kind) {
	case KAFKA_MESSAGE:
		if (partition->state == PARTITION_CHECKING)
			check(bus, partition, &item->message);
		partition->is_proven |= partition->state == PARTITION_ACTIVE;
		return partition->state == PARTITION_ACTIVE &&
		       item->message.offset >= partition->taken;
	case KAFKA_END:
		reached(bus, partition, item->message.offset);
		return false;
	case KAFKA_LOST:
		doubt(bus, partition);
		return false;
	}
	return false;
}

void gaps_doubt_all(struct command_bus *bus)
{
	for (size_t i = 0; i < bus->n_partitions; i++)
		doubt(bus, &bus->partitions[i]);
}

/* ---- what the brokers have ---- */

static void locate(struct command_bus *bus, struct partition *partition)
{
	partition->state = PARTITION_LOCATING;
	positions_locate(bus);
}

/* It ends too early, and what we told of it is known.  Of one that has nothing at all, what comes
 * is another. */
static bool has_lost_its_end(const struct partition *partition, const struct kafka_range *range)
{
	return !partition->is_other && range->reported && range->end &&
	       partition->position.offset > range->end;
}

/* Kafka may not have forgotten yet what it was told of a topic that was deleted and made anew. */
static bool is_to_be_seen(struct command_bus *bus, struct partition *partition,
                          const struct kafka_range *range)
{
	int64_t now = loop_now(bus->loop);
	if (!has_lost_its_end(partition, range))
		return false;
	if (!partition->short_since)
		partition->short_since = now;
	if (now - partition->short_since >= FORGET_US)
		return false;
	timer_arm(bus->doubt_timer, AGAIN_US);
	return true;
}

static void judge(struct command_bus *bus, struct partition *partition,
                  const struct kafka_range *range)
{
	int64_t next = partition->position.offset;
	if (is_to_be_seen(bus, partition, range))
		return;
	partition->first = range->first;
	if (!partition->is_other && next >= range->first && next <= range->end) {
		locate(bus, partition);
		return;
	}
	partition->state = PARTITION_GAP;
	partition->reason = GAP_RESTARTED;
	partition->resume = range->first;
	if (!partition->is_other && next < range->first) {
		partition->reason = GAP_DELETED;
	} else if (has_lost_its_end(partition, range)) {
		partition->reason = GAP_TRUNCATED;
		partition->resume = range->end;
	}
}

static bool is_quiet(const struct partition *partition)
{
	return partition->state == PARTITION_DOUBTED &&
	       partition->taken == partition->position.offset;
}

static void on_ranges(void *owner, const struct kafka_range *list, size_t n)
{
	struct command_bus *bus = owner;
	for (size_t i = 0; i < n; i++) {
		const struct kafka_position *at = &list[i].position;
		struct partition *partition = bus_partition(bus, at->topic, at->partition);
		/* Taken back, or the fence was lost meanwhile; and if it was given to us again
		 * since, something may have been taken. */
		if (!partition || !is_quiet(partition) || partition->position.offset != at->offset)
			continue;
		if (*list[i].error) {
			health_fail(bus->kafka, "cannot ask what %s [%" PRId32 "] has: %s",
			            partition->topic, at->partition, list[i].error);
			timer_arm(bus->doubt_timer, AGAIN_US);
		} else {
			judge(bus, partition, &list[i]);
		}
	}
	gaps_record(bus);
}

/* Asks about those of which all that was taken is stored. */
static void on_doubt_timer(void *arg)
{
	struct command_bus *bus = arg;
	struct kafka_position *list = calloc(bus->n_partitions + 1, sizeof *list);
	size_t n = 0, doubted = 0;
	for (size_t i = 0; list && bus->source && bus->owned && i < bus->n_partitions; i++) {
		doubted += bus->partitions[i].state == PARTITION_DOUBTED;
		if (is_quiet(&bus->partitions[i]))
			list[n++] = bus->partitions[i].position;
	}
	bool asked = n && kafka_source_ask_ranges(bus->source, list, n, on_ranges);
	if (!list || doubted > (asked ? n : 0))
		timer_arm(bus->doubt_timer, DOUBT_US);
	free(list);
}

/* ---- gaps ---- */

static void halt(struct command_bus *bus, struct partition *partition)
{
	partition->state = PARTITION_HALTED;
	gaps_tell(bus);
	kafka_source_stop(bus->source, &partition->position);
}

static void go_on(struct command_bus *bus, struct partition *partition)
{
	int64_t from = partition->position.offset, to = partition->resume;
	log_warning("kafka: %s [%" PRId32 "] was %s: offset %" PRId64 " is not there, goes on at "
	            "%" PRId64 " (kafka.on_gap: continue)",
	            partition->topic, partition->position.partition, gaps_reason(partition->reason),
	            from, to);
	if (to > from)
		metric_add(bus->gap_messages, (double)(to - from));
	locate(bus, partition);
}

static void on_recorded(struct pg_request *request, enum pg_outcome outcome,
                        const struct pg_error *error)
{
	struct command_bus *bus = container_of(request, struct command_bus, request);
	struct partition *partition =
	    bus_partition(bus, bus->recording.topic, bus->recording.partition);
	bus->asking = false;
	if (!partition || partition->state != PARTITION_GAP) {
		positions_locate(bus); /* taken back, or the fence was lost meanwhile */
	} else if (outcome == PG_REFUSED && !strcmp(error->sqlstate, OFFSETS_FENCE)) {
		locate(bus, partition);
	} else if (outcome == PG_REFUSED) {
		bus->gap_is_blocked = !strcmp(error->sqlstate, "55P03"); /* lock_not_available */
		health_fail(bus->control_health, "cannot record a gap: %s", error->message);
		positions_retry(bus);
	} else if (outcome == PG_DONE) {
		health_ok(bus->control_health);
		bus->locate_tries = 0;
		if (bus->recorded_anew)
			metric_add(bus->gaps_found[partition->reason], 1);
		if (bus->config->on_gap == GAP_CONTINUE)
			go_on(bus, partition);
		else
			halt(bus, partition);
		positions_locate(bus);
	}
	/* When the connection is back, positions_locate() comes here again. */
}

static void on_record(struct pg_request *request, const PGresult *answer)
{
	struct command_bus *bus = container_of(request, struct command_bus, request);
	struct partition *partition =
	    bus_partition(bus, bus->recording.topic, bus->recording.partition);
	/* Cutting off a member has an answer of its own. */
	if (partition && PQresultStatus(answer) == PGRES_TUPLES_OK && PQnfields(answer) == 2)
		gaps_read(answer, partition->since, &bus->recorded_anew);
}

void gaps_record(struct command_bus *bus)
{
	struct partition *partition = NULL;
	for (size_t i = 0; i < bus->n_partitions && !partition; i++)
		if (bus->partitions[i].state == PARTITION_GAP)
			partition = &bus->partitions[i];
	if (!partition || bus->asking || bus->revoking || bus->draining || !bus->owned)
		return;
	buf_clear(&bus->sql);
	if (bus->gap_is_blocked)
		offsets_evict_sql(&bus->sql, bus->config->group, bus->config->timeout_us);
	bus->gap_is_blocked = false;
	gaps_record_sql(&bus->sql, bus->config->group, partition,
	                bus->config->on_gap == GAP_CONTINUE ? partition->resume : -1);
	bus->recording = partition->position;
	positions_ask(bus, on_record, on_recorded);
}

void gaps_tell(struct command_bus *bus)
{
	static const char *const why[] = {
	    [GAP_DELETED] = "and Kafka has deleted it",
	    [GAP_TRUNCATED] = "and the log ends before it",
	    [GAP_RESTARTED] = "but the topic was made anew",
	};
	const struct partition *first = NULL;
	size_t n = 0;
	for (size_t i = 0; i < bus->n_partitions; i++) {
		if (bus->partitions[i].state != PARTITION_HALTED)
			continue;
		first = first ? first : &bus->partitions[i];
		n++;
	}
	if (!first) {
		health_ok(bus->gaps);
		return;
	}
	health_fail(bus->gaps,
	            "%s [%" PRId32 "] is halted since %s: offset %" PRId64 " is next, %s; stop the "
	            "group and run \"cqrsd offsets set %s %" PRId32 " %" PRId64 " --yes\", or have "
	            "kafka.on_gap: continue (%zu halted)",
	            first->topic, first->position.partition, first->since, first->position.offset,
	            why[first->reason], first->topic, first->position.partition, first->resume, n);
}

/* ---- life ---- */

bool gaps_init(struct command_bus *bus)
{
	static const char help[] = "Times that Kafka did not have what was to be read next";
	static const char evicted[] = "Times that the group went on without this member";
	bus->doubt_timer = timer_new(bus->loop, on_doubt_timer, bus);
	for (enum gap_reason i = 0; i < GAP_REASONS; i++) {
		struct buf labels = BUF_INIT;
		metrics_label(&labels, "reason", gaps_reason(i));
		bus->gaps_found[i] = metrics_counter(bus->metrics, "cqrsd_kafka_gaps_total",
		                                     metrics_labels(&labels), help);
		buf_release(&labels);
	}
	bus->gap_messages = metrics_counter(bus->metrics, "cqrsd_kafka_gap_messages_total", "",
	                                    "Offsets that were skipped because of gaps");
	bus->evictions[0] = metrics_counter(bus->metrics, "cqrsd_kafka_evictions_total",
	                                    "reason=\"session\"", evicted);
	bus->evictions[1] = metrics_counter(bus->metrics, "cqrsd_kafka_evictions_total",
	                                    "reason=\"poll\"", evicted);
	return bus->doubt_timer != NULL;
}

bool gaps_start(struct command_bus *bus)
{
	bus->gaps = health_add(bus->health, "partitions");
	if (bus->gaps)
		health_ok(bus->gaps);
	return bus->gaps != NULL;
}

void gaps_release(struct command_bus *bus)
{
	timer_free(bus->doubt_timer);
}
