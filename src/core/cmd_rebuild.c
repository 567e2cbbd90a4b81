/* SPDX-License-Identifier: MIT */
/* cqrsd rebuild: makes a view anew while the old one answers. */
#include "cmd_bus.h"
#include "kafka_group.h"
#include "log.h"
#include "offsets.h"
#include "pg_ask.h"
#include "rebuild.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_US 10000000

struct order {
	const char *view;
	bool partial; /* what Kafka has no more may be missing */
};

static int say(const char *view, struct buf *why)
{
	if (why->failed)
		return cmd_no_memory();
	fprintf(stderr, "cqrsd: %s is not rebuilt, and is as it was: %s\n", view, buf_str(why));
	return EXIT_CODE_FAILED;
}

/* ---- whether Kafka still has all of it ---- */

static void check_log(struct kafka_group *kafka, const char *topic, int32_t partition, bool partial,
                      struct buf *why)
{
	int64_t begin = 0, end = 0;
	if (kafka_group_log(kafka, topic, partition, &begin, &end, why) && begin > 0 && !partial)
		buf_printf(why,
		           "Kafka has the events of %s [%" PRId32 "] only from offset %" PRId64
		           " on, and without the others the view would not be whole; --partial "
		           "rebuilds it all the same",
		           topic, partition, begin);
}

/* What the view has been fed, by partition: all of it must be there still. */
static void check_logs(const struct cmd_bus *b, const struct core_options *core,
                       const struct order *order, struct kafka_group *kafka, struct buf *why)
{
	const char *const values[] = {core->kafka.group};
	PGresult *rows = pg_ask(core->postgres.dsn, OFFSETS_SHOW_SQL, values, 1, PATIENCE_US, why);
	int n = 0;
	for (int i = 0; rows && i < PQntuples(rows) && !why->len; i++) {
		const char *topic = PQgetvalue(rows, i, 0);
		if (command_bus_find_topic(b->bus, topic) < 0)
			continue;
		check_log(kafka, topic, (int32_t)atoi(PQgetvalue(rows, i, 1)), order->partial, why);
		n++;
	}
	if (rows && !n && !why->len)
		buf_printf(why, "the group %s has never fed it", core->kafka.group);
	PQclear(rows);
}

static bool is_all_there(const struct cmd_bus *b, const struct core_options *core,
                         const struct order *order, struct buf *why)
{
	const struct kafka_group_config config = {.brokers = b->config.brokers,
	                                          .group = core->kafka.group,
	                                          .properties = core->kafka.properties,
	                                          .timeout_us = PATIENCE_US};
	struct kafka_group *kafka = kafka_group_new(&config, why);
	if (kafka)
		check_logs(b, core, order, kafka, why);
	kafka_group_free(kafka);
	return kafka && !why->len && !why->failed;
}

/* ---- the rebuild ---- */

static int rebuild(struct cmd_bus *b, const struct core_options *core, const struct order *order)
{
	struct buf why = BUF_INIT;
	struct rebuild_config config = {.view = order->view,
	                                .group = core->kafka.group,
	                                .rebuild_group = b->config.group,
	                                .dsn = core->postgres.dsn,
	                                .network_timeout_us = core->postgres.network_timeout,
	                                .progress = isatty(STDERR_FILENO) != 0};
	int64_t begun = loop_now(b->loop);
	bool done = false;
	if (!command_bus_projects(b->bus) || command_bus_publishes(b->bus))
		buf_puts(&why, "it is not made of events alone");
	else if (is_all_there(b, core, order, &why))
		done = rebuild_run(b->loop, b->bus, &config, &why);
	int code = done ? EXIT_CODE_OK : say(order->view, &why);
	if (done)
		printf("rebuilt %s in %.1f s\n", order->view,
		       (double)(loop_now(b->loop) - begun) / 1e6);
	command_bus_stop(b->bus);
	buf_release(&why);
	return code;
}

/* The command module of that name; NULL after saying which there are. */
static struct module *find_view(const struct cmd *cmd, const char *view)
{
	struct buf names = BUF_INIT;
	for (size_t i = 0; i < module_set_count(cmd->modules); i++) {
		struct module *module = module_set_at(cmd->modules, i);
		if (module->kind == MODULE_COMMAND && !strcmp(module->name, view))
			return module;
	}
	for (size_t i = 0; i < module_set_count(cmd->modules); i++)
		if (module_set_at(cmd->modules, i)->kind == MODULE_COMMAND)
			buf_printf(&names, " %s", module_set_at(cmd->modules, i)->name);
	fprintf(stderr, "cqrsd: there is no command module %s; configured are:%s\n", view,
	        buf_str(&names));
	buf_release(&names);
	return NULL;
}

static int parse(struct cmd *cmd, struct order *order)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
	                                        {"partial", no_argument, NULL, 'p'},
	                                        {NULL, 0, NULL, 0}};
	int c;
	optind = 0;
	while ((c = getopt_long(cmd->argc, cmd->argv, ":c:", options, NULL)) != -1) {
		if (c == 'c')
			cmd->config_path = optarg;
		else if (c == 'p')
			order->partial = true;
		else
			return cmd_bad_option(cmd, c);
	}
	if (cmd->argc - optind != 1)
		return cmd_usage(cmd, "rebuild wants VIEW, the name of a command module");
	order->view = cmd->argv[optind];
	return EXIT_CODE_OK;
}

int cmd_rebuild(struct cmd *cmd)
{
	struct order order = {.view = ""};
	struct cmd_bus b;
	int code = parse(cmd, &order);
	if (!code)
		code = cmd_load(cmd, true);
	if (code)
		return code;
	const struct core_options *core = &cmd->config->core;
	struct module *view = find_view(cmd, order.view);
	char *brokers = view ? cmd_brokers(core) : NULL;
	char *group = brokers ? rebuild_group(core->kafka.group, order.view) : NULL;
	log_setup(LOG_LEVEL_WARNING, LOG_FORMAT_TEXT);
	if (group) {
		code = cmd_bus_init_shadow(&b, cmd, view, group, brokers)
		           ? rebuild(&b, core, &order)
		           : EXIT_CODE_FAILED;
		cmd_bus_release(&b);
	} else {
		code = EXIT_CODE_FAILED;
	}
	free(group);
	free(brokers);
	return code;
}
