/* SPDX-License-Identifier: MIT */
/* The relay from the outbox to Kafka: each event is sent, with its headers, and its row goes then.
 */
#include "injection.h"

#include "../unit/pg_server.h"
#include "broker.h"
#include "kafka_sink.h"
#include "outbox.h"
#include "schema.h"
#include "turn.h"

#include <string.h>

#define TOPIC "events"

struct relay {
	struct loop *loop;
	struct metrics *metrics;
	struct health *health;
	struct kafka_sink *sink;
	struct outbox *outbox;
	bool drained;
};

static bool begin(struct relay *r)
{
	static const struct kafka_sink_config config = {.brokers = brokers, .queue_bytes = 1 << 20};
	r->loop = loop_new();
	r->metrics = r->loop ? metrics_new() : NULL;
	r->health = r->metrics ? health_new(r->loop) : NULL;
	r->sink = r->health ? kafka_sink_new(r->loop, &config, NULL) : NULL;
	if (r->sink)
		r->outbox = outbox_new(r->loop, pg_server_dsn, 3000000, "cqrs.progress", r->sink,
		                       r->metrics, r->health);
	return r->outbox;
}

static void end(struct relay *r)
{
	outbox_free(r->outbox);
	kafka_sink_free(r->sink);
	health_free(r->health);
	metrics_free(r->metrics);
	loop_free(r->loop);
}

/* Asking takes a moment: not in each turn of the loop. */
static bool is_empty(void *arg)
{
	static unsigned turns;
	(void)arg;
	return ++turns % 64 == 0 && pg_server_number("SELECT count(*) FROM cqrs.outbox") == 0;
}

static void on_drained(void *arg)
{
	((struct relay *)arg)->drained = true;
}

static bool is_drained(void *arg)
{
	return ((struct relay *)arg)->drained;
}

static bool relays(void)
{
	struct relay r = {.loop = NULL};
	pg_server_exec("TRUNCATE cqrs.outbox");
	pg_server_exec("INSERT INTO cqrs.outbox (topic, key, headers, payload) VALUES"
	               " ('" TOPIC "', 'k', '{\"a\": \"a value that is not short\"}', 'one'),"
	               " ('" TOPIC "', 'k', NULL, 'two'), ('" TOPIC "', NULL, NULL, 'three')");
	bool ok = begin(&r);
	if (ok) {
		outbox_start(r.outbox, false);
		outbox_poke(r.outbox);
		must_happen(r.loop, is_empty, NULL);
		outbox_drain(r.outbox, on_drained, &r);
		must_happen(r.loop, is_drained, &r);
	}
	end(&r);
	return ok;
}

/* ---- the servers ---- */

static bool fill(void)
{
	return true;
}

static void start(void)
{
	static const char *const topics[] = {TOPIC, NULL};
	broker_start(topics, fill);
	pg_server_start("inject_outbox");
	pg_server_exec("CREATE SCHEMA cqrs");
	for (const struct schema_file *file = schema_files; file->number; file++)
		pg_server_exec(file->text);
}

static void stop(void)
{
	pg_server_stop();
	broker_stop();
}

static const struct injection_scenario scenarios[] = {
    {.name = "relays", .run = relays, .has_threads = true, .every = 13},
    {.name = NULL},
};

const struct injection injection = {
    .name = "outbox", .scenarios = scenarios, .start = start, .stop = stop};
