/* SPDX-License-Identifier: MIT */
/* cqrsd migrate: brings the schema of the database up to date. */
#include "cmd.h"

#include "log.h"
#include "schema.h"

#include <getopt.h>
#include <stdio.h>

/* A server that is starting answers within it; people do not wait longer. */
#define PATIENCE_US 5000000

struct migration {
	struct loop *loop;
	struct schema_outcome outcome;
};

static void on_migrated(void *owner, const struct schema_outcome *outcome)
{
	struct migration *migration = owner;
	migration->outcome = *outcome;
	loop_stop(migration->loop);
}

static int report(const struct schema_outcome *outcome)
{
	switch (outcome->state) {
	case SCHEMA_CURRENT:
		printf("%s (%d applied now)\n", outcome->message, outcome->applied);
		return EXIT_CODE_OK;
	case SCHEMA_TOO_OLD:
	case SCHEMA_TOO_NEW:
	case SCHEMA_CHANGED:
		fprintf(stderr, "cqrsd: %s\n", outcome->message);
		return EXIT_CODE_SCHEMA;
	default:
		fprintf(stderr, "cqrsd: %s\n", outcome->message);
		return EXIT_CODE_FAILED;
	}
}

static int migrate(const struct core_options *core)
{
	struct migration migration = {.loop = loop_new(),
	                              .outcome = {SCHEMA_FAILED, .message = "out of memory"}};
	struct schema *schema =
	    migration.loop ? schema_new(migration.loop, core->postgres.dsn,
	                                core->postgres.network_timeout, schema_files, PATIENCE_US)
	                   : NULL;
	if (schema) {
		schema_migrate(schema, on_migrated, &migration);
		loop_run(migration.loop);
	}
	schema_free(schema);
	loop_free(migration.loop);
	return report(&migration.outcome);
}

static int parse(struct cmd *cmd)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
	                                        {NULL, 0, NULL, 0}};
	int c;
	optind = 0;
	while ((c = getopt_long(cmd->argc, cmd->argv, ":c:", options, NULL)) != -1) {
		if (c != 'c')
			return cmd_bad_option(cmd, c);
		cmd->config_path = optarg;
	}
	if (optind < cmd->argc)
		return cmd_usage(cmd, "migrate takes no arguments");
	return EXIT_CODE_OK;
}

int cmd_migrate(struct cmd *cmd)
{
	int code = parse(cmd);
	/* Without modules: what is wrong with one of them is no reason not to migrate. */
	if (!code)
		code = cmd_load(cmd, false);
	return code ? code : migrate(&cmd->config->core);
}
