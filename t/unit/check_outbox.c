/* SPDX-License-Identifier: MIT */
/* The relay from the outbox to Kafka, against a real PostgreSQL and the embedded broker. */
#include "outbox.h"

#include "core_schema.h"
#include "kafka_embedded.h"

#include <check.h>
#include <librdkafka/rdkafka.h>

#define LOCKS "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 2"
#define CONNECTIONS                                                               \
	"SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%cqrs.outbox%' " \
	"AND pid <> pg_backend_pid()"

static struct loop *loop;
static struct kafka_embedded *broker;
static struct kafka_sink_config config;
static struct kafka_sink *sink;
static struct metrics *metrics;
static struct health *health;
static struct outbox *outbox;
static rd_kafka_t *consumer;

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

static long rows(void)
{
	return pg_server_number("SELECT count(*) FROM cqrs.outbox");
}

static void run_until_empty(void)
{
	for (int i = 0; i < 400 && rows() != 0; i++)
		run_for(50000);
	ck_assert_int_eq(rows(), 0);
}

static void open_consumer(const char *topic)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_conf_set(conf, "bootstrap.servers", config.brokers, NULL, 0);
	rd_kafka_conf_set(conf, "group.id", "check", NULL, 0);
	rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
	rd_kafka_conf_set(conf, "fetch.wait.max.ms", "20", NULL, 0);
	consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, NULL, 0);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(4);
	for (int32_t p = 0; p < KAFKA_EMBEDDED_PARTITIONS; p++)
		rd_kafka_topic_partition_list_add(list, topic, p)->offset = 0;
	rd_kafka_poll_set_consumer(consumer);
	rd_kafka_assign(consumer, list);
	rd_kafka_topic_partition_list_destroy(list);
}

static rd_kafka_message_t *next_event(void)
{
	for (int i = 0; i < 100; i++) {
		rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 100);
		if (message && !message->err)
			return message;
		if (message)
			rd_kafka_message_destroy(message);
	}
	return NULL;
}

static bool is_nothing_more(void)
{
	rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 500);
	bool is_event = message && !message->err;
	if (message)
		rd_kafka_message_destroy(message);
	return !is_event;
}

static void setup(void)
{
	PGconn *pg = PQconnectdb(pg_server_dsn);
	PQclear(PQexec(pg, "SET client_min_messages = warning"));
	PQclear(PQexec(pg, "DROP SCHEMA IF EXISTS cqrs CASCADE; CREATE SCHEMA cqrs"));
	core_schema(pg);
	PQfinish(pg);
	loop = loop_new();
	broker = kafka_embedded_new();
	kafka_embedded_add_topic(broker, "events");
	kafka_embedded_add_topic(broker, "cqrs.progress");
	config = (struct kafka_sink_config){.brokers = kafka_embedded_brokers(broker),
	                                    .queue_bytes = 8388608};
	sink = kafka_sink_new(loop, &config, NULL);
	metrics = metrics_new();
	health = health_new(loop);
	outbox = outbox_new(loop, pg_server_dsn, 0, "cqrs.progress", sink, metrics, health);
	open_consumer("events");
}

static void teardown(void)
{
	outbox_free(outbox);
	kafka_sink_free(sink);
	health_free(health);
	metrics_free(metrics);
	rd_kafka_consumer_close(consumer);
	rd_kafka_destroy(consumer);
	kafka_embedded_free(broker);
	loop_free(loop);
}

START_TEST(sends_what_an_earlier_life_left_and_then_lets_go)
{
	pg_server_exec("INSERT INTO cqrs.outbox (topic, key, headers, payload) VALUES "
	               "('events', 'k', '{\"a\": \"b\"}', '{\"n\": 1}')");
	outbox_start(outbox, false);
	run_until_empty();
	rd_kafka_message_t *event = next_event();
	rd_kafka_headers_t *headers;
	const void *value;
	size_t size;
	ck_assert_ptr_nonnull(event);
	ck_assert_mem_eq(event->payload, "{\"n\": 1}", 8);
	ck_assert_int_eq((int)event->key_len, 1);
	rd_kafka_message_headers(event, &headers);
	ck_assert_int_eq(rd_kafka_header_get_last(headers, "event-id", &value, &size), 0);
	ck_assert_mem_eq(value, "1", 1);
	ck_assert_int_eq(rd_kafka_header_get_last(headers, "a", &value, &size), 0);
	ck_assert_mem_eq(value, "b", 1);
	rd_kafka_message_destroy(event);
	run_for(300000);
	ck_assert_int_eq(pg_server_number(CONNECTIONS), 0);
	ck_assert(health_is_ready(health));
}
END_TEST

