/* SPDX-License-Identifier: MIT */
/* The module alone: which statement and which values it makes of a request. */
#include "answer.h"
#include "pg_value.h"
#include "query_route.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

extern const struct cqrs_query_module cqrs_query_sensor;

#define NOW INT64_C(1646409307000000)

static struct route_table table;
static struct cqrs_routes routes = {.module = "sensor", .table = &table};
static struct cqrs_request req;
static struct cqrs_answer ans;
static struct param_error error;

static void setup(void)
{
	routes.self = cqrs_query_sensor.start(&routes, NULL);
	ck_assert_ptr_nonnull(routes.self);
	ck_assert_msg(!routes.error.len, "%s", buf_str(&routes.error));
}

static void teardown(void)
{
	cqrs_query_sensor.stop(routes.self);
	route_table_release(&table);
	param_release(&req);
	answer_release(&ans);
}

/* The statement for a request; `after` is the cursor. */
static const char *ask_after(const char *path, const char *query, int64_t limit,
                             const struct cqrs_value *after)
{
	struct param_text values[PARAM_PATH_MAX];
	char full[200];
	snprintf(full, sizeof full, "/api/v1%s", path);
	struct query_route *route = (struct query_route *)route_find(&table, full, values);
	ck_assert_ptr_nonnull(route);
	ck_assert_msg(param_parse(&route->base.params, &req, values, query, NOW, &error), "%s",
	              error.text);
	static struct cqrs_value key;
	if (route->def->lookup) {
		key = req.values[0];
		req.values[0] = cqrs_array(CQRS_INT4_ARRAY, &key, 1);
	}
	req.row_limit = limit;
	req.cursor = after;
	answer_clear(&ans);
	route->def->query(routes.self, &req, &ans);
	ck_assert(answer_finish(&ans));
	return ans.refused ? ans.error.text : ans.sql.data;
}

static const char *ask(const char *path, const char *query, int64_t limit)
{
	return ask_after(path, query, limit, NULL);
}

/* The nth bound value, from 1, which is an integer or a time. */
static int64_t bound(int n)
{
	const char *p = ans.values[n - 1];
	ck_assert(n <= ans.n && p);
	if (ans.lengths[n - 1] == 4)
		return (int32_t)pg_get32(p);
	ck_assert_int_eq(ans.lengths[n - 1], 8);
	return (int64_t)pg_get64(p) + (ans.types[n - 1] == PG_OID_TIMESTAMPTZ ? PG_EPOCH_US : 0);
}

static void ck_bound_text(int n, const char *text)
{
	ck_assert_int_eq(ans.lengths[n - 1], (int)strlen(text));
	ck_assert(!memcmp(ans.values[n - 1], text, strlen(text)));
}

START_TEST(lists_sensors_with_the_filters_that_are_given)
{
	ck_assert_str_eq(ask("/sensors", "", 101),
	                 "SELECT id, type, location FROM sensors ORDER BY id");
	ck_assert_int_eq(ans.n, 0);
	ck_assert_str_eq(ask("/sensors", "location=floor&type=a", 101),
	                 "SELECT id, type, location FROM sensors WHERE type = $1 AND location = $2 "
	                 "ORDER BY id");
	ck_bound_text(1, "a");
	ck_bound_text(2, "floor");
	struct cqrs_value after = cqrs_int4(7);
	ck_assert_str_eq(ask_after("/sensors", "", 101, &after),
	                 "SELECT id, type, location FROM sensors WHERE id > $1 ORDER BY id");
	ck_assert_int_eq(bound(1), 7);
}
END_TEST

START_TEST(finds_one_sensor_and_its_newest_reading_by_key)
{
	ck_assert_str_eq(ask("/sensors/7", "", 0),
	                 "SELECT id, type, location FROM sensors WHERE id = ANY ((SELECT "
	                 "$1)::integer[])");
	ck_assert_int_eq((int32_t)pg_get32(ans.values[0] + ans.lengths[0] - 4), 7);
	ck_assert_str_eq(ask("/sensors/7/latest", "", 0),
	                 "SELECT time, sensor_id, temperature, cpu FROM sensor_data"
	                 " WHERE sensor_id = $1 ORDER BY time DESC LIMIT 1");
	ck_assert_int_eq(bound(1), 7);
	ck_assert_uint_eq(ans.types[0], PG_OID_INT4);
}
END_TEST

