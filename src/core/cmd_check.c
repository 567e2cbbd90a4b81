/* SPDX-License-Identifier: MIT */
/* cqrsd -t: is the configuration right, and (--probe) is everything there that it names? */
#include "cmd.h"

#include "command_bus.h"
#include "log.h"
#include "probe.h"

#include <stdio.h>

#define TABLES_MAX 256

/* What it takes to start the command modules without Kafka and PostgreSQL. */
struct rehearsal {
	struct loop *loop;
	struct metrics *metrics;
	struct health *health;
	struct command_bus_config config;
	struct command_bus *bus;
};

static void release(struct rehearsal *r)
{
	command_bus_free(r->bus);
	health_free(r->health);
	metrics_free(r->metrics);
	loop_free(r->loop);
}

static bool prepare(struct rehearsal *r, const struct core_options *core)
{
	*r = (struct rehearsal){.loop = loop_new(), .metrics = metrics_new()};
	if (!r->loop || !r->metrics)
		return false;
	r->config = (struct command_bus_config){.brokers = core->kafka.brokers,
	                                        .group = core->kafka.group,
	                                        .start = core->kafka.start,
	                                        .session_timeout_us = core->kafka.session_timeout,
	                                        .properties = core->kafka.properties,
	                                        .dsn = core->postgres.dsn,
	                                        .writers = 1,
	                                        .max_rows = core->postgres.write.max_rows,
	                                        .max_delay_us = core->postgres.write.max_delay,
	                                        .timeout_us = core->postgres.write.timeout,
	                                        .memory = core->memory};
	r->health = health_new(r->loop);
	r->bus = r->health ? command_bus_new(r->loop, &r->config, r->metrics, r->health) : NULL;
	return r->bus != NULL;
}

static bool start_modules(struct rehearsal *r, const struct module_set *modules)
{
	bool fine = true;
	for (size_t i = 0; i < module_set_count(modules); i++) {
		struct module *module = module_set_at(modules, i);
		const char *error = "out of memory";
		if (module->kind != MODULE_COMMAND)
			continue;
		struct cqrs_setup *setup = command_bus_setup(r->bus, module->command);
		if (setup)
			module_start_command(module, setup);
		if (setup && command_bus_add(r->bus, setup, module->self, &error))
			continue;
		fprintf(stderr, "cqrsd: module %s: %s\n", module->name, error);
		fine = false;
	}
	return fine;
}

static int probe_all(const struct config *config, const struct command_bus *bus)
{
	const struct cqrs_table_def *tables[TABLES_MAX];
	struct probe_plan plan = {.tables = tables};
	struct buf found = BUF_INIT, problems = BUF_INIT;
	plan.topics = command_bus_topics(bus, &plan.n_topics);
	while (plan.n_tables < TABLES_MAX &&
	       (tables[plan.n_tables] = command_bus_table(bus, plan.n_tables)))
		plan.n_tables++;
	int code = probe_run(config, &plan, &found, &problems);
	fputs(buf_str(&found), stdout);
	fputs(buf_str(&problems), stderr);
	buf_release(&found);
	buf_release(&problems);
	return code;
}

static int probe(struct cmd *cmd)
{
	struct rehearsal r;
	int code = EXIT_CODE_FAILED;
	/* Only the answers: why a connection failed is among them. */
	log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	if (prepare(&r, &cmd->config->core) && start_modules(&r, cmd->modules))
		code = probe_all(cmd->config, r.bus);
	module_set_stop(cmd->modules);
	release(&r);
	return code;
}

int cmd_check(struct cmd *cmd)
{
	int code = cmd_load(cmd, true);
	if (code)
		return code;
	printf("%s: the configuration is fine\n", cmd->config_path);
	return cmd->probe ? probe(cmd) : EXIT_CODE_OK;
}