START_TEST(keeps_the_order_of_a_key)
{
	int last[4] = {0};
	pg_server_exec("INSERT INTO cqrs.outbox (topic, key, payload) SELECT 'events', "
	               "convert_to((i % 4)::text, 'UTF8'), convert_to(i::text, 'UTF8') "
	               "FROM generate_series(1, 2000) AS i");
	outbox_start(outbox, false);
	outbox_poke(outbox);
	run_until_empty();
	for (int i = 0; i < 2000; i++) {
		rd_kafka_message_t *event = next_event();
		ck_assert_ptr_nonnull(event);
		char text[16] = "";
		memcpy(text, event->payload, event->len);
		int key = *(const char *)event->key - '0', n = atoi(text);
		ck_assert_int_eq(n % 4, key);
		ck_assert_int_eq(n, last[key] ? last[key] + 4 : key ? key : 4);
		last[key] = n;
		rd_kafka_message_destroy(event);
	}
	ck_assert(is_nothing_more());
}
END_TEST

START_TEST(sends_at_once_when_poked)
{
	outbox_start(outbox, false);
	outbox_poke(outbox);
	run_for(500000);
	pg_server_exec("INSERT INTO cqrs.outbox (topic, payload) VALUES ('events', 'x')");
	outbox_poke(outbox);
	run_for(200000);
	ck_assert_int_eq(rows(), 0);
}
END_TEST

START_TEST(opens_again_when_poked_later)
{
	outbox_start(outbox, false);
	run_for(500000);
	ck_assert_int_eq(pg_server_number(CONNECTIONS), 0);
	pg_server_exec("INSERT INTO cqrs.outbox (topic, payload) VALUES ('events', 'x')");
	outbox_poke(outbox);
	run_until_empty();
}
END_TEST

START_TEST(is_woken_by_others)
{
	outbox_start(outbox, false);
	outbox_poke(outbox);
	run_for(500000);
	pg_server_exec("BEGIN; INSERT INTO cqrs.outbox (topic, payload) VALUES ('events', 'x');"
	               "NOTIFY cqrs_outbox; COMMIT");
	run_for(200000);
	ck_assert_int_eq(rows(), 0);
}
END_TEST

/* The next message of the consumer begins so. */
static void expect_told(const char *text)
{
	rd_kafka_message_t *told = next_event();
	ck_assert_ptr_nonnull(told);
	ck_assert_msg(told->len >= strlen(text) && !memcmp(told->payload, text, strlen(text)),
	              "told is %.*s, not %s", (int)told->len, (char *)told->payload, text);
	rd_kafka_message_destroy(told);
}

START_TEST(tells_how_far_events_have_come)
{
	rd_kafka_consumer_close(consumer);
	rd_kafka_destroy(consumer);
	open_consumer("cqrs.progress");
	pg_server_exec("INSERT INTO cqrs.views VALUES ('v', 'commands', 'g', true), "
	               "('w', 'others', 'g', false);"
	               "INSERT INTO cqrs.offsets VALUES ('g', 'commands', 2, 18), "
	               "('g', 'others', 0, 7), ('h', 'commands', 0, 9)");
	outbox_start(outbox, false);
	outbox_poke(outbox);
	run_for(1000000);
	expect_told("{\"commands\":[[\"commands\", 2, 18]],\"requires\":[]}");
	pg_server_exec("UPDATE cqrs.offsets SET next_offset = 30 WHERE partition = 2;"
	               "INSERT INTO cqrs.outbox (topic, key, payload) SELECT 'events', 'k', "
	               "convert_to(i::text, 'UTF8') FROM generate_series(1, 1200) AS i");
	outbox_poke(outbox);
	run_until_empty();
	char *place = pg_server_query("SELECT jsonb_build_array(topic, partition, next_offset) "
	                              "FROM cqrs.relayed WHERE next_offset = 1200");
	char text[200];
	ck_assert_ptr_nonnull(place);
	snprintf(text, sizeof text, "{\"commands\":[[\"commands\", 2, 30]],\"requires\":[%s]}",
	         place);
	free(place);
	run_for(300000);
	expect_told(text);
	ck_assert(is_nothing_more());
}
END_TEST

