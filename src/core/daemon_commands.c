/* SPDX-License-Identifier: MIT */
/* The command side of the daemon: what stores commands, and what takes them over HTTP. */
#include "command_modules.h"
#include "daemon_internal.h"
#include "log.h"

#include <string.h>

bool daemon_consumes(const struct daemon *d)
{
	return d->commands && d->core->commands.consume;
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

void daemon_on_module(const struct module *module, const char *error)
{
	if (error)
		log_error("module %s: %s", module->name, error);
	else
		log_info("module %s/%s: started, %s", module_kind_name(module->kind), module->name,
		         module->origin);
}

bool daemon_start_commands(struct daemon *d)
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
	    .progress = core->kafka.progress,
	    .keep_outcomes_us = core->postgres.write.keep_outcomes,
	    .memory = core->memory,
	};
	if (!d->config->n_commands)
		return true;
	d->commands = command_bus_new(d->loop, &d->command_config, d->metrics, d->health);
	if (!d->commands || !command_modules_start(d->modules, d->commands, daemon_on_module) ||
	    !start_embedded(d))
		return false;
	if (d->admin)
		admin_status_add(d->admin, "kafka", command_bus_status, d->commands);
	return true;
}

/* Memory for the letters that are redriven at a time: a share of the budget. */
#define LETTERS_SHARE       64
#define LETTERS_PATIENCE_US 10000000

bool daemon_start_dead_letters(struct daemon *d)
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
	if (!daemon_consumes(d) || !d->admin)
		return true;
	d->letters = admin_dead_letters_new(d->loop, d->admin, &d->letters_config);
	return d->letters != NULL;
}

bool daemon_start_outbox(struct daemon *d)
{
	if (!daemon_consumes(d))
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
	                       d->core->kafka.progress, d->sink, d->metrics, d->health);
	if (!d->outbox)
		return false;
	command_bus_on_events(d->commands, outbox_poke, d->outbox);
	return true;
}

/* Commands that come in over HTTP. */
bool daemon_start_gateway(struct daemon *d)
{
	struct buf errors = BUF_INIT;
	d->gateway_config = (struct command_http_config){
	    .brokers = brokers(d),
	    .properties = d->core->kafka.properties,
	    .dsn = d->core->postgres.dsn,
	    .network_timeout_us = d->core->postgres.network_timeout,
	    .timeout_us = d->core->http.command_timeout,
	    .max_wait_us = d->core->http.max_wait,
	    .memory = d->core->memory,
	};
	if (!d->commands)
		return true;
	d->gateway = command_http_new(d->loop, &d->gateway_config, d->metrics, d->health);
	if (!d->gateway)
		return false;
	bool fine = command_http_add_routes(d->gateway, d->commands, api_routes(d->api), &errors);
	if (!fine)
		log_error("%s", buf_str(&errors));
	buf_release(&errors);
	return fine;
}
