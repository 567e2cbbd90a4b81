/* SPDX-License-Identifier: MIT */
/*
 * The write path as a whole: the embedded broker, a real PostgreSQL, and three
 * members of two groups in one loop.
 *
 * Joining a group takes seconds, so the tests share them and run in order,
 * each going on where the one before has stopped.
 */
#include "command_bus_internal.h"
#include "core_schema.h"
#include "kafka_embedded.h"
#include "kafka_sink.h"

#include <check.h>

#define BEFORE   40 /* messages that are there before anybody reads */
#define LIMIT_US 60000000

static struct loop *loop;
static struct metrics *metrics;
static struct health *health, *aside; /* `aside` of those that never start */
static struct kafka_embedded *broker;
static struct kafka_sink_config sink_config;
static struct kafka_sink *sink;
static int sent;

/* ---- a module: notes, of which a table without a key keeps the position ---- */

static const struct cqrs_column columns[] = {{.name = "part", .type = CQRS_INT4},
                                             {.name = "pos", .type = CQRS_INT8},
                                             {.name = "text", .type = CQRS_TEXT},
                                             {.name = NULL}};

struct note {
	struct cqrs_table_def def;
	struct cqrs_table *table;
	int dropped;
};

static void handle(void *arg, const struct cqrs_message *msg, struct cqrs_batch *batch)
{
	struct note *note = arg;
	if (msg->value_len == 3 && !memcmp(msg->value, "bad", 3))
		cqrs_refuse(batch, "bad, with %zu headers", msg->n_headers);
	else
		cqrs_append(
		    batch, note->table,
		    (struct cqrs_value[]){cqrs_int4(msg->partition), cqrs_int8(msg->offset),
		                          cqrs_bytes(CQRS_TEXT, msg->value, msg->value_len)});
	if (msg->key)
		cqrs_publish(batch, "events", NULL, "{}");
}

static void dropped(void *arg)
{
	((struct note *)arg)->dropped++;
}

static const struct cqrs_command_module module = {.name = "note", .dropped = dropped};

/* ---- a member ---- */

struct member {
	struct metrics *metrics; /* a process has one, and so one bus of them */
	struct command_bus_config config;
	struct command_bus *bus;
	struct note note;
	int events;
};
static struct member first, late, second;

static void on_events(void *arg)
{
	((struct member *)arg)->events++;
}

static void member_new(struct member *m, const char *group, const char *start, const char *table)
{
	const char *error;
	m->config = (struct command_bus_config){.brokers = kafka_embedded_brokers(broker),
	                                        .group = group,
	                                        .start = start,
	                                        .session_timeout_us = 6000000,
	                                        .dsn = pg_server_dsn,
	                                        .writers = 2,
	                                        .max_rows = 1000,
	                                        .max_delay_us = 20000,
	                                        .timeout_us = 5000000,
	                                        .memory = 16777216};
	m->metrics = metrics_new();
	m->bus = command_bus_new(loop, &m->config, m->metrics, health);
	m->note.def = (struct cqrs_table_def){table, columns, CQRS_DUPLICATE_REFUSE};
	struct cqrs_setup *setup = command_bus_setup(m->bus, &module);
	m->note.table = cqrs_setup_table(setup, &m->note.def);
	cqrs_setup_topic(setup, "notes", handle);
	ck_assert_msg(command_bus_add(m->bus, setup, &m->note, &error), "%s", error);
	command_bus_on_events(m->bus, on_events, m);
	ck_assert(command_bus_start(m->bus));
}

