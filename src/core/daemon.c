/* SPDX-License-Identifier: MIT */
/* The daemon: everything started in order, run until told to stop, and stopped in reverse. */
#include "daemon.h"

#include "admin.h"
#include "admin_dead_letters.h"
#include "api.h"
#include "command_bus.h"
#include "command_modules.h"
#include "descriptors.h"
#include "exit_code.h"
#include "health.h"
#include "http_server.h"
#include "kafka_embedded.h"
#include "kafka_sink.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "outbox.h"
#include "pg_pool.h"
#include "process_metrics.h"
#include "query_bus.h"
#include "query_modules.h"
#include "resident.h"
#include "schema.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct daemon {
	const struct core_options *core;
	struct config *config;
	struct module_set *modules;
	int exit_code;
	struct loop *loop;
	struct event *sigterm, *sigint;
	struct metrics *metrics;
	struct process_metrics *process;
	struct health *health;
	struct health_check *schema_health, *outbox_health;
	struct admin *admin;
	struct kafka_embedded *embedded;
	struct schema *schema;
	struct command_bus_config command_config;
	struct command_bus *commands;
	struct dead_letters_config letters_config;
	struct admin_dead_letters *letters;
	struct kafka_sink_config sink_config;
	struct kafka_sink *sink;
	struct outbox *outbox;
	struct pg_pool_config pool_config;
	struct pg_pool *pool;
	struct api *api;
	struct query_bus *queries;
	struct http_server_config http_config;
	struct http_server *http;
	struct timer *deadline; /* of the draining */
	int draining;           /* parts that are not done yet */
	bool stopping;
};

/* ---- stopping ---- */

static void on_drained(void *arg)
{
	struct daemon *d = arg;
	if (--d->draining == 0)
		loop_stop(d->loop);
}

static void on_deadline(void *arg)
{
	struct daemon *d = arg;
	log_warning("cqrsd: not all was done within shutdown_timeout, it is read again after the "
	            "next start");
	loop_stop(d->loop);
}

static void drain(struct daemon *d)
{
	/* One for ourselves, so that the last to be asked is not taken for the last to be done. */
	d->draining = 1 + (d->http != NULL) + (d->commands != NULL) + (d->outbox != NULL);
	timer_arm(d->deadline, d->core->shutdown_timeout);
	if (d->http)
		http_server_drain(d->http, on_drained, d);
	if (d->commands)
		command_bus_drain(d->commands, on_drained, d);
	if (d->outbox)
		outbox_drain(d->outbox, on_drained, d);
	on_drained(d);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	struct daemon *d = arg;
	(void)what;
	if (d->stopping)
		_exit(EXIT_CODE_FAILED); /* somebody is in a hurry, and nothing is lost by it */
	d->stopping = true;
	log_info("cqrsd: %s, draining", strsignal((int)number));
	drain(d);
}

/* ---- starting ---- */

static bool start_loop(struct daemon *d)
{
	signal(SIGPIPE, SIG_IGN);
	d->loop = loop_new();
	if (!d->loop)
		return false;
	d->metrics = metrics_new();
	d->health = health_new(d->loop);
	d->deadline = timer_new(d->loop, on_deadline, d);
	d->sigterm = evsignal_new(loop_base(d->loop), SIGTERM, on_signal, d);
	d->sigint = evsignal_new(loop_base(d->loop), SIGINT, on_signal, d);
	if (!d->metrics || !d->health || !d->deadline || !d->sigterm || !d->sigint)
		return false;
	if (event_add(d->sigterm, NULL) || event_add(d->sigint, NULL))
		return false;
	d->process = process_metrics_new(d->loop, d->metrics);
	d->api = api_new();
	return d->process && d->api;
}

static bool start_admin(struct daemon *d)
{
	if (!*d->core->admin.listen)
		return true;
	d->admin = admin_new(d->loop, d->core->admin.listen, d->metrics, d->health, CQRSD_VERSION);
	return d->admin != NULL;
}

/* Where Kafka is: the configured brokers, or our own. */
static const char *brokers(const struct daemon *d)
{
	return d->embedded ? kafka_embedded_brokers(d->embedded) : d->core->kafka.brokers;
}

