/* SPDX-License-Identifier: MIT */
/* The read pool, against a real server. */
#include "pg_pool.h"

#include "pg_server.h"

#include <check.h>
#include <endian.h>

static struct loop *loop;
static struct metrics *metrics;
static struct health *health;
static struct pg_pool *pool;
static struct pg_pool_config config;

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

static void begin_with(const char *dsn, int connections, int streams, int max_waiting)
{
	config = (struct pg_pool_config){.dsn = dsn,
	                                 .connections = connections,
	                                 .streams = streams,
	                                 .timeout_us = 3000000,
	                                 .max_waiting = max_waiting};
	loop = loop_new();
	metrics = metrics_new();
	health = health_new(loop);
	pool = pg_pool_new(loop, &config, metrics, health);
	ck_assert_ptr_nonnull(pool);
}

static double gauge(const char *name, const char *labels)
{
	return metric_value(metrics_gauge(metrics, name, labels, ""));
}

static int ready(const char *kind)
{
	char labels[64];
	snprintf(labels, sizeof labels, "kind=\"%s\",state=\"ready\"", kind);
	return (int)gauge("cqrsd_pg_pool_connections", labels);
}

static void wait_ready(const char *kind, int connections)
{
	for (int i = 0; i < 5000 && ready(kind) != connections; i++)
		run_for(2000);
	ck_assert_int_eq(ready(kind), connections);
}

static void begin(int connections, int streams)
{
	begin_with(pg_server_dsn, connections, streams, 1000);
	wait_ready("query", connections);
}

static void end(void)
{
	pg_pool_free(pool);
	health_free(health);
	metrics_free(metrics);
	loop_free(loop);
}

/* A query and what became of it. */
struct ask {
	struct pg_query query;
	enum pg_answer answer;
	struct pg_error error;
	int done, results, order;
	long rows;
	int64_t first, took, start;
	long pause_at, abandon_at;
};

static int finished;

static void on_result(struct pg_query *query, const PGresult *result)
{
	struct ask *ask = (struct ask *)query;
	uint64_t v;
	ck_assert_int_eq(ask->done, 0);
	if (!ask->results++ && PQntuples(result) && PQgetlength(result, 0, 0) == 8) {
		memcpy(&v, PQgetvalue(result, 0, 0), 8);
		ask->first = (int64_t)be64toh(v);
	}
	ask->rows += PQntuples(result);
	if (ask->pause_at && ask->rows == ask->pause_at)
		pg_query_pause(query, true);
	if (ask->abandon_at && ask->rows == ask->abandon_at)
		pg_query_abandon(query);
}

static void on_done(struct pg_query *query, enum pg_answer answer, const struct pg_error *error)
{
	struct ask *ask = (struct ask *)query;
	ck_assert(answer == PG_ANSWER_OK ? !error : error != NULL);
	ask->answer = answer;
	ask->done++;
	ask->order = finished++;
	ask->took = loop_now(loop) - ask->start;
	if (error)
		ask->error = *error;
	loop_stop(loop);
}

static void prepare(struct ask *ask, const char *sql)
{
	*ask = (struct ask){.query = {.sql = sql, .on_result = on_result, .done = on_done}};
	ask->start = loop_now(loop);
	ask->query.deadline = ask->start + 3000000;
}

static void submit(struct ask *ask)
{
	ck_assert(pg_pool_submit(pool, &ask->query));
	ck_assert_int_eq(ask->done, 0);
}

static void wait_done(struct ask *ask)
{
	for (int i = 0; i < 10000 && !ask->done; i++)
		run_for(1000);
	ck_assert_int_eq(ask->done, 1);
}

static void terminate_all(void)
{
	pg_server_exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
	               "WHERE application_name = 'cqrsd'");
}

