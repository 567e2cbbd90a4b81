/* SPDX-License-Identifier: MIT */
/* A member of a Kafka consumer group whose positions live elsewhere. */
#include "kafka_source_internal.h"

#include "log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define POLL_US   1000000
#define POLL_MOST 100     /* events of one turn */
#define CLOSE_US  3000000 /* how long leaving the group may take */

int kafka_source_topic(const struct kafka_source *source, const char *name)
{
	for (int i = 0; i < source->config->n_topics; i++)
		if (!strcmp(source->config->topics[i], name))
			return i;
	return -1;
}

rd_kafka_topic_partition_list_t *kafka_source_list(const struct kafka_source *source,
                                                   const struct kafka_position *list, size_t n)
{
	rd_kafka_topic_partition_list_t *out = rd_kafka_topic_partition_list_new((int)n);
	for (size_t i = 0; i < n; i++)
		rd_kafka_topic_partition_list_add(out, source->config->topics[list[i].topic],
		                                  list[i].partition)
		    ->offset = list[i].offset;
	return out;
}

static void report_brokers(struct kafka_source *source, const char *why_not)
{
	source->brokers_down = why_not != NULL;
	source->events->on_brokers(source->owner, why_not);
}

void kafka_source_on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
	struct kafka_source *source = opaque;
	char fatal[256];
	if (err == RD_KAFKA_RESP_ERR__FATAL) {
		rd_kafka_fatal_error(rk, fatal, sizeof fatal);
		log_error("kafka: %s", fatal);
	} else if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
		report_brokers(source, reason);
	} else {
		log_debug("kafka: %s", reason);
	}
}

int kafka_source_on_stats(rd_kafka_t *rk, char *json, size_t len, void *opaque)
{
	struct kafka_source *source = opaque;
	(void)rk;
	/* There is no callback for a broker that is back; the statistics say so. */
	if (source->brokers_down && memmem(json, len, "\"state\":\"UP\"", 12))
		report_brokers(source, NULL);
	return 0;
}

static size_t positions(const struct kafka_source *source,
                        const rd_kafka_topic_partition_list_t *list, struct kafka_position *out)
{
	size_t n = 0;
	for (int i = 0; i < list->cnt; i++) {
		int topic = kafka_source_topic(source, list->elems[i].topic);
		if (topic >= 0)
			out[n++] = (struct kafka_position){topic, list->elems[i].partition,
			                                   list->elems[i].offset};
	}
	return n;
}

void kafka_list_forget(rd_kafka_topic_partition_list_t **list)
{
	if (*list)
		rd_kafka_topic_partition_list_destroy(*list);
	*list = NULL;
}

/* Without memory on_poll_timer() does it again. */
static void tell_assigned(struct kafka_source *source)
{
	if (!source->given)
		return;
	struct kafka_position *given = calloc((size_t)source->given->cnt + 1, sizeof *given);
	if (!given)
		return;
	size_t n = positions(source, source->given, given);
	for (size_t i = 0; i < n; i++)
		given[i].offset = KAFKA_OFFSET_UNKNOWN;
	if (source->events->on_assigned(source->owner, given, n))
		kafka_list_forget(&source->given);
	free(given);
}

void kafka_source_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err,
                               rd_kafka_topic_partition_list_t *list, void *opaque)
{
	struct kafka_source *source = opaque;
	kafka_list_forget(&source->given);
	if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && !source->closing) {
		if (source->brokers_down)
			report_brokers(source, NULL);
		source->given = rd_kafka_topic_partition_list_copy(list);
		tell_assigned(source);
		return;
	}
	if (source->closing || err != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
		rd_kafka_assign(rk, NULL);
		return;
	}
	const char *lost = rd_kafka_assignment_lost(rk) ? "session" : NULL;
	if (lost && source->overslept)
		lost = "poll";
	source->overslept = false;
	if (lost)
		log_warning("kafka: the group went on without us, all partitions are lost");
	source->events->on_revoked(source->owner, lost);
}

/* ---- queues ---- */

void kafka_queue_wake(struct kafka_queue *queue)
{
	event_active(queue->event, EV_READ, 0);
}

/* Errors of the whole consumer; what belongs to a partition comes through its lane. */
void kafka_source_report_error(const rd_kafka_message_t *m)
{
	if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
		return;
	log_warning("kafka: %s: %s", m->rkt ? rd_kafka_topic_name(m->rkt) : "group",
	            rd_kafka_message_errstr(m));
}

void kafka_source_tell_doubt(struct kafka_source *source)
{
	if (atomic_exchange(&source->doubt, false))
		source->events->on_doubt(source->owner);
}

static void poll_consumer(struct kafka_source *source)
{
	int n = 0;
	rd_kafka_message_t *m;
	kafka_source_tell_doubt(source);
	for (; n < POLL_MOST && (m = rd_kafka_consumer_poll(source->rk, 0)); n++) {
		/* Told before the partitions are taken back. */
		source->overslept |= m->err == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED;
		kafka_source_report_error(m);
		rd_kafka_message_destroy(m);
	}
	/* The descriptor tells of a queue that is no longer empty, once: come back for the rest. */
	if (n == POLL_MOST)
		kafka_queue_wake(&source->consumer);
}

static void on_queue(evutil_socket_t fd, short what, void *arg)
{
	struct kafka_queue *queue = arg;
	eventfd_t count;
	/* Before taking, so that a message arriving meanwhile wakes us again. */
	if (what & EV_READ)
		eventfd_read(fd, &count);
	if (queue->lane < 0)
		poll_consumer(queue->source);
	else
		queue->source->events->on_messages(queue->source->owner, queue->lane);
}

