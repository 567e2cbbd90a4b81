/* SPDX-License-Identifier: MIT */
/* One PostgreSQL connection, against a real server. */
#include "pg_conn.h"

#include "pg_conn_private.h"
#include "pg_server.h"

#include <check.h>
#include <endian.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sys/socket.h>

static struct loop *loop;
static struct pg_conn *conn;
static int ready, lost;
static struct pg_error lost_error;
static int wanted_done;
static struct pg_request *at_ready; /* sent from inside on_ready() */

static void on_ready(void *owner, struct pg_conn *c)
{
	(void)owner;
	ready++;
	if (at_ready)
		ck_assert(pg_conn_send(c, at_ready));
	loop_stop(loop);
}

static void on_lost(void *owner, struct pg_conn *c, const struct pg_error *error)
{
	(void)owner;
	(void)c;
	lost++;
	lost_error = *error;
	loop_stop(loop);
}

static const struct pg_conn_events events = {.on_ready = on_ready, .on_lost = on_lost};
static struct pg_conn_config config;

static void on_limit(void *arg)
{
	*(bool *)arg = true;
	loop_stop(loop);
}

/* Runs until `*count` has reached `goal`; the test fails after 20 s. */
static void run_until(const int *count, int goal)
{
	bool late = false;
	struct timer *limit = timer_new(loop, on_limit, &late);
	timer_arm(limit, 20000000);
	while (*count < goal && !late)
		loop_run(loop);
	timer_free(limit);
	ck_assert_msg(!late, "nothing happened for 20 s");
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

static void begin_with(const char *dsn, size_t max_statements)
{
	config = (struct pg_conn_config){.name = "postgres test",
	                                 .dsn = dsn,
	                                 .setup = "SET timezone = 'UTC'; SET DateStyle = 'ISO'",
	                                 .network_timeout_us = 5000000,
	                                 .max_statements = max_statements};
	ready = lost = wanted_done = 0;
	at_ready = NULL;
	loop = loop_new();
	conn = pg_conn_new(loop, &config, &events, NULL);
	ck_assert_ptr_nonnull(conn);
	ck_assert_int_eq(pg_conn_state(conn), PG_CONN_WAITING);
}

static void begin(void)
{
	begin_with(pg_server_dsn, 8);
	pg_conn_start(conn);
	run_until(&ready, 1);
	ck_assert_int_eq(pg_conn_state(conn), PG_CONN_READY);
}

static void end(void)
{
	pg_conn_free(conn);
	loop_free(loop);
}

struct piece {
	const char *data;
	size_t len;
};

/* A request and what became of it. */
struct ask {
	struct pg_request req;
	enum pg_outcome outcome;
	struct pg_error error;
	int done, results, copied;
	long rows;
	int max_rows; /* in one result */
	char first[64];
	int first_len;
	const struct piece *pieces;
	size_t copy_at, copy_total;
	struct ask *again; /* sent from inside done() */
	bool reset, free_conn;
	long pause_at;
};

static void on_result(struct pg_request *req, const PGresult *result)
{
	struct ask *ask = (struct ask *)req;
	int n = PQntuples(result);
	ask->results++;
	ask->rows += n;
	if (n > ask->max_rows)
		ask->max_rows = n;
	if (n && !ask->first_len && PQnfields(result)) {
		ask->first_len = PQgetlength(result, 0, 0);
		memcpy(ask->first, PQgetvalue(result, 0, 0),
		       (size_t)ask->first_len < sizeof ask->first ? (size_t)ask->first_len
		                                                  : sizeof ask->first - 1);
	}
	if (ask->pause_at && ask->rows == ask->pause_at)
		pg_conn_pause(conn, true);
	if (ask->reset)
		pg_conn_reset(conn, "the test wants it");
	if (ask->free_conn) {
		pg_conn_free(conn);
		conn = NULL;
	}
}

static void on_done(struct pg_request *req, enum pg_outcome outcome, const struct pg_error *error)
{
	struct ask *ask = (struct ask *)req;
	ask->outcome = outcome;
	ask->done++;
	wanted_done++;
	ck_assert(outcome == PG_DONE ? !error : error != NULL);
	if (error)
		ask->error = *error;
	if (ask->again) {
		struct ask *again = ask->again;
		ask->again = NULL;
		ck_assert(pg_conn_send(conn, &again->req));
		pg_conn_sync(conn);
	}
	loop_stop(loop);
}

/* The nth COPY gets the nth piece, or all of them `copy_total` bytes of nothing. */
static bool on_copy(struct pg_request *req, int nth, const char **data, size_t *len)
{
	static const char zeros[200000];
	struct ask *ask = (struct ask *)req;
	if (ask->copy_total) {
		size_t left = ask->copy_total - ask->copy_at;
		*len = left < sizeof zeros ? left : sizeof zeros;
		*data = zeros;
		ask->copy_at += *len;
		return *len > 0;
	}
	if (ask->copied > nth)
		return false;
	*data = ask->pieces[nth].data;
	*len = ask->pieces[nth].len;
	ask->copied++;
	return true;
}

static void simple(struct ask *ask, const char *sql)
{
	*ask = (struct ask){
	    .req = {.sql = sql, .n_params = -1, .on_result = on_result, .done = on_done}};
}

static void bound(struct ask *ask, const char *sql)
{
	simple(ask, sql);
	ask->req.n_params = 0;
}

static void ask_now(struct ask *ask)
{
	ck_assert(pg_conn_send(conn, &ask->req));
	ck_assert_int_eq(ask->done, 0);
	pg_conn_sync(conn);
	run_until(&ask->done, 1);
}

static int64_t int8_of(const struct ask *ask)
{
	uint64_t v;
	ck_assert_int_eq(ask->first_len, 8);
	memcpy(&v, ask->first, 8);
	return (int64_t)be64toh(v);
}

/* ---- life ---- */

START_TEST(connects_and_runs_the_setup)
{
	struct ask ask;
	begin();
	simple(&ask, "SELECT current_setting('timezone') || ' ' || "
	             "current_setting('application_name') || ' ' || "
	             "current_setting('client_encoding')");
	ask_now(&ask);
	ck_assert_int_eq(ask.outcome, PG_DONE);
	ck_assert_str_eq(ask.first, "UTC cqrsd UTF8");
	end();
}
END_TEST

START_TEST(says_why_it_cannot_connect_and_tries_again)
{
	begin_with("host=/nonexistent dbname=x", 8);
	pg_conn_start(conn);
	int64_t start = loop_now(loop);
	run_until(&lost, 4);
	/* three pauses of 50–100, 100–200 and 200–400 ms */
	ck_assert_int_ge(loop_now(loop) - start, 350000);
	ck_assert_int_lt(loop_now(loop) - start, 2000000);
	ck_assert_ptr_nonnull(strstr(lost_error.message, "/nonexistent"));
	ck_assert_int_eq(pg_conn_state(conn), PG_CONN_WAITING);
	end();
}
END_TEST

START_TEST(says_what_is_wrong_with_a_dsn)
{
	begin_with("hots=/tmp", 8);
	pg_conn_start(conn);
	run_until(&lost, 1);
	ck_assert_ptr_nonnull(strstr(lost_error.message, "hots"));
	end();
}
END_TEST

START_TEST(shows_no_password_of_a_malformed_dsn)
{
	static const char *const dsns[] = {"host=x password=two hush", "postgresql://me:hush@[::1"};
	for (int i = 0; i < 2; i++) {
		begin_with(dsns[i], 8);
		pg_conn_start(conn);
		run_until(&lost, 1);
		ck_assert_ptr_null(strstr(lost_error.message, "hush"));
		ck_assert_ptr_nonnull(strstr(lost_error.message, "malformed"));
		end();
	}
}
END_TEST

START_TEST(says_which_name_cannot_be_resolved)
{
	begin_with("host=no-such-host.invalid", 8);
	pg_conn_start(conn);
	run_until(&lost, 1);
	ck_assert_ptr_nonnull(strstr(lost_error.message, "no-such-host.invalid"));
	end();
}
END_TEST

START_TEST(is_refused_by_setup_that_fails)
{
	begin_with(pg_server_dsn, 8);
	config.setup = "SELECT 1; SET no_such_setting = 1";
	pg_conn_start(conn);
	run_until(&lost, 1);
	ck_assert_str_eq(lost_error.sqlstate, "42704");
	ck_assert_int_eq(ready, 0);
	end();
}
END_TEST

START_TEST(gives_a_server_up_that_does_not_answer)
{
	begin_with(pg_server_dsn, 8);
	config.setup = "SELECT pg_sleep(30)";
	config.network_timeout_us = 200000;
	pg_conn_start(conn);
	run_until(&lost, 1);
	ck_assert_ptr_nonnull(strstr(lost_error.message, "0.2 s"));
	end();
}
END_TEST

START_TEST(comes_back_after_its_backend_was_terminated)
{
	struct ask ask;
	begin();
	pg_server_exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
	               "WHERE application_name = 'cqrsd'");
	run_until(&lost, 1);
	ck_assert_str_eq(lost_error.sqlstate, "57P01");
	ck_assert_int_eq(pg_conn_state(conn), PG_CONN_WAITING);
	bound(&ask, "SELECT 1");
	ck_assert(!pg_conn_send(conn, &ask.req));
	run_until(&ready, 2);
	ask_now(&ask);
	ck_assert_int_eq(ask.outcome, PG_DONE);
	end();
}
END_TEST