START_TEST(answers_many_queries_over_two_connections)
{
	static struct ask asks[500];
	begin(2, 0);
	for (int i = 0; i < 500; i++) {
		prepare(&asks[i], i % 2 ? "SELECT 1::int8" : "SELECT 2::int8");
		submit(&asks[i]);
	}
	for (int i = 0; i < 500; i++) {
		wait_done(&asks[i]);
		ck_assert_int_eq(asks[i].answer, PG_ANSWER_OK);
		ck_assert_int_eq(asks[i].first, i % 2 ? 1 : 2);
		ck_assert_int_eq(asks[i].results, 1);
	}
	ck_assert_double_eq(gauge("cqrsd_pg_pool_waiting", "kind=\"query\""), 0);
	ck_assert_double_eq(gauge("cqrsd_pg_pool_in_use", "kind=\"query\""), 0);
	ck_assert(health_is_ready(health));
	end();
}
END_TEST

START_TEST(reads_only_and_says_so_to_the_server)
{
	struct ask ask;
	begin(1, 1);
	for (int stream = 0; stream < 2; stream++) {
		prepare(&ask, "CREATE TABLE not_here (i int)");
		ask.query.stream = stream;
		submit(&ask);
		wait_done(&ask);
		ck_assert_int_eq(ask.answer, PG_ANSWER_REFUSED);
		ck_assert_str_eq(ask.error.sqlstate, "25006");
		prepare(&ask,
		        "SELECT (setting)::int8 FROM pg_settings WHERE name = 'statement_timeout'");
		ask.query.stream = stream;
		submit(&ask);
		wait_done(&ask);
		ck_assert_int_eq(ask.first, stream ? 0 : 3000);
	}
	prepare(&ask, "SELECT count(*) FROM (VALUES (current_setting('timezone') = 'UTC'),"
	              "(current_setting('client_connection_check_interval') = '1s'),"
	              "(current_setting('datestyle') LIKE 'ISO%')) v(ok) WHERE ok");
	submit(&ask);
	wait_done(&ask);
	ck_assert_int_eq(ask.first, 3);
	end();
}
END_TEST

START_TEST(an_error_costs_the_neighbours_nothing)
{
	static struct ask asks[60];
	begin(1, 0);
	for (int i = 0; i < 60; i++) {
		prepare(&asks[i], i % 10 == 5 ? "SELECT 1 / (SELECT 0)" : "SELECT 7::int8");
		submit(&asks[i]);
	}
	for (int i = 0; i < 60; i++) {
		wait_done(&asks[i]);
		if (i % 10 == 5) {
			ck_assert_int_eq(asks[i].answer, PG_ANSWER_REFUSED);
			ck_assert_str_eq(asks[i].error.sqlstate, "22012");
			continue;
		}
		ck_assert_int_eq(asks[i].answer, PG_ANSWER_OK);
		ck_assert_int_eq(asks[i].results, 1);
		ck_assert_int_eq(asks[i].first, 7);
	}
	end();
}
END_TEST

START_TEST(refuses_when_the_queue_is_full)
{
	static struct ask asks[6];
	begin_with("host=/nonexistent", 1, 1, 5);
	for (int i = 0; i < 6; i++) {
		prepare(&asks[i], "SELECT 1");
		asks[i].query.deadline = loop_now(loop) + 200000;
		ck_assert(pg_pool_submit(pool, &asks[i].query) == (i < 5));
	}
	ck_assert_double_eq(gauge("cqrsd_pg_pool_waiting", "kind=\"query\""), 5);
	/* streams have a queue of their own */
	struct ask stream;
	prepare(&stream, "SELECT 1");
	stream.query.stream = true;
	ck_assert(pg_pool_submit(pool, &stream.query));
	pg_query_abandon(&stream.query);
	ck_assert_int_eq(stream.done, 0);
	wait_done(&stream);
	for (int i = 0; i < 5; i++) {
		wait_done(&asks[i]);
		ck_assert_int_eq(asks[i].answer, PG_ANSWER_AWAY);
		ck_assert_ptr_nonnull(strstr(asks[i].error.message, "/nonexistent"));
	}
	ck_assert(!health_is_ready(health));
	ck_assert(pg_pool_submit(pool, &asks[5].query));
	end();
	ck_assert_int_eq(asks[5].done, 1);
	ck_assert_int_eq(asks[5].answer, PG_ANSWER_AWAY);
}
END_TEST

