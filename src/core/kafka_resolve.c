/* SPDX-License-Identifier: MIT */
/*
 * Where partitions begin: librdkafka 2.0 asks the brokers for offsets only in
 * calls that block, so that is done on a thread of its own.
 */
#include "kafka_source_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ASK_MS 5000

struct kafka_resolution {
	struct kafka_source *source;
	struct kafka_position *list;
	size_t n;
	int64_t start_us;
	kafka_resolved_fn *done;
	pthread_t thread;
	int fd;
	struct event *event;
	char error[256]; /* "": all are known */
};

static bool failed(struct kafka_resolution *r, rd_kafka_resp_err_t err)
{
	if (err)
		strncpy(r->error, rd_kafka_err2str(err), sizeof r->error - 1);
	return err != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void ask_ends(struct kafka_resolution *r)
{
	for (size_t i = 0; i < r->n; i++) {
		int64_t low, high;
		rd_kafka_resp_err_t err = rd_kafka_query_watermark_offsets(
		    r->source->rk, r->source->config->topics[r->list[i].topic],
		    r->list[i].partition, &low, &high, ASK_MS);
		if (failed(r, err))
			return;
		r->list[i].offset = r->start_us == KAFKA_OFFSET_EARLIEST ? low : high;
	}
}

static void ask_times(struct kafka_resolution *r)
{
	rd_kafka_topic_partition_list_t *list = kafka_source_list(r->source, r->list, r->n);
	for (int i = 0; i < list->cnt; i++)
		list->elems[i].offset = r->start_us / 1000;
	rd_kafka_resp_err_t err = rd_kafka_offsets_for_times(r->source->rk, list, ASK_MS);
	for (size_t i = 0; !failed(r, err) && i < r->n; i++) {
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
	rd_kafka_topic_partition_list_destroy(list);
}

static void *ask(void *arg)
{
	struct kafka_resolution *r = arg;
	if (r->start_us < 0)
		ask_ends(r);
	else
		ask_times(r);
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
	r->done(r->source->owner, r->list, r->n, *r->error ? r->error : NULL);
	kafka_resolution_free(r);
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
	free(r->list);
	free(r);
}

bool kafka_source_resolve(struct kafka_source *source, const struct kafka_position *list, size_t n,
                          int64_t start_us, kafka_resolved_fn *done)
{
	struct kafka_resolution *r = source->resolution ? NULL : calloc(1, sizeof *r);
	if (!r)
		return false;
	*r =
	    (struct kafka_resolution){.source = source, .n = n, .start_us = start_us, .done = done};
	r->list = calloc(n + 1, sizeof *r->list);
	r->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!r->list || r->fd < 0)
		goto fail;
	memcpy(r->list, list, n * sizeof *list);
	r->event = event_new(loop_base(source->loop), r->fd, EV_READ, on_asked, r);
	if (!r->event || event_add(r->event, NULL))
		goto fail;
	if (pthread_create(&r->thread, NULL, ask, r)) {
		event_free(r->event);
		r->event = NULL;
		goto fail;
	}
	source->resolution = r;
	return true;
fail:
	kafka_resolution_free(r);
	return false;
}