static size_t active(const struct member *m)
{
	size_t n = 0;
	for (size_t i = 0; m->bus->started && i < m->bus->n_partitions; i++)
		n += m->bus->partitions[i].state == PARTITION_ACTIVE;
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

static void produce(int32_t partition, const char *value, const char *key)
{
	static const struct cqrs_header headers[] = {{"h", "1", 1}};
	struct kafka_record *record = calloc(1, sizeof *record);
	*record = (struct kafka_record){.topic = "notes",
	                                .partition = partition,
	                                .key = key,
	                                .key_len = key ? strlen(key) : 0,
	                                .value = value,
	                                .value_len = strlen(value),
	                                .headers = headers,
	                                .n_headers = 1,
	                                .done = on_sent};
	ck_assert(kafka_sink_send(sink, record));
	sent++;
}

static void produce_some(int n)
{
	char text[16];
	for (int i = 0; i < n; i++) {
		snprintf(text, sizeof text, "%d", i);
		produce(i % KAFKA_EMBEDDED_PARTITIONS, text, NULL);
	}
}

static void produce_to_all(int n)
{
	produce_some(n);
	run_until(!sent);
}

#define count(sql) pg_server_number("SELECT count(*) FROM " sql)
/* Nothing is missing and nothing is there twice, and the writers have heard of their COMMITs. */
#define assert_each_once(table, n)                                                          \
	do {                                                                                \
		run_until(count(table) >= (n));                                             \
		ck_assert_int_eq(count(table), n);                                          \
		ck_assert_int_eq(                                                           \
		    pg_server_number("SELECT count(DISTINCT (part, pos)) FROM " table), n); \
		run_until(writers_are_idle(first.bus));                                     \
	} while (0)

static bool is_healthy(void)
{
	return health_is_ready(health);
}

/* ---- what a module declares ---- */

static struct command_bus_config idle_config = {
    .brokers = "", .group = "g", .start = "earliest", .dsn = "", .writers = 1, .memory = 16777216};

static struct cqrs_setup *declaring(struct command_bus **bus)
{
	*bus = command_bus_new(loop, &idle_config, metrics, aside);
	return command_bus_setup(*bus, &module);
}

static void refuses(struct command_bus *bus, struct cqrs_setup *setup, const char *why)
{
	const char *error;
	ck_assert(!command_bus_add(bus, setup, &first, &error));
	ck_assert_str_eq(error, why);
	command_bus_free(bus);
}

START_TEST(says_what_is_wrong_with_a_declaration)
{
	static const struct cqrs_column late_key[] = {{.name = "a", .type = CQRS_INT4},
	                                              {.name = "b", .type = CQRS_INT4, .key = true},
	                                              {.name = NULL}};
	static const struct cqrs_column bad_reference[] = {
	    {.name = "a", .type = CQRS_INT4, .references = "sensors"}, {.name = NULL}};
	static const struct cqrs_column good_reference[] = {
	    {.name = "a", .type = CQRS_INT4, .references = "app.sensors(id)"}, {.name = NULL}};
	static const struct cqrs_column array[] = {{.name = "a", .type = CQRS_INT4_ARRAY},
	                                           {.name = NULL}};
	static const struct cqrs_column none[] = {{.name = NULL}};
	static const enum cqrs_type types[PG_PARAMS_MAX + 1];
	const struct cqrs_table_def defs[] = {{"t", late_key, 0},
	                                      {"t", bad_reference, 0},
	                                      {"t", array, 0},
	                                      {"t", none, 0},
	                                      {"t", good_reference, 0}};
	static const char *const reasons[] = {
	    "table t: the columns of the key must stand first",
	    "table t: column a: references must be \"table(column)\"",
	    "table t: column a: arrays are for parameters only", "table t: 1 to 32 columns"};
	struct command_bus *bus;
	struct cqrs_setup *setup;
	for (size_t i = 0; i < 4; i++) {
		setup = declaring(&bus);
		ck_assert_ptr_null(cqrs_setup_table(setup, &defs[i]));
		refuses(bus, setup, reasons[i]);
	}
	setup = declaring(&bus);
	ck_assert_ptr_nonnull(cqrs_setup_table(setup, &defs[4]));
	ck_assert_ptr_nonnull(cqrs_setup_statement(setup, "x", types, PG_PARAMS_MAX));
	ck_assert_ptr_null(cqrs_setup_statement(setup, "x", types, PG_PARAMS_MAX + 1));
	refuses(bus, setup, "statement \"x\": at most 256 parameters");
	setup = declaring(&bus);
	cqrs_setup_topic(setup, "a", handle);
	cqrs_setup_topic(setup, "a", handle);
	refuses(bus, setup, "topic a has a handler already, in module note");
	setup = declaring(&bus);
	cqrs_setup_topic(setup, "a b", handle);
	cqrs_setup_topic(setup, "", handle);
	refuses(bus, setup, "\"a b\" is not a name that a Kafka topic can have");
}
END_TEST

START_TEST(takes_as_many_modules_as_it_says)
{
	struct command_bus *bus;
	struct cqrs_setup *setup = declaring(&bus);
	const char *error;
	for (int i = 0; i < COMMAND_TOPICS_MAX; i++)
		ck_assert(command_bus_add(bus, setup, &first, &error));
	ck_assert_int_eq(bus->n_modules, COMMAND_TOPICS_MAX);
	refuses(bus, command_bus_setup(bus, &module), "more than 64 command modules");
}
END_TEST

static void on_brokers(void *owner, const char *why_not)
{
	(void)owner;
	(void)why_not;
}

START_TEST(any_memory_that_the_configuration_takes_will_do)
{
	static const char *const topics[] = {"t"};
	static const struct kafka_source_events events = {.on_brokers = on_brokers};
	static const int64_t memories[] = {INT64_C(16) << 20, INT64_C(1) << 30, INT64_C(64) << 30};
	for (int i = 0; i < 6; i++) {
		struct kafka_source_config config = {.brokers = "127.0.0.1:1",
		                                     .group = "g",
		                                     .topics = topics,
		                                     .n_topics = 1,
		                                     .lanes = i % 2 ? 64 : 1,
		                                     .session_timeout_us = 6000000,
		                                     .queue_bytes = memories[i / 2] / 4};
		struct kafka_source *source = kafka_source_new(loop, &config, &events, NULL);
		ck_assert_ptr_nonnull(source);
		kafka_source_free(source);
	}
}
END_TEST

/* ---- the life of a group ---- */

START_TEST(begins_at_the_beginning_or_at_the_end)
{
	produce_to_all(BEFORE);
	member_new(&first, "g", "earliest", "early");
	member_new(&late, "l'ate", "latest", "late");
	run_until(active(&first) == 4 && active(&late) == 4 && is_healthy());
	assert_each_once("early", BEFORE);
	ck_assert_int_eq(count("late"), 0);
	ck_assert_int_eq(count("cqrs.offsets WHERE consumer_group = 'l''ate' AND next_offset = 10"),
	                 4);
	produce_to_all(8);
	assert_each_once("early", BEFORE + 8);
	assert_each_once("late", 8);
	run_until(count("cqrs.offsets WHERE next_offset = 12") == 8);
}
END_TEST

START_TEST(tells_how_it_is_doing)
{
	run_until(writers_are_idle(first.bus));
	json_t *status = command_bus_status(first.bus);
	const char *state;
	json_int_t next, lag;
	ck_assert_int_eq((int)json_array_size(json_object_get(status, "partitions")), 4);
	json_t *partition = json_array_get(json_object_get(status, "partitions"), 0);
	ck_assert(!json_unpack(partition, "{s:s, s:I, s:I}", "state", &state, "next_offset", &next,
	                       "lag", &lag));
	ck_assert_str_eq(state, "active");
	ck_assert_int_eq((int)next, 12);
	ck_assert_int_eq((int)lag, 0);
	ck_assert_int_eq((int)json_array_size(json_object_get(status, "writers")), 2);
	json_decref(status);
}
END_TEST

START_TEST(makes_dead_letters_and_events)
{
	produce(1, "bad", NULL);
	produce(1, "good", "key");
	assert_each_once("early", BEFORE + 9);
	ck_assert_int_eq(count("cqrs.dead_letters WHERE consumer_group = 'g' AND partition = 1 AND "
	                       "\"offset\" = 12 AND payload = 'bad' AND reason = 'bad, with 1 "
	                       "headers' AND headers = '{\"h\": \"1\"}' AND part_index IS NULL"),
	                 1);
	run_until(first.events == 1);
	assert_each_once("late", 9);
	ck_assert_int_eq(count("cqrs.outbox"), 2);
}
END_TEST

START_TEST(goes_where_the_table_says_when_the_fence_is_lost)
{
	int before = first.note.dropped;
	pg_server_exec("UPDATE cqrs.offsets SET next_offset = 7 WHERE consumer_group = 'g' AND "
	               "partition = 0");
	pg_server_exec("DELETE FROM early WHERE part = 0 AND pos >= 7");
	produce_to_all(4);
	assert_each_once("early", BEFORE + 13);
	ck_assert_int_gt(first.note.dropped, before);
	run_until(active(&first) == 4);
	ck_assert_int_eq(count("cqrs.offsets WHERE consumer_group = 'g' AND partition = 0 AND "
	                       "next_offset = 13"),
	                 1);
}
END_TEST

START_TEST(skips_nothing_that_was_taken_before_it_knew_where_it_stands)
{
	struct partition *partition = bus_partition(first.bus, 0, 0);
	struct bus_lane *lane = &first.bus->lanes[0];
	ck_assert_int_eq((int)partition->taken, 13);
	/* Taken after the fence was lost, and not yet looked at when the offsets came. */
	lane->pending[0] = (struct kafka_message){
	    .message = {
	        .topic = "notes", .partition = 0, .offset = 15, .value = "x", .value_len = 1}};
	lane->n_pending = 1;
	lane->next_pending = 0;
	partition->state = PARTITION_LOCATING;
	first.bus->locate_again = true;
	positions_writer_idle(first.bus);
	run_until(active(&first) == 4);
	produce_to_all(20);
	assert_each_once("early", BEFORE + 33);
	ck_assert_int_eq(count("early WHERE part = 0 AND pos BETWEEN 13 AND 17"), 5);
}
END_TEST

START_TEST(leaves_positions_alone_that_were_taken_back)
{
	struct partition *partition = bus_partition(first.bus, 0, 0);
	/* What is stored is known a moment later here than there. */
	run_until(writers_are_idle(first.bus));
	int64_t offset = partition->position.offset;
	/* Revoked while the offsets are asked for: a batch at work keeps its fence. */
	partition->state = PARTITION_LOCATING;
	positions_locate(first.bus);
	ck_assert(first.bus->asking);
	first.bus->owned = false;
	partition->position.offset = offset - 1;
	run_until(!first.bus->asking);
	ck_assert_int_eq(partition->position.offset, offset - 1);
	first.bus->owned = true;
	positions_locate(first.bus);
	run_until(active(&first) == 4);
	ck_assert_int_eq(partition->position.offset, offset);
}
END_TEST

START_TEST(goes_on_when_memory_was_out)
{
	int before = first.note.dropped;
	for (int i = 0; i < 4; i++)
		first.bus->batches.list[i]->tables[0].tuples.max = 100;
	produce_to_all(40);
	assert_each_once("early", BEFORE + 73);
	/* What a module remembered of the message that was taken back did not happen. */
	ck_assert_int_gt(first.note.dropped, before);
	for (int i = 0; i < 4; i++)
		first.bus->batches.list[i]->tables[0].tuples.max = 0;
}
END_TEST

START_TEST(survives_the_loss_of_all_connections)
{
	pg_server_exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> "
	               "pg_backend_pid() AND backend_type = 'client backend'");
	produce_to_all(40);
	assert_each_once("early", BEFORE + 113);
	run_until(is_healthy());
}
END_TEST