START_TEST(keeps_deadlines_waiting_and_running)
{
	struct ask slow, soon, late;
	begin(1, 0);
	prepare(&slow, "SELECT pg_sleep(2)");
	slow.query.deadline = slow.start + 1000000;
	submit(&slow);
	run_for(50000);
	/* The connection is silent for longer than the pool trusts it: these wait. */
	prepare(&late, "SELECT 1::int8");
	late.query.deadline = late.start + 20000000;
	submit(&late);
	prepare(&soon, "SELECT 1::int8");
	soon.query.deadline = soon.start + 300000;
	submit(&soon);
	ck_assert_double_eq(gauge("cqrsd_pg_pool_waiting", "kind=\"query\""), 2);
	wait_done(&soon);
	ck_assert_int_eq(soon.answer, PG_ANSWER_TIMEOUT);
	ck_assert_int_ge(soon.took, 300000);
	ck_assert_int_eq(slow.done, 0);
	wait_done(&slow);
	ck_assert_int_eq(slow.answer, PG_ANSWER_TIMEOUT);
	ck_assert_int_ge(slow.took, 1000000);
	ck_assert_int_lt(slow.took, 2000000);
	/* Its answer goes nowhere, and the next one is served. */
	wait_done(&late);
	ck_assert_int_eq(late.answer, PG_ANSWER_OK);
	ck_assert_int_eq(late.first, 1);
	ck_assert_int_eq(slow.done, 1);
	ck_assert_int_eq(slow.results, 0);
	end();
}
END_TEST

START_TEST(calls_what_the_server_cancels_a_timeout)
{
	struct ask ask;
	begin_with(pg_server_dsn, 1, 0, 10);
	config.timeout_us = 3000000;
	wait_ready("query", 1);
	prepare(&ask, "SELECT pg_sleep(10)");
	ask.query.deadline = ask.start + 9000000;
	submit(&ask);
	wait_done(&ask);
	ck_assert_int_eq(ask.answer, PG_ANSWER_TIMEOUT);
	ck_assert_str_eq(ask.error.sqlstate, "57014");
	end();
}
END_TEST

START_TEST(asks_again_when_a_connection_is_lost)
{
	static struct ask asks[40];
	begin(2, 0);
	for (int i = 0; i < 40; i++) {
		prepare(&asks[i], "SELECT 5::int8, pg_sleep(0.01)");
		submit(&asks[i]);
	}
	run_for(30000);
	terminate_all();
	for (int i = 0; i < 40; i++) {
		wait_done(&asks[i]);
		ck_assert_int_eq(asks[i].answer, PG_ANSWER_OK);
		ck_assert_int_eq(asks[i].results, 1);
		ck_assert_int_eq(asks[i].first, 5);
	}
	end();
}
END_TEST

START_TEST(gives_up_a_query_that_breaks_every_connection)
{
	struct ask ask;
	begin(1, 0);
	prepare(&ask, "SELECT pg_terminate_backend(pg_backend_pid())");
	submit(&ask);
	wait_done(&ask);
	ck_assert_int_eq(ask.answer, PG_ANSWER_AWAY);
	ck_assert_str_eq(ask.error.sqlstate, "57P01");
	end();
}
END_TEST

