/* SPDX-License-Identifier: MIT */
/* Commands over HTTP as a whole: an answer that is no 503 is the right one, and then all is well.
 */
#include "injection.h"

#include "../../src/modules/sensor/sensor_http.h"
#include "../unit/pg_server.h"
#include "api.h"
#include "broker.h"
#include "client.h"
#include "command_http.h"
#include "http_server.h"
#include "schema.h"

#include <string.h>

#define TOPIC      "things"
#define TIMEOUT_US 3000000
#define TRIES      30 /* until all that was lost is connected again */

/* ---- a module ---- */

static void accept_thing(void *self, const struct cqrs_request *req, struct cqrs_forward *out)
{
	char location[100];
	json_t *body = cqrs_request_json(req, out);
	(void)self;
	if (!body)
		return;
	snprintf(location, sizeof location, "/things/%s", cqrs_request_id(req));
	cqrs_forward_json(out, TOPIC, "k", 1, body);
	cqrs_forward_header(out, "command", "create");
	cqrs_forward_answer(out, location, "{\"made\": 1}");
	json_decref(body);
}

static void handle(void *self, const struct cqrs_message *msg, struct cqrs_batch *batch)
{
	(void)self;
	(void)msg;
	(void)batch;
}

static const struct cqrs_command_route route = {
    .method = "POST", .path = "/things", .summary = "s", .status = 201, .accept = accept_thing};
static const struct cqrs_command_module module = {.abi = CQRS_ABI, .name = "things"};

/* ---- the service ---- */

struct service {
	struct loop *loop;
	struct metrics *metrics;
	struct health *health;
	struct command_bus *bus;
	struct command_http *commands;
	struct api *api;
	struct http_server *server;
	const char *address;
};

static struct client client;

static bool add_routes(struct service *s)
{
	static struct sensor_http self = {.readings = TOPIC, .sensors = TOPIC};
	const char *error;
	struct buf errors = BUF_INIT;
	struct cqrs_setup *setup = command_bus_setup(s->bus, &module);
	if (!setup)
		return false;
	cqrs_setup_topic(setup, TOPIC, handle);
	cqrs_setup_route(setup, &route);
	sensor_http_setup(setup);
	bool ok = command_bus_add(s->bus, setup, &self, &error) &&
	          command_http_add_routes(s->commands, s->bus, api_routes(s->api), &errors);
	buf_release(&errors);
	return ok;
}

static bool begin(struct service *s)
{
	static const struct command_bus_config bus = {.brokers = "",
	                                              .group = "g",
	                                              .start = "earliest",
	                                              .dsn = "",
	                                              .writers = 1,
	                                              .memory = 16777216};
	static struct command_http_config config = {.brokers = brokers,
	                                            .dsn = pg_server_dsn,
	                                            .network_timeout_us = TIMEOUT_US,
	                                            .timeout_us = TIMEOUT_US,
	                                            .max_wait_us = TIMEOUT_US,
	                                            .memory = 16777216};
	static const struct http_server_config http = {.name = "http",
	                                               .listen = "127.0.0.1:0",
	                                               .header_timeout_us = 20000000,
	                                               .body_timeout_us = 20000000,
	                                               .idle_timeout_us = 20000000,
	                                               .write_timeout_us = 20000000,
	                                               .max_body = 65536,
	                                               .max_connections = 10};
	*s = (struct service){.loop = loop_new()};
	s->metrics = s->loop ? metrics_new() : NULL;
	s->health = s->metrics ? health_new(s->loop) : NULL;
	s->bus = s->health ? command_bus_new(s->loop, &bus, s->metrics, s->health) : NULL;
	s->commands = s->bus ? command_http_new(s->loop, &config, s->metrics, s->health) : NULL;
	s->api = s->commands ? api_new() : NULL;
	if (!s->api || !add_routes(s))
		return false;
	s->server = http_server_new(s->loop, &http, s->metrics, api_handle, s->api);
	if (s->server)
		s->address = http_server_address(s->server);
	/* A listener that does not know its own address says "?", and listens. */
	return s->server && !strchr(s->address, '?');
}

