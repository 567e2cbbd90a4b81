/* SPDX-License-Identifier: MIT */
/* The write path as a whole: what Kafka has is in PostgreSQL once, whichever call fails. */
#include "injection.h"

#include "../unit/pg_server.h"
#include "broker.h"
#include "command_bus_internal.h"
#include "kafka_sink.h"
#include "schema.h"
#include "turn.h"

#include <jansson.h>
#include <string.h>

#define TOPIC "notes"

/* ---- what is in Kafka ---- */

static const struct {
	int32_t partition;
	const char *key, *value;
} messages[] = {{0, NULL, "a"}, {0, NULL, "bad"}, {1, "key", "c"}, {2, NULL, "d"}};

#define N_MESSAGES ((int)(sizeof messages / sizeof *messages))

static int n_sent;

static void on_sent(struct kafka_record *record, int32_t partition, int64_t offset,
                    const char *error)
{
	(void)record;
	(void)partition;
	(void)offset;
	MUST(!error);
	n_sent++;
}

static bool all_sent(void *arg)
{
	(void)arg;
	return n_sent == N_MESSAGES;
}

static bool fill(void)
{
	static const struct kafka_sink_config config = {.brokers = brokers, .queue_bytes = 1 << 20};
	static const struct cqrs_header header = {"h", "1", 1};
	static struct kafka_record records[N_MESSAGES];
	struct loop *loop = loop_new();
	struct kafka_sink *sink = kafka_sink_new(loop, &config, NULL);
	for (int i = 0; i < N_MESSAGES; i++) {
		records[i] = (struct kafka_record){.topic = TOPIC,
		                                   .partition = messages[i].partition,
		                                   .key = messages[i].key,
		                                   .key_len = messages[i].key ? 3 : 0,
		                                   .value = messages[i].value,
		                                   .value_len = strlen(messages[i].value),
		                                   .headers = &header,
		                                   .n_headers = 1,
		                                   .done = on_sent};
		MUST(kafka_sink_send(sink, &records[i]));
	}
	MUST(turn_until(loop, all_sent, NULL, PATIENCE_US));
	kafka_sink_free(sink);
	loop_free(loop);
	return true;
}

/* ---- a module: what is not "bad" becomes a row ---- */

static const struct cqrs_column columns[] = {{.name = "grp", .type = CQRS_TEXT},
                                             {.name = "part", .type = CQRS_INT4},
                                             {.name = "pos", .type = CQRS_INT8},
                                             {.name = "text", .type = CQRS_TEXT},
                                             {.name = NULL}};
static const struct cqrs_table_def def = {"note", columns, CQRS_DUPLICATE_REFUSE};
static const enum cqrs_type one_text[] = {CQRS_TEXT};

struct note {
	const char *group; /* what it writes says so, for several members are at work */
	struct cqrs_table *table;
	struct cqrs_statement *visit;
};

static void handle(void *arg, const struct cqrs_message *msg, struct cqrs_batch *batch)
{
	struct note *note = arg;
	const struct cqrs_value group = cqrs_text(note->group);
	if (msg->value_len == 3 && !memcmp(msg->value, "bad", 3))
		cqrs_refuse(batch, "bad, with %zu headers", msg->n_headers);
	else
		cqrs_append(
		    batch, note->table,
		    (struct cqrs_value[]){group, cqrs_int4(msg->partition), cqrs_int8(msg->offset),
		                          cqrs_bytes(CQRS_TEXT, msg->value, msg->value_len)});
	if (msg->partition == 2)
		cqrs_execute(batch, note->visit, &group, 1, "was not there");
	if (msg->key)
		cqrs_publish(batch, "events", note->group, "{}");
}

static void dropped(void *arg)
{
	(void)arg;
}

static const struct cqrs_command_module module = {.name = "note", .dropped = dropped};

/* ---- a member ---- */