START_TEST(parses_anew_when_a_plan_became_invalid)
{
	static struct ask asks[20];
	begin(1, 0);
	pg_server_exec("CREATE TABLE changes (a int8); INSERT INTO changes VALUES (3)");
	prepare(&asks[0], "SELECT * FROM changes");
	submit(&asks[0]);
	wait_done(&asks[0]);
	pg_server_exec("ALTER TABLE changes ADD b int");
	for (int i = 0; i < 20; i++) {
		prepare(&asks[i], "SELECT * FROM changes");
		submit(&asks[i]);
	}
	for (int i = 0; i < 20; i++) {
		wait_done(&asks[i]);
		ck_assert_int_eq(asks[i].answer, PG_ANSWER_OK);
		ck_assert_int_eq(asks[i].first, 3);
	}
	pg_server_exec("DROP TABLE changes");
	end();
}
END_TEST

START_TEST(fails_the_health_check_with_the_reason)
{
	begin(1, 0);
	ck_assert(health_is_ready(health));
	terminate_all();
	for (int i = 0; i < 1000 && health_is_ready(health); i++)
		run_for(1000);
	json_t *json = health_json(health);
	char *text = json_dumps(json, 0);
	ck_assert_ptr_nonnull(strstr(text, "postgres read"));
	ck_assert_ptr_nonnull(strstr(text, "administrator command"));
	free(text);
	json_decref(json);
	wait_ready("query", 1);
	ck_assert(health_is_ready(health));
	end();
}
END_TEST

START_TEST(abandons_queries_waiting_and_running)
{
	struct ask running, waiting, next;
	begin(1, 0);
	prepare(&running, "SELECT pg_sleep(0.3)");
	submit(&running);
	run_for(50000);
	prepare(&waiting, "SELECT 1");
	submit(&waiting);
	prepare(&next, "SELECT 8::int8");
	submit(&next);
	pg_query_abandon(&running.query);
	pg_query_abandon(&waiting.query);
	pg_query_abandon(&waiting.query);
	ck_assert_int_eq(running.done + waiting.done, 0);
	run_for(20000);
	ck_assert_int_eq(running.done, 1);
	ck_assert_int_eq(waiting.done, 1);
	ck_assert_int_eq(running.answer, PG_ANSWER_AWAY);
	ck_assert_int_eq(next.done, 0);
	wait_done(&next);
	ck_assert_int_eq(next.first, 8);
	ck_assert_int_eq(running.done, 1);
	ck_assert_int_eq(running.results, 0);
	end();
}
END_TEST

START_TEST(serves_queries_while_streams_flow_pause_and_end)
{
	struct ask stream, second, query;
	begin(1, 1);
	prepare(&stream, "SELECT i::int8 FROM generate_series(1, 300000) i");
	stream.query.stream = true;
	stream.pause_at = 1000;
	submit(&stream);
	for (int i = 0; i < 4000 && stream.rows < 1000; i++)
		run_for(1000);
	prepare(&second, "SELECT i::int8 FROM generate_series(1, 5) i");
	second.query.stream = true;
	second.query.deadline = second.start + 200000;
	submit(&second);
	/* The only stream is paused: the second one cannot begin. */
	wait_done(&second);
	ck_assert_int_eq(second.answer, PG_ANSWER_TIMEOUT);
	ck_assert_int_eq(stream.rows, 1000);
	/* It began in time: now it may last as long as it likes. */
	run_for(3000000);
	prepare(&query, "SELECT 4::int8");
	submit(&query);
	wait_done(&query);
	ck_assert_int_eq(query.first, 4);
	ck_assert_int_eq(stream.rows, 1000);
	pg_query_pause(&stream.query, false);
	wait_done(&stream);
	ck_assert_int_eq(stream.answer, PG_ANSWER_OK);
	ck_assert_int_eq(stream.rows, 300000);
	ck_assert_int_eq(stream.results, 300001);
	end();
}
END_TEST

