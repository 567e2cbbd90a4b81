/* SPDX-License-Identifier: MIT */
/* cqrsd dead-letters: looks at what was refused, tries it again, or puts it away. */
#include "cmd_bus.h"
#include "dead_letters.h"
#include "json_text.h"
#include "log.h"
#include "pg_value.h"
#include "redrive.h"
#include "utf8.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* People do not wait longer than that for a database that is away. */
#define PATIENCE_US 10000000
#define CHUNK_SHARE 64 /* of the memory budget is for the letters at hand */

struct order {
	struct letters_request request;
	bool json;
	bool all_open; /* the filter says nothing, and that is meant */
};

struct errand {
	struct loop *loop;
	const struct order *order;
	int code;
};

/* ---- tables for people ---- */

/* What strangers have sent must not tell the terminal what to do: C0, DEL and C1. */
static bool is_control(const char *p)
{
	unsigned char c = (unsigned char)p[0], next = (unsigned char)(c ? p[1] : 0);
	return c < ' ' || c == 0x7f || (c == 0xc2 && next >= 0x80 && next < 0xa0);
}

/* At most `width` characters of a text. */
static void print_cell(const char *text, int width, bool is_last)
{
	const char *end = text + strlen(text), *p = text;
	int n = 0;
	while (p < end && n < width) {
		size_t len = utf8_length(p, end);
		if (is_control(p))
			putchar(' ');
		else if (n == width - 1 && p + len < end)
			fputs("…", stdout);
		else
			fwrite(p, 1, len ? len : 1, stdout);
		p += len ? len : 1;
		n++;
	}
	printf(is_last ? "\n" : "%*s", is_last ? 0 : width - n + 2, "");
}

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text ? text : "";
}

static int64_t number_of(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/* "topic [p] @offset #part" */
static void format_place(char out[320], const json_t *letter)
{
	const json_t *part = json_object_get(letter, "part_index");
	int n = snprintf(out, 320, "%s [%" PRId64 "] @%" PRId64, text_of(letter, "topic"),
	                 number_of(letter, "partition"), number_of(letter, "offset"));
	if (json_is_integer(part))
		snprintf(out + n, 320 - (size_t)n, " #%" PRId64, (int64_t)json_integer_value(part));
}

/* A hundred columns; --json has everything. */
enum { ID = 8, SECOND = 16, PLACE = 24, SQLSTATE = 8, REASON = 36 };

static void print_head(const char *second)
{
	printf("%-*s  %-*s  %-*s  %-*s  %s\n", ID, "id", SECOND, second, PLACE, "where", SQLSTATE,
	       "sqlstate", "reason");
}

static void print_row(const json_t *letter, const char *second)
{
	char id[24], place[320], cell[SECOND + 1];
	snprintf(id, sizeof id, "%" PRId64, number_of(letter, "id"));
	/* Of a time the minute. */
	snprintf(cell, sizeof cell, "%s", text_of(letter, second));
	format_place(place, letter);
	print_cell(id, strlen(id) > ID ? (int)strlen(id) : ID, false);
	print_cell(cell, SECOND, false);
	print_cell(place, PLACE, false);
	print_cell(text_of(letter, "sqlstate"), SQLSTATE, false);
	print_cell(text_of(letter, "reason"), REASON, true);
}

static void print_list(const json_t *answer)
{
	json_t *letters = json_object_get(answer, "letters"), *letter;
	size_t i;
	if (json_array_size(letters))
		print_head("created_at");
	json_array_foreach(letters, i, letter) print_row(letter, "created_at");
	printf("%zu of %" PRId64 " dead letters\n", json_array_size(letters),
	       number_of(answer, "total"));
}

/* As it is, but for control characters other than those that lay out a text. */
static void add_text(struct buf *out, const char *text)
{
	for (const char *p = text; *p; p++) {
		if (!is_control(p) || *p == '\n' || *p == '\t')
			buf_putc(out, *p);
		else if ((unsigned char)*p == 0xc2)
			buf_printf(out, "\\u%04x", (unsigned char)*++p);
		else
			buf_printf(out, "\\u%04x", (unsigned char)*p);
	}
}

static int print_one(const json_t *answer)
{
	struct buf out = BUF_INIT, dump = BUF_INIT;
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)answer, name, value)
	{
		const char *text = json_string_value(value);
		if (json_is_null(value))
			continue;
		buf_clear(&dump);
		if (!text)
			json_text(&dump, value, JSON_ENCODE_ANY | JSON_COMPACT);
		buf_printf(&out, "%-16s  ", name);
		add_text(&out, text ? text : buf_str(&dump));
		buf_putc(&out, '\n');
		out.failed |= dump.failed;
	}
	int code = cmd_write(stdout, &out);
	buf_release(&out);
	buf_release(&dump);
	return code;
}

