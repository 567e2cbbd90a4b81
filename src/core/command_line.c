/* SPDX-License-Identifier: MIT */
/* The command line: which options and subcommands there are, and what is asked for. */
#include "command_line.h"

#include "buf.h"
#include "cmd.h"
#include "daemon.h"
#include "kafka_sink.h"
#include "log.h"

#include <getopt.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef CQRSD_VERSION
#define CQRSD_VERSION "unknown"
#endif
#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif
#define CONFIG_PATH SYSCONFDIR "/cqrs.yaml"

typedef int cmd_fn(struct cmd *cmd);

struct subcommand {
	const char *name;
	const char *help; /* lines after the first are indented to stand below it */
	cmd_fn *run;
};

/* A new subcommand is a row here and a file cmd_NAME.c. */
static const struct subcommand subcommands[] = {
    {"migrate", "bring the schema of the database up to date", cmd_migrate},
    {"audit",
     "compare what Kafka still has, below the stored positions, with the tables:\n"
     "                                [--topic T] [--from OFFSET|TIME] [--to OFFSET|TIME] [--json]",
     cmd_audit},
    {"produce",
     "send the lines of stdin to Kafka, also to the broker embedded in a running cqrsd:\n"
     "                                TOPIC [-k] [-p PARTITION] [-H NAME=VALUE]... [--rate N],\n"
     "                                -k: each line is KEY<TAB>VALUE; N: messages per second",
     cmd_produce},
    {"dead-letters",
     "what was refused; ID... or conditions say which:\n"
     "                                list | show ID | redrive | discard  [ID...]\n"
     "                                [--topic T] [--reason TEXT] [--sqlstate S] [--since T|2h]\n"
     "                                [--before ID] [--limit N] [--json]; list: [--all];\n"
     "                                the others: [--all-open] [--by NAME] [--dry-run]",
     cmd_dead_letters},
    {"offsets",
     "where the group reads next: show [--json]\n"
     "                                set TOPIC PARTITION OFFSET|earliest|latest [--yes]: only\n"
     "                                when no member of the group is alive",
     cmd_offsets},
    {"rebuild",
     "VIEW [--partial]: makes a view anew from the events in Kafka, while the old one\n"
     "                                answers; --partial: also if the first of them are gone",
     cmd_rebuild},
};

#define N_SUBCOMMANDS (sizeof subcommands / sizeof subcommands[0])

enum { OPTION_PROBE = 256 };

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'},
    {"check", no_argument, NULL, 't'},
    {"print", no_argument, NULL, 'T'},
    {"probe", no_argument, NULL, OPTION_PROBE},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static const char usage[] =
    "cqrsd " CQRSD_VERSION ": commands from Kafka into PostgreSQL, queries over HTTP\n"
    "\n"
    "  cqrsd [-c FILE]               run\n"
    "  cqrsd [-c FILE] -t [--probe]  check the configuration; with --probe also that Kafka,\n"
    "                                the database, its tables and rights are there\n"
    "  cqrsd [-c FILE] -T            print the effective configuration, secrets hidden\n";

static const char usage_rest[] =
    "\n"
    "  -c, --config FILE   the configuration; default " CONFIG_PATH "\n"
    "  -t, --check         -T, --print         --probe\n"
    "  -h, --help          this text\n"
    "  -V, --version       the version, and the ABI of modules\n"
    "\n"
    "Exit codes: 0 done, or stopped as asked; 1 failed, the log says why; 2 mistakes in\n"
    "the configuration; 3 the schema is too old, too new or changed; 64 wrong usage.\n";

static void print_module_help(enum module_kind kind, struct buf *out)
{
	struct buf why = BUF_INIT;
	struct module_set *set = module_set_new("");
	char names[1024], *rest = names, *name;
	snprintf(names, sizeof names, "%s", module_linked(kind));
	while (set && (name = strsep(&rest, " "))) {
		const struct module *module = *name ? module_set_add(set, kind, name, &why) : NULL;
		if (!module) {
			out->failed |= *name != '\0';
			continue;
		}
		buf_printf(out, "\n%s %s: %s\n", module_kind_name(kind), name, module->summary);
		if (module->options)
			config_print_help(module->options, out);
	}
	out->failed |= !set;
	module_set_free(set);
	buf_release(&why);
}

static int print_help(void)
{
	struct buf out = BUF_INIT;
	buf_puts(&out, usage);
	for (size_t i = 0; i < N_SUBCOMMANDS; i++)
		buf_printf(&out, "  cqrsd [-c FILE] %-13s %s\n", subcommands[i].name,
		           subcommands[i].help);
	buf_puts(&out, usage_rest);
	buf_puts(&out, "\nThe configuration file:\n");
	config_print_help(config_options, &out);
	buf_puts(&out, "\ncommands:, beside the modules:\n");
	config_print_help(config_command_options, &out);
	print_module_help(MODULE_COMMAND, &out);
	print_module_help(MODULE_QUERY, &out);
	int code = cmd_write(stdout, &out);
	buf_release(&out);
	return code;
}

