/* SPDX-License-Identifier: MIT */
/* The idempotent producer, against the embedded broker. */
#include "kafka_sink.h"

#include "kafka_embedded.h"

#include <check.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_BYTES 1048576

static struct loop *loop;
static struct kafka_embedded *broker;
static struct kafka_sink_config config;
static struct kafka_sink *sink;
static int done, failed;
static char last_error[256];

struct sent {
	struct kafka_record record;
	int32_t partition;
	int64_t offset;
	int calls;
};

static void on_sent(struct kafka_record *record, int32_t partition, int64_t offset,
                    const char *error)
{
	struct sent *sent = (struct sent *)record;
	sent->partition = partition;
	sent->offset = offset;
	sent->calls++;
	done++;
	if (error) {
		failed++;
		snprintf(last_error, sizeof last_error, "%s", error);
	}
	loop_stop(loop);
}

static void on_limit(void *arg)
{
	*(bool *)arg = true;
	loop_stop(loop);
}

static void run_until(int goal)
{
	bool late = false;
	struct timer *limit = timer_new(loop, on_limit, &late);
	timer_arm(limit, 20000000);
	while (done < goal && !late)
		loop_run(loop);
	timer_free(limit);
	ck_assert_msg(!late, "%d of %d answers within 20 s", done, goal);
}

static struct sent text(const char *topic, const char *key, const char *value)
{
	return (struct sent){.record = {.topic = topic,
	                                .partition = KAFKA_PARTITION_ANY,
	                                .key = key,
	                                .key_len = key ? strlen(key) : 0,
	                                .value = value,
	                                .value_len = value ? strlen(value) : 0,
	                                .done = on_sent}};
}

static void setup(void)
{
	loop = loop_new();
	broker = kafka_embedded_new();
	ck_assert_ptr_nonnull(broker);
	ck_assert(kafka_embedded_add_topic(broker, "t"));
	config = (struct kafka_sink_config){.brokers = kafka_embedded_brokers(broker),
	                                    .queue_bytes = QUEUE_BYTES};
	sink = kafka_sink_new(loop, &config, NULL);
	ck_assert_ptr_nonnull(sink);
	done = failed = 0;
	last_error[0] = '\0';
}

static void teardown(void)
{
	kafka_sink_free(sink);
	kafka_embedded_free(broker);
	loop_free(loop);
}

/* Reads from the beginning of a partition of "t", up to `n` messages, with the plain consumer. */
static int read_back(int32_t partition, rd_kafka_message_t **out, int n)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_conf_set(conf, "bootstrap.servers", config.brokers, NULL, 0);
	rd_kafka_conf_set(conf, "group.id", "check", NULL, 0);
	rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
	rd_kafka_conf_set(conf, "auto.offset.reset", "earliest", NULL, 0);
	rd_kafka_conf_set(conf, "enable.partition.eof", "true", NULL, 0);
	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, NULL, 0);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, "t", partition)->offset = 0;
	rd_kafka_poll_set_consumer(rk);
	rd_kafka_assign(rk, list);
	int count = 0;
	rd_kafka_message_t *message;
	while (count < n && (message = rd_kafka_consumer_poll(rk, 10000)) && !message->err)
		out[count++] = message;
	rd_kafka_topic_partition_list_destroy(list);
	/* The messages keep it alive: leaked on purpose, the process ends soon. */
	return count;
}

START_TEST(answers_when_a_record_is_stored)
{
	struct sent sent = text("t", "k", "v");
	ck_assert(kafka_sink_send(sink, &sent.record));
	ck_assert_int_eq(kafka_sink_in_flight(sink), 1);
	ck_assert_int_eq(sent.calls, 0);
	run_until(1);
	ck_assert_int_eq(failed, 0);
	ck_assert_int_eq(sent.calls, 1);
	ck_assert_int_eq((int)sent.offset, 0);
	ck_assert(sent.partition >= 0 && sent.partition < KAFKA_EMBEDDED_PARTITIONS);
	ck_assert_int_eq(kafka_sink_in_flight(sink), 0);
}
END_TEST

