/* SPDX-License-Identifier: MIT */
/* Messages on loan from librdkafka: taken out of a lane, looked into, given back. */
#include "kafka_source_internal.h"

#include <stdlib.h>

#define TAKE_AT_ONCE 256

/* What is not a message, but has its place among them. */
static bool is_notice(const rd_kafka_message_t *m, enum kafka_kind *kind)
{
	switch (m->err) {
	case RD_KAFKA_RESP_ERR__PARTITION_EOF:
		*kind = KAFKA_END;
		return true;
	case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
	case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
		*kind = KAFKA_LOST;
		return true;
	default:
		return false;
	}
}

static void lend(struct kafka_message *out, rd_kafka_message_t *m, const char *name, int topic,
                 enum kafka_kind kind)
{
	rd_kafka_timestamp_type_t type;
	*out = (struct kafka_message){
	    .topic = topic,
	    .kind = kind,
	    .message = {.topic = name, .partition = m->partition, .offset = m->offset},
	};
	if (kind != KAFKA_MESSAGE)
		return;
	int64_t ms = rd_kafka_message_timestamp(m, &type);
	out->handle = m;
	out->message.timestamp_us = ms > 0 ? ms * 1000 : 0;
	out->message.key = m->key;
	out->message.key_len = m->key_len;
	out->message.value = m->payload;
	out->message.value_len = m->len;
}

int kafka_source_take(struct kafka_source *source, int lane, struct kafka_message *out, int max)
{
	rd_kafka_message_t *messages[TAKE_AT_ONCE];
	const rd_kafka_topic_t *last = NULL;
	int topic = -1, taken = 0;
	size_t bytes = 0;
	if (max > TAKE_AT_ONCE)
		max = TAKE_AT_ONCE;
	ssize_t n =
	    rd_kafka_consume_batch_queue(source->lanes[lane].queue, 0, messages, (size_t)max);
	for (ssize_t i = 0; i < n; i++) {
		rd_kafka_message_t *m = messages[i];
		bytes += m->len + KAFKA_MESSAGE_OVERHEAD;
		if (m->rkt != last) {
			last = m->rkt;
			topic =
			    m->rkt ? kafka_source_topic(source, rd_kafka_topic_name(m->rkt)) : -1;
		}
		enum kafka_kind kind = KAFKA_MESSAGE;
		bool known = topic >= 0 && (!m->err || is_notice(m, &kind));
		if (known)
			lend(&out[taken++], m, source->config->topics[topic], topic, kind);
		if (!known)
			kafka_source_report_error(m);
		if (!known || kind != KAFKA_MESSAGE)
			rd_kafka_message_destroy(m);
	}
	kafka_fetch_taken(&source->lanes[lane], bytes);
	/* After taking: what was fetched after a sign was taken after it. */
	kafka_source_tell_doubt(source);
	/* The poll timer comes back to it: at once would be again and again in the same turn. */
	source->lanes[lane].has_failed = n < 0;
	/* Only what nobody wants: there may be more behind it. */
	if (n > 0 && !taken)
		kafka_queue_wake(&source->lanes[lane]);
	return taken;
}

bool kafka_message_headers(const struct kafka_message *msg, struct cqrs_header **headers, size_t *n)
{
	rd_kafka_headers_t *list;
	*n = msg->message.n_headers;
	*headers = NULL;
	if (msg->handle)
		*n = rd_kafka_message_headers(msg->handle, &list) ? 0 : rd_kafka_header_cnt(list);
	if (!*n)
		return true;
	*headers = calloc(*n, sizeof **headers);
	for (size_t i = 0; *headers && i < *n; i++) {
		struct cqrs_header *out = &(*headers)[i];
		if (msg->handle)
			rd_kafka_header_get_all(list, i, &out->name, &out->value, &out->value_len);
		else
			*out = msg->message.headers[i];
	}
	return *headers;
}

void kafka_message_free(struct kafka_message *msg)
{
	if (msg->handle)
		rd_kafka_message_destroy(msg->handle);
	msg->handle = NULL;
}