static bool start_embedded(struct daemon *d)
{
	int n;
	const char *const *topics = command_bus_topics(d->commands, &n);
	if (strcmp(d->core->kafka.brokers, "embedded") != 0)
		return true;
	d->embedded = kafka_embedded_new();
	for (int i = 0; d->embedded && i < n; i++)
		if (!kafka_embedded_add_topic(d->embedded, topics[i]))
			return false;
	if (!d->embedded)
		return false;
	log_info("kafka: embedded broker on %s, for trying things out",
	         kafka_embedded_brokers(d->embedded));
	command_bus_use_embedded(d->commands, kafka_embedded_brokers(d->embedded));
	return true;
}

static void on_module(const struct module *module, const char *error)
{
	if (error)
		log_error("module %s: %s", module->name, error);
	else
		log_info("module %s/%s: started, %s", module_kind_name(module->kind), module->name,
		         module->origin);
}

static bool start_commands(struct daemon *d)
{
	const struct core_options *core = d->core;
	d->command_config = (struct command_bus_config){
	    .brokers = core->kafka.brokers,
	    .group = core->kafka.group,
	    .start = core->kafka.start,
	    .on_gap = (enum gap_policy)core->kafka.on_gap,
	    .session_timeout_us = core->kafka.session_timeout,
	    .properties = core->kafka.properties,
	    .dsn = core->postgres.dsn,
	    .network_timeout_us = core->postgres.network_timeout,
	    .writers = (int)core->postgres.write.connections,
	    .max_rows = core->postgres.write.max_rows,
	    .max_delay_us = core->postgres.write.max_delay,
	    .timeout_us = core->postgres.write.timeout,
	    .keep_outcomes_us = core->postgres.write.keep_outcomes,
	    .memory = core->memory,
	};
	if (!d->config->n_commands)
		return true;
	d->commands = command_bus_new(d->loop, &d->command_config, d->metrics, d->health);
	if (!d->commands || !command_modules_start(d->modules, d->commands, on_module) ||
	    !start_embedded(d))
		return false;
	if (d->admin)
		admin_status_add(d->admin, "kafka", command_bus_status, d->commands);
	return true;
}

/* Memory for the letters that are redriven at a time: a share of the budget. */
#define LETTERS_SHARE       64
#define LETTERS_PATIENCE_US 10000000

static bool start_dead_letters(struct daemon *d)
{
	const struct core_options *core = d->core;
	d->letters_config = (struct dead_letters_config){
	    .dsn = core->postgres.dsn,
	    .group = core->kafka.group,
	    .timeout_us = core->postgres.write.timeout,
	    .patience_us = LETTERS_PATIENCE_US,
	    .chunk_bytes = (size_t)core->memory / LETTERS_SHARE,
	    .bus = d->commands,
	    .metrics = d->metrics,
	};
	if (!d->commands || !d->admin)
		return true;
	d->letters = admin_dead_letters_new(d->loop, d->admin, &d->letters_config);
	return d->letters != NULL;
}

static bool start_outbox(struct daemon *d)
{
	if (!d->commands)
		return true;
	d->sink_config = (struct kafka_sink_config){
	    .brokers = brokers(d),
	    .queue_bytes = d->core->memory / 16,
	    .properties = d->core->kafka.properties,
	};
	d->outbox_health = health_add(d->health, "kafka outbox");
	d->sink = kafka_sink_new(d->loop, &d->sink_config, d->outbox_health);
	if (!d->sink)
		return false;
	d->outbox = outbox_new(d->loop, d->core->postgres.dsn, d->core->postgres.network_timeout,
	                       d->sink, d->metrics, d->health);
	if (!d->outbox)
		return false;
	command_bus_on_events(d->commands, outbox_poke, d->outbox);
	return true;
}

static bool start_queries(struct daemon *d)
{
	const struct core_options *core = d->core;
	const char *dsn = core->postgres.read.dsn;
	d->pool_config = (struct pg_pool_config){
	    .dsn = *dsn ? dsn : core->postgres.dsn,
	    .connections = (int)core->postgres.read.connections,
	    .streams = (int)core->postgres.read.streams,
	    .timeout_us = core->postgres.read.timeout,
	    .network_timeout_us = core->postgres.network_timeout,
	    .max_waiting = (int)(core->memory / 32768),
	};
	if (!d->config->n_queries)
		return true;
	d->pool = pg_pool_new(d->loop, &d->pool_config, d->metrics, d->health);
	if (!d->pool)
		return false;
	d->queries = query_bus_new(d->loop, d->pool, api_routes(d->api), d->metrics,
	                           (size_t)core->memory / 16, core->postgres.read.timeout);
	return d->queries && query_modules_start(d->modules, d->queries, on_module);
}

