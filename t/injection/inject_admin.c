/* SPDX-License-Identifier: MIT */
/* The admin listener: what it tells is all of it or 503; what it changes happens once. */
#include "injection.h"

#include "../unit/pg_server.h"
#include "admin.h"
#include "admin_dead_letters.h"
#include "client.h"
#include "command_bus.h"
#include "process_metrics.h"
#include "schema.h"
#include "text.h"

#include <string.h>

struct system {
	struct loop *loop;
	struct metrics *metrics;
	struct health *health;
	struct process_metrics *process;
	struct admin *admin;
	struct command_bus_config bus_config;
	struct command_bus *bus;
	struct cqrs_table *table;
	struct dead_letters_config letters_config;
	struct admin_dead_letters *letters;
};

static struct client client;

/* ---- a module: what is not "bad" becomes a row ---- */

static const struct cqrs_column columns[] = {
    {.name = "pos", .type = CQRS_INT8}, {.name = "text", .type = CQRS_TEXT}, {.name = NULL}};
static const struct cqrs_table_def def = {"good", columns, CQRS_DUPLICATE_REFUSE};

static void handle(void *self, const struct cqrs_message *msg, struct cqrs_batch *batch)
{
	struct system *s = self;
	json_t *json = cqrs_message_json(batch, msg);
	const char *text = json_string_value(json_object_get(json, "text"));
	if (json && !text)
		cqrs_refuse(batch, "no text, but %zu headers", msg->n_headers);
	else if (json)
		cqrs_append(batch, s->table,
		            (struct cqrs_value[]){cqrs_int8(msg->offset), cqrs_text(text)});
	json_decref(json);
}

static const struct cqrs_command_module module = {.name = "good"};

static bool add_module(struct system *s)
{
	const char *error;
	struct cqrs_setup *setup = command_bus_setup(s->bus, &module);
	if (!setup)
		return false;
	s->table = cqrs_setup_table(setup, &def);
	cqrs_setup_topic(setup, "t", handle);
	return command_bus_add(s->bus, setup, s, &error);
}

/* ---- the system ---- */

static bool begin(struct system *s)
{
	*s = (struct system){.loop = loop_new()};
	s->metrics = s->loop ? metrics_new() : NULL;
	s->health = s->metrics ? health_new(s->loop) : NULL;
	s->process = s->health ? process_metrics_new(s->loop, s->metrics) : NULL;
	if (s->process)
		s->admin = admin_new(s->loop, "127.0.0.1:0", s->metrics, s->health, "1.2.3");
	/* A listener that does not know its own address says "?", and listens. */
	return s->admin && !strchr(admin_address(s->admin), '?');
}

static bool begin_bus(struct system *s)
{
	s->bus_config = (struct command_bus_config){.brokers = "127.0.0.1:1",
	                                            .group = "g",
	                                            .start = "earliest",
	                                            .dsn = pg_server_dsn,
	                                            .writers = 1,
	                                            .max_rows = 100,
	                                            .timeout_us = 5000000,
	                                            .memory = 16 << 20};
	s->bus = command_bus_new(s->loop, &s->bus_config, s->metrics, s->health);
	if (!s->bus || !add_module(s))
		return false;
	admin_status_add(s->admin, "kafka", command_bus_status, s->bus);
	return true;
}

static bool begin_letters(struct system *s)
{
	s->letters_config = (struct dead_letters_config){.dsn = pg_server_dsn,
	                                                 .group = "g",
	                                                 .timeout_us = 5000000,
	                                                 .patience_us = 20000000,
	                                                 .chunk_bytes = 1000,
	                                                 .bus = s->bus,
	                                                 .metrics = s->metrics};
	s->letters = admin_dead_letters_new(s->loop, s->admin, &s->letters_config);
	return s->letters;
}

static void end(struct system *s)
{
	admin_dead_letters_free(s->letters);
	if (s->bus)
		admin_status_remove(s->admin, "kafka");
	command_bus_stop(s->bus);
	command_bus_free(s->bus);
	admin_free(s->admin);
	process_metrics_free(s->process);
	health_free(s->health);
	metrics_free(s->metrics);
	loop_free(s->loop);
}

/* True: answered as expected; whoever is not is told that it is our fault. */
static bool ask(struct system *s, const char *line, const char *more, const char *expected)
{
	char request[1000];
	snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s", line,
	         *more ? more : "\r\n");
	bool ok = client_ask(&client, s->loop, admin_address(s->admin), request) &&
	          strstr(client.answer, expected);
	if (!ok)
		client_must_be_refused(&client);
	return ok;
}

static bool get(struct system *s, const char *line, const char *expected)
{
	return ask(s, line, "", expected);
}

static bool post(struct system *s, const char *path, const char *json, const char *expected)
{
	char line[100], more[500];
	snprintf(line, sizeof line, "POST %s", path);
	snprintf(more, sizeof more,
	         "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(json),
	         json);
	return ask(s, line, more, expected);
}

/* An answer of 200 is the same each time, but for its numbers. */
static bool get_same(struct system *s, const char *line, int which)
{
	if (!get(s, line, "HTTP/1.1 200 "))
		return false;
	char *body = client_body(&client);
	MUST(injection_is_same(which, body, text_without_numbers(body)));
	return true;
}

/* ---- what it tells ---- */

static bool look_around(struct system *s)
{
	bool ok = get(s, "GET /livez", "\"live\": true");
	ok &= get(s, "GET /readyz", "it is \\\"ill\\\"");
	ok &= get(s, "GET /metrics", "cqrsd_loop_delay_seconds");
	ok &= get_same(s, "GET /status", 0);
	ok &= get_same(s, "GET /version", 1);
	ok &= get(s, "GET /nothing", "There are /livez");
	ok &= get(s, "POST /livez", "HTTP/1.1 405");
	return ok;
}

