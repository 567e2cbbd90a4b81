/* SPDX-License-Identifier: MIT */
/* command/sensor: every rule of its messages, against a batch. */
#define COMMAND_MODULE cqrs_command_sensor
#include "command_module.h"
#include "pg_value.h"

#define DAY_US INT64_C(86400000000)

/* Row `n` as "id time temperature cpu", times as microseconds since 1970. */
static const char *row(size_t n)
{
	static char text[256];
	const struct batch_rows *rows = &batch->tables[0];
	ck_assert_uint_lt(n, rows->n);
	const char *p = rows->tuples.data + rows->rows[n].offset + 2;
	int used = snprintf(text, sizeof text, "%d %lld", (int)pg_get32(p + 4),
	                    (long long)((int64_t)pg_get64(p + 12) + PG_EPOCH_US));
	p += 20;
	for (int i = 0; i < 2; i++) {
		uint64_t bits = 0;
		double f;
		bool null = pg_get32(p) == UINT32_MAX;
		if (!null)
			bits = pg_get64(p + 4);
		memcpy(&f, &bits, sizeof f);
		used += null ? snprintf(text + used, sizeof text - (size_t)used, " -")
		             : snprintf(text + used, sizeof text - (size_t)used, " %g", f);
		p += null ? 4 : 12;
	}
	return text;
}

static size_t n_rows(void)
{
	return batch->tables[0].n;
}

static void refuses_whole(int topic, const char *value, const char *reason)
{
	char expected[600];
	decide_new(topic, value);
	snprintf(expected, sizeof expected, "-1: %s", reason);
	ck_assert_str_eq(refusals(), expected);
	ck_assert(batch->messages[0].refused);
}

/* One reading among good ones. */
static void refuses_reading(const char *reading, const char *reason)
{
	static char value[1000];
	char expected[600];
	static const char *good = "{\"ts\": 1646409307, \"sensor_id\": 1, \"cpu\": 1}";
	batch_clear(batch);
	snprintf(value, sizeof value, "[%s , %s,%s]", good, reading, good);
	decide(0, value);
	snprintf(expected, sizeof expected, "1: %s", reason);
	ck_assert_str_eq(refusals(), expected);
	ck_assert_uint_eq(n_rows(), 2);
	ck_assert(!batch->messages[0].refused);
	const struct batch_element *e = &batch->elements[1];
	ck_assert_uint_eq(e->data_len, strlen(reading));
	ck_assert_mem_eq(value + e->data, reading, strlen(reading));
}

START_TEST(takes_an_array_or_one_reading)
{
	start();
	decide(0, "[{\"ts\": 1646409307, \"sensor_id\": 1, \"temperature\": 30, \"cpu\": 20},\n"
	          " {\"ts\": 1646409308, \"sensor_id\": 2147483647, \"temperature\": -0.5}]");
	decide(0,
	       " {\"cpu\": 7, \"more\": {\"a\": [1, {}]}, \"ts\": 1646409307000, \"sensor_id\": 3,"
	       " \"temperature\": null} ");
	decide(0, "[]");
	ck_assert_str_eq(refusals(), "");
	ck_assert_uint_eq(n_rows(), 3);
	ck_assert_str_eq(row(0), "1 1646409307000000 30 20");
	ck_assert_str_eq(row(1), "2147483647 1646409308000000 -0.5 -");
	ck_assert_str_eq(row(2), "3 1646409307000000 - 7");
}
END_TEST

START_TEST(tells_units_of_time_apart_by_magnitude)
{
	static const char *const times[] = {"1646409307",
	                                    "1646409307000",
	                                    "1646409307000000",
	                                    "1646409307000000999",
	                                    "\"2022-03-04T15:55:07Z\"",
	                                    "\"2022-03-04T16:55:07+01:00\""};
	static char values[6][100];
	start();
	for (size_t i = 0; i < 6; i++) {
		snprintf(values[i], sizeof values[i], "{\"ts\": %s, \"sensor_id\": 1, \"cpu\": 1}",
		         times[i]);
		decide(0, values[i]);
		ck_assert_str_eq(refusals(), "");
		ck_assert_str_eq(row(i), "1 1646409307000000 - 1");
	}
}
END_TEST