START_TEST(stores_key_value_and_headers)
{
	const struct cqrs_header headers[] = {{"a", "1", 1}, {"none", NULL, 0}, {"b", "x\0y", 3}};
	struct sent sent = text("t", "key", "value");
	rd_kafka_message_t *message[1];
	rd_kafka_headers_t *stored;
	const char *name;
	const void *value;
	size_t size;
	sent.record.partition = 2;
	sent.record.headers = headers;
	sent.record.n_headers = 3;
	ck_assert(kafka_sink_send(sink, &sent.record));
	run_until(1);
	ck_assert_int_eq(sent.partition, 2);
	ck_assert_int_eq(read_back(2, message, 1), 1);
	ck_assert_mem_eq(message[0]->key, "key", 3);
	ck_assert_int_eq((int)message[0]->len, 5);
	ck_assert_mem_eq(message[0]->payload, "value", 5);
	ck_assert_int_eq(rd_kafka_message_headers(message[0], &stored), 0);
	ck_assert_int_eq((int)rd_kafka_header_cnt(stored), 3);
	ck_assert_int_eq(rd_kafka_header_get_all(stored, 0, &name, &value, &size), 0);
	ck_assert_str_eq(name, "a");
	ck_assert_int_eq(rd_kafka_header_get_all(stored, 1, &name, &value, &size), 0);
	ck_assert_ptr_null(value);
	ck_assert_int_eq(rd_kafka_header_get_all(stored, 2, &name, &value, &size), 0);
	ck_assert_int_eq((int)size, 3);
	ck_assert_mem_eq(value, "x\0y", 3);
}
END_TEST

START_TEST(keeps_the_order_of_a_partition)
{
	enum { N = 500 };
	static struct sent sent[N];
	static rd_kafka_message_t *messages[N];
	char values[N][8];
	for (int i = 0; i < N; i++) {
		snprintf(values[i], sizeof values[i], "%d", i);
		sent[i] = text("t", NULL, values[i]);
		sent[i].record.partition = 1;
		ck_assert(kafka_sink_send(sink, &sent[i].record));
	}
	run_until(N);
	ck_assert_int_eq(failed, 0);
	ck_assert_int_eq(read_back(1, messages, N), N);
	for (int i = 0; i < N; i++) {
		ck_assert_int_eq((int)sent[i].offset, i);
		ck_assert_int_eq((int)messages[i]->len, (int)strlen(values[i]));
		ck_assert_mem_eq(messages[i]->payload, values[i], strlen(values[i]));
	}
}
END_TEST

START_TEST(sends_a_key_to_where_the_java_clients_do)
{
	/* murmur2("21") % 4 as org.apache.kafka.common.utils.Utils has it: -973932308. */
	struct sent sent = text("t", "21", "v");
	ck_assert(kafka_sink_send(sink, &sent.record));
	run_until(1);
	ck_assert_int_eq(sent.partition, (-973932308 & 0x7fffffff) % KAFKA_EMBEDDED_PARTITIONS);
}
END_TEST

START_TEST(refuses_when_the_queue_is_full)
{
	static char big[100000];
	static struct sent sent[20];
	int taken = 0;
	memset(big, 'x', sizeof big - 1);
	while (taken < 20) {
		sent[taken] = text("t", NULL, big);
		if (!kafka_sink_send(sink, &sent[taken].record))
			break;
		taken++;
	}
	ck_assert_int_eq(taken, QUEUE_BYTES / (int)(sizeof big + 255));
	ck_assert_int_eq(sent[taken].calls, 0);
	run_until(taken);
	ck_assert_int_eq(failed, 0);
	ck_assert_int_eq(sent[taken].calls, 0);
	ck_assert(kafka_sink_send(sink, &sent[taken].record));
	run_until(taken + 1);
}
END_TEST

START_TEST(takes_one_record_whatever_the_queue)
{
	struct sent sent = text("t", NULL, "v");
	config.queue_bytes = 1;
	ck_assert(kafka_sink_send(sink, &sent.record));
	run_until(1);
	ck_assert_int_eq(failed, 0);
}
END_TEST

START_TEST(says_why_a_record_is_refused_but_not_at_once)
{
	size_t size = 2000000;
	char *big = calloc(1, size + 1);
	memset(big, 'x', size);
	struct sent sent = text("t", NULL, big);
	config.queue_bytes = 100000000;
	ck_assert(kafka_sink_send(sink, &sent.record));
	ck_assert_int_eq(sent.calls, 0);
	run_until(1);
	ck_assert_int_eq(failed, 1);
	ck_assert_ptr_nonnull(strstr(last_error, "too large"));
	free(big);
}
END_TEST

START_TEST(gives_up_after_the_timeout)
{
	struct kafka_sink_config away = {
	    .brokers = "127.0.0.1:1", .queue_bytes = QUEUE_BYTES, .delivery_timeout_us = 500000};
	struct kafka_sink *other = kafka_sink_new(loop, &away, NULL);
	struct sent sent = text("t", NULL, "v");
	ck_assert(kafka_sink_send(other, &sent.record));
	run_until(1);
	ck_assert_int_eq(failed, 1);
	kafka_sink_free(other);
}
END_TEST