START_TEST(ends_open_requests_as_lost_when_reset)
{
	struct ask a, b;
	begin();
	bound(&a, "SELECT pg_sleep(30)");
	simple(&b, "SELECT 1");
	ck_assert(pg_conn_send(conn, &a.req));
	ck_assert(pg_conn_send(conn, &b.req));
	ck_assert_int_eq(pg_conn_in_flight(conn), 2);
	pg_conn_reset(conn, "the test wants it");
	ck_assert_int_eq(a.done + b.done, 0);
	run_until(&lost, 1);
	ck_assert_int_eq(a.outcome, PG_LOST);
	ck_assert_int_eq(b.outcome, PG_LOST);
	ck_assert_str_eq(b.error.message, "the test wants it");
	ck_assert_int_eq(pg_conn_in_flight(conn), 0);
	run_until(&ready, 2);
	end();
}
END_TEST

START_TEST(may_be_reset_or_freed_inside_a_callback)
{
	struct ask a, b;
	begin();
	bound(&a, "SELECT generate_series(1, 3)");
	bound(&b, "SELECT 1");
	a.reset = true;
	ck_assert(pg_conn_send(conn, &a.req));
	ck_assert(pg_conn_send(conn, &b.req));
	pg_conn_sync(conn);
	run_until(&lost, 1);
	ck_assert_int_eq(a.outcome, PG_LOST);
	ck_assert_int_eq(b.outcome, PG_LOST);
	run_until(&ready, 2);
	bound(&a, "SELECT generate_series(1, 3)");
	bound(&b, "SELECT 1");
	a.free_conn = true;
	ck_assert(pg_conn_send(conn, &a.req));
	ck_assert(pg_conn_send(conn, &b.req));
	pg_conn_sync(conn);
	run_until(&wanted_done, 4);
	ck_assert_int_eq(a.outcome, PG_LOST);
	ck_assert_int_eq(b.outcome, PG_LOST);
	end();
}
END_TEST