/* What was not redriven; in a rehearsal all of them. */
static void print_redriven(const json_t *answer, bool dry_run)
{
	json_t *letters = json_object_get(answer, "letters"), *letter;
	bool head = false;
	size_t i;
	json_array_foreach(letters, i, letter)
	{
		if (!dry_run && !strcmp(text_of(letter, "outcome"), "redriven"))
			continue;
		if (!head)
			print_head("outcome");
		head = true;
		print_row(letter, "outcome");
	}
	if (json_array_size(letters) == REDRIVE_SHOWN)
		printf("(the first %d are shown)\n", REDRIVE_SHOWN);
	const char *would = dry_run ? "would be " : "";
	printf("%" PRId64 " %sredriven, %" PRId64 " %srefused again", number_of(answer, "redriven"),
	       would, number_of(answer, "refused"), would);
	if (number_of(answer, "skipped"))
		printf(", %" PRId64 " skipped: no module takes their topic",
		       number_of(answer, "skipped"));
	if (number_of(answer, "left"))
		printf(", %" PRId64 " left", number_of(answer, "left"));
	putchar('\n');
}

static int print_answer(const struct order *order, const json_t *answer)
{
	const struct letters_request *request = &order->request;
	if (order->json)
		return cmd_write_json(answer);
	switch (request->verb) {
	case LETTERS_LIST:
		print_list(answer);
		break;
	case LETTERS_SHOW:
		return print_one(answer);
	case LETTERS_REDRIVE:
		print_redriven(answer, request->dry_run);
		break;
	case LETTERS_DISCARD:
		printf("%" PRId64 " %sdiscarded", number_of(answer, "discarded"),
		       request->dry_run ? "would be " : "");
		if (number_of(answer, "left"))
			printf(", %" PRId64 " left", number_of(answer, "left"));
		putchar('\n');
	}
	return EXIT_CODE_OK;
}

/* ---- the errand ---- */

static void on_done(void *owner, enum letters_outcome outcome, json_t *answer, const char *why)
{
	struct errand *errand = owner;
	const struct letters_request *request = &errand->order->request;
	int code = EXIT_CODE_OK;
	/* What was done before it failed is done. */
	if (outcome == LETTERS_DONE || (number_of(answer, "redriven") && !request->dry_run))
		code = print_answer(errand->order, answer);
	if (outcome != LETTERS_DONE)
		fprintf(stderr, "cqrsd: dead letters: %s\n", why);
	bool fine = outcome == LETTERS_DONE && !number_of(answer, "refused") &&
	            !number_of(answer, "skipped");
	errand->code = fine ? code : EXIT_CODE_FAILED;
	loop_stop(errand->loop);
}

static int run(struct cmd *cmd, struct order *order)
{
	const struct core_options *core = &cmd->config->core;
	struct errand errand = {.order = order, .code = EXIT_CODE_FAILED};
	struct cmd_bus b;
	bool fine = cmd_bus_init(&b, cmd);
	struct dead_letters_config config = {.dsn = core->postgres.dsn,
	                                     .group = core->kafka.group,
	                                     .timeout_us = core->postgres.write.timeout,
	                                     .patience_us = PATIENCE_US,
	                                     .chunk_bytes = (size_t)core->memory / CHUNK_SHARE,
	                                     .bus = b.bus,
	                                     .metrics = b.metrics};
	struct dead_letters *letters = NULL;
	errand.loop = b.loop;
	if (fine)
		letters = dead_letters_run(b.loop, &config, &order->request, on_done, &errand);
	if (letters)
		loop_run(b.loop);
	else if (fine)
		cmd_no_memory();
	dead_letters_free(letters);
	cmd_bus_release(&b);
	return errand.code;
}

/* ---- the command line ---- */

enum { OPTION_DRY_RUN = 256, OPTION_ALL_OPEN, OPTION_BY, OPTION_JSON, OPTION_CONDITION };

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'},
    {"dry-run", no_argument, NULL, OPTION_DRY_RUN},
    {"all-open", no_argument, NULL, OPTION_ALL_OPEN},
    {"by", required_argument, NULL, OPTION_BY},
    {"json", no_argument, NULL, OPTION_JSON},
    /* as letter_filter_set() has them */
    {"topic", required_argument, NULL, OPTION_CONDITION},
    {"reason", required_argument, NULL, OPTION_CONDITION},
    {"sqlstate", required_argument, NULL, OPTION_CONDITION},
    {"since", required_argument, NULL, OPTION_CONDITION},
    {"before", required_argument, NULL, OPTION_CONDITION},
    {"limit", required_argument, NULL, OPTION_CONDITION},
    {"all", no_argument, NULL, OPTION_CONDITION},
    {NULL, 0, NULL, 0},
};