/* What comes all the time must not keep it from being told. */
START_TEST(tells_it_while_more_comes)
{
	rd_kafka_consumer_close(consumer);
	rd_kafka_destroy(consumer);
	open_consumer("cqrs.progress");
	pg_server_exec("INSERT INTO cqrs.views VALUES ('v', 'commands', 'g', true);"
	               "INSERT INTO cqrs.offsets VALUES ('g', 'commands', 2, 18);"
	               "INSERT INTO cqrs.outbox (topic, key, payload) SELECT 'events', 'k', 'x' "
	               "FROM generate_series(1, 20000) AS i");
	outbox_start(outbox, false);
	outbox_poke(outbox);
	while (rows() == 20000)
		run_for(1000);
	/* Behind those that were there when it asked. */
	pg_server_exec("INSERT INTO cqrs.outbox (topic, key, payload) SELECT 'events', 'k', 'x' "
	               "FROM generate_series(1, 20000) AS i");
	while (rows() > 15000)
		run_for(10000);
	ck_assert_int_gt(rows(), 0);
	run_for(20000);
	int next = 0;
	rd_kafka_message_t *told = next_event();
	ck_assert_ptr_nonnull(told);
	sscanf(told->payload,
	       "{\"commands\":[[\"commands\", 2, 18]],\"requires\":[[\"events\", 0, %d]]}", &next);
	ck_assert_int_ge(next, 20000);
	ck_assert_int_lt(next, 40000);
	rd_kafka_message_destroy(told);
}
END_TEST

START_TEST(keeps_its_table_small)
{
	outbox_start(outbox, true);
	run_for(300000);
	for (int i = 0; i < 5; i++) {
		pg_server_exec("INSERT INTO cqrs.outbox (topic, payload) SELECT 'events', "
		               "repeat('x', 200)::bytea FROM generate_series(1, 50000)");
		outbox_poke(outbox);
		run_until_empty();
	}
	run_for(1000000);
	/* 250,000 rows would be 65 MB; how soon it is vacuumed is the machine's. */
	ck_assert_int_lt(pg_server_number("SELECT pg_relation_size('cqrs.outbox') / 1000000"), 50);
}
END_TEST

START_TEST(finds_what_others_wrote_without_a_poke)
{
	outbox_start(outbox, true);
	run_for(300000);
	pg_server_exec("INSERT INTO cqrs.outbox (topic, payload) VALUES ('events', 'x')");
	run_until_empty();
}
END_TEST

START_TEST(one_of_two_relays)
{
	struct outbox *other =
	    outbox_new(loop, pg_server_dsn, 0, "cqrs.progress", sink, metrics, health);
	outbox_start(outbox, false);
	outbox_start(other, false);
	outbox_poke(outbox);
	outbox_poke(other);
	run_for(500000);
	ck_assert_int_eq(pg_server_number(LOCKS), 1);
	pg_server_exec("INSERT INTO cqrs.outbox (topic, payload) SELECT 'events', "
	               "convert_to(i::text, 'UTF8') FROM generate_series(1, 1000) AS i");
	outbox_poke(outbox);
	outbox_poke(other);
	run_until_empty();
	for (int i = 0; i < 1000; i++) {
		rd_kafka_message_t *event = next_event();
		ck_assert_ptr_nonnull(event);
		rd_kafka_message_destroy(event);
	}
	ck_assert(is_nothing_more());
	outbox_free(other);
}
END_TEST

START_TEST(waits_while_another_process_has_the_lock)
{
	PGconn *other = PQconnectdb(pg_server_dsn);
	PQclear(PQexec(other, "SELECT pg_advisory_lock(1668379251, 2)"));
	pg_server_exec("INSERT INTO cqrs.outbox (topic, payload) VALUES ('events', 'x')");
	outbox_start(outbox, false);
	outbox_poke(outbox);
	run_for(1500000);
	ck_assert_int_eq(rows(), 1);
	ck_assert(health_is_ready(health));
	PQfinish(other);
	run_until_empty();
}
END_TEST