/* ---- simple Queries ---- */

/* PGCOPY signature, flags, no extension; rows of one int4; the trailer. */
#define COPY_HEAD       "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"
#define COPY_ROW(bytes) "\0\1\0\0\0\4" bytes
#define COPY_TAIL       "\377\377"

static const char copy_a[] = COPY_HEAD COPY_ROW("\0\0\0\7") COPY_ROW("\0\0\1\0") COPY_TAIL;
static const char copy_b[] = COPY_HEAD COPY_ROW("\0\0\0\1") COPY_TAIL;
static const char copy_null[] = COPY_HEAD "\0\1\377\377\377\377" COPY_TAIL;

static const struct piece two_copies[] = {{copy_a, sizeof copy_a - 1}, {copy_b, sizeof copy_b - 1}};
static const struct piece bad_copy[] = {{copy_a, sizeof copy_a - 1},
                                        {copy_null, sizeof copy_null - 1}};

#define TWO_COPIES                                                           \
	"CREATE TEMP TABLE a (i int); CREATE TEMP TABLE b (i int NOT NULL);" \
	"COPY a FROM STDIN BINARY; COPY b FROM STDIN BINARY;"                \
	"SELECT sum(i) FROM (SELECT i FROM a UNION ALL SELECT i FROM b) x"

START_TEST(runs_many_statements_with_two_binary_copies)
{
	struct ask ask;
	begin();
	simple(&ask, TWO_COPIES);
	ask.pieces = two_copies;
	ask.req.copy = on_copy;
	ask_now(&ask);
	ck_assert_int_eq(ask.outcome, PG_DONE);
	ck_assert_int_eq(ask.results, 5);
	ck_assert_str_eq(ask.first, "264");
	end();
}
END_TEST

START_TEST(says_which_statement_was_refused_and_where)
{
	struct ask ask;
	begin();
	simple(&ask, TWO_COPIES);
	ask.pieces = bad_copy;
	ask.req.copy = on_copy;
	ask_now(&ask);
	ck_assert_int_eq(ask.outcome, PG_REFUSED);
	ck_assert_str_eq(ask.error.sqlstate, "23502");
	ck_assert_int_eq(ask.error.statement, 3);
	ck_assert_str_eq(ask.error.column, "i");
	ck_assert_ptr_nonnull(strstr(ask.error.table, ".b"));
	simple(&ask, "SELECT 'alive'");
	ask_now(&ask);
	ck_assert_str_eq(ask.first, "alive");
	end();
}
END_TEST

/* The error comes with the first bytes; tens of megabytes more must not stop anybody. */
START_TEST(reads_an_error_in_the_middle_of_a_long_copy)
{
	struct ask ask;
	begin();
	simple(&ask, "CREATE TEMP TABLE a (i int); COPY a FROM STDIN BINARY; SELECT 1");
	ask.copy_total = 50000000;
	ask.req.copy = on_copy;
	ask_now(&ask);
	ck_assert_int_eq(ask.outcome, PG_REFUSED);
	ck_assert_str_eq(ask.error.sqlstate, "22P04");
	ck_assert_int_eq(ask.error.statement, 1);
	simple(&ask, "SELECT 'alive'");
	ask_now(&ask);
	ck_assert_str_eq(ask.first, "alive");
	end();
}
END_TEST

static int stopped_pid;

/* Stops the server as soon as it has asked for data, and then has a hundred megabytes for it. */
static bool on_copy_stopped(struct pg_request *req, int nth, const char **data, size_t *len)
{
	if (((struct ask *)req)->copy_at == 0)
		kill(stopped_pid, SIGSTOP);
	return on_copy(req, nth, data, len);
}

/* A server that is stopped takes nothing: what waits must stay with the caller. */
START_TEST(keeps_a_copy_in_constant_memory_when_the_server_is_slow)
{
	struct ask ask;
	begin();
	simple(&ask, "SELECT pg_backend_pid()");
	ask_now(&ask);
	stopped_pid = atoi(ask.first);
	ck_assert_int_gt(stopped_pid, 1);
	simple(&ask, "CREATE TEMP TABLE a (t text); COPY a FROM STDIN BINARY");
	ask.copy_total = 100000000;
	ask.req.copy = on_copy_stopped;
	ck_assert(pg_conn_send(conn, &ask.req));
	for (int i = 0; i < 5000 && !ask.copy_at; i++)
		run_for(1000);
	run_for(300000);
	size_t taken = ask.copy_at;
	run_for(300000);
	bool waits = ask.copy_at == taken && taken > 0 && taken < 5000000;
	kill(stopped_pid, SIGCONT);
	ck_assert_msg(waits, "%zu bytes were taken, then %zu", taken, ask.copy_at);
	run_until(&ask.done, 1);
	ck_assert_int_eq(ask.outcome, PG_REFUSED);
	ck_assert_uint_eq(ask.copy_at, ask.copy_total);
	end();
}
END_TEST