START_TEST(answers_everything_when_freed)
{
	struct kafka_sink_config away = {.brokers = "127.0.0.1:1", .queue_bytes = QUEUE_BYTES};
	struct kafka_sink *other = kafka_sink_new(loop, &away, NULL);
	static struct sent sent[100];
	for (int i = 0; i < 100; i++) {
		sent[i] = text("t", NULL, "v");
		ck_assert(kafka_sink_send(other, &sent[i].record));
	}
	kafka_sink_free(other);
	ck_assert_int_eq(failed, 100);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(sent[i].calls, 1);
}
END_TEST

START_TEST(fails_its_health_check_while_brokers_are_away)
{
	struct health *health = health_new(loop);
	struct health_check *check = health_add(health, "kafka sink");
	struct kafka_sink_config away = {
	    .brokers = "127.0.0.1:1", .queue_bytes = QUEUE_BYTES, .delivery_timeout_us = 3000000};
	struct kafka_sink *other = kafka_sink_new(loop, &away, check);
	struct sent sent = text("t", NULL, "v");
	ck_assert(health_is_ready(health));
	ck_assert(kafka_sink_send(other, &sent.record));
	bool over = false, was_away = false;
	struct timer *limit = timer_new(loop, on_limit, &over);
	for (int i = 0; i < 100 && !was_away; i++) {
		timer_arm(limit, 50000);
		loop_run(loop);
		was_away = !health_is_ready(health);
	}
	ck_assert(was_away);
	done = failed = 0;
	run_until(1);
	timer_free(limit);
	kafka_sink_free(other);
	health_free(health);
}
END_TEST

START_TEST(refuses_properties_that_librdkafka_does_not_take)
{
	struct buf errors = BUF_INIT;
	const struct cqrs_option_pair wrong[] = {
	    {"no.such.thing", "1"}, {"linger.ms", "many"}, {NULL, NULL}};
	const struct cqrs_option_pair right[] = {{"linger.ms", "10"}, {NULL, NULL}};
	ck_assert(!kafka_sink_check_properties(wrong, &errors));
	ck_assert_ptr_nonnull(strstr(buf_str(&errors), "no.such.thing"));
	ck_assert_ptr_nonnull(strstr(buf_str(&errors), "linger.ms"));
	buf_clear(&errors);
	ck_assert(kafka_sink_check_properties(right, &errors));
	ck_assert(kafka_sink_check_properties(NULL, &errors));
	ck_assert_int_eq((int)errors.len, 0);
	buf_release(&errors);
}
END_TEST

START_TEST(probes_brokers_and_topics)
{
	struct buf problems = BUF_INIT;
	const char *const topics[] = {"t", "missing"};
	struct kafka_sink_config away = {.brokers = "127.0.0.1:1", .queue_bytes = QUEUE_BYTES};
	ck_assert(kafka_sink_probe(&config, topics, 1, 5000000, &problems));
	ck_assert(!kafka_sink_probe(&config, topics, 2, 5000000, &problems));
	ck_assert_ptr_nonnull(strstr(buf_str(&problems), "topic missing does not exist"));
	ck_assert_ptr_null(strstr(buf_str(&problems), "topic t "));
	/* Asking did not make it. */
	ck_assert(!kafka_sink_probe(&config, topics, 2, 5000000, &problems));
	buf_clear(&problems);
	ck_assert(!kafka_sink_probe(&away, topics, 1, 300000, &problems));
	ck_assert_ptr_nonnull(strstr(buf_str(&problems), "cannot be reached"));
	buf_release(&problems);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kafka_sink");
	TCase *cases = tcase_create("kafka_sink");
	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, answers_when_a_record_is_stored);
	tcase_add_test(cases, stores_key_value_and_headers);
	tcase_add_test(cases, keeps_the_order_of_a_partition);
	tcase_add_test(cases, sends_a_key_to_where_the_java_clients_do);
	tcase_add_test(cases, refuses_when_the_queue_is_full);
	tcase_add_test(cases, takes_one_record_whatever_the_queue);
	tcase_add_test(cases, says_why_a_record_is_refused_but_not_at_once);
	tcase_add_test(cases, gives_up_after_the_timeout);
	tcase_add_test(cases, answers_everything_when_freed);
	tcase_add_test(cases, fails_its_health_check_while_brokers_are_away);
	tcase_add_test(cases, refuses_properties_that_librdkafka_does_not_take);
	tcase_add_test(cases, probes_brokers_and_topics);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int bad = srunner_ntests_failed(runner);
	srunner_free(runner);
	return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
