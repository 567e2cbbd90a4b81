/* SPDX-License-Identifier: MIT */
/* cqrsd audit: is all that Kafka still has in the tables, once? */
#include "cmd.h"

#include "audit.h"
#include "cmd_bus.h"
#include "json_tree.h"
#include "log.h"

#include <cqrs/time.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXAMPLES 20 /* of what is missing */

struct examples {
	int shown;
	bool progress; /* a line is to be written over */
};

static void on_missing(void *owner, const char *topic, int32_t partition, int64_t offset,
                       int32_t index, const char *table)
{
	struct examples *examples = owner;
	char part[32] = "";
	if (examples->shown++ >= EXAMPLES)
		return;
	if (index >= 0)
		snprintf(part, sizeof part, ", part %" PRId32, index);
	fprintf(stderr, "%smissing: %s [%" PRId32 "] offset %" PRId64 "%s: not in %s\n",
	        examples->progress ? "\r\033[K" : "", topic, partition, offset, part,
	        table ? table : "cqrs.dead_letters, though refused");
}

/* ---- the report ---- */

static void add(struct audit_count *sum, const struct audit_count *one)
{
	sum->messages += one->messages;
	sum->readings += one->readings;
	sum->present += one->present;
	sum->dead += one->dead;
	sum->duplicate += one->duplicate;
	sum->missing += one->missing;
}

static void print_line(int width, const char *topic, const char *partition,
                       const struct audit_count *count)
{
	printf("%-*s  %9s  %10" PRId64 "  %10" PRId64 "  %10" PRId64 "  %8" PRId64 "  %9" PRId64
	       "  %8" PRId64 "\n",
	       width, topic, partition, count->messages, count->readings, count->present,
	       count->dead, count->duplicate, count->missing);
}

static void print_table(const struct audit_result *result, struct audit_count *sum)
{
	int width = 5; /* "topic" */
	char number[16];
	for (size_t i = 0; i < result->n_partitions; i++)
		if ((int)strlen(result->partitions[i].partition.topic) > width)
			width = (int)strlen(result->partitions[i].partition.topic);
	printf("%-*s  %9s  %10s  %10s  %10s  %8s  %9s  %8s\n", width, "topic", "partition",
	       "messages", "readings", "present", "dead", "duplicate", "MISSING");
	for (size_t i = 0; i < result->n_partitions; i++) {
		const struct audit_partition *p = &result->partitions[i];
		snprintf(number, sizeof number, "%" PRId32, p->partition.position.partition);
		print_line(width, p->partition.topic, number, &p->count);
		add(sum, &p->count);
	}
	print_line(width, "total", "", sum);
}

static int report(const struct audit_result *result, const struct examples *examples)
{
	struct audit_count sum = {0};
	if (!result->complete) {
		fprintf(stderr, "cqrsd: audit: %s\n", result->error);
		return EXIT_CODE_FAILED;
	}
	if (examples->shown > EXAMPLES)
		fprintf(stderr, "and %d more\n", examples->shown - EXAMPLES);
	print_table(result, &sum);
	if (result->doubled)
		printf("DOUBLED: %" PRId64 " rows have the key of another one\n", result->doubled);
	if (result->changed)
		printf("changed: %" PRId64 " rows have other values than any message here asks "
		       "for\n",
		       result->changed);
	if (result->marks_full)
		puts("some duplicates were counted as present: with more `memory` they are told "
		     "apart");
	return sum.missing || result->doubled ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

static json_t *count_json(const struct audit_count *count)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "messages", (json_int_t)count->messages,
	                 "readings", (json_int_t)count->readings, "present",
	                 (json_int_t)count->present, "dead", (json_int_t)count->dead, "duplicate",
	                 (json_int_t)count->duplicate, "missing", (json_int_t)count->missing);
}

