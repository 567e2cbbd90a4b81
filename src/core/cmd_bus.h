/* SPDX-License-Identifier: MIT */
/*
 * The command modules of the configuration, started for a subcommand: a bus
 * that reads nothing from Kafka and stores nothing by itself.
 */
#ifndef CMD_BUS_H
#define CMD_BUS_H

#include "cmd.h"
#include "command_bus.h"

struct cmd_bus {
	struct loop *loop;
	struct metrics *metrics;
	struct health *health;
	struct command_bus *bus;
	struct command_bus_config config;
	struct module_set *modules;
};

/* After cmd_load() with modules; false after saying why on stderr.  Released in either case. */
bool cmd_bus_init(struct cmd_bus *b, const struct cmd *cmd);
/* The same with one module, the view of that name, which stores into its shadow as `group`. */
bool cmd_bus_init_shadow(struct cmd_bus *b, const struct cmd *cmd, struct module *view,
                         const char *group, const char *brokers);
void cmd_bus_release(struct cmd_bus *b);

#endif
