/* SPDX-License-Identifier: MIT */
/* What librdkafka fetches, and that it goes on fetching. */
#include "kafka_source_internal.h"

#include "log.h"

#include <string.h>

#define SHARES 4 /* of a lane: after each that is taken librdkafka is told of the room */

/* ---- which partitions ---- */

/*
 * Stopping takes a partition away from its lane, some time later, and so would
 * do it to one that has been started anew: wait until all have stopped.  False:
 * nobody knows whether they have.
 */
static bool stop_all(struct kafka_source *source)
{
	rd_kafka_topic_partition_list_t *assignment;
	rd_kafka_assign(source->rk, NULL);
	/* Answered by the thread that stops them, in order of asking. */
	if (rd_kafka_assignment(source->rk, &assignment))
		return false;
	rd_kafka_topic_partition_list_destroy(assignment);
	kafka_list_forget(&source->fetched);
	return true;
}

void kafka_source_release(struct kafka_source *source)
{
	stop_all(source);
}

/* What is fetched goes to the lanes; false: not all of it. */
static bool forward(const struct kafka_source *source)
{
	for (int i = 0; source->fetched && i < source->fetched->cnt; i++) {
		const rd_kafka_topic_partition_t *place = &source->fetched->elems[i];
		rd_kafka_queue_t *partition =
		    rd_kafka_queue_get_partition(source->rk, place->topic, place->partition);
		if (!partition)
			return false;
		rd_kafka_queue_forward(
		    partition, source->lanes[place->partition % source->config->lanes].queue);
		rd_kafka_queue_destroy(partition);
	}
	return true;
}

bool kafka_source_start(struct kafka_source *source, const struct kafka_position *list, size_t n)
{
	if (source->fetched && !stop_all(source)) {
		log_warning("kafka: cannot begin to fetch: what was fetched has not stopped");
		return false;
	}
	source->fetched = kafka_source_list(source, list, n);
	/* Before the assignment: what is fetched must not come to the consumer's own queue. */
	if (!forward(source)) {
		log_warning("kafka: cannot begin to fetch: a partition has no queue");
		kafka_list_forget(&source->fetched);
		return false;
	}
	rd_kafka_resp_err_t err = rd_kafka_assign(source->rk, source->fetched);
	if (err)
		log_warning("kafka: cannot begin to fetch: %s", rd_kafka_err2str(err));
	return !err;
}

void kafka_source_stop(struct kafka_source *source, const struct kafka_position *position)
{
	rd_kafka_topic_partition_list_t *list = kafka_source_list(source, position, 1);
	rd_kafka_pause_partitions(source->rk, list);
	rd_kafka_topic_partition_list_destroy(list);
}

/* ---- how fast ---- */

static const char *property(const struct kafka_source *source, const char *name)
{
	const struct cqrs_option_pair *pair = source->config->properties;
	for (; pair && pair->name; pair++)
		if (!strcmp(pair->name, name))
			return pair->value;
	return "";
}

/*
 * A thread of librdkafka 2.0 that finds all its lanes full looks at them again only
 * after a second (its issue 2879; fetch.queue.backoff.ms is of a later version), in
 * which a lane is empty long before.  It has no call to wake a thread.  This one
 * does, and nothing else when the credentials are those that it has, or empty
 * where none are asked for.
 */
static void wake(const struct kafka_source *source)
{
	rd_kafka_error_t *error = rd_kafka_sasl_set_credentials(
	    source->rk, property(source, "sasl.username"), property(source, "sasl.password"));
	if (error)
		rd_kafka_error_destroy(error);
}

void kafka_fetch_taken(struct kafka_queue *lane, size_t bytes)
{
	const struct kafka_source_config *config = lane->source->config;
	lane->taken += bytes;
	if (lane->taken < (size_t)(config->queue_bytes / config->lanes) / SHARES)
		return;
	lane->taken = 0;
	wake(lane->source);
}