static bool tells_how_it_is(void)
{
	struct system s;
	bool ok = begin(&s) && begin_bus(&s);
	struct health_check *check = ok ? health_add(s.health, "patient") : NULL;
	ok = check;
	if (ok) {
		health_fail(check, "it is \"ill\"");
		ok = look_around(&s);
		injection_end();
		MUST(look_around(&s) || !ok);
	}
	end(&s);
	return ok;
}

/* ---- dead letters ---- */

static const char reset[] =
    "TRUNCATE good, cqrs.dead_letters RESTART IDENTITY;"
    "INSERT INTO cqrs.dead_letters (consumer_group, topic, partition, \"offset\", part_index, key,"
    " headers, payload, reason, payload_is_whole, created_at) VALUES"
    " ('g', 't', 0, 1, NULL, 'k', '{\"h\": \"a header\"}', '{\"text\": \"one\"}', 'r', true, "
    "'2022-01-01'),"
    " ('g', 't', 0, 2, NULL, '\\xff', NULL, '{\"text\": \"two\"}', 'r', true, '2022-01-01'),"
    " ('g', 't', 0, 3, 3, NULL, '{\"h\": \"1\"}', '{}', 'r', true, '2022-01-01'),"
    " ('g', 'u', 0, 4, NULL, NULL, NULL, '{}', 'r', true, '2022-01-01'),"
    " ('g', 't', 0, 5, NULL, NULL, NULL, '{\"text\": \"a long text, and {one} in it\"}', 'r', true,"
    " '2022-01-01');"
    "UPDATE cqrs.dead_letters SET redrive_of = 1 WHERE id = 4";
static const char stand[] =
    "SELECT concat_ws(' | ', (SELECT string_agg(pos || ':' || text, ' ' ORDER BY pos) FROM good),"
    " (SELECT string_agg(concat_ws(',', \"offset\", resolution, reason), ' ' ORDER BY \"offset\","
    " resolution) FROM cqrs.dead_letters WHERE resolution IS NOT NULL),"
    " (SELECT string_agg(concat_ws(',', \"offset\", reason), ' ' ORDER BY \"offset\")"
    " FROM cqrs.dead_letters WHERE resolution IS NULL))";

static bool tells_of_dead_letters(void)
{
	struct system s;
	pg_server_exec(reset);
	bool ok = begin(&s) && begin_bus(&s) && begin_letters(&s);
	if (ok) {
		ok = get_same(&s, "GET /dead-letters?topic=t&limit=3", 0);
		ok &= get_same(&s, "GET /dead-letters/1", 1);
		ok &= get_same(&s, "GET /dead-letters/2", 2);
		ok &= get_same(&s, "GET /dead-letters/4", 3);
		ok &= get(&s, "GET /dead-letters/99", "HTTP/1.1 404");
		ok &= get(&s, "GET /dead-letters?topic=", "HTTP/1.1 400");
		ok &= post(&s, "/dead-letters/redrive", "{\"ids\": [1, 3], \"dry_run\": true}",
		           "\"redriven\": 1");
		ok &= post(&s, "/dead-letters/redrive", "{\"ids\": []}", "HTTP/1.1 400");
		injection_end();
		MUST(get_same(&s, "GET /dead-letters/1", 1));
	}
	end(&s);
	return ok;
}

static void must_stand(const char *expected)
{
	char *is = pg_server_query(stand);
	if (!is || strcmp(is, expected) != 0)
		fprintf(stderr, "is:  %s\nnot: %s\n", is, expected);
	MUST(is && strcmp(is, expected) == 0);
	free(is);
}

/* Whatever became of it while calls failed, in the end each letter was redriven once. */
static bool changes_dead_letters(void)
{
	struct system s;
	pg_server_exec(reset);
	bool ok = begin(&s) && begin_bus(&s) && begin_letters(&s);
	if (ok) {
		ok = post(&s, "/dead-letters/discard", "{\"topic\": \"u\"}", "\"discarded\": 1");
		ok &= post(&s, "/dead-letters/redrive", "{\"before\": 6, \"by\": \"me\"}",
		           "\"redriven\": 3");
		injection_end();
		MUST(post(&s, "/dead-letters/discard", "{\"topic\": \"u\"}", "HTTP/1.1 200"));
		MUST(post(&s, "/dead-letters/redrive", "{\"before\": 6}", "HTTP/1.1 200"));
		must_stand("1:one 2:two 5:a long text, and {one} in it | 1,redriven,r "
		           "2,redriven,r 3,redriven,r 4,discarded,r 5,redriven,r | "
		           "3,no text, but 1 headers");
	}
	end(&s);
	return ok;
}

/* ---- the server ---- */

static void start(void)
{
	pg_server_start("inject_admin");
	pg_server_exec("CREATE SCHEMA cqrs; CREATE TABLE good (pos bigint, text text)");
	for (const struct schema_file *file = schema_files; file->number; file++)
		pg_server_exec(file->text);
}

static const struct injection_scenario scenarios[] = {
    {.name = "tells how it is", .run = tells_how_it_is, .jobs = 4, .every = 5},
    {.name = "tells of dead letters", .run = tells_of_dead_letters, .every = 29},
    {.name = "changes dead letters", .run = changes_dead_letters, .every = 19},
    {.name = NULL},
};

const struct injection injection = {
    .name = "admin", .scenarios = scenarios, .start = start, .stop = pg_server_stop};
