/* SPDX-License-Identifier: MIT */
/* The daemon: everything started in order, run until told to stop, and stopped in reverse. */
#include "daemon.h"

#include "daemon_internal.h"
#include "descriptors.h"
#include "exit_code.h"
#include "log.h"
#include "process_metrics.h"
#include "query_modules.h"
#include "resident.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
	d->draining = 1 + (d->http != NULL) + daemon_consumes(d) + (d->outbox != NULL);
	timer_arm(d->deadline, d->core->shutdown_timeout);
	if (d->http)
		http_server_drain(d->http, on_drained, d);
	if (daemon_consumes(d))
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

static bool start_cache(struct daemon *d)
{
	d->cache_config = (struct answer_cache_config){
	    .dsn = d->pool_config.dsn,
	    .network_timeout_us = d->core->postgres.network_timeout,
	    .max_bytes = (size_t)d->core->memory / 16,
	    .ttl_us = d->core->http.cache_ttl,
	};
	d->cache = answer_cache_new(d->loop, &d->cache_config, d->metrics);
	query_bus_use_cache(d->queries, d->cache);
	return d->cache != NULL;
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
	                           (size_t)core->memory / 16, core->postgres.read.timeout,
	                           core->http.max_wait);
	if (!d->queries || (core->http.cache_ttl && !start_cache(d)))
		return false;
	return query_modules_start(d->modules, d->queries, daemon_on_module);
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
	if (!daemon_consumes(d) || d->stopping)
		return;
	if (!command_bus_start(d->commands)) {
		log_error("cqrsd: the write path cannot start");
		d->exit_code = EXIT_CODE_FAILED;
		loop_stop(d->loop);
		return;
	}
	outbox_start(d->outbox, command_bus_publishes(d->commands));
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
	return !daemon_consumes(d) || command_bus_connect(d->commands);
}

static bool start(struct daemon *d)
{
	return start_loop(d) && start_admin(d) && daemon_start_commands(d) &&
	       daemon_start_dead_letters(d) && daemon_start_outbox(d) && start_schema(d) &&
	       start_queries(d) && daemon_start_gateway(d) && start_http(d);
}

/* In reverse; the modules stop while the buses that they know are still there. */
static void stop(struct daemon *d)
{
	schema_free(d->schema);
	http_server_free(d->http);
	command_http_free(d->gateway);
	pg_pool_free(d->pool);
	answer_cache_free(d->cache);
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
