/* SPDX-License-Identifier: MIT */
/*
 * A member of a group, against the embedded broker.  Joining takes seconds, so
 * the tests share the member and run in order.
 */
#include "kafka_embedded.h"
#include "kafka_sink.h"
#include "kafka_source.h"

#include <check.h>
#include <stdlib.h>

#define LIMIT_US 20000000
#define N        KAFKA_EMBEDDED_PARTITIONS

static struct loop *loop;
static struct kafka_embedded *broker;
static struct kafka_sink *sink;
static struct kafka_source *source;
static int sent;

/* ---- the owner: keeps what came, in order ---- */

static struct kafka_position assigned[2 * N];
static size_t n_assigned;
static struct {
	enum kafka_kind kind;
	int32_t partition;
	int64_t offset;
} items[65536];
static size_t n_items;
static struct kafka_range ranges[N];
static size_t n_ranges;

static bool on_assigned(void *owner, const struct kafka_position *list, size_t n)
{
	(void)owner;
	n_assigned = n;
	if (n)
		memcpy(assigned, list, n * sizeof *list);
	return true;
}

static void on_revoked(void *owner, const char *lost)
{
	(void)owner;
	ck_assert_ptr_null(lost);
	n_assigned = 0;
	kafka_source_release(source);
}

static void on_messages(void *owner, int lane)
{
	struct kafka_message list[16];
	int n;
	(void)owner;
	while ((n = kafka_source_take(source, lane, list, 16)) > 0) {
		for (int i = 0; i < n; i++) {
			ck_assert_int_eq(list[i].message.partition % 2, lane);
			items[n_items].kind = list[i].kind;
			items[n_items].partition = list[i].message.partition;
			items[n_items++].offset = list[i].message.offset;
			kafka_message_free(&list[i]);
		}
	}
}

static void on_doubt(void *owner)
{
	(void)owner;
}

static void on_brokers(void *owner, const char *why_not)
{
	(void)owner;
	(void)why_not;
}

static const struct kafka_source_events events = {on_assigned, on_revoked, on_messages, on_doubt,
                                                  on_brokers};
static const char *const topics[] = {"t"};
static struct kafka_source_config config = {.group = "g",
                                            .topics = topics,
                                            .n_topics = 1,
                                            .lanes = 2,
                                            .session_timeout_us = 6000000,
                                            .queue_bytes = 1048576};

static size_t count(enum kafka_kind kind, int32_t partition)
{
	size_t n = 0;
	for (size_t i = 0; i < n_items; i++)
		n += items[i].kind == kind && items[i].partition == partition;
	return n;
}

/* Messages of a partition come in order, from `first` on; how many. */
static size_t in_order(int32_t partition, int64_t first)
{
	size_t n = 0;
	for (size_t i = 0; i < n_items; i++) {
		if (items[i].partition != partition || items[i].kind != KAFKA_MESSAGE)
			continue;
		ck_assert_int_eq(items[i].offset, first + (int64_t)n);
		n++;
	}
	return n;
}

/* ---- the loop ---- */

static void on_limit(void *arg)
{
	*(bool *)arg = true;
	loop_stop(loop);
}

static void run_for(int64_t us)
{
	bool over = false;
	struct timer *limit = timer_new(loop, on_limit, &over);
	timer_arm(limit, us);
	while (!over)
		loop_run(loop);
	timer_free(limit);
}

