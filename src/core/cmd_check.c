/* SPDX-License-Identifier: MIT */
/* cqrsd -t: is the configuration right, and (--probe) is everything there that it names? */
#include "cmd.h"

#include "cmd_bus.h"
#include "log.h"
#include "probe.h"

#include <stdio.h>

#define TABLES_MAX 256

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
	int printed = cmd_write(stdout, &found), told = cmd_write(stderr, &problems);
	buf_release(&found);
	buf_release(&problems);
	return code ? code : printed ? printed : told;
}

static int probe(struct cmd *cmd)
{
	struct cmd_bus b;
	/* Only the answers: why a connection failed is among them. */
	log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	int code = cmd_bus_init(&b, cmd) ? probe_all(cmd->config, b.bus) : EXIT_CODE_FAILED;
	cmd_bus_release(&b);
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