START_TEST(loses_a_copy_whose_backend_is_terminated_and_says_so)
{
	struct ask ask;
	begin();
	simple(&ask, "CREATE TEMP TABLE a (i int); SELECT pg_terminate_backend(pg_backend_pid()); "
	             "COPY a FROM STDIN BINARY");
	ask.req.copy = on_copy;
	ask.copy_total = 50000000;
	ask_now(&ask);
	ck_assert_int_eq(ask.outcome, PG_LOST);
	ck_assert_str_eq(ask.error.sqlstate, "57P01");
	run_until(&ready, 2);
	end();
}
END_TEST

static void on_kill(void *arg)
{
	(void)arg;
	pg_server_exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
	               "WHERE application_name = 'cqrsd'");
}

/* Gives nothing until the server has closed the connection, then goes on as if nothing were. */
static bool on_copy_terminated(struct pg_request *req, int nth, const char **data, size_t *len)
{
	struct ask *ask = (struct ask *)req;
	(void)nth;
	if (ask->copied++ == 0)
		on_kill(NULL);
	*data = copy_a;
	*len = ask->copied == 1 ? sizeof copy_a - 3 : 0;
	return true;
}

START_TEST(loses_a_copy_that_is_terminated_under_way)
{
	struct ask ask;
	begin();
	simple(&ask, "CREATE TEMP TABLE a (i int); COPY a FROM STDIN BINARY");
	ask.req.copy = on_copy_terminated;
	ask_now(&ask);
	ck_assert_int_eq(ask.outcome, PG_LOST);
	ck_assert_str_eq(ask.error.sqlstate, "57P01");
	run_until(&ready, 2);
	end();
}
END_TEST

START_TEST(refuses_a_copy_without_data_and_passes_over_one_to_stdout)
{
	struct ask ask;
	begin();
	simple(&ask, "CREATE TEMP TABLE a (i int); COPY a FROM STDIN");
	ask_now(&ask);
	ck_assert_int_eq(ask.outcome, PG_REFUSED);
	ck_assert_str_eq(ask.error.sqlstate, "57014");
	simple(&ask, "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 20000)) TO STDOUT; "
	             "SELECT 'alive'");
	ask_now(&ask);
	ck_assert_int_eq(ask.outcome, PG_DONE);
	ck_assert_str_eq(ask.first, "alive");
	bound(&ask, "COPY (SELECT 1) TO STDOUT");
	ask_now(&ask);
	ck_assert_int_ne(ask.outcome, PG_DONE);
	end();
}
END_TEST

/* ---- bound requests ---- */

START_TEST(binds_parameters_and_answers_in_binary)
{
	static const Oid types[] = {20, 20};
	static const int lengths[] = {8, 8};
	static const char *const values[] = {"\0\0\0\0\0\0\0\5", NULL};
	struct ask ask;
	begin();
	bound(&ask, "SELECT $1::int8 + coalesce($2::int8, 100)");
	ask.req.n_params = 2;
	ask.req.types = types;
	ask.req.values = values;
	ask.req.lengths = lengths;
	ask_now(&ask);
	ck_assert_int_eq(int8_of(&ask), 105);
	end();
}
END_TEST

START_TEST(aborts_what_follows_an_error_up_to_the_sync)
{
	struct ask a[6];
	begin();
	for (int i = 0; i < 6; i++)
		bound(&a[i], i == 1 ? "SELECT 1 / (SELECT 0)" : "SELECT 1::int8");
	for (int i = 0; i < 6; i++) {
		ck_assert(pg_conn_send(conn, &a[i].req));
		if (i == 3)
			pg_conn_sync(conn);
	}
	pg_conn_sync(conn);
	run_until(&wanted_done, 6);
	ck_assert_int_eq(a[0].outcome, PG_DONE);
	ck_assert_int_eq(a[1].outcome, PG_REFUSED);
	ck_assert_str_eq(a[1].error.sqlstate, "22012");
	ck_assert_int_eq(a[2].outcome, PG_ABORTED);
	ck_assert_int_eq(a[3].outcome, PG_ABORTED);
	ck_assert_int_eq(a[4].outcome, PG_DONE);
	ck_assert_int_eq(int8_of(&a[5]), 1);
	end();
}
END_TEST

static long prepared(void)
{
	struct ask ask;
	simple(&ask, "SELECT count(*) FROM pg_prepared_statements");
	ask_now(&ask);
	return strtol(ask.first, NULL, 10);
}

START_TEST(prepares_a_statement_once)
{
	struct ask a[20];
	begin();
	for (int i = 0; i < 20; i++) {
		bound(&a[i], "SELECT 42::int8");
		ck_assert(pg_conn_send(conn, &a[i].req));
		if (i % 3 == 0)
			pg_conn_sync(conn);
	}
	pg_conn_sync(conn);
	run_until(&wanted_done, 20);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(int8_of(&a[i]), 42);
	ck_assert_int_eq(prepared(), 1);
	end();
}
END_TEST

