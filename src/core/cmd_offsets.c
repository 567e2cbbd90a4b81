/* SPDX-License-Identifier: MIT */
/* cqrsd offsets: where the group reads next, and how to set that by hand. */
#include "cmd.h"

#include "json_tree.h"
#include "kafka_group.h"
#include "log.h"
#include "offsets.h"
#include "pg_ask.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PATIENCE_US 5000000
#define UNKNOWN     (-1)

struct order {
	bool set, json, yes;
	const char *topic;
	int32_t partition;
	int64_t offset; /* or as `where` says */
	const char *where;
};

/* The database and Kafka, as far as they can be asked. */
struct sources {
	const struct core_options *core;
	struct kafka_group_config kafka_config;
	char *brokers;
	struct kafka_group *kafka; /* NULL: `kafka_why` */
	int members;               /* UNKNOWN: `members_why` */
	struct buf kafka_why, members_why;
};

struct position {
	const char *topic;
	int32_t partition;
	int64_t next; /* UNKNOWN: it was never read */
	const char *updated_at;
	int64_t begin, end; /* of its log; UNKNOWN */
};

static void sources_init(struct sources *s, const struct core_options *core)
{
	*s = (struct sources){.core = core, .members = UNKNOWN, .brokers = cmd_brokers(core)};
	s->kafka_config = (struct kafka_group_config){.brokers = s->brokers,
	                                              .group = core->kafka.group,
	                                              .properties = core->kafka.properties,
	                                              .timeout_us = PATIENCE_US};
	if (s->brokers)
		s->kafka = kafka_group_new(&s->kafka_config, &s->kafka_why);
	else
		buf_puts(&s->kafka_why, "kafka: where the brokers are is not known");
	if (s->kafka)
		s->members = kafka_group_members(s->kafka, &s->members_why);
}

static void sources_release(struct sources *s)
{
	kafka_group_free(s->kafka);
	free(s->brokers);
	buf_release(&s->kafka_why);
	buf_release(&s->members_why);
}

/* Why Kafka does not answer; NULL: it does. */
static const char *kafka_problem(struct sources *s)
{
	const char *text = buf_str(&s->kafka_why);
	return s->kafka_why.failed ? "kafka: out of memory" : *text ? text : NULL;
}

static void look_at_log(struct sources *s, struct position *p)
{
	p->begin = p->end = UNKNOWN;
	/* What was away a moment ago is not asked for each partition anew. */
	if (!s->kafka || kafka_problem(s) ||
	    !kafka_group_log(s->kafka, p->topic, p->partition, &p->begin, &p->end, &s->kafka_why))
		p->begin = p->end = UNKNOWN;
}

static int say_why_not(const char *why)
{
	fprintf(stderr, "cqrsd: %s\n", why);
	return EXIT_CODE_FAILED;
}

static int fail(struct buf *why)
{
	const char *text = buf_str(why);
	return why->failed || !*text ? cmd_no_memory() : say_why_not(text);
}

/* ---- show ---- */

static json_t *number(int64_t n)
{
	return n == UNKNOWN ? json_null() : json_integer(n);
}

static int64_t lag(const struct position *p)
{
	if (p->end == UNKNOWN)
		return UNKNOWN;
	return p->end > p->next ? p->end - p->next : 0;
}

static json_t *position_json(const struct position *p)
{
	return json_pack("{s:s, s:i, s:o, s:s, s:o, s:o, s:o}", "topic", p->topic, "partition",
	                 (int)p->partition, "next_offset", number(p->next), "updated_at",
	                 p->updated_at, "log_start", number(p->begin), "log_end", number(p->end),
	                 "lag", number(lag(p)));
}

static void print_number(int64_t n)
{
	if (n == UNKNOWN)
		printf("  %12s", "?");
	else
		printf("  %12" PRId64, n);
}

static void print_position(const struct position *p, int width)
{
	printf("%-*s  %9" PRId32, width, p->topic, p->partition);
	print_number(p->next);
	print_number(p->begin);
	print_number(p->end);
	print_number(lag(p));
	printf("  %s\n", p->updated_at);
}

static struct position position_at(struct sources *s, const PGresult *rows, int row)
{
	struct position p = {.topic = PQgetvalue(rows, row, 0),
	                     .partition = (int32_t)atoi(PQgetvalue(rows, row, 1)),
	                     .next = strtoll(PQgetvalue(rows, row, 2), NULL, 10),
	                     .updated_at = PQgetvalue(rows, row, 3)};
	look_at_log(s, &p);
	return p;
}

static int show_json(struct sources *s, const PGresult *rows)
{
	json_t *list = json_array();
	for (int i = 0; i < PQntuples(rows); i++) {
		struct position p = position_at(s, rows, i);
		json_tree_append(&list, position_json(&p));
	}
	json_t *all = json_pack("{s:s, s:o, s:o, s:s?}", "group", s->core->kafka.group, "members",
	                        number(s->members), "positions", list, "kafka", kafka_problem(s));
	int code = cmd_write_json(all);
	json_decref(all);
	return code;
}

