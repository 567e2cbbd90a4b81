/* SPDX-License-Identifier: MIT */
/* An idempotent producer on librdkafka, whose answers come through the event loop. */
#include "kafka_sink.h"

#include "kafka_sink_internal.h"
#include "log.h"

#include <event2/event.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What librdkafka keeps for a message besides its bytes, rounded up. */
#define RECORD_OVERHEAD 256
/* Delivery reports handled in one turn of the loop: well below a millisecond. */
#define REPORTS_PER_TURN 1000
/* How long freeing waits for librdkafka to hand back what was purged. */
#define PURGE_WAIT_MS     2000
#define REOPEN_BACKOFF_US 1000000
/* How soon after a send the broker threads are woken once more, and how late at most. */
#define NUDGE_MIN_US 5000
#define NUDGE_MAX_US 500000

TAILQ_HEAD(kafka_records, kafka_record);

struct kafka_sink {
	struct loop *loop;
	const struct kafka_sink_config *config;
	struct health_check *health;
	rd_kafka_t *rk; /* NULL: nothing was sent yet, or the last one broke */
	rd_kafka_queue_t *queue;
	int wake; /* an eventfd: librdkafka's threads write it when there are reports */
	struct event *event;
	struct timer *timer; /* refused records, and making the producer anew */
	struct timer *nudge;
	int64_t nudge_us;
	char topic[256]; /* of the record that armed it */
	struct kafka_records sent, refused;
	size_t bytes;
	int in_flight;
	bool is_fatal; /* hands back what it has, then is replaced */
	bool is_away;
};

static bool open_sink(struct kafka_sink *sink)
{
	static const uint64_t one = 1;
	sink->rk = kafka_sink_producer(sink->config);
	if (!sink->rk)
		return false;
	rd_kafka_set_log_queue(sink->rk, NULL);
	sink->queue = rd_kafka_queue_get_main(sink->rk);
	rd_kafka_queue_io_event_enable(sink->queue, sink->wake, &one, sizeof one);
	/* What came before that did not wake us. */
	eventfd_write(sink->wake, 1);
	return true;
}

static void close_sink(struct kafka_sink *sink)
{
	if (!sink->rk)
		return;
	rd_kafka_queue_io_event_enable(sink->queue, -1, NULL, 0);
	rd_kafka_queue_destroy(sink->queue);
	rd_kafka_destroy(sink->rk);
	sink->queue = NULL;
	sink->rk = NULL;
	sink->is_fatal = false;
}

static void finish(struct kafka_sink *sink, struct kafka_records *list, struct kafka_record *record,
                   int32_t partition, int64_t offset, const char *error)
{
	TAILQ_REMOVE(list, record, link);
	sink->bytes -= record->size;
	sink->in_flight--;
	record->done(record, partition, offset, error);
}

static void set_reachable(struct kafka_sink *sink, const char *why_not)
{
	if (why_not && sink->health)
		health_fail(sink->health, "%s", why_not);
	else if (why_not && !sink->is_away)
		log_warning("kafka: %s", why_not);
	else if (!why_not && sink->health && sink->is_away)
		health_ok(sink->health);
	sink->is_away = why_not != NULL;
}

static int on_reports(struct kafka_sink *sink, rd_kafka_event_t *event)
{
	const rd_kafka_message_t *message;
	int n = 0;
	for (; (message = rd_kafka_event_message_next(event)); n++) {
		if (!message->err && sink->is_away)
			set_reachable(sink, NULL);
		finish(sink, &sink->sent, message->_private, message->partition, message->offset,
		       message->err ? rd_kafka_err2str(message->err) : NULL);
	}
	return n;
}

static void on_error(struct kafka_sink *sink, rd_kafka_event_t *event)
{
	rd_kafka_resp_err_t err = rd_kafka_event_error(event);
	const char *why = rd_kafka_event_error_string(event);
	if (err == RD_KAFKA_RESP_ERR__FATAL) {
		char text[512];
		err = rd_kafka_fatal_error(sink->rk, text, sizeof text);
		log_error("kafka: the producer has to be made anew: %s: %s", rd_kafka_err2name(err),
		          text);
		sink->is_fatal = true;
		rd_kafka_purge(sink->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
		timer_arm(sink->timer, 0);
	} else if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN ||
	           err == RD_KAFKA_RESP_ERR__AUTHENTICATION || err == RD_KAFKA_RESP_ERR__SSL) {
		/* An idle producer misses nobody. */
		if (sink->in_flight)
			set_reachable(sink, why);
	} else {
		log_debug("kafka: %s: %s", rd_kafka_err2name(err), why);
	}
}