START_TEST(keeps_no_statement_that_could_not_be_parsed)
{
	struct ask a[4];
	begin();
	for (int i = 0; i < 4; i++) {
		bound(&a[i], i < 3 ? "SELECT x FROM appears_later" : "SELECT 1::int8");
		ck_assert(pg_conn_send(conn, &a[i].req));
		if (i != 0)
			pg_conn_sync(conn);
	}
	run_until(&wanted_done, 4);
	ck_assert_int_eq(a[0].outcome, PG_REFUSED);
	ck_assert_int_eq(a[1].outcome, PG_ABORTED);
	ck_assert_int_eq(a[2].outcome, PG_REFUSED);
	ck_assert_str_eq(a[2].error.sqlstate, "42P01");
	ck_assert_int_eq(a[3].outcome, PG_DONE);
	simple(&a[0], "CREATE TEMP TABLE appears_later AS SELECT 9::int8 AS x");
	ask_now(&a[0]);
	bound(&a[0], "SELECT x FROM appears_later");
	ask_now(&a[0]);
	ck_assert_int_eq(int8_of(&a[0]), 9);
	end();
}
END_TEST

/* Its Parse was never run: the next group must not build on it. */
START_TEST(parses_anew_what_was_aborted)
{
	struct ask a[3];
	begin();
	bound(&a[0], "SELECT 1 / (SELECT 0)");
	bound(&a[1], "SELECT 77::int8");
	bound(&a[2], "SELECT 77::int8");
	ck_assert(pg_conn_send(conn, &a[0].req));
	ck_assert(pg_conn_send(conn, &a[1].req));
	pg_conn_sync(conn);
	ck_assert(pg_conn_send(conn, &a[2].req));
	pg_conn_sync(conn);
	run_until(&wanted_done, 3);
	ck_assert_int_eq(a[1].outcome, PG_ABORTED);
	ck_assert_int_eq(int8_of(&a[2]), 77);
	bound(&a[1], "SELECT 77::int8");
	ask_now(&a[1]);
	ck_assert_int_eq(int8_of(&a[1]), 77);
	end();
}
END_TEST

START_TEST(forgets_the_least_recently_used_statement)
{
	static char sql[30][40];
	struct ask ask;
	begin();
	for (int i = 0; i < 30; i++) {
		snprintf(sql[i], sizeof sql[i], "SELECT %d::int8", i);
		bound(&ask, sql[i]);
		ask_now(&ask);
		ck_assert_int_eq(int8_of(&ask), i);
		bound(&ask, sql[0]); /* stays, because it is used */
		ask_now(&ask);
		ck_assert_int_eq(int8_of(&ask), 0);
	}
	ck_assert_int_eq(prepared(), 8);
	simple(&ask, "SELECT count(*) FROM pg_prepared_statements WHERE name = 's1'");
	ask_now(&ask);
	ck_assert_str_eq(ask.first, "1");
	/* All of them anew in one group: more than the cache holds. */
	struct ask all[30];
	wanted_done = 0;
	for (int i = 0; i < 30; i++) {
		bound(&all[i], sql[29 - i]);
		ck_assert(pg_conn_send(conn, &all[i].req));
	}
	pg_conn_sync(conn);
	run_until(&wanted_done, 30);
	for (int i = 0; i < 30; i++)
		ck_assert_int_eq(int8_of(&all[i]), 29 - i);
	ck_assert_int_le(prepared(), 8);
	end();
}
END_TEST

START_TEST(drops_a_statement_whose_plan_became_invalid)
{
	struct ask ask;
	begin();
	simple(&ask, "CREATE TEMP TABLE t AS SELECT 1::int8 AS x");
	ask_now(&ask);
	bound(&ask, "SELECT * FROM t");
	ask_now(&ask);
	simple(&ask, "ALTER TABLE t ADD y int");
	ask_now(&ask);
	bound(&ask, "SELECT * FROM t");
	ask_now(&ask);
	ck_assert_int_eq(ask.outcome, PG_REFUSED);
	ck_assert_str_eq(ask.error.sqlstate, "0A000");
	bound(&ask, "SELECT * FROM t");
	ask_now(&ask);
	ck_assert_int_eq(ask.outcome, PG_DONE);
	ck_assert_int_eq(prepared(), 1);
	simple(&ask, "DEALLOCATE ALL");
	ask_now(&ask);
	bound(&ask, "SELECT * FROM t");
	ask_now(&ask);
	ck_assert_str_eq(ask.error.sqlstate, "26000");
	bound(&ask, "SELECT * FROM t");
	ask_now(&ask);
	ck_assert_int_eq(ask.outcome, PG_DONE);
	end();
}
END_TEST

/* The server sends an error at once, and what is sent while answers are read goes without its Sync.
 */
START_TEST(finishes_a_group_that_was_refused_before_its_sync)
{
	struct ask refused, after;
	begin_with(pg_server_dsn, 8);
	bound(&refused, "SELECT 1 / 0");
	at_ready = &refused.req;
	pg_conn_start(conn);
	run_until(&ready, 1);
	for (int i = 0; i < 2000 && conn->at; i++)
		run_for(10000);
	ck_assert_ptr_null(conn->at);
	ck_assert_int_eq(refused.done, 0);
	bound(&after, "SELECT 1::bigint");
	ask_now(&after);
	ck_assert_int_eq(refused.done, 1);
	ck_assert_int_eq(refused.outcome, PG_REFUSED);
	ck_assert_str_eq(refused.error.sqlstate, "22012");
	ck_assert_int_eq(after.outcome, PG_ABORTED);
	bound(&refused, "SELECT 1 / 0");
	ck_assert(pg_conn_send(conn, &refused.req));
	pg_conn_flush(conn);
	for (int i = 0; i < 2000 && conn->at; i++)
		run_for(10000);
	ck_assert_ptr_null(conn->at);
	pg_conn_sync(conn);
	run_until(&refused.done, 1);
	ck_assert_int_eq(refused.outcome, PG_REFUSED);
	bound(&after, "SELECT 1::bigint");
	ask_now(&after);
	ck_assert_int_eq(after.outcome, PG_DONE);
	end();
}
END_TEST