struct member {
	struct loop *loop;
	struct metrics *metrics;
	struct health *health;
	struct command_bus_config config;
	struct command_bus *bus;
	struct note note;
	char group[48];
	bool drained;
};

static bool declare(struct member *m)
{
	const char *error;
	struct cqrs_setup *setup = command_bus_setup(m->bus, &module);
	if (!setup)
		return false;
	m->note.table = cqrs_setup_table(setup, &def);
	m->note.visit =
	    cqrs_setup_statement(setup, "UPDATE visits SET n = n + 1 WHERE grp = $1", one_text, 1);
	cqrs_setup_periodic(setup, 3600000000, "SELECT 1");
	cqrs_setup_topic(setup, TOPIC, handle);
	bool ok = command_bus_add(m->bus, setup, &m->note, &error);
	MUST(ok || *error);
	return ok;
}

static bool begin(struct member *m, enum gap_policy on_gap)
{
	m->config = (struct command_bus_config){.brokers = brokers,
	                                        .group = m->group,
	                                        .start = "earliest",
	                                        .on_gap = on_gap,
	                                        .session_timeout_us = 6000000,
	                                        .dsn = pg_server_dsn,
	                                        .writers = 2,
	                                        .max_rows = 100,
	                                        .max_delay_us = 20000,
	                                        .timeout_us = 5000000,
	                                        .memory = 16777216};
	m->loop = loop_new();
	m->metrics = m->loop ? metrics_new() : NULL;
	m->health = m->metrics ? health_new(m->loop) : NULL;
	if (m->health)
		m->bus = command_bus_new(m->loop, &m->config, m->metrics, m->health);
	return m->bus && declare(m) && command_bus_start(m->bus);
}

static void end(struct member *m)
{
	command_bus_stop(m->bus);
	command_bus_free(m->bus);
	health_free(m->health);
	metrics_free(m->metrics);
	loop_free(m->loop);
}

/* Each partition is where it should be, Kafka was told, and nothing is on its way. */
static bool is_done(void *arg)
{
	static const int64_t ends[] = {2, 1, 1, 0};
	struct member *m = arg;
	if (!m->bus->started || m->bus->n_partitions != 4 || !writers_are_idle(m->bus))
		return false;
	for (size_t i = 0; i < 4; i++) {
		const struct partition *p = &m->bus->partitions[i];
		if (p->state != PARTITION_HALTED &&
		    (p->state != PARTITION_ACTIVE ||
		     p->position.offset != ends[p->position.partition]))
			return false;
		if (p->state == PARTITION_ACTIVE && p->is_proven &&
		    p->reported != p->position.offset)
			return false;
	}
	return true;
}

static void on_drained(void *arg)
{
	((struct member *)arg)->drained = true;
}

static bool is_drained(void *arg)
{
	return ((struct member *)arg)->drained;
}

/* How it is doing is told as a whole, or not at all. */
static bool tell(struct member *m)
{
	struct buf text = BUF_INIT;
	json_t *status = command_bus_status(m->bus);
	metrics_write(m->metrics, &text);
	bool ok = status && !text.failed;
	MUST(!status || json_array_size(json_object_get(status, "partitions")) == 4);
	MUST(!status || json_array_size(json_object_get(status, "writers")) == 2);
	MUST(!status || json_array_size(json_object_get(status, "modules")) == 1);
	json_decref(status);
	buf_release(&text);
	return ok;
}

static bool work(struct member *m, enum gap_policy on_gap)
{
	bool ok = begin(m, on_gap);
	if (ok) {
		must_happen_after(m->loop, is_done, m, JOINING_US);
		ok = tell(m);
		injection_end();
		MUST(tell(m));
		command_bus_drain(m->bus, on_drained, m);
		MUST(turn_until(m->loop, is_drained, m, PATIENCE_US));
	}
	end(m);
	return ok;
}

/* ---- scenarios ---- */

