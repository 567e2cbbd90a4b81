/* SPDX-License-Identifier: MIT */
/* Records to Kafka and messages from it, against an embedded broker in a process of its own. */
#include "injection.h"

#include "broker.h"
#include "kafka_sink.h"
#include "kafka_source.h"
#include "turn.h"

#include <string.h>

#define N_SENT     3
#define N_MESSAGES 6 /* in "read": those of two rounds */

/* ---- to Kafka ---- */

struct sending {
	struct loop *loop;
	struct kafka_sink *sink;
	struct sent {
		struct kafka_record record;
		int calls;
		bool is_stored;
	} sent[N_SENT];
};

static void on_sent(struct kafka_record *record, int32_t partition, int64_t offset,
                    const char *error)
{
	struct sent *sent = (struct sent *)record;
	MUST(error || (partition >= 0 && offset >= 0));
	sent->calls++;
	sent->is_stored = !error;
}

static bool all_sent(void *arg)
{
	struct sending *s = arg;
	for (int i = 0; i < N_SENT; i++)
		if (!s->sent[i].calls)
			return false;
	return true;
}

/* Whether all are stored. */
static bool send_all(struct sending *s, const char *topic)
{
	static const struct cqrs_header header = {"h", "1", 1};
	bool ok = true;
	for (int i = 0; i < N_SENT; i++) {
		s->sent[i] = (struct sent){.record = {.topic = topic,
		                                      .key = "key",
		                                      .key_len = 3,
		                                      .value = "value",
		                                      .value_len = 5,
		                                      .headers = &header,
		                                      .n_headers = 1,
		                                      .done = on_sent}};
		if (!kafka_sink_send(s->sink, &s->sent[i].record))
			s->sent[i].calls = 1;
	}
	must_happen(s->loop, all_sent, s);
	for (int i = 0; i < N_SENT; i++) {
		MUST(s->sent[i].calls == 1);
		ok &= s->sent[i].is_stored;
	}
	MUST(kafka_sink_in_flight(s->sink) == 0);
	return ok;
}

static bool send_to(const char *topic)
{
	static const struct cqrs_option_pair properties[] = {{"client.id", "injection"},
	                                                     {NULL, NULL}};
	static const struct kafka_sink_config config = {
	    .brokers = brokers, .queue_bytes = 1 << 20, .properties = properties};
	struct sending s = {.loop = loop_new()};
	s.sink = s.loop ? kafka_sink_new(s.loop, &config, NULL) : NULL;
	bool ok = s.sink;
	if (ok) {
		ok = send_all(&s, topic);
		injection_end();
		MUST(send_all(&s, topic));
	}
	kafka_sink_free(s.sink);
	loop_free(s.loop);
	return ok;
}

static bool sends(void)
{
	return send_to("sent");
}

/* ---- from Kafka ---- */

struct reading {
	struct loop *loop;
	struct kafka_source *source;
	struct kafka_position positions[KAFKA_EMBEDDED_PARTITIONS];
	size_t n_assigned;
	bool is_fetching;
	int n_read;
	int64_t next[KAFKA_EMBEDDED_PARTITIONS];
	size_t n_headers;
};

/* What was not begun is begun by all_read(). */
static void fetch(struct reading *r)
{
	for (size_t i = 0; i < r->n_assigned; i++)
		r->positions[i].offset = r->next[r->positions[i].partition];
	r->is_fetching = kafka_source_start(r->source, r->positions, r->n_assigned);
}

static bool on_assigned(void *owner, const struct kafka_position *list, size_t n)
{
	struct reading *r = owner;
	MUST(n <= KAFKA_EMBEDDED_PARTITIONS);
	for (size_t i = 0; i < n; i++)
		r->positions[i] = list[i];
	r->n_assigned = n;
	fetch(r);
	return true;
}

static void on_revoked(void *owner, const char *lost)
{
	struct reading *r = owner;
	(void)lost;
	r->n_assigned = 0;
	kafka_source_release(r->source);
}

static void on_messages(void *owner, int lane)
{
	struct reading *r = owner;
	struct kafka_message message;
	struct cqrs_header *headers;
	size_t n;
	while (kafka_source_take(r->source, lane, &message, 1)) {
		const struct cqrs_message *m = &message.message;
		MUST(message.kind != KAFKA_LOST);
		if (message.kind == KAFKA_END)
			continue;
		MUST(m->offset == r->next[m->partition]++);
		MUST(m->value_len == 5 && memcmp(m->value, "value", 5) == 0);
		if (kafka_message_headers(&message, &headers, &n)) {
			r->n_headers += n;
			free(headers);
		}
		kafka_message_free(&message);
		r->n_read++;
	}
}

static void on_doubt(void *owner)
{
	(void)owner;
}

static void on_brokers(void *owner, const char *why_not)
{
	(void)owner;
	(void)why_not;
}

static bool all_read(void *arg)
{
	struct reading *r = arg;
	if (r->n_assigned && !r->is_fetching)
		fetch(r);
	return r->n_read == N_MESSAGES;
}

static bool begin_reading(struct reading *r)
{
	static const struct kafka_source_events events = {.on_assigned = on_assigned,
	                                                  .on_revoked = on_revoked,
	                                                  .on_messages = on_messages,
	                                                  .on_doubt = on_doubt,
	                                                  .on_brokers = on_brokers};
	static const char *const topics[] = {"read"};
	static char group[48];
	struct timespec now;
	static unsigned runs;
	static struct kafka_source_config config = {.brokers = brokers,
	                                            .group = group,
	                                            .topics = topics,
	                                            .n_topics = 1,
	                                            .lanes = 2,
	                                            .session_timeout_us = 6000000,
	                                            .queue_bytes = 4096}; /* soon full */
	/* A group of its own: nobody has to be waited for. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(group, sizeof group, "g%d-%u-%ld", (int)getpid(), runs++, now.tv_nsec);
	*r = (struct reading){.loop = loop_new()};
	r->source = r->loop ? kafka_source_new(r->loop, &config, &events, r) : NULL;
	return r->source && kafka_source_open(r->source);
}

static void end_reading(struct reading *r)
{
	kafka_source_free(r->source);
	loop_free(r->loop);
}

static bool opens(void)
{
	struct reading r;
	bool ok = begin_reading(&r);
	end_reading(&r);
	return ok;
}

static bool reads(void)
{
	struct reading r;
	bool ok = begin_reading(&r);
	if (ok)
		must_happen_after(r.loop, all_read, &r, JOINING_US);
	MUST(!ok || r.n_headers <= N_MESSAGES);
	end_reading(&r);
	return ok;
}

/* ---- the broker ---- */

static bool fill(void)
{
	return send_to("read");
}

static void start(void)
{
	static const char *const topics[] = {"sent", "read", NULL};
	broker_start(topics, fill);
}

static const struct injection_scenario scenarios[] = {
    {.name = "sends", .run = sends, .has_threads = true, .jobs = 4},
    {.name = "opens", .run = opens, .has_threads = true, .jobs = 4},
    {.name = "reads", .run = reads, .has_threads = true, .jobs = 8, .every = 9},
    {.name = NULL},
};

const struct injection injection = {
    .name = "kafka", .scenarios = scenarios, .start = start, .stop = broker_stop};