START_TEST(tells_the_last_of_a_group_what_the_commit_refuses)
{
	struct ask ask, a[3];
	begin();
	simple(&ask, "CREATE TEMP TABLE p (id int PRIMARY KEY);"
	             "CREATE TEMP TABLE c (id int REFERENCES p DEFERRABLE INITIALLY DEFERRED)");
	ask_now(&ask);
	wanted_done = 0;
	bound(&a[0], "INSERT INTO c VALUES (1)");
	bound(&a[1], "SELECT 1::int8");
	bound(&a[2], "SELECT 2::int8");
	ck_assert(pg_conn_send(conn, &a[0].req));
	ck_assert(pg_conn_send(conn, &a[1].req));
	pg_conn_sync(conn);
	ck_assert(pg_conn_send(conn, &a[2].req));
	pg_conn_sync(conn);
	run_until(&wanted_done, 3);
	ck_assert_int_eq(a[1].outcome, PG_REFUSED);
	ck_assert_str_eq(a[1].error.sqlstate, "23503");
	ck_assert_int_eq(int8_of(&a[2]), 2);
	end();
}
END_TEST

START_TEST(keeps_the_order_of_bound_and_simple_requests)
{
	struct ask a[40];
	begin();
	simple(&a[0], "CREATE TEMP SEQUENCE s");
	ask_now(&a[0]);
	wanted_done = 0;
	for (int i = 0; i < 40; i++) {
		if (i % 7 == 3 || i % 7 == 4)
			simple(&a[i], "SELECT nextval('s')");
		else
			bound(&a[i], i % 2 ? "SELECT nextval('s')" : "SELECT nextval('s'), 1");
		ck_assert(pg_conn_send(conn, &a[i].req));
	}
	pg_conn_sync(conn);
	run_until(&wanted_done, 40);
	for (int i = 0; i < 40; i++) {
		long got =
		    a[i].req.n_params < 0 ? strtol(a[i].first, NULL, 10) : (long)int8_of(&a[i]);
		ck_assert_int_eq(got, i + 1);
	}
	end();
}
END_TEST

START_TEST(may_send_again_inside_done)
{
	struct ask a, b, c;
	begin();
	bound(&a, "SELECT 1::int8");
	simple(&b, "SELECT 2");
	bound(&c, "SELECT 3::int8");
	a.again = &b;
	b.again = &c;
	ck_assert(pg_conn_send(conn, &a.req));
	pg_conn_sync(conn);
	run_until(&wanted_done, 3);
	ck_assert_int_eq(int8_of(&c), 3);
	end();
}
END_TEST

START_TEST(loses_requests_whose_backend_is_terminated)
{
	struct ask a, b;
	begin();
	bound(&a, "SELECT pg_sleep(30)");
	bound(&b, "SELECT 1");
	ck_assert(pg_conn_send(conn, &a.req));
	pg_conn_sync(conn);
	ck_assert(pg_conn_send(conn, &b.req));
	pg_conn_sync(conn);
	struct timer *kill_it = timer_new(loop, on_kill, NULL);
	timer_arm(kill_it, 50000);
	run_until(&wanted_done, 2);
	ck_assert_int_eq(a.outcome, PG_LOST);
	ck_assert_str_eq(a.error.sqlstate, "57P01");
	ck_assert_int_eq(b.outcome, PG_LOST);
	run_until(&ready, 2);
	timer_free(kill_it);
	end();
}
END_TEST

/* ---- streams ---- */

START_TEST(streams_a_million_rows_in_constant_memory_with_a_pause)
{
	struct ask ask;
	begin();
	bound(&ask, "SELECT i::int8, repeat('x', 100) FROM generate_series(1, 1000000) i");
	ask.req.single_row = true;
	ask.pause_at = 10;
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	ck_assert(pg_conn_send(conn, &ask.req));
	pg_conn_sync(conn);
	for (int i = 0; i < 20000 && ask.rows < 10; i++)
		run_for(1000);
	run_for(100000);
	ck_assert_int_eq(ask.rows, 10);
	size_t paused = mallinfo2().uordblks + mallinfo2().hblkhd;
	ck_assert_uint_lt(paused, before + 1000000);
	ask.pause_at = 500000;
	pg_conn_pause(conn, false);
	for (int i = 0; i < 20000 && ask.rows < 500000; i++)
		run_for(1000);
	run_for(50000);
	ck_assert_int_eq(ask.rows, 500000);
	ck_assert_uint_lt(mallinfo2().uordblks + mallinfo2().hblkhd, before + 1000000);
	pg_conn_pause(conn, false);
	run_until(&ask.done, 1);
	ck_assert_int_eq(ask.outcome, PG_DONE);
	ck_assert_int_eq(ask.rows, 1000000);
	ck_assert_int_eq(ask.results, 1000001);
	ck_assert_int_eq(ask.max_rows, 1);
	/* The statement is in the cache now: again without a Parse in front. */
	bound(&ask, ask.req.sql);
	ask.req.single_row = true;
	ask_now(&ask);
	ck_assert_int_eq(ask.results, 1000001);
	end();
}
END_TEST