#define run_until(condition)                                                                      \
	do {                                                                                      \
		int64_t run_limit = loop_now(loop) + LIMIT_US;                                    \
		while (!(condition)) {                                                            \
			ck_assert_msg(loop_now(loop) < run_limit, "not in time: %s", #condition); \
			run_for(20000);                                                           \
		}                                                                                 \
	} while (0)

static void on_sent(struct kafka_record *record, int32_t partition, int64_t offset,
                    const char *error)
{
	(void)partition;
	(void)offset;
	ck_assert_msg(!error, "%s", error);
	free(record);
	sent--;
}

static void produce_to_all(int n, const char *value)
{
	for (int i = 0; i < n * N; i++) {
		struct kafka_record *record = calloc(1, sizeof *record);
		*record = (struct kafka_record){.topic = "t",
		                                .partition = i % N,
		                                .value = value,
		                                .value_len = strlen(value),
		                                .done = on_sent};
		ck_assert(kafka_sink_send(sink, record));
		sent++;
	}
	run_until(!sent);
}

static void start_at(int64_t offset, size_t n)
{
	for (size_t i = 0; i < N; i++)
		assigned[i].offset = offset;
	n_items = 0;
	kafka_source_start(source, assigned, n);
}

/* ---- the tests ---- */

START_TEST(is_given_the_partitions_of_its_topics)
{
	produce_to_all(10, "v");
	ck_assert(kafka_source_open(source));
	run_until(n_assigned == N);
	for (size_t i = 0; i < N; i++)
		ck_assert_int_eq(assigned[i].offset, KAFKA_OFFSET_UNKNOWN);
}
END_TEST

START_TEST(tells_an_end_behind_the_messages_before_it)
{
	start_at(0, N);
	run_until(count(KAFKA_END, 0) && count(KAFKA_END, 1) && count(KAFKA_END, 2) &&
	          count(KAFKA_END, 3));
	for (int32_t p = 0; p < N; p++) {
		size_t seen = 0;
		ck_assert_int_eq((int)in_order(p, 0), 10);
		for (size_t i = 0; i < n_items; i++) {
			if (items[i].partition != p)
				continue;
			if (items[i].kind == KAFKA_END)
				ck_assert_int_eq(items[i].offset, (int64_t)seen);
			seen += items[i].kind == KAFKA_MESSAGE;
		}
	}
}
END_TEST

START_TEST(begins_anew_from_elsewhere)
{
	start_at(7, N);
	run_until(count(KAFKA_MESSAGE, 0) == 3 && count(KAFKA_MESSAGE, 3) == 3);
	produce_to_all(5, "v");
	run_until(count(KAFKA_MESSAGE, 0) == 8 && count(KAFKA_MESSAGE, 1) == 8 &&
	          count(KAFKA_MESSAGE, 2) == 8 && count(KAFKA_MESSAGE, 3) == 8);
	for (int32_t p = 0; p < N; p++)
		in_order(p, 7);
}
END_TEST

START_TEST(fetches_only_what_it_was_told)
{
	start_at(0, 2);
	run_until(count(KAFKA_MESSAGE, 0) == 15 && count(KAFKA_MESSAGE, 1) == 15);
	produce_to_all(5, "v");
	run_until(count(KAFKA_MESSAGE, 0) == 20 && count(KAFKA_MESSAGE, 1) == 20);
	ck_assert_int_eq((int)count(KAFKA_MESSAGE, 2) + (int)count(KAFKA_MESSAGE, 3), 0);
	/* The other two come in again. */
	start_at(0, N);
	run_until(count(KAFKA_MESSAGE, 2) == 20 && count(KAFKA_MESSAGE, 3) == 20);
	for (int32_t p = 0; p < N; p++)
		in_order(p, 0);
}
END_TEST

START_TEST(says_that_the_log_does_not_have_an_offset)
{
	start_at(1000, N);
	run_until(count(KAFKA_LOST, 0) && count(KAFKA_LOST, 1) && count(KAFKA_LOST, 2) &&
	          count(KAFKA_LOST, 3));
	ck_assert_int_eq((int)count(KAFKA_MESSAGE, 0), 0);
	/* And goes on from one that it has. */
	for (int i = 0; i < 20; i++) {
		start_at(5, N);
		run_until(count(KAFKA_MESSAGE, 0) == 15 && count(KAFKA_MESSAGE, 1) == 15 &&
		          count(KAFKA_MESSAGE, 2) == 15 && count(KAFKA_MESSAGE, 3) == 15);
		for (int32_t p = 0; p < N; p++)
			in_order(p, 5);
	}
}
END_TEST

static void on_ranges(void *owner, const struct kafka_range *list, size_t n)
{
	(void)owner;
	memcpy(ranges, list, n * sizeof *list);
	n_ranges = n;
}

START_TEST(knows_what_the_log_has)
{
	ck_assert(kafka_source_ask_ranges(source, assigned, N, on_ranges));
	/* One question at a time. */
	ck_assert(!kafka_source_ask_ranges(source, assigned, N, on_ranges));
	run_until(n_ranges == N);
	for (size_t i = 0; i < N; i++) {
		ck_assert_str_eq(ranges[i].error, "");
		ck_assert_int_eq(ranges[i].position.partition, assigned[i].partition);
		ck_assert_int_eq(ranges[i].first, 0);
		ck_assert_int_eq(ranges[i].end, 20);
	}
}
END_TEST

/* Left alone librdkafka would do it after a second; there is room for a thousand messages. */
START_TEST(a_lane_that_was_full_is_filled_again_at_once)
{
	static const char value[] =
	    "a value of a hundred bytes, so that a fetch brings about as many "
	    "messages as a lane has room for....";
	for (int i = 0; i < 10; i++)
		produce_to_all(1000, value);
	int64_t begin = loop_now(loop);
	start_at(20, N);
	run_until(n_items >= 10000 * N);
	ck_assert_int_lt(loop_now(loop) - begin, 4000000);
	for (int32_t p = 0; p < N; p++)
		ck_assert_int_eq((int)in_order(p, 20), 10000);
}
END_TEST

static void begin(void)
{
	static struct kafka_sink_config sink_config = {.queue_bytes = 8388608};
	loop = loop_new();
	broker = kafka_embedded_new();
	kafka_embedded_add_topic(broker, "t");
	sink_config.brokers = config.brokers = kafka_embedded_brokers(broker);
	sink = kafka_sink_new(loop, &sink_config, NULL);
	source = kafka_source_new(loop, &config, &events, NULL);
}

static void end(void)
{
	kafka_source_free(source);
	kafka_sink_free(sink);
	kafka_embedded_free(broker);
	loop_free(loop);
}

int main(void)
{
	Suite *suite = suite_create("kafka_source");
	TCase *cases = tcase_create("member");
	begin();
	tcase_add_test(cases, is_given_the_partitions_of_its_topics);
	tcase_add_test(cases, tells_an_end_behind_the_messages_before_it);
	tcase_add_test(cases, begins_anew_from_elsewhere);
	tcase_add_test(cases, fetches_only_what_it_was_told);
	tcase_add_test(cases, says_that_the_log_does_not_have_an_offset);
	tcase_add_test(cases, knows_what_the_log_has);
	tcase_add_test(cases, a_lane_that_was_full_is_filled_again_at_once);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	end();
	return failed != 0;
}
