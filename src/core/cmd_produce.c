/* SPDX-License-Identifier: MIT */
/* cqrsd produce: sends the lines of stdin to Kafka, a message each. */
#include "cmd.h"

#include "kafka_sink.h"
#include "line_reader.h"
#include "log.h"

#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADERS_MAX         32
#define LINE_MAX_BYTES      (8 * 1048576)
#define QUEUE_BYTES         (16 * 1048576)
#define DELIVERY_TIMEOUT_US 30000000
#define LINES_PER_TURN      1000
#define ERRORS_SHOWN        10
#define AGAIN_US            100000 /* when stdin cannot be watched for want of memory */

struct request {
	const char *topic;
	bool has_keys;
	int32_t partition;
	int64_t rate; /* messages per second; 0: as fast as they are taken */
	struct cqrs_header headers[HEADERS_MAX];
	size_t n_headers;
};

struct produce {
	const struct request *request;
	struct loop *loop;
	struct kafka_sink *sink;
	struct line_reader lines;
	struct timer *timer;    /* reads on */
	struct event *readable; /* stdin; a regular file always is and never waits */
	const char *line;       /* read and not yet sent; NULL: none */
	size_t len;
	int64_t begun; /* loop time */
	int64_t sent, acknowledged, failed;
	bool is_at_end;
};

/* A message on its way. */
struct message {
	struct kafka_record record;
	struct produce *produce;
	int64_t line;
};

static void fail_line(struct produce *produce, int64_t line, const char *why)
{
	if (produce->failed++ < ERRORS_SHOWN)
		fprintf(stderr, "cqrsd: line %" PRId64 ": %s\n", line, why);
}

static void stop_at_end(struct produce *produce)
{
	if (produce->is_at_end && !produce->line && !kafka_sink_in_flight(produce->sink))
		loop_stop(produce->loop);
}

static void on_sent(struct kafka_record *record, int32_t partition, int64_t offset,
                    const char *error)
{
	struct message *message = (struct message *)record;
	struct produce *produce = message->produce;
	char why[300];
	(void)partition;
	(void)offset;
	if (!error) {
		produce->acknowledged++;
	} else if (produce->request->partition == KAFKA_PARTITION_ANY) {
		fail_line(produce, message->line, error);
	} else {
		snprintf(why, sizeof why, "%s [%" PRId32 "]: %s", produce->request->topic,
		         produce->request->partition, error);
		fail_line(produce, message->line, why);
	}
	free(message);
	if (produce->line && !timer_is_armed(produce->timer))
		timer_arm(produce->timer, 0); /* the queue was full */
	stop_at_end(produce);
}

/* False: the queue is full, later. */
static bool send_line(struct produce *produce)
{
	const struct request *request = produce->request;
	const char *tab = request->has_keys ? memchr(produce->line, '\t', produce->len) : NULL;
	size_t key_len = tab ? (size_t)(tab - produce->line) : 0;
	if (request->has_keys && !tab) {
		fail_line(produce, produce->lines.number, "there is no TAB after the key");
		return true;
	}
	struct message *message = malloc(sizeof *message);
	if (!message)
		return false;
	*message = (struct message){
	    .record = {.topic = request->topic,
	               .partition = request->partition,
	               .key = tab ? produce->line : NULL,
	               .key_len = key_len,
	               .value = tab ? tab + 1 : produce->line,
	               .value_len = tab ? produce->len - key_len - 1 : produce->len,
	               .headers = request->headers,
	               .n_headers = request->n_headers,
	               .done = on_sent},
	    .produce = produce,
	    .line = produce->lines.number,
	};
	if (kafka_sink_send(produce->sink, &message->record)) {
		produce->sent++;
		return true;
	}
	free(message);
	return false;
}

static void end_input(struct produce *produce, enum line_result result)
{
	produce->is_at_end = true;
	if (result == LINE_TOO_LONG)
		fail_line(produce, produce->lines.number, "the line is too long, over 8 MiB");
	else if (result == LINE_FAILED)
		fail_line(produce, produce->lines.number, strerror(errno));
	/* In a turn of its own, or loop_stop() would come before loop_run(). */
	timer_arm(produce->timer, 0);
}

/* True: a line is at hand. */
static bool read_line(struct produce *produce)
{
	while (!produce->line && !produce->is_at_end) {
		enum line_result result =
		    line_reader_next(&produce->lines, &produce->line, &produce->len);
		if (result == LINE_OK && produce->len)
			return true;
		produce->line = NULL;
		if (result == LINE_LATER) {
			if (event_add(produce->readable, NULL))
				timer_arm(produce->timer, AGAIN_US);
			return false;
		}
		if (result != LINE_OK)
			end_input(produce, result);
	}
	return produce->line != NULL;
}

/* How long to wait before the next message may go; 0: it may. */
static int64_t wait_for_rate(const struct produce *produce)
{
	if (!produce->request->rate)
		return 0;
	int64_t due = produce->begun + produce->sent * 1000000 / produce->request->rate;
	int64_t wait = due - loop_now(produce->loop);
	return wait > 0 ? wait : 0;
}

