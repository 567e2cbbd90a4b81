/* SPDX-License-Identifier: MIT */
/*
 * Where partitions begin and end: librdkafka 2.0 asks the brokers for offsets
 * only in calls that block, so that is done on a thread of its own.
 */
#include "kafka_source_internal.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ASK_MS 5000

/* One of two questions: where to start (`resolved`), or what there is (`ranged`). */
struct kafka_resolution {
	struct kafka_source *source;
	struct kafka_range *ranges;
	struct kafka_position *list; /* the answer to the first */
	size_t n;
	int64_t start_us;
	kafka_resolved_fn *resolved;
	kafka_ranges_fn *ranged;
	pthread_t thread;
	int fd;
	struct event *event;
	char error[256]; /* "": all are known */
};

static bool failed(struct kafka_resolution *r, rd_kafka_resp_err_t err)
{
	if (err)
		snprintf(r->error, sizeof r->error, "%s", rd_kafka_err2str(err));
	return err != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void ask_ranges(struct kafka_resolution *r)
{
	rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;
	for (size_t i = 0; i < r->n; i++) {
		struct kafka_range *range = &r->ranges[i];
		/* Who does not answer for one is not asked for the next. */
		if (err != RD_KAFKA_RESP_ERR__TIMED_OUT)
			err = rd_kafka_query_watermark_offsets(
			    r->source->rk, r->source->config->topics[range->position.topic],
			    range->position.partition, &range->first, &range->end, ASK_MS);
		if (failed(r, err))
			snprintf(range->error, sizeof range->error, "%s", rd_kafka_err2str(err));
	}
}

/* Who deletes a topic deletes what groups have told of it. */
static void ask_reported(struct kafka_resolution *r)
{
	rd_kafka_topic_partition_list_t *list = kafka_source_list(r->source, r->list, r->n);
	rd_kafka_resp_err_t err = rd_kafka_committed(r->source->rk, list, ASK_MS);
	for (size_t i = 0; i < r->n; i++) {
		struct kafka_range *range = &r->ranges[i];
		if (failed(r, err))
			snprintf(range->error, sizeof range->error, "%s", rd_kafka_err2str(err));
		range->reported = list->elems[i].offset >= 0;
	}
	rd_kafka_topic_partition_list_destroy(list);
}

/* All at once: each partition's leader is asked about all that it has of them. */
static void ask_starts(struct kafka_resolution *r)
{
	rd_kafka_topic_partition_list_t *list = kafka_source_list(r->source, r->list, r->n);
	for (int i = 0; i < list->cnt; i++)
		list->elems[i].offset = r->start_us < 0 ? r->start_us : r->start_us / 1000;
	rd_kafka_resp_err_t err = rd_kafka_offsets_for_times(r->source->rk, list, ASK_MS);
	for (size_t i = 0; !err && i < r->n; i++) {
		err = list->elems[i].err;
		r->list[i].offset = list->elems[i].offset;
		/* No message that late: it begins at the end. */
		if (!err && r->list[i].offset == RD_KAFKA_OFFSET_END) {
			int64_t low;
			err = rd_kafka_query_watermark_offsets(r->source->rk, list->elems[i].topic,
			                                       list->elems[i].partition, &low,
			                                       &r->list[i].offset, ASK_MS);
		}
	}
	failed(r, err);
	rd_kafka_topic_partition_list_destroy(list);
}

static void *ask(void *arg)
{
	struct kafka_resolution *r = arg;
	if (r->resolved) {
		ask_starts(r);
	} else {
		ask_ranges(r);
		ask_reported(r);
	}
	eventfd_write(r->fd, 1);
	return NULL;
}

static void on_asked(evutil_socket_t fd, short what, void *arg)
{
	struct kafka_resolution *r = arg;
	(void)fd;
	(void)what;
	/* The owner may ask again from inside done(). */
	r->source->resolution = NULL;
	if (r->resolved)
		r->resolved(r->source->owner, r->list, r->n, *r->error ? r->error : NULL);
	else
		r->ranged(r->source->owner, r->ranges, r->n);
	kafka_resolution_free(r);
}

bool kafka_resolution_is_over(const struct kafka_resolution *r, int64_t wait_us)
{
	struct pollfd answer = {.fd = r->fd, .events = POLLIN};
	return poll(&answer, 1, (int)(wait_us / 1000)) > 0;
}

void kafka_resolution_free(struct kafka_resolution *r)
{
	if (!r)
		return;
	if (r->event) {
		pthread_join(r->thread, NULL);
		event_free(r->event);
	}
	if (r->fd >= 0)
		close(r->fd);
	free(r->ranges);
	free(r->list);
	free(r);
}

static struct kafka_resolution *resolution_new(struct kafka_source *source,
                                               const struct kafka_position *list, size_t n)
{
	struct kafka_resolution *r = source->resolution ? NULL : calloc(1, sizeof *r);
	if (!r)
		return NULL;
	*r = (struct kafka_resolution){.source = source, .n = n};
	r->ranges = calloc(n + 1, sizeof *r->ranges);
	r->list = calloc(n + 1, sizeof *r->list);
	r->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!r->ranges || !r->list || r->fd < 0) {
		kafka_resolution_free(r);
		return NULL;
	}
	memcpy(r->list, list, n * sizeof *list);
	for (size_t i = 0; i < n; i++)
		r->ranges[i].position = list[i];
	return r;
}

static bool begin(struct kafka_resolution *r)
{
	r->event = event_new(loop_base(r->source->loop), r->fd, EV_READ, on_asked, r);
	if (r->event && !event_add(r->event, NULL) && !pthread_create(&r->thread, NULL, ask, r)) {
		r->source->resolution = r;
		return true;
	}
	if (r->event)
		event_free(r->event);
	r->event = NULL; /* there is no thread to wait for */
	kafka_resolution_free(r);
	return false;
}

bool kafka_source_resolve(struct kafka_source *source, const struct kafka_position *list, size_t n,
                          int64_t start_us, kafka_resolved_fn *done)
{
	struct kafka_resolution *r = resolution_new(source, list, n);
	if (!r)
		return false;
	r->start_us = start_us;
	r->resolved = done;
	return begin(r);
}

bool kafka_source_ask_ranges(struct kafka_source *source, const struct kafka_position *list,
                             size_t n, kafka_ranges_fn *done)
{
	struct kafka_resolution *r = resolution_new(source, list, n);
	if (!r)
		return false;
	r->ranged = done;
	return begin(r);
}