static int print_version(void)
{
	printf("cqrsd %s (module ABI %u)\n", CQRSD_VERSION, CQRS_ABI);
	return EXIT_CODE_OK;
}

/* ---- for the subcommands ---- */

int cmd_usage(const struct cmd *cmd, const char *fmt, ...)
{
	va_list ap;
	(void)cmd;
	fputs("cqrsd: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("; `cqrsd --help` lists what there is\n", stderr);
	return EXIT_CODE_USAGE;
}

int cmd_bad_option(const struct cmd *cmd, int returned)
{
	const char *argument = cmd->argv[optind - 1];
	/* A short one may stand in the middle of its argument. */
	if (optopt && optopt < 256)
		return cmd_usage(
		    cmd, returned == ':' ? "option -%c needs a value" : "unknown option -%c",
		    optopt);
	return cmd_usage(cmd, returned == ':' ? "option %s needs a value" : "unknown option %s",
	                 argument);
}

void cmd_by(char *by, size_t size)
{
	char host[100] = "localhost";
	const struct passwd *user = getpwuid(getuid());
	gethostname(host, sizeof host - 1);
	snprintf(by, size, "%s@%s", user ? user->pw_name : "?", host);
}

static void release(struct cmd *cmd)
{
	module_set_free(cmd->modules);
	config_free(cmd->config);
}

int cmd_load(struct cmd *cmd, bool with_modules)
{
	struct buf errors = BUF_INIT;
	cmd->config = config_open(cmd->config_path, &errors);
	bool fine = cmd->config != NULL;
	if (fine && with_modules) {
		cmd->modules = module_set_new(cmd->config->core.module_path);
		fine = cmd->modules && module_set_load(cmd->modules, cmd->config, NULL);
	}
	/* Of modules and core in one go, in the order of lines. */
	if (cmd->config)
		fine = config_report(cmd->config, &errors) && fine;
	if (fine)
		fine = kafka_sink_check_properties(cmd->config->core.kafka.properties, &errors);
	if (fine || errors.len)
		cmd_write(stderr, &errors);
	else
		cmd_no_memory();
	fine = fine && !errors.failed;
	buf_release(&errors);
	if (fine)
		log_setup((enum log_level)cmd->config->core.log.level,
		          (enum log_format)cmd->config->core.log.format);
	return fine ? EXIT_CODE_OK : EXIT_CODE_CONFIGURATION;
}

int cmd_run(struct cmd *cmd)
{
	int code = cmd_load(cmd, true);
	return code ? code : daemon_run(cmd->config, cmd->modules);
}

/* ---- what is asked for ---- */

static const struct subcommand *find_subcommand(const char *name)
{
	for (size_t i = 0; i < N_SUBCOMMANDS; i++)
		if (!strcmp(name, subcommands[i].name))
			return &subcommands[i];
	return NULL;
}

/* Parses up to the subcommand; EXIT_CODE_USAGE, or 0 with `*run` set. */
static int parse(struct cmd *cmd, cmd_fn **run)
{
	int c;
	optind = 0; /* glibc: from the beginning, also a second time in one process */
	opterr = 0;
	*run = cmd_run;
	/* "+" stops at the subcommand, whose options are its own. */
	while ((c = getopt_long(cmd->argc, cmd->argv, "+:c:tThV", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			cmd->config_path = optarg;
			break;
		case 't':
			*run = cmd_check;
			break;
		case 'T':
			*run = cmd_print;
			break;
		case OPTION_PROBE:
			cmd->probe = true;
			break;
		case 'h':
			*run = NULL;
			return print_help();
		case 'V':
			*run = NULL;
			return print_version();
		default:
			return cmd_bad_option(cmd, c);
		}
	}
	return EXIT_CODE_OK;
}

static int choose(struct cmd *cmd, cmd_fn **run)
{
	if (cmd->probe && *run != cmd_check)
		return cmd_usage(cmd, "--probe belongs to -t");
	if (optind == cmd->argc)
		return EXIT_CODE_OK;
	const struct subcommand *subcommand = find_subcommand(cmd->argv[optind]);
	if (!subcommand)
		return cmd_usage(cmd, "unknown command \"%s\"", cmd->argv[optind]);
	if (*run != cmd_run)
		return cmd_usage(cmd, "-t and -T do not go with \"%s\"", subcommand->name);
	*run = subcommand->run;
	cmd->argc -= optind;
	cmd->argv += optind;
	if (cmd->argc > 1 && (!strcmp(cmd->argv[1], "--help") || !strcmp(cmd->argv[1], "-h"))) {
		*run = NULL;
		return print_help();
	}
	return EXIT_CODE_OK;
}

int command_line_run(int argc, char **argv)
{
	struct cmd cmd = {.config_path = CONFIG_PATH, .argc = argc, .argv = argv};
	cmd_fn *run;
	int code = parse(&cmd, &run);
	if (code || !run)
		return code;
	code = choose(&cmd, &run);
	if (!code && run)
		code = run(&cmd);
	release(&cmd);
	return code;
}