static void on_turn(void *arg)
{
	struct produce *produce = arg;
	for (int i = 0; i < LINES_PER_TURN; i++) {
		if (!read_line(produce)) {
			stop_at_end(produce);
			return;
		}
		int64_t wait = wait_for_rate(produce);
		if (wait) {
			timer_arm(produce->timer, wait);
			return;
		}
		if (!send_line(produce)) {
			if (kafka_sink_in_flight(produce->sink))
				return; /* on_sent() goes on */
			fail_line(produce, produce->lines.number, "out of memory");
		}
		produce->line = NULL;
	}
	timer_arm(produce->timer, 0);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	on_turn(arg);
}

static int report(const struct produce *produce)
{
	printf("%s: %" PRId64 " message%s acknowledged\n", produce->request->topic,
	       produce->acknowledged, produce->acknowledged == 1 ? "" : "s");
	if (produce->failed)
		fprintf(stderr, "cqrsd: %" PRId64 " message%s failed\n", produce->failed,
		        produce->failed == 1 ? "" : "s");
	return produce->failed ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

static int produce_all(const struct request *request, const struct kafka_sink_config *config)
{
	struct produce produce = {.request = request, .loop = loop_new()};
	int code = EXIT_CODE_FAILED;
	line_reader_init(&produce.lines, STDIN_FILENO, LINE_MAX_BYTES);
	if (produce.loop)
		produce.sink = kafka_sink_new(produce.loop, config, NULL);
	if (produce.sink) {
		produce.timer = timer_new(produce.loop, on_turn, &produce);
		produce.readable = event_new(loop_base(produce.loop), STDIN_FILENO, EV_READ,
		                             on_readable, &produce);
	}
	if (produce.timer && produce.readable) {
		produce.begun = loop_now(produce.loop);
		timer_arm(produce.timer, 0);
		loop_run(produce.loop);
		code = report(&produce);
	} else {
		cmd_no_memory();
	}
	if (produce.readable)
		event_free(produce.readable);
	kafka_sink_free(produce.sink);
	timer_free(produce.timer);
	line_reader_release(&produce.lines);
	loop_free(produce.loop);
	return code;
}

/* ---- where to ---- */

static int produce_to(const struct request *request, const struct core_options *core)
{
	char *brokers = cmd_brokers(core);
	const struct kafka_sink_config config = {.brokers = brokers,
	                                         .queue_bytes = QUEUE_BYTES,
	                                         .delivery_timeout_us = DELIVERY_TIMEOUT_US,
	                                         .properties = core->kafka.properties};
	int code = brokers ? produce_all(request, &config) : EXIT_CODE_FAILED;
	free(brokers);
	return code;
}

/* ---- what was asked for ---- */

static bool parse_number(const char *text, int64_t max, int64_t *number)
{
	char *end;
	errno = 0;
	*number = strtoll(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *number <= max;
}

static bool add_header(struct request *request, char *text)
{
	char *equals = strchr(text, '=');
	if (!equals || equals == text || request->n_headers == HEADERS_MAX)
		return false;
	*equals = '\0';
	request->headers[request->n_headers++] =
	    (struct cqrs_header){text, equals + 1, strlen(equals + 1)};
	return true;
}

static int take_option(struct cmd *cmd, struct request *request, int c)
{
	int64_t number;
	switch (c) {
	case 'c':
		cmd->config_path = optarg;
		return EXIT_CODE_OK;
	case 'k':
		request->has_keys = true;
		return EXIT_CODE_OK;
	case 'p':
		if (!parse_number(optarg, INT32_MAX, &number))
			return cmd_usage(cmd, "-p wants the number of a partition, not \"%s\"",
			                 optarg);
		request->partition = (int32_t)number;
		return EXIT_CODE_OK;
	case 'r':
		if (!parse_number(optarg, 1000000000, &request->rate) || !request->rate)
			return cmd_usage(cmd, "--rate wants messages per second, not \"%s\"",
			                 optarg);
		return EXIT_CODE_OK;
	case 'H':
		if (!add_header(request, optarg))
			return cmd_usage(cmd, "-H wants NAME=VALUE, at most %d times", HEADERS_MAX);
		return EXIT_CODE_OK;
	default:
		return cmd_bad_option(cmd, c);
	}
}

static int parse(struct cmd *cmd, struct request *request)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},    {"key", no_argument, NULL, 'k'},
	    {"partition", required_argument, NULL, 'p'}, {"header", required_argument, NULL, 'H'},
	    {"rate", required_argument, NULL, 'r'},      {NULL, 0, NULL, 0}};
	int c;
	optind = 0;
	while ((c = getopt_long(cmd->argc, cmd->argv, ":c:kp:H:", options, NULL)) != -1) {
		int code = take_option(cmd, request, c);
		if (code)
			return code;
	}
	if (optind + 1 != cmd->argc)
		return cmd_usage(cmd, "produce wants one topic");
	request->topic = cmd->argv[optind];
	return EXIT_CODE_OK;
}

int cmd_produce(struct cmd *cmd)
{
	struct request request = {.partition = KAFKA_PARTITION_ANY};
	int code = parse(cmd, &request);
	if (!code)
		code = cmd_load(cmd, false);
	return code ? code : produce_to(&request, &cmd->config->core);
}