/* All of what is to be stored next, however long the one before takes. */
START_TEST(a_batch_fills_while_another_is_stored)
{
	PGconn *pg = PQconnectdb(pg_server_dsn);
	first.config.max_rows = 4;
	PQclear(PQexec(pg, "BEGIN; LOCK early"));
	produce_some(80);
	usleep(500000); /* so that all of them come at once */
	for (int i = 0; i < first.config.writers; i++)
		run_until(first.bus->lanes[i].open->closed);
	PQclear(PQexec(pg, "COMMIT"));
	PQfinish(pg);
	assert_each_once("early", BEFORE + 193);
	first.config.max_rows = 1000;
}
END_TEST

START_TEST(halts_a_partition_of_which_the_next_is_gone)
{
	pg_server_exec("UPDATE cqrs.offsets SET next_offset = next_offset + 1000000 WHERE "
	               "consumer_group = 'g' AND partition = 3");
	produce_to_all(4);
	run_until(active(&first) == 3 && !is_healthy());
	/* The one beside it in its lane goes on. */
	assert_each_once("early", BEFORE + 196);
	json_t *status = command_bus_status(first.bus);
	char *text = json_dumps(status, 0);
	ck_assert_ptr_nonnull(strstr(text, "halted"));
	free(text);
	json_decref(status);
	pg_server_exec("UPDATE cqrs.offsets SET next_offset = next_offset - 1000000 WHERE "
	               "consumer_group = 'g' AND partition = 3");
}
END_TEST