START_TEST(connects_for_the_first_stream)
{
	struct ask stream;
	begin(1, 2);
	run_for(100000);
	ck_assert_int_eq(ready("stream"), 0);
	prepare(&stream, "SELECT 5::int8");
	stream.query.stream = true;
	submit(&stream);
	wait_done(&stream);
	ck_assert_int_eq(stream.answer, PG_ANSWER_OK);
	ck_assert_int_eq(stream.first, 5);
	wait_ready("stream", 2);
	end();
}
END_TEST

START_TEST(abandons_a_stream_inside_its_callback)
{
	struct ask stream, next;
	begin(1, 1);
	prepare(&stream, "SELECT generate_series(1::int8, 100000000)");
	stream.query.stream = true;
	stream.abandon_at = 1000;
	submit(&stream);
	wait_done(&stream);
	ck_assert_int_eq(stream.answer, PG_ANSWER_AWAY);
	ck_assert_int_eq(stream.rows, 1000);
	prepare(&next, "SELECT 6::int8");
	next.query.stream = true;
	submit(&next);
	wait_done(&next);
	ck_assert_int_eq(next.answer, PG_ANSWER_OK);
	ck_assert_int_eq(next.first, 6);
	ck_assert_int_eq(stream.rows, 1000);
	end();
}
END_TEST

START_TEST(says_away_when_a_stream_is_cut)
{
	struct ask stream;
	begin(1, 1);
	prepare(&stream, "SELECT generate_series(1::int8, 100000000)");
	stream.query.stream = true;
	submit(&stream);
	for (int i = 0; i < 2000 && !stream.rows; i++)
		run_for(1000);
	ck_assert_int_gt(stream.rows, 0);
	terminate_all();
	wait_done(&stream);
	ck_assert_int_eq(stream.answer, PG_ANSWER_AWAY);
	/* A backend that is terminated while it writes says nothing any more. */
	ck_assert_str_ne(stream.error.message, "");
	end();
}
END_TEST

START_TEST(ends_what_is_open_when_freed)
{
	struct ask a, b, c;
	begin(1, 1);
	prepare(&a, "SELECT pg_sleep(10)");
	submit(&a);
	prepare(&b, "SELECT generate_series(1, 10000000)");
	b.query.stream = true;
	submit(&b);
	run_for(50000);
	prepare(&c, "SELECT 1");
	submit(&c);
	end();
	ck_assert_int_eq(a.done, 1);
	ck_assert_int_eq(b.done, 1);
	ck_assert_int_eq(c.done, 1);
	ck_assert_int_eq(a.answer, PG_ANSWER_AWAY);
	ck_assert_int_eq(b.answer, PG_ANSWER_AWAY);
	ck_assert_int_eq(c.answer, PG_ANSWER_AWAY);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("pg_pool");
	TCase *t = tcase_create("pool");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, answers_many_queries_over_two_connections);
	tcase_add_test(t, reads_only_and_says_so_to_the_server);
	tcase_add_test(t, an_error_costs_the_neighbours_nothing);
	tcase_add_test(t, refuses_when_the_queue_is_full);
	tcase_add_test(t, keeps_deadlines_waiting_and_running);
	tcase_add_test(t, calls_what_the_server_cancels_a_timeout);
	tcase_add_test(t, asks_again_when_a_connection_is_lost);
	tcase_add_test(t, gives_up_a_query_that_breaks_every_connection);
	tcase_add_test(t, parses_anew_when_a_plan_became_invalid);
	tcase_add_test(t, fails_the_health_check_with_the_reason);
	tcase_add_test(t, abandons_queries_waiting_and_running);
	tcase_add_test(t, serves_queries_while_streams_flow_pause_and_end);
	tcase_add_test(t, connects_for_the_first_stream);
	tcase_add_test(t, abandons_a_stream_inside_its_callback);
	tcase_add_test(t, says_away_when_a_stream_is_cut);
	tcase_add_test(t, ends_what_is_open_when_freed);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	pg_server_start("check_pg_pool");
	SRunner *runner = srunner_create(suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	pg_server_stop();
	return failed != 0;
}