START_TEST(takes_the_unit_that_is_configured)
{
	set("timestamp_unit", "ms");
	start();
	decide(0, "{\"ts\": 1646409307, \"sensor_id\": 1, \"cpu\": 1}");
	ck_assert_str_eq(row(0), "1 1646409307000 - 1");
}
END_TEST

START_TEST(refuses_a_bad_reading_alone)
{
	static const struct {
		const char *reading, *reason;
	} cases[] = {
	    {"{\"sensor_id\":1,\"cpu\":1}", "ts is missing"},
	    {"{\"ts\":1646409307,\"cpu\":1}", "sensor_id is missing"},
	    {"{}", "ts is missing"},
	    {"{\"ts\":1646409307,\"sensor_id\":1}", "temperature and cpu are both missing"},
	    {"{\"ts\":1646409307,\"sensor_id\":1,\"cpu\":null,\"temperature\":null}",
	     "temperature and cpu are both missing"},
	    {"{\"ts\":-1,\"sensor_id\":1,\"cpu\":1}", "ts is outside of the years 1970 to 2200"},
	    {"{\"ts\":9223372036854775807,\"sensor_id\":1,\"cpu\":1}",
	     "ts is outside of the years 1970 to 2200"},
	    {"{\"ts\":\"yesterday\",\"sensor_id\":1,\"cpu\":1}",
	     "ts is not an RFC 3339 time of the years 1970 to 2200"},
	    {"{\"ts\":\"2201-01-01T00:00:00Z\",\"sensor_id\":1,\"cpu\":1}",
	     "ts is not an RFC 3339 time of the years 1970 to 2200"},
	    {"{\"ts\":1646409307.5,\"sensor_id\":1,\"cpu\":1}",
	     "ts must be an integer or an RFC 3339 string"},
	    {"{\"ts\":null,\"sensor_id\":1,\"cpu\":1}",
	     "ts must be an integer or an RFC 3339 string"},
	    {"{\"ts\":[],\"sensor_id\":1,\"cpu\":1}",
	     "ts must be an integer or an RFC 3339 string"},
	    {"{\"ts\":1646409307,\"sensor_id\":0,\"cpu\":1}",
	     "sensor_id must be an integer of 1 to 2147483647"},
	    {"{\"ts\":1646409307,\"sensor_id\":2147483648,\"cpu\":1}",
	     "sensor_id must be an integer of 1 to 2147483647"},
	    {"{\"ts\":1646409307,\"sensor_id\":\"1\",\"cpu\":1}",
	     "sensor_id must be an integer of 1 to 2147483647"},
	    {"{\"ts\":1646409307,\"sensor_id\":{\"a\":[1]},\"cpu\":1}",
	     "sensor_id must be an integer of 1 to 2147483647"},
	    {"{\"ts\":1646409307,\"sensor_id\":1,\"cpu\":\"1\"}", "cpu must be a number or null"},
	    {"{\"ts\":1646409307,\"sensor_id\":1,\"cpu\":1,\"temperature\":true}",
	     "temperature must be a number or null"},
	    {"5", "a reading must be an object"},
	    {"null", "a reading must be an object"},
	    {"\"a, b\"", "a reading must be an object"},
	    {"[{\"ts\":1}]", "a reading must be an object"},
	};
	start();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		refuses_reading(cases[i].reading, cases[i].reason);
}
END_TEST