START_TEST(shares_partitions_with_a_second_member)
{
	member_new(&second, "g", "earliest", "early");
	for (int i = 0; i < 10; i++) {
		produce_to_all(8);
		run_for(100000);
	}
	run_until(active(&first) == 2 && active(&second) == 2);
	for (size_t i = 0; i < 2; i++)
		for (size_t k = 0; k < 2; k++)
			ck_assert_int_ne(first.bus->partitions[i].position.partition,
			                 second.bus->partitions[k].position.partition);
	produce_to_all(40);
	/* With the one that was not stored while its partition was halted. */
	assert_each_once("early", BEFORE + 197 + 120);
	run_until(is_healthy());
}
END_TEST

static void member_free(struct member *m)
{
	command_bus_stop(m->bus);
	command_bus_free(m->bus);
	metrics_free(m->metrics);
}

static void on_drained(void *arg)
{
	++*(int *)arg;
}

START_TEST(drains_what_it_has_taken)
{
	int drained = 0;
	produce_some(400);
	run_for(5000);
	command_bus_drain(first.bus, on_drained, &drained);
	command_bus_drain(second.bus, on_drained, &drained);
	run_until(drained == 2 && !sent);
	long stored = count("early");
	ck_assert_int_eq(pg_server_number("SELECT count(DISTINCT (part, pos)) FROM early"), stored);
	/* The offsets stand right behind what is stored. */
	ck_assert_int_eq(
	    count("cqrs.offsets o WHERE consumer_group = 'g' AND next_offset <> (SELECT "
	          "1 + greatest(max(pos), (SELECT max(\"offset\") FROM cqrs.dead_letters "
	          "d WHERE d.partition = part)) FROM early WHERE part = partition GROUP "
	          "BY part)"),
	    0);
	run_for(100000);
	ck_assert_int_eq(count("early"), stored);
	member_free(&first);
	member_free(&second);
	member_free(&late); /* with whatever it is about */
}
END_TEST