START_TEST(asks_each_sensor_for_its_newest_reading)
{
	struct cqrs_value after = cqrs_int4(7);
	ck_assert_str_eq(ask_after("/sensors/latest", "", 101, &after),
	                 "SELECT d.time, s.id AS sensor_id, d.temperature, d.cpu FROM sensors s"
	                 " CROSS JOIN LATERAL (SELECT time, temperature, cpu FROM sensor_data"
	                 " WHERE sensor_id = s.id ORDER BY time DESC LIMIT 1) d"
	                 " WHERE s.id > $1 ORDER BY s.id");
}
END_TEST

START_TEST(asks_each_sensor_for_as_many_readings_as_the_page_can_need)
{
	ck_assert_str_eq(
	    ask("/sensor-data", "sensor_id=1&sensor_id=2&location=floor&from=now-6h&to=now", 101),
	    "SELECT d.time, d.sensor_id, d.temperature, d.cpu FROM sensors s CROSS JOIN LATERAL"
	    " (SELECT d.time, d.sensor_id, d.temperature, d.cpu FROM sensor_data d"
	    " WHERE d.sensor_id = s.id AND d.time >= $1 AND d.time < $2 ORDER BY d.time LIMIT $3) d"
	    " WHERE s.id = ANY((SELECT $4)::integer[]) AND s.location = $5"
	    " ORDER BY d.time, d.sensor_id");
	ck_assert_int_eq(bound(1), NOW - INT64_C(6) * 3600 * 1000000);
	ck_assert_int_eq(bound(2), NOW);
	ck_assert_int_eq(bound(3), 101);
	ck_assert_uint_eq(ans.types[3], PG_OID_INT4_ARRAY);
	ck_bound_text(5, "floor");
}
END_TEST

START_TEST(asks_an_only_sensor_by_its_key)
{
	struct cqrs_value after[] = {cqrs_timestamptz(NOW), cqrs_int4(3)};
	ck_assert_str_eq(ask_after("/sensor-data", "sensor_id=3&to=now", 101, after),
	                 "SELECT d.time, d.sensor_id, d.temperature, d.cpu FROM sensor_data d"
	                 " WHERE d.sensor_id = $1 AND d.time < $2 AND d.time >= $3"
	                 " AND (d.time, d.sensor_id) > ($4, $5) ORDER BY d.time, d.sensor_id");
	ck_assert(bound(1) == 3 && bound(2) == NOW && bound(3) == NOW && bound(5) == 3);
	ck_assert_uint_eq(ans.types[0], PG_OID_INT4);
	ck_assert_ptr_nonnull(strstr(ask("/sensor-data/avg", "sensor_id=3", 101),
	                             " FROM sensor_data d WHERE d.sensor_id = $2 GROUP BY 1"));
}
END_TEST

START_TEST(continues_readings_in_both_directions)
{
	struct cqrs_value after[] = {cqrs_timestamptz(NOW), cqrs_int4(3)};
	ck_assert_ptr_nonnull(strstr(ask_after("/sensor-data", "", 101, after),
	                             " AND d.time >= $1 AND (d.time, d.sensor_id) > ($2, $3)"
	                             " ORDER BY d.time LIMIT $4) d ORDER BY d.time, d.sensor_id"));
	ck_assert(bound(1) == NOW && bound(2) == NOW && bound(3) == 3);
	ck_assert_ptr_nonnull(
	    strstr(ask_after("/sensor-data", "order=-time", 101, after),
	           " AND d.time <= $1 AND (d.time, d.sensor_id) < ($2, $3) ORDER BY d.time DESC"
	           " LIMIT $4) d ORDER BY d.time DESC, d.sensor_id DESC"));
}
END_TEST

START_TEST(reads_the_table_alone_for_a_stream_and_for_a_count)
{
	ck_assert_str_eq(ask("/sensor-data", "location=floor", CQRS_ROWS_ALL),
	                 "SELECT d.time, d.sensor_id, d.temperature, d.cpu FROM sensor_data d"
	                 " WHERE d.sensor_id IN (SELECT id FROM sensors WHERE location = $1)"
	                 " ORDER BY d.time, d.sensor_id");
	ck_assert_str_eq(ask("/sensor-data", "", CQRS_ROWS_COUNTED),
	                 "SELECT d.time, d.sensor_id, d.temperature, d.cpu FROM sensor_data d");
}
END_TEST

#define AVERAGES                                                                          \
	"SELECT date_bin($1 * interval '1 microsecond', d.time, timestamptz '1970-01-01 " \
	"00:00:00+00') AS period"