static void show_table(struct sources *s, const PGresult *rows)
{
	int width = 5;
	for (int i = 0; i < PQntuples(rows); i++)
		if (PQgetlength(rows, i, 0) > width)
			width = PQgetlength(rows, i, 0);
	printf("%-*s  %9s  %12s  %12s  %12s  %12s  %s\n", width, "topic", "partition",
	       "next_offset", "log_start", "log_end", "lag", "updated_at");
	for (int i = 0; i < PQntuples(rows); i++) {
		struct position p = position_at(s, rows, i);
		print_position(&p, width);
	}
	printf("group %s", s->core->kafka.group);
	if (s->members != UNKNOWN)
		printf(", %d member%s", s->members, s->members == 1 ? "" : "s");
	putchar('\n');
	if (kafka_problem(s))
		fprintf(stderr, "cqrsd: %s\n", kafka_problem(s));
}

static int show(struct sources *s, const struct order *order)
{
	const char *const values[] = {s->core->kafka.group};
	struct buf why = BUF_INIT;
	PGresult *rows =
	    pg_ask(s->core->postgres.dsn, OFFSETS_SHOW_SQL, values, 1, PATIENCE_US, &why);
	int code = rows ? EXIT_CODE_OK : fail(&why);
	if (rows && order->json)
		code = show_json(s, rows);
	else if (rows)
		show_table(s, rows);
	PQclear(rows);
	buf_release(&why);
	return code;
}

/* ---- set ---- */

/* Where the partition stands now; false after saying why that is not known. */
static bool find(struct sources *s, const struct order *order, struct position *p)
{
	const char *const values[] = {s->core->kafka.group};
	struct buf why = BUF_INIT;
	PGresult *rows =
	    pg_ask(s->core->postgres.dsn, OFFSETS_SHOW_SQL, values, 1, PATIENCE_US, &why);
	*p = (struct position){
	    .topic = order->topic, .partition = order->partition, .next = UNKNOWN};
	if (rows) {
		offsets_find(rows, order->topic, order->partition, &p->next);
		look_at_log(s, p);
	} else {
		fail(&why);
	}
	PQclear(rows);
	buf_release(&why);
	return rows != NULL;
}

/* The offset that is asked for; false after saying why it cannot be. */
static bool choose(struct sources *s, const struct order *order, const struct position *p,
                   int64_t *to)
{
	struct buf why = BUF_INIT;
	*to = order->offset;
	if (p->end != UNKNOWN && order->where)
		*to = !strcmp(order->where, "earliest") ? p->begin : p->end;
	else if (s->kafka && !kafka_problem(s) && p->end == UNKNOWN)
		buf_printf(&why, "Kafka has no %s [%" PRId32 "]", p->topic, p->partition);
	else if (p->end == UNKNOWN && order->where)
		buf_printf(&why, "%s is not known: %s", order->where, kafka_problem(s));
	if (p->end != UNKNOWN && (*to < p->begin || *to > p->end))
		buf_printf(&why,
		           "the log of %s [%" PRId32 "] begins at %" PRId64 " and ends at %" PRId64,
		           p->topic, p->partition, p->begin, p->end);
	bool fine = !why.len && !why.failed;
	if (!fine)
		fail(&why);
	buf_release(&why);
	return fine;
}

static void say(const struct position *p, int64_t to, bool done)
{
	printf("%s [%" PRId32 "]: next_offset %s ", p->topic, p->partition,
	       done ? "was" : "would go from");
	if (p->next == UNKNOWN)
		printf("none");
	else
		printf("%" PRId64, p->next);
	printf(done ? ", is now %" PRId64 : " to %" PRId64, to);
	if (p->next != UNKNOWN && to > p->next)
		printf("; %" PRId64 " offsets are passed over", to - p->next);
	else if (p->next != UNKNOWN && to < p->next)
		printf("; %" PRId64 " offsets are read again", p->next - to);
	putchar('\n');
	if (p->end == UNKNOWN)
		fputs("cqrsd: Kafka was not asked whether it has that offset\n", stderr);
}

static bool was_alone(const PGresult *answer)
{
	return !strcmp(PQgetvalue(answer, 0, 0), "t");
}

/* Who has just ended is heard of for a moment longer. */
static PGresult *ask_to_move(const struct sources *s, const char *const values[5], struct buf *why)
{
	const struct timespec moment = {.tv_nsec = 200000000};
	for (int moments = 5;; moments--) {
		PGresult *answer =
		    pg_ask(s->core->postgres.dsn, OFFSETS_SET_SQL, values, 5, PATIENCE_US, why);
		if (!moments || !answer || was_alone(answer))
			return answer;
		PQclear(answer);
		nanosleep(&moment, NULL);
	}
}