static void apply(const char *sql)
{
	PGconn *pg = PQconnectdb(pg_server_dsn);
	PGresult *result = PQexec(pg, sql);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		pg_server_die(PQerrorMessage(pg));
	PQclear(result);
	PQfinish(pg);
}

static void begin(void)
{
	pg_server_start("check_command_bus");
	apply("CREATE SCHEMA cqrs");
	PGconn *pg = PQconnectdb(pg_server_dsn);
	core_schema(pg);
	PQfinish(pg);
	apply("CREATE TABLE early (part int, pos bigint, text text);"
	      "CREATE TABLE late (part int, pos bigint, text text)");
	loop = loop_new();
	metrics = metrics_new();
	health = health_new(loop);
	aside = health_new(loop);
	broker = kafka_embedded_new();
	kafka_embedded_add_topic(broker, "notes");
	sink_config = (struct kafka_sink_config){.brokers = kafka_embedded_brokers(broker),
	                                         .queue_bytes = 8388608};
	sink = kafka_sink_new(loop, &sink_config, NULL);
}

static void end(void)
{
	kafka_sink_free(sink);
	kafka_embedded_free(broker);
	health_free(health);
	health_free(aside);
	metrics_free(metrics);
	loop_free(loop);
	pg_server_stop();
}

static void add_tests(TCase *declare, TCase *live)
{
	tcase_add_test(declare, says_what_is_wrong_with_a_declaration);
	tcase_add_test(declare, takes_as_many_modules_as_it_says);
	tcase_add_test(declare, any_memory_that_the_configuration_takes_will_do);
	tcase_add_test(live, begins_at_the_beginning_or_at_the_end);
	tcase_add_test(live, tells_how_it_is_doing);
	tcase_add_test(live, makes_dead_letters_and_events);
	tcase_add_test(live, goes_where_the_table_says_when_the_fence_is_lost);
	tcase_add_test(live, skips_nothing_that_was_taken_before_it_knew_where_it_stands);
	tcase_add_test(live, leaves_positions_alone_that_were_taken_back);
	tcase_add_test(live, goes_on_when_memory_was_out);
	tcase_add_test(live, survives_the_loss_of_all_connections);
	tcase_add_test(live, a_batch_fills_while_another_is_stored);
	tcase_add_test(live, halts_a_partition_of_which_the_next_is_gone);
	tcase_add_test(live, shares_partitions_with_a_second_member);
	tcase_add_test(live, drains_what_it_has_taken);
}

int main(void)
{
	Suite *suite = suite_create("command_bus");
	TCase *declare = tcase_create("declare"), *live = tcase_create("live");
	begin();
	add_tests(declare, live);
	suite_add_tcase(suite, declare);
	suite_add_tcase(suite, live);
	SRunner *runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	end();
	return failed != 0;
}