START_TEST(averages_over_periods_of_half_an_hour)
{
	ck_assert_str_eq(ask("/sensor-data/avg", "", 101),
	                 AVERAGES ", avg(d.temperature) AS avg_temp, avg(d.cpu) AS avg_cpu,"
	                          " count(*) AS count FROM sensor_data d GROUP BY 1 ORDER BY 1");
	ck_assert_int_eq(bound(1), INT64_C(1800000000));
	ck_assert_ptr_nonnull(
	    strstr(ask("/sensor-data/avg-latest", "", 101), "[3] AS last_temp, "));
}
END_TEST

START_TEST(groups_by_sensor_and_by_location)
{
	struct cqrs_value after[] = {cqrs_timestamptz(NOW), cqrs_int4(3), cqrs_text("floor")};
	ck_assert_str_eq(
	    ask_after("/sensor-data/avg", "group_by=sensor&bucket=1h", 101, after), AVERAGES
	    ", d.sensor_id, avg(d.temperature) AS avg_temp, avg(d.cpu) AS avg_cpu,"
	    " count(*) AS count FROM sensor_data d WHERE d.time >= $2 AND (d.time >= $3 + "
	    "$4 * interval '1 microsecond' OR d.sensor_id > $5) GROUP BY 1, 2 ORDER BY 1, 2");
	ck_assert(bound(3) == NOW && bound(4) == INT64_C(3600000000) && bound(5) == 3);
	ck_assert_ptr_nonnull(
	    strstr(ask_after("/sensor-data/avg", "group_by=location", 101, after),
	           " FROM sensor_data d JOIN sensors s ON s.id = d.sensor_id WHERE d.time >= $2"));
	ck_bound_text(5, "floor");
	ck_assert_ptr_nonnull(strstr(ask_after("/sensor-data/avg", "", 101, after),
	                             " WHERE d.time >= $2 + $3 * interval '1 microsecond' GROUP"));
}
END_TEST

START_TEST(chooses_a_round_width_for_the_points)
{
	static const struct {
		const char *query;
		int64_t seconds;
	} cases[] = {
	    {"points=500&from=now-24h&to=now", 300},
	    {"points=24&from=2022-03-04T00:00:00Z&to=2022-03-05T00:00:00Z", 3600},
	    {"points=24&from=2022-03-04T00:00:01Z&to=2022-03-05T00:00:01Z", 7200},
	    {"points=10000&from=1646352000&to=1646352010", 1},
	    {"points=1&from=2022-03-04T23:00:00Z&to=2022-03-05T01:00:00Z", 5 * 86400},
	    {"points=10&from=2022-01-01T00:00:00Z&to=2023-01-01T00:00:00Z", 39 * 86400},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ask("/sensor-data/avg", cases[i].query, 101);
		ck_assert_int_eq(bound(1) / 1000000, cases[i].seconds);
	}
}
END_TEST

START_TEST(refuses_what_contradicts_itself)
{
	ck_assert_str_eq(ask("/sensor-data", "from=now&to=now", 101), "to must be after from");
	ck_assert_str_eq(ans.error.param, "to");
	ck_assert_str_eq(ask("/sensor-data/avg", "from=now&to=now-1h", 101),
	                 "to must be after from");
	ck_assert_str_eq(ask("/sensor-data/avg", "points=5&bucket=1h", 101),
	                 "give either bucket or points, not both");
	ck_assert_str_eq(ask("/sensor-data/avg", "points=5&from=now-1h", 101),
	                 "points needs from and to, as in from=now-24h&to=now");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("query_sensor");
	TCase *tc = tcase_create("query_sensor");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, lists_sensors_with_the_filters_that_are_given);
	tcase_add_test(tc, finds_one_sensor_and_its_newest_reading_by_key);
	tcase_add_test(tc, asks_each_sensor_for_its_newest_reading);
	tcase_add_test(tc, asks_each_sensor_for_as_many_readings_as_the_page_can_need);
	tcase_add_test(tc, asks_an_only_sensor_by_its_key);
	tcase_add_test(tc, continues_readings_in_both_directions);
	tcase_add_test(tc, reads_the_table_alone_for_a_stream_and_for_a_count);
	tcase_add_test(tc, averages_over_periods_of_half_an_hour);
	tcase_add_test(tc, groups_by_sensor_and_by_location);
	tcase_add_test(tc, chooses_a_round_width_for_the_points);
	tcase_add_test(tc, refuses_what_contradicts_itself);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
