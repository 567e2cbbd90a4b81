/* SPDX-License-Identifier: MIT */
/* What happens once, when the daemon starts: it gives up and says why, or starts as it should. */
#include "injection.h"

#include "api.h"
#include "config.h"
#include "health.h"
#include "loop.h"
#include "metrics.h"
#include "module.h"
#include "pg_pool.h"
#include "query_bus.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static char good[] = "/tmp/cqrsd-inject-XXXXXX", bad[] = "/tmp/cqrsd-inject-XXXXXX";

static void write_file(char *path, const char *text)
{
	int fd = mkstemp(path);
	MUST(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void start(void)
{
	setenv("INJECTED", "earliest", 1);
	write_file(good, "memory: 64MiB\n"
	                 "kafka:\n"
	                 "  brokers: embedded\n"
	                 "  start: ${INJECTED}\n"
	                 "  properties: { client.id: gateway, fetch.min.bytes: 1 }\n"
	                 "postgres:\n"
	                 "  dsn: host=/nowhere\n"
	                 "commands:\n"
	                 "  sensor: {}\n"
	                 "queries:\n"
	                 "  sensor: {}\n");
	write_file(bad, "memory: many\n"
	                "kafk: { brokers: embedded }\n"
	                "http: { listen: [1, 2], listen: 3 }\n"
	                "postgres: { dsn: '${NOT_SET}' }\n"
	                "commands: { sensor: { partition: 1, retain: -1 }, none: {} }\n");
}

static void stop(void)
{
	unlink(good);
	unlink(bad);
}

/* What a person is told: something, and all of it if there was memory for it. */
static void told(const struct buf *errors)
{
	if (errors->len)
		fprintf(stderr, "%.*s", (int)errors->len, errors->data);
	MUST(errors->len || errors->failed);
}

static bool reads_a_configuration(void)
{
	struct buf errors = BUF_INIT, text = BUF_INIT;
	struct config *config = config_load(good, &errors);
	if (config) {
		config_print(config, &text);
		MUST(text.failed || injection_is_same(0, text.data, text.len));
		MUST(config->n_commands == 1 && config->n_queries == 1);
	} else {
		told(&errors);
	}
	bool ok = config && !text.failed;
	config_free(config);
	buf_release(&text);
	buf_release(&errors);
	return ok;
}

static bool tells_what_is_wrong(void)
{
	struct buf errors = BUF_INIT;
	struct config *config = config_open(bad, &errors);
	if (config) {
		struct module_set *set = module_set_new("/nowhere");
		MUST(!set || !module_set_load(set, config, NULL));
		module_set_free(set);
		MUST(!config_report(config, &errors));
		config_free(config);
	}
	told(&errors);
	bool ok = !errors.failed && config;
	buf_release(&errors);
	return ok;
}

/* A query bus with the routes of a module, and a pool whose server is away. */
struct service {
	struct loop *loop;
	struct metrics *metrics;
	struct health *health;
	struct pg_pool *pool;
	struct api *api;
	struct query_bus *bus;
};

static bool begin(struct service *s)
{
	static const struct pg_pool_config pool = {.dsn = "host=/nowhere dbname='a b'",
	                                           .connections = 2,
	                                           .streams = 1,
	                                           .timeout_us = 1000000,
	                                           .max_waiting = 10};
	s->loop = loop_new();
	s->metrics = s->loop ? metrics_new() : NULL;
	s->health = s->metrics ? health_new(s->loop) : NULL;
	s->pool = s->health ? pg_pool_new(s->loop, &pool, s->metrics, s->health) : NULL;
	s->api = s->pool ? api_new() : NULL;
	s->bus = s->api ? query_bus_new(s->loop, s->pool, api_routes(s->api), s->metrics, 1000000,
	                                1 << 20, 1 << 20)
	                : NULL;
	return s->bus;
}

static void end(struct service *s)
{
	query_bus_free(s->bus);
	api_free(s->api);
	pg_pool_free(s->pool);
	health_free(s->health);
	metrics_free(s->metrics);
	loop_free(s->loop);
}

static bool start_module(struct service *s, struct module *module, struct buf *errors)
{
	struct cqrs_routes *routes = query_bus_routes(s->bus, module->name);
	if (!routes)
		return false;
	bool started = module_start_query(module, routes);
	bool ok = query_bus_started(routes, module->self, errors);
	MUST(ok || errors->len || errors->failed);
	MUST(started || !ok);
	return ok;
}

static bool starts_the_query_modules(void)
{
	struct service s = {.loop = NULL};
	struct buf errors = BUF_INIT, text = BUF_INIT;
	struct config *config = config_load(good, &errors);
	struct module_set *set = config ? module_set_new("") : NULL;
	bool ok = set && module_set_load(set, config, &errors) && begin(&s);
	MUST(!ok || module_set_count(set) == 2);
	ok = ok && start_module(&s, module_set_at(set, 1), &errors);
	/* Metrics may be missing, which is said, but what there is can be written. */
	if (ok) {
		metrics_write(s.metrics, &text);
		ok = !text.failed;
	}
	end(&s);
	if (set)
		module_set_stop(set);
	module_set_free(set);
	config_free(config);
	buf_release(&text);
	buf_release(&errors);
	return ok;
}

static bool makes_a_loop(void)
{
	struct loop *loop = loop_new();
	loop_free(loop);
	return loop;
}

static const struct injection_scenario scenarios[] = {
    {.name = "reads a configuration", .run = reads_a_configuration, .is_start = true},
    {.name = "tells what is wrong", .run = tells_what_is_wrong, .is_start = true},
    {.name = "makes a loop", .run = makes_a_loop, .is_start = true},
    {
        .name = "starts the query modules",
        .run = starts_the_query_modules,
        .is_start = true,
    },
    {.name = NULL},
};

const struct injection injection = {
    .name = "start", .scenarios = scenarios, .start = start, .stop = stop};