static void on_poll_timer(void *arg)
{
	struct kafka_source *source = arg;
	timer_arm(source->poll, POLL_US);
	tell_assigned(source);
	for (int i = 0; i < source->config->lanes; i++)
		if (source->lanes[i].has_failed)
			kafka_queue_wake(&source->lanes[i]);
	poll_consumer(source);
}

/* Takes the queue over, also when it fails. */
static bool queue_init(struct kafka_queue *queue, struct kafka_source *source,
                       rd_kafka_queue_t *rkqu, int lane)
{
	static const uint64_t one = 1;
	*queue = (struct kafka_queue){.source = source, .queue = rkqu, .lane = lane};
	queue->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (queue->fd < 0)
		return false;
	queue->event =
	    event_new(loop_base(source->loop), queue->fd, EV_READ | EV_PERSIST, on_queue, queue);
	if (!queue->event || event_add(queue->event, NULL))
		return false;
	rd_kafka_queue_io_event_enable(rkqu, queue->fd, &one, sizeof one);
	return true;
}

static void queue_release(struct kafka_queue *queue)
{
	if (queue->queue) {
		rd_kafka_queue_io_event_enable(queue->queue, -1, NULL, 0);
		rd_kafka_queue_destroy(queue->queue);
	}
	if (queue->event)
		event_free(queue->event);
	if (queue->fd > 0)
		close(queue->fd);
}

/* ---- life ---- */

static bool make_queues(struct kafka_source *source)
{
	rd_kafka_poll_set_consumer(source->rk);
	if (!queue_init(&source->consumer, source, rd_kafka_queue_get_consumer(source->rk), -1))
		return false;
	for (int i = 0; i < source->config->lanes; i++)
		if (!queue_init(&source->lanes[i], source, rd_kafka_queue_new(source->rk), i))
			return false;
	return true;
}

struct kafka_source *kafka_source_new(struct loop *loop, const struct kafka_source_config *config,
                                      const struct kafka_source_events *events, void *owner)
{
	char error[512];
	struct kafka_source *source = calloc(1, sizeof *source);
	if (!source)
		return NULL;
	source->loop = loop;
	source->config = config;
	source->events = events;
	source->owner = owner;
	source->lanes = calloc((size_t)config->lanes, sizeof *source->lanes);
	source->poll = timer_new(loop, on_poll_timer, source);
	rd_kafka_conf_t *conf = kafka_source_conf(source);
	if (!source->lanes || !source->poll || !conf)
		goto fail;
	source->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
	if (!source->rk) {
		log_error("kafka: %s", error);
		goto fail;
	}
	conf = NULL; /* the client's now */
	if (!make_queues(source))
		goto fail;
	return source;
fail:
	if (conf)
		rd_kafka_conf_destroy(conf);
	kafka_source_free(source);
	return NULL;
}

bool kafka_source_open(struct kafka_source *source)
{
	rd_kafka_topic_partition_list_t *topics =
	    rd_kafka_topic_partition_list_new(source->config->n_topics);
	for (int i = 0; i < source->config->n_topics; i++)
		rd_kafka_topic_partition_list_add(topics, source->config->topics[i],
		                                  RD_KAFKA_PARTITION_UA);
	rd_kafka_resp_err_t err = rd_kafka_subscribe(source->rk, topics);
	rd_kafka_topic_partition_list_destroy(topics);
	if (err) {
		log_error("kafka: cannot subscribe: %s", rd_kafka_err2str(err));
		return false;
	}
	timer_arm(source->poll, POLL_US);
	return true;
}

/* False: Kafka owes us an answer. */
static bool leave_group(struct kafka_source *source)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(source->rk);
	int64_t until = loop_now(source->loop) + CLOSE_US;
	source->closing = true;
	rd_kafka_error_t *error = rd_kafka_consumer_close_queue(source->rk, queue);
	while (!error && !rd_kafka_consumer_closed(source->rk) && loop_now(source->loop) < until)
		rd_kafka_queue_poll_callback(queue, 50);
	bool left = error || rd_kafka_consumer_closed(source->rk);
	if (error)
		rd_kafka_error_destroy(error);
	rd_kafka_queue_destroy(queue);
	return left;
}

void kafka_source_free(struct kafka_source *source)
{
	if (!source)
		return;
	timer_free(source->poll);
	bool quiet = !source->rk || leave_group(source);
	kafka_list_forget(&source->given);
	kafka_list_forget(&source->fetched);
	quiet = quiet &&
	        (!source->resolution || kafka_resolution_is_over(source->resolution, CLOSE_US));
	if (!quiet) {
		/* librdkafka waits for it until socket.timeout.ms has passed, a minute and more,
		 * and must not be destroyed meanwhile: the end of the process is quicker. */
		log_warning("kafka: brokers owe an answer, which is not waited for");
		return;
	}
	kafka_resolution_free(source->resolution);
	for (int i = 0; source->lanes && i < source->config->lanes; i++)
		queue_release(&source->lanes[i]);
	queue_release(&source->consumer);
	if (source->rk)
		rd_kafka_destroy_flags(source->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	free(source->lanes);
	free(source);
}

/* ---- positions ---- */

void kafka_source_report(struct kafka_source *source, const struct kafka_position *list, size_t n)
{
	rd_kafka_topic_partition_list_t *offsets = kafka_source_list(source, list, n);
	rd_kafka_commit(source->rk, offsets, 1);
	rd_kafka_topic_partition_list_destroy(offsets);
}

int64_t kafka_source_end(struct kafka_source *source, const struct kafka_position *position)
{
	int64_t low, high;
	if (rd_kafka_get_watermark_offsets(source->rk, source->config->topics[position->topic],
	                                   position->partition, &low, &high) ||
	    high < 0)
		return -1;
	return high;
}