static void on_log(rd_kafka_event_t *event)
{
	const char *facility, *text;
	int level;
	if (rd_kafka_event_log(event, &facility, &text, &level) == 0)
		(level <= 2 ? log_error : log_debug)("kafka: %s: %s", facility, text);
}

static int on_event(struct kafka_sink *sink, rd_kafka_event_t *event)
{
	switch (rd_kafka_event_type(event)) {
	case RD_KAFKA_EVENT_DR:
		return on_reports(sink, event);
	case RD_KAFKA_EVENT_ERROR:
		on_error(sink, event);
		return 1;
	case RD_KAFKA_EVENT_LOG:
		on_log(event);
		return 1;
	default:
		return 1;
	}
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct kafka_sink *sink = arg;
	rd_kafka_event_t *event;
	eventfd_t count;
	(void)what;
	/* Before polling, so that a report arriving meanwhile wakes us again. */
	eventfd_read(fd, &count);
	for (int n = 0; sink->rk && (event = rd_kafka_queue_poll(sink->queue, 0));) {
		n += on_event(sink, event);
		rd_kafka_event_destroy(event);
		if (n >= REPORTS_PER_TURN) {
			/* librdkafka wakes us only when its queue was empty. */
			eventfd_write(fd, 1);
			break;
		}
	}
	if (sink->is_away && !sink->in_flight)
		set_reachable(sink, NULL);
}

static void on_timer(void *arg)
{
	struct kafka_sink *sink = arg;
	struct kafka_record *record;
	/* Not those that are refused meanwhile: they have a turn of their own. */
	struct kafka_records now = TAILQ_HEAD_INITIALIZER(now);
	TAILQ_CONCAT(&now, &sink->refused, link);
	while ((record = TAILQ_FIRST(&now)))
		finish(sink, &now, record, -1, -1, record->refusal);
	if (sink->is_fatal && TAILQ_EMPTY(&sink->sent))
		close_sink(sink); /* the next record opens another */
	else if (sink->is_fatal)
		timer_arm(sink->timer, REOPEN_BACKOFF_US);
}

/* The request is sent and not waited for; librdkafka learns from the answer all the same. */
static void ask_for_topic(struct kafka_sink *sink, const char *name)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_topic_t *topic = rd_kafka_topic_new(sink->rk, name, NULL);
	if (!topic)
		return;
	if (rd_kafka_metadata(sink->rk, 0, topic, &metadata, 0) == RD_KAFKA_RESP_ERR_NO_ERROR)
		rd_kafka_metadata_destroy(metadata);
	rd_kafka_topic_destroy(topic);
}

/*
 * The first record of a topic would wait up to two seconds in librdkafka 2.0.2:
 * where the topic lives is asked for once a second, and the broker's thread
 * sleeps through the arrival of its first messages (a flush wakes it).
 */
static void on_nudge(void *arg)
{
	struct kafka_sink *sink = arg;
	if (!sink->in_flight || !sink->rk) {
		sink->nudge_us = NUDGE_MIN_US;
		return;
	}
	if (sink->nudge_us == NUDGE_MIN_US)
		ask_for_topic(sink, sink->topic);
	rd_kafka_flush(sink->rk, 0);
	sink->nudge_us = sink->nudge_us < NUDGE_MAX_US / 2 ? sink->nudge_us * 2 : NUDGE_MAX_US;
	timer_arm(sink->nudge, sink->nudge_us);
}

struct kafka_sink *kafka_sink_new(struct loop *loop, const struct kafka_sink_config *config,
                                  struct health_check *health)
{
	struct kafka_sink *sink = calloc(1, sizeof *sink);
	if (!sink)
		return NULL;
	sink->loop = loop;
	sink->config = config;
	sink->health = health;
	TAILQ_INIT(&sink->sent);
	TAILQ_INIT(&sink->refused);
	/* Nonblocking, or librdkafka's threads could hang in it. */
	sink->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	sink->timer = timer_new(loop, on_timer, sink);
	sink->nudge = timer_new(loop, on_nudge, sink);
	sink->nudge_us = NUDGE_MIN_US;
	if (sink->wake < 0 || !sink->timer || !sink->nudge)
		goto fail;
	sink->event = event_new(loop_base(loop), sink->wake, EV_READ | EV_PERSIST, on_wake, sink);
	if (!sink->event || event_add(sink->event, NULL))
		goto fail;
	if (health)
		health_ok(health);
	return sink;
fail:
	kafka_sink_free(sink);
	return NULL;
}

