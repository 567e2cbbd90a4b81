/* SPDX-License-Identifier: MIT */
/*
 * What the subcommands are given, and the subcommands: cmd_NAME.c each.
 */
#ifndef CMD_H
#define CMD_H

#include "config.h"
#include "exit_code.h"
#include "module.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct cmd {
	const char *config_path; /* -c; a subcommand may set it before cmd_load() */
	char **argv;             /* the subcommand's own arguments; argv[0] is its name */
	int argc;
	bool probe; /* -t --probe */
	/* filled by cmd_load(), freed by the caller of the subcommand */
	struct config *config;
	struct module_set *modules;
};

/*
 * Reads the configuration and, if asked, loads the modules that it names.
 * Prints all the mistakes to stderr; returns EXIT_CODE_OK or _CONFIGURATION.
 */
int cmd_load(struct cmd *cmd, bool with_modules);
/* Says on stderr what is wrong with the command line; returns EXIT_CODE_USAGE. */
int cmd_usage(const struct cmd *cmd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same after getopt_long() returned ':' or '?'. */
int cmd_bad_option(const struct cmd *cmd, int returned);

/* Say on stderr if there is no memory; each returns EXIT_CODE_OK or _FAILED. */
int cmd_no_memory(void);
int cmd_write(FILE *to, struct buf *text);
/* To stdout; NULL: there was no memory for it. */
int cmd_write_json(const json_t *json);

/* kafka.brokers, or where the embedded broker of the running cqrsd listens; free with free().  NULL
 * after saying on stderr why not. */
char *cmd_brokers(const struct core_options *core);

/* Who has typed it: "login@host". */
void cmd_by(char *by, size_t size);

/* Each returns an enum exit_code. */
int cmd_run(struct cmd *cmd);   /* the daemon */
int cmd_check(struct cmd *cmd); /* -t */
int cmd_print(struct cmd *cmd); /* -T */
int cmd_audit(struct cmd *cmd);
int cmd_migrate(struct cmd *cmd);
int cmd_produce(struct cmd *cmd);
int cmd_dead_letters(struct cmd *cmd);
int cmd_offsets(struct cmd *cmd);
int cmd_rebuild(struct cmd *cmd);

#endif
