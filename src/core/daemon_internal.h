/* SPDX-License-Identifier: MIT */
/*
 * The parts of the daemon.  Private to daemon.c, which starts and stops them, and
 * daemon_commands.c, which starts those of the command side.
 */
#ifndef DAEMON_INTERNAL_H
#define DAEMON_INTERNAL_H

#include "admin.h"
#include "admin_dead_letters.h"
#include "api.h"
#include "command_bus.h"
#include "command_http.h"
#include "config.h"
#include "health.h"
#include "http_server.h"
#include "kafka_embedded.h"
#include "kafka_sink.h"
#include "loop.h"
#include "metrics.h"
#include "module.h"
#include "outbox.h"
#include "pg_pool.h"
#include "query_bus.h"
#include "schema.h"

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
	struct command_http_config gateway_config;
	struct command_http *gateway;
	struct query_bus *queries;
	struct answer_cache_config cache_config;
	struct answer_cache *cache;
	struct http_server_config http_config;
	struct http_server *http;
	struct timer *deadline; /* of the draining */
	int draining;           /* parts that are not done yet */
	bool stopping;
};

/* ---- daemon_commands.c: false: it cannot be started, and the log says why ---- */

/* Whether it stores commands; else it is a gateway, if it has any: others store them. */
bool daemon_consumes(const struct daemon *d);
void daemon_on_module(const struct module *module, const char *error);
bool daemon_start_commands(struct daemon *d);
bool daemon_start_dead_letters(struct daemon *d);
bool daemon_start_outbox(struct daemon *d);
/* Commands that come in over HTTP; behind the queries, whose routes come first. */
bool daemon_start_gateway(struct daemon *d);

#endif