static int report_json(const struct audit_result *result)
{
	struct audit_count sum = {0};
	json_t *partitions = json_array();
	for (size_t i = 0; i < result->n_partitions; i++) {
		const struct audit_partition *p = &result->partitions[i];
		json_t *one = count_json(&p->count);
		json_tree_set(&one, "topic", json_string(p->partition.topic));
		json_tree_set(&one, "partition", json_integer(p->partition.position.partition));
		json_tree_append(&partitions, one);
		add(&sum, &p->count);
	}
	json_t *all = json_pack("{s:o, s:o, s:I, s:I, s:b}", "partitions", partitions, "total",
	                        count_json(&sum), "doubled", (json_int_t)result->doubled, "changed",
	                        (json_int_t)result->changed, "complete", result->complete);
	if (!result->complete)
		json_tree_set(&all, "error", json_string(result->error));
	int code = cmd_write_json(all);
	json_decref(all);
	return sum.missing || result->doubled || !result->complete ? EXIT_CODE_FAILED : code;
}

/* ---- what was asked for ---- */

struct asked {
	struct audit_config config;
	bool json;
};

/* An offset, or a time. */
static int parse_bound(const struct cmd *cmd, const char *text, int64_t *offset, int64_t *us)
{
	char *end;
	errno = 0;
	*offset = strtoll(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !*end && !errno)
		return EXIT_CODE_OK;
	*offset = -1;
	if (cqrs_time_from_rfc3339(text, strlen(text), us))
		return EXIT_CODE_OK;
	return cmd_usage(cmd, "\"%s\" is neither an offset nor a time such as 2026-03-04T00:00:00Z",
	                 text);
}

static int take_option(struct cmd *cmd, struct asked *asked, int c)
{
	struct audit_config *config = &asked->config;
	switch (c) {
	case 'c':
		cmd->config_path = optarg;
		return EXIT_CODE_OK;
	case 't':
		config->topic = optarg;
		return EXIT_CODE_OK;
	case 'f':
		return parse_bound(cmd, optarg, &config->from_offset, &config->from_us);
	case 'u':
		return parse_bound(cmd, optarg, &config->to_offset, &config->to_us);
	case 'j':
		asked->json = true;
		return EXIT_CODE_OK;
	default:
		return cmd_bad_option(cmd, c);
	}
}

static int parse(struct cmd *cmd, struct asked *asked)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'}, {"topic", required_argument, NULL, 't'},
	    {"from", required_argument, NULL, 'f'},   {"to", required_argument, NULL, 'u'},
	    {"json", no_argument, NULL, 'j'},         {NULL, 0, NULL, 0}};
	int c;
	optind = 0;
	while ((c = getopt_long(cmd->argc, cmd->argv, ":c:", options, NULL)) != -1) {
		int code = take_option(cmd, asked, c);
		if (code)
			return code;
	}
	if (optind < cmd->argc)
		return cmd_usage(cmd, "audit takes no arguments, only options");
	return EXIT_CODE_OK;
}

static int audit(struct cmd_bus *b, struct asked *asked)
{
	struct examples examples = {.progress = asked->config.progress};
	struct audit_result result;
	if (asked->config.topic && command_bus_find_topic(b->bus, asked->config.topic) < 0) {
		fprintf(stderr, "cqrsd: no module takes the topic \"%s\"\n", asked->config.topic);
		return EXIT_CODE_FAILED;
	}
	audit_run(b->loop, b->bus, &asked->config, on_missing, &examples, &result);
	if (asked->config.progress)
		fputs("\r\033[K", stderr);
	int code = asked->json ? report_json(&result) : report(&result, &examples);
	audit_result_release(&result);
	return code;
}

int cmd_audit(struct cmd *cmd)
{
	struct asked asked = {
	    .config = {.from_offset = -1, .to_offset = -1, .from_us = -1, .to_us = -1}};
	struct cmd_bus b;
	int code = parse(cmd, &asked);
	if (!code)
		code = cmd_load(cmd, true);
	if (code)
		return code;
	const struct core_options *core = &cmd->config->core;
	char *brokers = cmd_brokers(core);
	if (!brokers)
		return EXIT_CODE_FAILED;
	asked.config.brokers = brokers;
	asked.config.group = core->kafka.group;
	asked.config.dsn = core->postgres.dsn;
	asked.config.properties = core->kafka.properties;
	asked.config.memory = core->memory;
	asked.config.progress = isatty(STDERR_FILENO) != 0;
	/* What goes wrong is in the result. */
	log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	code = cmd_bus_init(&b, cmd) ? audit(&b, &asked) : EXIT_CODE_FAILED;
	cmd_bus_release(&b);
	free(brokers);
	return code;
}