/* In one statement: nobody of the group lives, and the offset is where it was shown to be. */
static int move(const struct sources *s, const struct position *p, int64_t to)
{
	char partition[16], from[24], target[24], by[200];
	const char *const values[] = {s->core->kafka.group, p->topic, partition,
	                              p->next == UNKNOWN ? NULL : from, target};
	struct buf why = BUF_INIT;
	snprintf(partition, sizeof partition, "%" PRId32, p->partition);
	snprintf(from, sizeof from, "%" PRId64, p->next);
	snprintf(target, sizeof target, "%" PRId64, to);
	PGresult *answer = ask_to_move(s, values, &why);
	if (answer && !was_alone(answer))
		buf_puts(&why, "a member of the group is alive: stop it first");
	else if (answer && strcmp(PQgetvalue(answer, 0, 1), "1") != 0)
		buf_puts(&why, "the offset has moved meanwhile: look again");
	int code = why.len || !answer ? fail(&why) : EXIT_CODE_OK;
	if (!code) {
		say(p, to, true);
		cmd_by(by, sizeof by);
		log_warning("offsets: group %s, %s [%" PRId32 "]: set to %s (was %s) by %s",
		            values[0], p->topic, p->partition, target, values[3] ? from : "none",
		            by);
	}
	PQclear(answer);
	buf_release(&why);
	return code;
}

static int set(struct sources *s, const struct order *order)
{
	struct position p;
	int64_t to;
	char why[80];
	if (s->members > 0) {
		snprintf(why, sizeof why, "the group has %d live member%s: stop %s first",
		         s->members, s->members == 1 ? "" : "s", s->members == 1 ? "it" : "them");
		return say_why_not(why);
	}
	if (!find(s, order, &p) || !choose(s, order, &p, &to))
		return EXIT_CODE_FAILED;
	if (order->yes)
		return move(s, &p, to);
	say(&p, to, false);
	return say_why_not("nothing was changed: say --yes");
}

/* ---- the command line ---- */

static bool parse_number(const char *text, int64_t most, int64_t *n)
{
	char *end;
	errno = 0;
	*n = strtoll(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *n <= most;
}

static int parse_set(struct cmd *cmd, struct order *order)
{
	int64_t partition;
	char **argv = cmd->argv + optind + 1;
	if (cmd->argc - optind != 4)
		return cmd_usage(cmd, "offsets set wants TOPIC PARTITION OFFSET");
	order->topic = argv[0];
	if (!parse_number(argv[1], INT32_MAX, &partition))
		return cmd_usage(cmd, "\"%s\" is no partition", argv[1]);
	order->partition = (int32_t)partition;
	if (!strcmp(argv[2], "earliest") || !strcmp(argv[2], "latest"))
		order->where = argv[2];
	else if (!parse_number(argv[2], INT64_MAX, &order->offset))
		return cmd_usage(cmd, "\"%s\" is no offset: a number, earliest or latest", argv[2]);
	return EXIT_CODE_OK;
}

enum { OPTION_JSON = 256, OPTION_YES };

static int parse(struct cmd *cmd, struct order *order)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
	                                        {"json", no_argument, NULL, OPTION_JSON},
	                                        {"yes", no_argument, NULL, OPTION_YES},
	                                        {NULL, 0, NULL, 0}};
	int c;
	optind = 0;
	while ((c = getopt_long(cmd->argc, cmd->argv, ":c:", options, NULL)) != -1) {
		if (c == 'c')
			cmd->config_path = optarg;
		else if (c == OPTION_JSON)
			order->json = true;
		else if (c == OPTION_YES)
			order->yes = true;
		else
			return cmd_bad_option(cmd, c);
	}
	const char *verb = optind < cmd->argc ? cmd->argv[optind] : "";
	order->set = !strcmp(verb, "set");
	if (order->set)
		return parse_set(cmd, order);
	if (strcmp(verb, "show") != 0 || cmd->argc - optind != 1)
		return cmd_usage(cmd, "offsets wants show, or set TOPIC PARTITION OFFSET");
	return EXIT_CODE_OK;
}

int cmd_offsets(struct cmd *cmd)
{
	struct order order = {.set = false};
	struct sources s;
	int code = parse(cmd, &order);
	/* Without modules: what is wrong with one of them is no reason not to look. */
	if (!code)
		code = cmd_load(cmd, false);
	if (code)
		return code;
	log_setup(LOG_LEVEL_WARNING, LOG_FORMAT_TEXT);
	sources_init(&s, &cmd->config->core);
	code = order.set ? set(&s, &order) : show(&s, &order);
	sources_release(&s);
	return code;
}