static void on_beat(void *arg)
{
	int *beats = arg;
	(*beats)++;
	loop_stop(loop);
}

/* Others may have the processor meanwhile. */
static int64_t cpu_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

START_TEST(shares_the_loop_while_it_streams)
{
	struct ask ask;
	int beats = 0;
	begin();
	bound(&ask, "SELECT i::int8 FROM generate_series(1, 1000000) i");
	ask.req.single_row = true;
	ck_assert(pg_conn_send(conn, &ask.req));
	pg_conn_sync(conn);
	struct timer *beat = timer_new(loop, on_beat, &beats);
	int64_t longest = 0, last = cpu_us();
	while (!ask.done) {
		timer_arm(beat, 0);
		loop_run(loop);
		int64_t now = cpu_us();
		longest = now - last > longest ? now - last : longest;
		last = now;
	}
	ck_assert_int_gt(beats, 20);
	ck_assert_int_lt(longest, 100000);
	timer_free(beat);
	end();
}
END_TEST

/* ---- silence ---- */

#define PATIENCE_US 1000000

static void begin_impatient(void)
{
	begin_with(pg_server_dsn, 8);
	config.network_timeout_us = PATIENCE_US / 2;
	config.statement_timeout_us = PATIENCE_US / 2;
	pg_conn_start(conn);
	run_until(&ready, 1);
}

static void stop_backend(void)
{
	struct ask ask;
	simple(&ask, "SELECT pg_backend_pid()");
	ask_now(&ask);
	stopped_pid = atoi(ask.first);
	ck_assert_int_gt(stopped_pid, 1);
	kill(stopped_pid, SIGSTOP);
}

START_TEST(gives_up_a_server_that_owes_an_answer)
{
	struct ask a, b, again;
	begin_impatient();
	stop_backend();
	bound(&a, "SELECT 1");
	simple(&b, "SELECT 2");
	ck_assert(pg_conn_send(conn, &a.req));
	pg_conn_sync(conn);
	ck_assert(pg_conn_send(conn, &b.req));
	run_until(&lost, 1);
	kill(stopped_pid, SIGCONT);
	ck_assert_int_eq(a.outcome, PG_LOST);
	ck_assert_int_eq(b.outcome, PG_LOST);
	ck_assert_ptr_nonnull(strstr(lost_error.message, "silent for 1.0 s"));
	run_until(&ready, 2);
	simple(&again, "SELECT 3");
	ask_now(&again);
	ck_assert_int_eq(again.outcome, PG_DONE);
	end();
}
END_TEST

START_TEST(gives_up_a_server_that_takes_no_more_of_a_copy)
{
	struct ask ask;
	begin_impatient();
	simple(&ask, "SELECT pg_backend_pid()");
	ask_now(&ask);
	stopped_pid = atoi(ask.first);
	simple(&ask, "CREATE TEMP TABLE a (t text); COPY a FROM STDIN BINARY");
	ask.copy_total = 100000000;
	ask.req.copy = on_copy_stopped;
	ck_assert(pg_conn_send(conn, &ask.req));
	run_until(&ask.done, 1);
	kill(stopped_pid, SIGCONT);
	ck_assert_int_eq(ask.outcome, PG_LOST);
	ck_assert_uint_lt(ask.copy_at, ask.copy_total);
	end();
}
END_TEST

/* Whatever comes is a sign of life, and what nobody asked for is not owed. */
START_TEST(waits_for_a_server_that_is_slow_and_for_one_that_owes_nothing)
{
	struct ask ask;
	begin_impatient();
	run_for(2 * PATIENCE_US);
	simple(&ask, "DO $$ BEGIN FOR i IN 1..20 LOOP PERFORM pg_sleep(0.1); RAISE WARNING 'here'; "
	             "END LOOP; END $$");
	ask_now(&ask);
	ck_assert_int_eq(ask.outcome, PG_DONE);
	run_for(2 * PATIENCE_US);
	simple(&ask, "SELECT pg_sleep(2)");
	ask.req.unhurried = true;
	ask_now(&ask);
	ck_assert_int_eq(ask.outcome, PG_DONE);
	ck_assert_int_eq(lost, 0);
	end();
}
END_TEST

START_TEST(a_pause_of_our_own_is_not_the_servers_silence)
{
	struct ask ask;
	begin_impatient();
	bound(&ask, "SELECT i::int8 FROM generate_series(1, 300000) i");
	ask.req.single_row = true;
	ask.pause_at = 10;
	ck_assert(pg_conn_send(conn, &ask.req));
	pg_conn_sync(conn);
	for (int i = 0; i < 20000 && ask.rows < 10; i++)
		run_for(1000);
	run_for(2 * PATIENCE_US);
	ck_assert_int_eq(lost, 0);
	pg_conn_pause(conn, false);
	run_until(&ask.done, 1);
	ck_assert_int_eq(ask.outcome, PG_DONE);
	ck_assert_int_eq(ask.rows, 300000);
	end();
}
END_TEST

/* ---- several servers ---- */