static int set_condition(const struct cmd *cmd, struct order *order, const char *name,
                         const char *text)
{
	struct buf error = BUF_INIT;
	struct loop *loop = loop_new();
	int64_t now = loop ? loop_wall_clock(loop) : 0;
	int code = EXIT_CODE_OK;
	if (!letter_filter_set(&order->request.filter, name, text, now, &error))
		code = cmd_usage(cmd, "%s", buf_str(&error));
	loop_free(loop);
	buf_release(&error);
	return code;
}

static int set_by(const struct cmd *cmd, struct order *order, const char *by)
{
	size_t len = by ? strlen(by) : 0;
	if (!len || len >= sizeof order->request.by || !pg_value_is_text(by, len))
		return cmd_usage(cmd, "--by must be text of 1 to %zu bytes",
		                 sizeof order->request.by - 1);
	memcpy(order->request.by, by, len + 1);
	return EXIT_CODE_OK;
}

static int parse_options(struct cmd *cmd, struct order *order)
{
	int c, index = 0, code = EXIT_CODE_OK;
	optind = 0;
	while (!code && (c = getopt_long(cmd->argc, cmd->argv, ":c:", options, &index)) != -1) {
		if (c == 'c')
			cmd->config_path = optarg;
		else if (c == OPTION_DRY_RUN)
			order->request.dry_run = true;
		else if (c == OPTION_ALL_OPEN)
			order->all_open = true;
		else if (c == OPTION_JSON)
			order->json = true;
		else if (c == OPTION_BY)
			code = set_by(cmd, order, optarg);
		else if (c == OPTION_CONDITION)
			code = set_condition(cmd, order, options[index].name, optarg ? optarg : "");
		else
			code = cmd_bad_option(cmd, c);
	}
	return code;
}

static int parse_verb(const struct cmd *cmd, struct order *order, const char *verb)
{
	static const char *const verbs[] = {[LETTERS_LIST] = "list",
	                                    [LETTERS_SHOW] = "show",
	                                    [LETTERS_REDRIVE] = "redrive",
	                                    [LETTERS_DISCARD] = "discard"};
	for (size_t i = 0; verb && i < sizeof verbs / sizeof *verbs; i++) {
		if (strcmp(verb, verbs[i]) != 0)
			continue;
		order->request.verb = (enum letters_verb)i;
		return EXIT_CODE_OK;
	}
	return cmd_usage(cmd, "dead-letters wants list, show, redrive or discard");
}

/* What changes something must say what. */
static int check(const struct cmd *cmd, struct order *order)
{
	struct letters_request *request = &order->request;
	bool changes = request->verb == LETTERS_REDRIVE || request->verb == LETTERS_DISCARD;
	if (request->verb == LETTERS_SHOW && request->filter.n_ids != 1)
		return cmd_usage(cmd, "dead-letters show wants one id");
	if (request->verb == LETTERS_SHOW)
		request->filter.all = true;
	if (changes && request->filter.all)
		return cmd_usage(cmd, "--all is for list: only what is open can be changed");
	if (changes && order->all_open != letter_filter_is_open(&request->filter))
		return cmd_usage(cmd,
		                 order->all_open
		                     ? "--all-open does not go with ids or conditions"
		                     : "which dead letters? give ids or conditions, or --all-open");
	return EXIT_CODE_OK;
}

static int parse(struct cmd *cmd, struct order *order)
{
	cmd_by(order->request.by, sizeof order->request.by);
	int code = parse_options(cmd, order);
	if (!code)
		code = parse_verb(cmd, order, optind < cmd->argc ? cmd->argv[optind] : NULL);
	for (int i = optind + 1; !code && i < cmd->argc; i++)
		code = set_condition(cmd, order, "id", cmd->argv[i]);
	return code ? code : check(cmd, order);
}

int cmd_dead_letters(struct cmd *cmd)
{
	struct order order = {.json = false};
	int code = parse(cmd, &order);
	if (!code)
		code = cmd_load(cmd, true);
	if (!code) {
		log_setup(LOG_LEVEL_WARNING, LOG_FORMAT_TEXT);
		code = run(cmd, &order);
	}
	letter_filter_release(&order.request.filter);
	return code;
}