static bool start_http(struct daemon *d)
{
	const struct core_options *core = d->core;
	if (!api_routes(d->api)->n || !*core->http.listen)
		return true;
	d->http_config = (struct http_server_config){
	    .name = "http",
	    .listen = core->http.listen,
	    .header_timeout_us = core->http.header_timeout,
	    .body_timeout_us = core->http.body_timeout,
	    .idle_timeout_us = core->http.idle_timeout,
	    .write_timeout_us = core->http.write_timeout,
	    .max_body = core->http.max_body,
	    .max_connections = descriptors_for_clients(core->http.max_connections),
	    .max_connections_per_client = core->http.max_connections_per_client,
	    .rate_limit = core->http.rate_limit,
	    .max_memory = core->memory / 16,
	    .max_output = core->memory / 8,
	};
	d->http = http_server_new(d->loop, &d->http_config, d->metrics, api_handle, d->api);
	if (d->http)
		log_info("http: listening on %s", http_server_address(d->http));
	return d->http != NULL;
}

/* The write path waits for its tables; questions are answered, or refused, meanwhile. */
static void on_schema(void *owner, const struct schema_outcome *outcome)
{
	struct daemon *d = owner;
	if (outcome->state != SCHEMA_CURRENT) {
		log_error("schema: %s", outcome->message);
		d->exit_code =
		    outcome->state == SCHEMA_FAILED ? EXIT_CODE_FAILED : EXIT_CODE_SCHEMA;
		loop_stop(d->loop);
		return;
	}
	log_info("schema: %s", outcome->message);
	health_ok(d->schema_health);
	schema_free(d->schema);
	d->schema = NULL;
	resident_release_libraries();
	if (!d->commands || d->stopping)
		return;
	if (!command_bus_start(d->commands)) {
		log_error("cqrsd: the write path cannot start");
		d->exit_code = EXIT_CODE_FAILED;
		loop_stop(d->loop);
		return;
	}
	outbox_start(d->outbox);
}

static bool start_schema(struct daemon *d)
{
	const struct core_options *core = d->core;
	const char *dsn = core->postgres.dsn;
	if (!d->commands && *core->postgres.read.dsn)
		dsn = core->postgres.read.dsn; /* a reader may not reach the primary */
	d->schema_health = health_add(d->health, "schema");
	d->schema = schema_new(d->loop, dsn, core->postgres.network_timeout, schema_files, 0);
	if (!d->schema_health || !d->schema)
		return false;
	if (core->postgres.migrate)
		schema_migrate(d->schema, on_schema, d);
	else
		schema_check(d->schema, on_schema, d);
	return !d->commands || command_bus_connect(d->commands);
}

static bool start(struct daemon *d)
{
	return start_loop(d) && start_admin(d) && start_commands(d) && start_dead_letters(d) &&
	       start_outbox(d) && start_schema(d) && start_queries(d) && start_http(d);
}

/* In reverse; the modules stop while the buses that they know are still there. */
static void stop(struct daemon *d)
{
	schema_free(d->schema);
	http_server_free(d->http);
	pg_pool_free(d->pool);
	outbox_free(d->outbox);
	kafka_sink_free(d->sink);
	admin_dead_letters_free(d->letters);
	if (d->admin)
		admin_status_remove(d->admin, "kafka");
	command_bus_stop(d->commands);
	module_set_stop(d->modules);
	query_bus_free(d->queries);
	api_free(d->api);
	command_bus_free(d->commands);
	kafka_embedded_free(d->embedded);
	admin_free(d->admin);
	process_metrics_free(d->process);
	if (d->sigterm)
		event_free(d->sigterm);
	if (d->sigint)
		event_free(d->sigint);
	timer_free(d->deadline);
	health_free(d->health);
	metrics_free(d->metrics);
	loop_free(d->loop);
}

int daemon_run(struct config *config, struct module_set *modules)
{
	struct daemon d = {
	    .core = &config->core,
	    .config = config,
	    .modules = modules,
	    .exit_code = EXIT_CODE_OK,
	};
	resident_give_large_memory_back();
	log_setup((enum log_level)config->core.log.level, (enum log_format)config->core.log.format);
	if (start(&d)) {
		loop_run(d.loop);
	} else {
		log_error("cqrsd: gives up: memory is out, or what is said above");
		d.exit_code = EXIT_CODE_FAILED;
	}
	stop(&d);
	if (d.stopping)
		log_info("cqrsd: stopped");
	return d.exit_code;
}