START_TEST(keeps_of_many_bad_elements_each_its_own)
{
	static char value[20002] = "[0";
	start();
	for (size_t i = 2; i < 20000; i += 2)
		memcpy(value + i, ",0", 2);
	value[20000] = ']';
	decide(0, value);
	ck_assert_uint_eq(batch->n_refusals, 10000);
	for (size_t i = 0; i < batch->n_elements; i++)
		ck_assert_uint_eq(batch->elements[i].data_len, 1);
}
END_TEST

START_TEST(one_bad_reading_alone_is_a_whole_message)
{
	start();
	refuses_whole(0, "{\"sensor_id\": 1, \"cpu\": 1}", "ts is missing");
	refuses_whole(0, NULL, "a message without value is not a reading");
}
END_TEST

START_TEST(refuses_what_is_not_json_as_a_whole)
{
	static const char *const values[] = {
	    "",
	    "[",
	    "nonsense",
	    "[{\"ts\": 1646409307, \"sensor_id\": 1, \"cpu\": 1}",
	    "[{\"ts\": 1646409307, \"sensor_id\": 1, \"cpu\": 1}] x",
	    "[1,]",
	    "5",
	    "\"text\"",
	    "[{\"ts\": 1646409307, \"sensor_id\": 1, \"cpu\": 1e999}]",
	    "[{\"ts\" 1}]"};
	start();
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		decide_new(0, values[i]);
		ck_assert(batch->messages[0].refused);
		ck_assert_msg(!strncmp(refusals(), "-1: not JSON: ", 14), "%s: %s", values[i],
		              refusals());
		ck_assert_ptr_nonnull(strstr(refusals(), " at byte "));
	}
	/* What was appended before the mistake is dead with it. */
	decide_new(0, values[3]);
	ck_assert_uint_eq(n_rows(), 1);
	ck_assert(batch_element_is_dead(batch, batch->tables[0].rows[0].element));
}
END_TEST

START_TEST(ensures_partitions_and_sensors_once)
{
	int32_t len;
	start();
	decide(0, "[{\"ts\": 86400, \"sensor_id\": 5, \"cpu\": 1},"
	          " {\"ts\": 172799, \"sensor_id\": 6, \"cpu\": 1},"
	          " {\"ts\": 172800, \"sensor_id\": 5, \"cpu\": 1}]");
	ck_assert_uint_eq(batch->n_statements, 3);
	ck_assert_ptr_nonnull(strstr(statement_sql(0), "sensor_data_partition"));
	ck_assert_int_eq((int64_t)pg_get64(param(0, 0, &len)), DAY_US - PG_EPOCH_US);
	ck_assert_int_eq((int64_t)pg_get64(param(0, 1, &len)), 2 * DAY_US - PG_EPOCH_US);
	ck_assert_int_eq((int64_t)pg_get64(param(1, 0, &len)), 2 * DAY_US - PG_EPOCH_US);
	ck_assert_ptr_nonnull(strstr(statement_sql(2), "INSERT INTO sensors"));
	/* An array of two: its header, then length and value of each. */
	const char *ids = param(2, 0, &len);
	ck_assert_int_eq(len, 20 + 16);
	ck_assert_uint_eq(pg_get32(ids + 24), 5);
	ck_assert_uint_eq(pg_get32(ids + 32), 6);
	for (size_t i = 0; i < 3; i++)
		ck_assert_uint_eq(batch->statements[i].element, UINT32_MAX);
	/* Known now, in this batch and when it is stored. */
	decide(0, "{\"ts\": 86400, \"sensor_id\": 5, \"cpu\": 2}");
	ck_assert_uint_eq(batch->n_statements, 3);
	decide_new(0, "{\"ts\": 86400, \"sensor_id\": 5, \"cpu\": 2}");
	ck_assert_uint_eq(batch->n_statements, 0);
	/* Until it was not stored after all. */
	cqrs_command_sensor.dropped(self);
	decide(0, "{\"ts\": 86400, \"sensor_id\": 5, \"cpu\": 2}");
	ck_assert_uint_eq(batch->n_statements, 2);
}
END_TEST

