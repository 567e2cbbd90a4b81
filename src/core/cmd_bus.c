/* SPDX-License-Identifier: MIT */
/* The command modules of the configuration, started for a subcommand. */
#include "cmd_bus.h"

#include "command_modules.h"

#include <stdio.h>

static void on_module(const struct module *module, const char *error)
{
	if (error)
		fprintf(stderr, "cqrsd: module %s: %s\n", module->name, error);
}

static void init(struct cmd_bus *b, const struct cmd *cmd)
{
	const struct core_options *core = &cmd->config->core;
	*b =
	    (struct cmd_bus){.loop = loop_new(), .metrics = metrics_new(), .modules = cmd->modules};
	b->config =
	    (struct command_bus_config){.brokers = core->kafka.brokers,
	                                .group = core->kafka.group,
	                                .start = core->kafka.start,
	                                .session_timeout_us = core->kafka.session_timeout,
	                                .properties = core->kafka.properties,
	                                .dsn = core->postgres.dsn,
	                                .network_timeout_us = core->postgres.network_timeout,
	                                .writers = 1,
	                                .max_rows = core->postgres.write.max_rows,
	                                .max_delay_us = core->postgres.write.max_delay,
	                                .timeout_us = core->postgres.write.timeout,
	                                .progress = core->kafka.progress,
	                                .memory = core->memory};
}

static bool make(struct cmd_bus *b)
{
	b->health = b->loop ? health_new(b->loop) : NULL;
	if (b->health && b->metrics)
		b->bus = command_bus_new(b->loop, &b->config, b->metrics, b->health);
	if (!b->bus)
		fputs("cqrsd: out of memory\n", stderr);
	return b->bus != NULL;
}

bool cmd_bus_init(struct cmd_bus *b, const struct cmd *cmd)
{
	init(b, cmd);
	return make(b) && command_modules_start(b->modules, b->bus, on_module);
}

bool cmd_bus_init_shadow(struct cmd_bus *b, const struct cmd *cmd, struct module *view,
                         const char *group, const char *brokers)
{
	init(b, cmd);
	b->config.brokers = brokers;
	b->config.group = group;
	b->config.start = "earliest";
	b->config.shadow_of = view->name;
	return make(b) && command_modules_start_one(view, b->bus, on_module);
}

/* The modules stop while the bus that they know is still there. */
void cmd_bus_release(struct cmd_bus *b)
{
	module_set_stop(b->modules);
	command_bus_free(b->bus);
	health_free(b->health);
	metrics_free(b->metrics);
	loop_free(b->loop);
}