/* Lets librdkafka hand back what it has: a record may not be freed under its threads. */
static void purge(struct kafka_sink *sink)
{
	if (!sink->rk || TAILQ_EMPTY(&sink->sent))
		return;
	rd_kafka_purge(sink->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	int64_t until = loop_now(sink->loop) + PURGE_WAIT_MS * INT64_C(1000);
	while (!TAILQ_EMPTY(&sink->sent) && loop_now(sink->loop) < until) {
		rd_kafka_event_t *event = rd_kafka_queue_poll(sink->queue, 100);
		if (event && rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
			on_reports(sink, event);
		rd_kafka_event_destroy(event);
	}
}

void kafka_sink_free(struct kafka_sink *sink)
{
	if (!sink)
		return;
	struct kafka_record *record;
	purge(sink);
	close_sink(sink);
	while ((record = TAILQ_FIRST(&sink->sent)))
		finish(sink, &sink->sent, record, -1, -1, "cqrsd is stopping");
	while ((record = TAILQ_FIRST(&sink->refused)))
		finish(sink, &sink->refused, record, -1, -1, record->refusal);
	if (sink->event)
		event_free(sink->event);
	timer_free(sink->timer);
	timer_free(sink->nudge);
	if (sink->wake >= 0)
		close(sink->wake);
	free(sink);
}

static void arm_nudge(struct kafka_sink *sink, const char *topic)
{
	if (timer_is_armed(sink->nudge))
		return;
	snprintf(sink->topic, sizeof sink->topic, "%s", topic);
	timer_arm(sink->nudge, sink->nudge_us);
}

static size_t record_size(const struct kafka_record *record)
{
	size_t size = RECORD_OVERHEAD + record->key_len + record->value_len;
	for (size_t i = 0; i < record->n_headers; i++)
		size += 32 + strlen(record->headers[i].name) + record->headers[i].value_len;
	return size;
}

static rd_kafka_resp_err_t produce(struct kafka_sink *sink, struct kafka_record *record)
{
	rd_kafka_headers_t *headers =
	    record->n_headers ? rd_kafka_headers_new(record->n_headers) : NULL;
	for (size_t i = 0; i < record->n_headers; i++)
		rd_kafka_header_add(headers, record->headers[i].name, -1, record->headers[i].value,
		                    (ssize_t)record->headers[i].value_len);
	rd_kafka_resp_err_t err = rd_kafka_producev(
	    sink->rk, RD_KAFKA_V_TOPIC(record->topic), RD_KAFKA_V_PARTITION(record->partition),
	    RD_KAFKA_V_KEY(record->key, record->key_len),
	    RD_KAFKA_V_VALUE((void *)(uintptr_t)record->value, record->value_len),
	    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_HEADERS(headers),
	    RD_KAFKA_V_OPAQUE(record), RD_KAFKA_V_END);
	/* The message owns them when it was taken, and only then. */
	if (err && headers)
		rd_kafka_headers_destroy(headers);
	return err;
}

bool kafka_sink_send(struct kafka_sink *sink, struct kafka_record *record)
{
	record->size = record_size(record);
	if (sink->is_fatal ||
	    (sink->in_flight && sink->bytes + record->size > (size_t)sink->config->queue_bytes))
		return false;
	if (!sink->rk && !open_sink(sink))
		return false;
	rd_kafka_resp_err_t err = produce(sink, record);
	if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL || err == RD_KAFKA_RESP_ERR__FATAL)
		return false;
	sink->bytes += record->size;
	sink->in_flight++;
	if (!err) {
		TAILQ_INSERT_TAIL(&sink->sent, record, link);
		arm_nudge(sink, record->topic);
		return true;
	}
	record->refusal = rd_kafka_err2str(err);
	TAILQ_INSERT_TAIL(&sink->refused, record, link);
	timer_arm(sink->timer, 0);
	return true;
}

int kafka_sink_in_flight(const struct kafka_sink *sink)
{
	return sink->in_flight;
}