static const char ddl[] =
    "CREATE TABLE note (grp text, part int, pos bigint, text text);"
    "CREATE TABLE visits (grp text, n int);"
    "CREATE FUNCTION stand(g text) RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' | ',"
    " (SELECT string_agg(concat_ws(':', part, pos, text), ' ' ORDER BY part, pos)"
    " FROM note WHERE grp = g),"
    " (SELECT n FROM visits WHERE grp = g),"
    " (SELECT count(*) FROM cqrs.outbox WHERE key = convert_to(g, 'UTF8')),"
    " (SELECT string_agg(concat_ws(':', partition, \"offset\", reason), ' ')"
    " FROM cqrs.dead_letters WHERE consumer_group = g),"
    " (SELECT string_agg(concat_ws(':', partition, next_offset), ' ' ORDER BY partition)"
    " FROM cqrs.offsets WHERE consumer_group = g),"
    " (SELECT count(*) FROM cqrs.gaps WHERE consumer_group = g)) $$;";

static void must_stand(const struct member *m, const char *expected)
{
	char sql[100];
	snprintf(sql, sizeof sql, "SELECT stand('%s')", m->group);
	char *is = pg_server_query(sql);
	if (!is || strcmp(is, expected) != 0)
		fprintf(stderr, "is:  %s\nnot: %s\n", is, expected);
	MUST(is && strcmp(is, expected) == 0);
	free(is);
}

/* Each run has a group of its own: nobody has to be waited for. */
static bool run(enum gap_policy on_gap, bool has_gap, const char *expected)
{
	static unsigned runs;
	struct member m = {.note.group = m.group};
	char sql[200];
	struct timespec now;
	/* Numbers of processes come again. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(m.group, sizeof m.group, "g%d-%u-%ld", (int)getpid(), runs++, now.tv_nsec);
	snprintf(sql, sizeof sql, "INSERT INTO visits VALUES ('%s', 0)", m.group);
	pg_server_exec(sql);
	snprintf(sql, sizeof sql, "INSERT INTO cqrs.offsets VALUES ('%s', '" TOPIC "', 0, 1000)",
	         m.group);
	if (has_gap)
		pg_server_exec(sql);
	bool ok = work(&m, on_gap);
	if (m.drained)
		must_stand(&m, expected);
	return ok;
}

static bool reads_and_stores(void)
{
	return run(GAP_HALT, false,
	           "0:0:a 1:0:c 2:0:d | 1 | 1 | 0:1:bad, with 1 headers | 0:2 1:1 2:1 3:0 | 0");
}

static bool halts_at_a_gap(void)
{
	return run(GAP_HALT, true, "1:0:c 2:0:d | 1 | 1 | 0:1000 1:1 2:1 3:0 | 1");
}

static bool goes_on_behind_a_gap(void)
{
	return run(GAP_CONTINUE, true,
	           "0:0:a 1:0:c 2:0:d | 1 | 1 | 0:1:bad, with 1 headers | 0:2 1:1 2:1 3:0 | 1");
}

/* ---- the servers ---- */

static void start(void)
{
	static const char *const topics[] = {TOPIC, NULL};
	broker_start(topics, fill);
	pg_server_start("inject_bus");
	pg_server_exec("CREATE SCHEMA cqrs");
	for (const struct schema_file *file = schema_files; file->number; file++)
		pg_server_exec(file->text);
	pg_server_exec(ddl);
}

static void stop(void)
{
	pg_server_stop();
	broker_stop();
}

static const struct injection_scenario scenarios[] = {
    {.name = "reads and stores",
     .run = reads_and_stores,
     .has_threads = true,
     .jobs = 8,
     .every = 31},
    {.name = "halts at a gap", .run = halts_at_a_gap, .has_threads = true, .jobs = 8, .every = 61},
    {.name = "goes on behind a gap",
     .run = goes_on_behind_a_gap,
     .has_threads = true,
     .jobs = 8,
     .every = 61},
    {.name = NULL},
};

const struct injection injection = {
    .name = "bus", .scenarios = scenarios, .start = start, .stop = stop};