START_TEST(ensures_again_what_another_batch_may_not_have_stored)
{
	static const char *value = "{\"ts\": 86400, \"sensor_id\": 5, \"cpu\": 1}";
	start();
	struct cqrs_batch *other = command_bus_batch(bus), *first = batch;
	decide(0, value);
	batch = other;
	decide(0, value);
	ck_assert_uint_eq(batch->n_statements, 2);
	batch_clear(first);
	decide(0, value);
	ck_assert_uint_eq(batch->n_statements, 2);
	/* What was stored first is enough, whoever asks at the same time. */
	batch = first;
	decide(0, value);
	ck_assert_uint_eq(batch->n_statements, 0);
	batch_free(other);
}
END_TEST

START_TEST(ensures_nothing_for_a_reading_that_is_refused)
{
	start();
	decide(0, "[{\"ts\": 86400, \"sensor_id\": 5}]");
	ck_assert_uint_eq(batch->n_statements, 0);
}
END_TEST

START_TEST(limits_the_partitions_of_one_message)
{
	static char value[8000];
	size_t used = 0;
	start();
	for (int i = 0; i < 66; i++)
		used += (size_t)snprintf(value + used, sizeof value - used,
		                         "%c{\"ts\": %d, \"sensor_id\": 1, \"cpu\": 1}",
		                         i ? ',' : '[', i * 86400);
	snprintf(value + used, sizeof value - used, ",{\"ts\": 0, \"sensor_id\": 1, \"cpu\": 2}]");
	decide(0, value);
	ck_assert_str_eq(refusals(),
	                 "64: the readings of one message may open 64 partitions of sensor_data, "
	                 "this would be one more\n"
	                 "65: the readings of one message may open 64 partitions of sensor_data, "
	                 "this would be one more");
	ck_assert_uint_eq(n_rows(), 65);
	/* The next message may open them. */
	decide_new(0, "{\"ts\": 5616000, \"sensor_id\": 1, \"cpu\": 1}");
	ck_assert_str_eq(refusals(), "");
	ck_assert_uint_eq(batch->n_statements, 1);
}
END_TEST

START_TEST(remembers_more_sensors_than_fit)
{
	static char value[400000];
	size_t used = 0;
	start();
	for (int i = 0; i < 6000; i++)
		used += (size_t)snprintf(value + used, sizeof value - used,
		                         "%c{\"ts\": 86400, \"sensor_id\": %d, \"cpu\": 1}",
		                         i ? ',' : '[', i + 1);
	snprintf(value + used, sizeof value - used, "]");
	decide(0, value);
	ck_assert_str_eq(refusals(), "");
	ck_assert_uint_eq(n_rows(), 6000);
	/* One partition, and all sensors by 1024. */
	ck_assert_uint_eq(batch->n_statements, 1 + 6);
}
END_TEST

START_TEST(leaves_unknown_sensors_to_the_database)
{
	set("unknown_sensors", "refuse");
	start();
	decide(0, "{\"ts\": 86400, \"sensor_id\": 5, \"cpu\": 1}");
	ck_assert_uint_eq(batch->n_statements, 1);
	ck_assert_str_eq(bus->tables[0]->def->columns[0].references, "sensors(id)");
}
END_TEST

START_TEST(declares_what_a_duplicate_means)
{
	set("on_duplicate", "update");
	start();
	ck_assert_int_eq(bus->tables[0]->def->on_duplicate, CQRS_DUPLICATE_UPDATE);
	ck_assert_str_eq(bus->tables[0]->key, "\"sensor_id\", \"time\"");
	ck_assert(bus->tables[0]->key_is_exact);
	ck_assert_ptr_null(bus->tables[0]->def->columns[0].references);
}
END_TEST

START_TEST(drops_old_partitions_from_time_to_time)
{
	set("retention", "2h");
	start();
	ck_assert_ptr_nonnull(bus->periodics);
	ck_assert_str_eq(bus->periodics->sql,
	                 "SELECT sensor_data_retain(interval '7200000000 microseconds')");
}
END_TEST