START_TEST(survives_a_lost_connection)
{
	outbox_start(outbox, false);
	outbox_poke(outbox);
	run_for(300000);
	pg_server_exec("SELECT pg_terminate_backend(pid) FROM pg_locks "
	               "WHERE locktype = 'advisory' AND objid = 2");
	run_for(50000);
	pg_server_exec("INSERT INTO cqrs.outbox (topic, payload) VALUES ('events', 'x')");
	run_until_empty();
	ck_assert(health_is_ready(health));
}
END_TEST

START_TEST(keeps_what_kafka_does_not_take_and_tells)
{
	pg_server_exec("INSERT INTO cqrs.outbox (topic, key, payload) VALUES "
	               "('events', 'k', convert_to(repeat('x', 2000000), 'UTF8')), "
	               "('events', 'k', 'behind it'), ('events', 'other', 'free to go')");
	outbox_start(outbox, false);
	outbox_poke(outbox);
	run_for(1000000);
	ck_assert(!health_is_ready(health));
	/* The second waits for the first, the third does not. */
	ck_assert_int_eq(rows(), 2);
	pg_server_exec("DELETE FROM cqrs.outbox WHERE octet_length(payload) > 1000000");
	run_until_empty();
	run_for(100000);
	ck_assert(health_is_ready(health));
}
END_TEST

START_TEST(a_sink_that_is_freed_late_finds_no_dead_batch)
{
	struct kafka_sink_config away = {.brokers = "127.0.0.1:1", .queue_bytes = 8388608};
	struct kafka_sink *stuck = kafka_sink_new(loop, &away, NULL);
	struct outbox *other =
	    outbox_new(loop, pg_server_dsn, 0, "cqrs.progress", stuck, metrics, health);
	pg_server_exec("INSERT INTO cqrs.outbox (topic, payload) VALUES ('events', 'x')");
	outbox_start(other, false);
	for (int i = 0; i < 100 && !kafka_sink_in_flight(stuck); i++)
		run_for(20000);
	ck_assert_int_eq(kafka_sink_in_flight(stuck), 1);
	outbox_free(other);
	kafka_sink_free(stuck);
	ck_assert_int_eq(rows(), 1);
}
END_TEST

START_TEST(drains_what_it_has_begun)
{
	bool idle = false;
	pg_server_exec("INSERT INTO cqrs.outbox (topic, payload) SELECT 'events', 'x' "
	               "FROM generate_series(1, 400)");
	outbox_start(outbox, false);
	outbox_poke(outbox);
	for (int i = 0; i < 1000 && !kafka_sink_in_flight(sink); i++)
		run_for(1000);
	outbox_drain(outbox, on_limit, &idle);
	for (int i = 0; i < 100 && !idle; i++)
		loop_run(loop);
	ck_assert(idle);
	ck_assert_int_eq(rows(), 0);
	/* Nothing new is begun. */
	pg_server_exec("INSERT INTO cqrs.outbox (topic, payload) VALUES ('events', 'x')");
	outbox_poke(outbox);
	run_for(300000);
	ck_assert_int_eq(rows(), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("outbox");
	TCase *cases = tcase_create("outbox");
	pg_server_start("check_outbox");
	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, sends_what_an_earlier_life_left_and_then_lets_go);
	tcase_add_test(cases, keeps_the_order_of_a_key);
	tcase_add_test(cases, sends_at_once_when_poked);
	tcase_add_test(cases, opens_again_when_poked_later);
	tcase_add_test(cases, is_woken_by_others);
	tcase_add_test(cases, tells_how_far_events_have_come);
	tcase_add_test(cases, tells_it_while_more_comes);
	tcase_add_test(cases, keeps_its_table_small);
	tcase_add_test(cases, finds_what_others_wrote_without_a_poke);
	tcase_add_test(cases, one_of_two_relays);
	tcase_add_test(cases, waits_while_another_process_has_the_lock);
	tcase_add_test(cases, survives_a_lost_connection);
	tcase_add_test(cases, keeps_what_kafka_does_not_take_and_tells);
	tcase_add_test(cases, a_sink_that_is_freed_late_finds_no_dead_batch);
	tcase_add_test(cases, drains_what_it_has_begun);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int bad = srunner_ntests_failed(runner);
	srunner_free(runner);
	pg_server_stop();
	return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