START_TEST(tries_another_host_first_after_a_timeout)
{
	/* A socket that never accepts is as good as a black hole: its kernel answers, it does not.
	 */
	char dsn[600];
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof address;
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, len), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	getsockname(fd, (struct sockaddr *)&address, &len);
	if (!pg_server_pid)
		return; /* we do not know its socket */
	snprintf(dsn, sizeof dsn, "host=127.0.0.1,%s port=%d,5432 user=postgres dbname=postgres",
	         pg_server_dir, ntohs(address.sin_port));
	begin_with(dsn, 8);
	config.network_timeout_us = 1000000;
	pg_conn_start(conn);
	run_until(&lost, 1);
	ck_assert_ptr_nonnull(strstr(lost_error.message, "no answer within 1.0 s"));
	run_until(&ready, 1);
	end();
	close(fd);
}
END_TEST

START_TEST(writes_only_to_a_server_that_takes_writes)
{
	char dsn[600];
	snprintf(dsn, sizeof dsn, "%s options='-c default_transaction_read_only=on'",
	         pg_server_dsn);
	begin_with(dsn, 8);
	config.writes = true;
	pg_conn_start(conn);
	run_until(&lost, 1);
	ck_assert_ptr_nonnull(strstr(lost_error.message, "read-only"));
	end();
	/* Unless the person who wrote the dsn knows better. */
	strcat(dsn, " target_session_attrs=any");
	begin_with(dsn, 8);
	config.writes = true;
	pg_conn_start(conn);
	run_until(&ready, 1);
	end();
}
END_TEST

/* ---- quoting ---- */

START_TEST(quotes_what_reads_back_the_same)
{
	static const char *const texts[] = {"", "it's", "a\\b", "\\'", "''", "ü\n\"x\"", "E'\\\\"};
	char sql[200];
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		char *quoted = pg_quote_literal(texts[i]);
		for (int conforming = 0; conforming < 2; conforming++) {
			/* without backslashes a plain literal means the same either way */
			snprintf(sql, sizeof sql,
			         "SET standard_conforming_strings = %s; SELECT%s AS x",
			         conforming ? "on" : "off", quoted);
			char *back = pg_server_query(sql);
			ck_assert_str_eq(back, texts[i]);
			free(back);
		}
		free(quoted);
	}
	char *name = pg_quote_identifier("My \"odd\".table");
	ck_assert_str_eq(name, "\"My \"\"odd\"\"\".\"table\"");
	free(name);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("pg_conn");
	TCase *t = tcase_create("life");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, connects_and_runs_the_setup);
	tcase_add_test(t, says_why_it_cannot_connect_and_tries_again);
	tcase_add_test(t, says_what_is_wrong_with_a_dsn);
	tcase_add_test(t, shows_no_password_of_a_malformed_dsn);
	tcase_add_test(t, says_which_name_cannot_be_resolved);
	tcase_add_test(t, is_refused_by_setup_that_fails);
	tcase_add_test(t, gives_a_server_up_that_does_not_answer);
	tcase_add_test(t, comes_back_after_its_backend_was_terminated);
	tcase_add_test(t, ends_open_requests_as_lost_when_reset);
	tcase_add_test(t, may_be_reset_or_freed_inside_a_callback);
	suite_add_tcase(s, t);
	t = tcase_create("simple");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, runs_many_statements_with_two_binary_copies);
	tcase_add_test(t, says_which_statement_was_refused_and_where);
	tcase_add_test(t, reads_an_error_in_the_middle_of_a_long_copy);
	tcase_add_test(t, keeps_a_copy_in_constant_memory_when_the_server_is_slow);
	tcase_add_test(t, loses_a_copy_whose_backend_is_terminated_and_says_so);
	tcase_add_test(t, loses_a_copy_that_is_terminated_under_way);
	tcase_add_test(t, refuses_a_copy_without_data_and_passes_over_one_to_stdout);
	suite_add_tcase(s, t);
	t = tcase_create("bound");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, binds_parameters_and_answers_in_binary);
	tcase_add_test(t, aborts_what_follows_an_error_up_to_the_sync);
	tcase_add_test(t, prepares_a_statement_once);
	tcase_add_test(t, keeps_no_statement_that_could_not_be_parsed);
	tcase_add_test(t, parses_anew_what_was_aborted);
	tcase_add_test(t, forgets_the_least_recently_used_statement);
	tcase_add_test(t, drops_a_statement_whose_plan_became_invalid);
	tcase_add_test(t, finishes_a_group_that_was_refused_before_its_sync);
	tcase_add_test(t, tells_the_last_of_a_group_what_the_commit_refuses);
	tcase_add_test(t, keeps_the_order_of_bound_and_simple_requests);
	tcase_add_test(t, may_send_again_inside_done);
	tcase_add_test(t, loses_requests_whose_backend_is_terminated);
	suite_add_tcase(s, t);
	t = tcase_create("streams");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, streams_a_million_rows_in_constant_memory_with_a_pause);
	tcase_add_test(t, shares_the_loop_while_it_streams);
	tcase_add_test(t, quotes_what_reads_back_the_same);
	suite_add_tcase(s, t);
	t = tcase_create("silence");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, gives_up_a_server_that_owes_an_answer);
	tcase_add_test(t, gives_up_a_server_that_takes_no_more_of_a_copy);
	tcase_add_test(t, waits_for_a_server_that_is_slow_and_for_one_that_owes_nothing);
	tcase_add_test(t, a_pause_of_our_own_is_not_the_servers_silence);
	tcase_add_test(t, tries_another_host_first_after_a_timeout);
	tcase_add_test(t, writes_only_to_a_server_that_takes_writes);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	pg_server_start("check_pg_conn");
	SRunner *runner = srunner_create(suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	pg_server_stop();
	return failed != 0;
}