static void end(struct service *s)
{
	http_server_free(s->server);
	command_http_free(s->commands);
	api_free(s->api);
	command_bus_free(s->bus);
	health_free(s->health);
	metrics_free(s->metrics);
	loop_free(s->loop);
}

/* ---- requests ---- */

/*
 * Whether the answer has this status and this in it; otherwise it is our fault.  There may be no
 * memory for what a refusal says.
 */
static bool expect(struct service *s, const char *request, const char *status, const char *text)
{
	if (client_ask(&client, s->loop, s->address, request) &&
	    !strncmp(client.answer + strlen("HTTP/1.1 "), status, 3)) {
		MUST(strstr(client.answer, text) ||
		     (*status == '4' && strstr(client.answer, "\nContent-Length: 0\r")));
		return true;
	}
	client_must_be_refused(&client);
	return false;
}

static bool expect_send(struct service *s, const char *to, const char *headers, const char *body,
                        const char *status, const char *text)
{
	char request[600];
	snprintf(request, sizeof request,
	         "%s HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
	         "Content-Length: %zu\r\n%s\r\n%s",
	         to, strlen(body), headers, body);
	return expect(s, request, status, text);
}

static bool expect_post(struct service *s, const char *headers, const char *body,
                        const char *status, const char *text)
{
	return expect_send(s, "POST /api/v1/things", headers, body, status, text);
}

/* Somebody else has applied it. */
static void apply(const char *id)
{
	char sql[300];
	snprintf(sql, sizeof sql,
	         "INSERT INTO cqrs.outcomes VALUES ('%s', '" TOPIC "', 0, 1, 200, NULL, "
	         "'{\"a\": 1}') ON CONFLICT DO NOTHING; NOTIFY cqrs_outcomes",
	         id);
	pg_server_exec(sql);
}

static bool are_all_right(struct service *s)
{
	static unsigned number;
	char key[100], wait[140], request[200], id[37];
	snprintf(key, sizeof key, "Idempotency-Key: \"%d-%u\"\r\n", (int)getpid(), number++);
	snprintf(wait, sizeof wait, "%sPrefer: wait=3\r\n", key);
	if (!expect_post(s, "Prefer: respond-async\r\n", "{}", "202", "/api/v1/commands/") ||
	    !expect_post(s, key, "{\"n\": 1}", "201", "Command-Id: "))
		return false;
	snprintf(id, sizeof id, "%s", strstr(client.answer, "Command-Id: ") + 12);
	apply(id);
	snprintf(request, sizeof request, "GET /api/v1/commands/%s HTTP/1.1\r\nHost: h\r\n\r\n",
	         id);
	return expect_send(s, "PUT /api/v1/sensors/7", "", "{\"type\": \"a\"}", "200",
	                   "Consistency-Token: ") &&
	       expect_post(s, wait, "{\"n\": 1}", "201", "{\"a\": 1}") &&
	       expect_post(s, key, "{\"n\": 2}", "422", "idempotency_key_reused") &&
	       expect(s, request, "200", "\"state\":\"applied\"");
}

static bool is_over(void *arg)
{
	(void)arg;
	return false;
}

static bool takes_commands(void)
{
	struct service s;
	bool ok = begin(&s);
	if (ok) {
		ok = are_all_right(&s);
		injection_end();
		int tries = 0;
		while (!are_all_right(&s)) {
			MUST(++tries < TRIES);
			turn_until(s.loop, is_over, NULL, 500000);
		}
	}
	end(&s);
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
	pg_server_start("inject_command_http");
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
    {.name = "takes commands", .run = takes_commands, .has_threads = true, .jobs = 4, .every = 13},
    {.name = NULL},
};

const struct injection injection = {
    .name = "command_http", .scenarios = scenarios, .start = start, .stop = stop};