START_TEST(puts_a_sensor)
{
	int32_t len;
	start();
	decide(1, "{\"id\": 7, \"type\": \"a\", \"location\": \"caf\xc3\xa9\", \"more\": 1}");
	ck_assert_uint_eq(batch->n_statements, 1);
	ck_assert_ptr_nonnull(strstr(statement_sql(0), "ON CONFLICT (id) DO UPDATE"));
	ck_assert_int_eq((int)batch->statements[0].expect, 1);
	ck_assert_uint_eq(pg_get32(param(0, 0, &len)), 7);
	ck_assert_mem_eq(param(0, 1, &len), "a", 1);
	ck_assert_mem_eq(param(0, 2, &len), "caf\xc3\xa9", 5);
	decide(1, "{}");
	ck_assert_ptr_nonnull(strstr(statement_sql(1), "sensor_register"));
	param(1, 0, &len);
	ck_assert_int_eq(len, 0);
	ck_assert_str_eq(refusals(), "");
}
END_TEST

#define TEN   "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
#define FIFTY TEN TEN TEN TEN TEN

START_TEST(refuses_what_is_not_a_sensor)
{
	start();
	refuses_whole(1, NULL, "a message without value is not a sensor");
	refuses_whole(1, "[]", "a sensor must be an object");
	refuses_whole(1, "{\"id\": 0}", "id must be an integer of 1 to 2147483647");
	refuses_whole(1, "{\"id\": 2147483648}", "id must be an integer of 1 to 2147483647");
	refuses_whole(1, "{\"id\": \"7\"}", "id must be an integer of 1 to 2147483647");
	refuses_whole(1, "{\"id\": null}", "id must be an integer of 1 to 2147483647");
	refuses_whole(1, "{\"type\": 5}", "type must be a string");
	refuses_whole(1, "{\"location\": null}", "location must be a string");
	refuses_whole(1, "{\"location\": \"" FIFTY "x\"}",
	              "location has 51 characters, at most 50 fit");
	decide_new(1, "{\"id\": 1, \"id\": 2}");
	ck_assert(!strncmp(refusals(), "-1: not JSON: ", 14));
	decide_new(1, "{\"type\": \"a\\u0000\"}");
	ck_assert(!strncmp(refusals(), "-1: not JSON: ", 14));
	ck_assert_uint_eq(batch->n_statements, 0);
	decide_new(1, "{\"location\": \"" FIFTY "\"}");
	ck_assert_str_eq(refusals(), "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command_sensor");
	TCase *cases = tcase_create("command_sensor");
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, takes_an_array_or_one_reading);
	tcase_add_test(cases, tells_units_of_time_apart_by_magnitude);
	tcase_add_test(cases, takes_the_unit_that_is_configured);
	tcase_add_test(cases, refuses_a_bad_reading_alone);
	tcase_add_test(cases, keeps_of_many_bad_elements_each_its_own);
	tcase_add_test(cases, one_bad_reading_alone_is_a_whole_message);
	tcase_add_test(cases, refuses_what_is_not_json_as_a_whole);
	tcase_add_test(cases, ensures_partitions_and_sensors_once);
	tcase_add_test(cases, ensures_again_what_another_batch_may_not_have_stored);
	tcase_add_test(cases, ensures_nothing_for_a_reading_that_is_refused);
	tcase_add_test(cases, limits_the_partitions_of_one_message);
	tcase_add_test(cases, remembers_more_sensors_than_fit);
	tcase_add_test(cases, leaves_unknown_sensors_to_the_database);
	tcase_add_test(cases, declares_what_a_duplicate_means);
	tcase_add_test(cases, drops_old_partitions_from_time_to_time);
	tcase_add_test(cases, puts_a_sensor);
	tcase_add_test(cases, refuses_what_is_not_a_sensor);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
