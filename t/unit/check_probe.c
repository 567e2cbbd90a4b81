/* SPDX-License-Identifier: MIT */
/* What -t --probe finds, against a real PostgreSQL and the embedded broker. */
#include "probe.h"

#include "kafka_embedded.h"
#include "loop.h"
#include "pg_server.h"
#include "schema.h"

#include <check.h>

static struct kafka_embedded *broker;
static struct config config;
static struct buf found, problems;
static struct loop *loop;

static const struct cqrs_column columns[] = {{.name = "id", .type = CQRS_INT4, .key = true},
                                             {.name = "Text", .type = CQRS_TEXT},
                                             {.name = NULL}};
static const struct cqrs_table_def table = {"probed", columns, CQRS_DUPLICATE_UPDATE};
static const struct cqrs_table_def *const tables[] = {&table};
static const char *const topics[] = {"t"};
static const struct probe_plan plan = {topics, 1, tables, 1};

static void on_migrated(void *owner, const struct schema_outcome *outcome)
{
	(void)owner;
	ck_assert_msg(outcome->state == SCHEMA_CURRENT, "%s", outcome->message);
	loop_stop(loop);
}

static void setup(void)
{
	pg_server_exec("DROP DATABASE IF EXISTS probe WITH (FORCE)");
	pg_server_exec("CREATE DATABASE probe");
	strcat(pg_server_dsn, " dbname=probe");
	pg_server_exec("CREATE TABLE probed (id int PRIMARY KEY, \"Text\" text)");
	broker = kafka_embedded_new();
	kafka_embedded_add_topic(broker, "t");
	config.core.kafka.brokers = kafka_embedded_brokers(broker);
	config.core.postgres.dsn = pg_server_dsn;
	config.core.postgres.read.dsn = "";
	config.n_commands = 1;
}

static void migrate(void)
{
	loop = loop_new();
	struct schema *schema = schema_new(loop, pg_server_dsn, 0, schema_files, 5000000);
	schema_migrate(schema, on_migrated, NULL);
	loop_run(loop);
	schema_free(schema);
	loop_free(loop);
}

static void teardown(void)
{
	kafka_embedded_free(broker);
	*strstr(pg_server_dsn, " dbname=probe") = '\0';
	pg_server_exec("DROP DATABASE probe WITH (FORCE)");
}

static void finds(int code, const char *problem)
{
	buf_clear(&problems);
	int got = probe_run(&config, &plan, &found, &problems);
	ck_assert_msg(strstr(buf_str(&problems), problem) != NULL, "%s", buf_str(&problems));
	ck_assert_msg(got == code, "%d, and not %d: %s", got, code, buf_str(&problems));
}

START_TEST(finds_nothing_wrong_when_all_is_there)
{
	migrate();
	finds(EXIT_CODE_OK, "");
	ck_assert_int_eq((int)problems.len, 0);
	ck_assert_ptr_nonnull(strstr(buf_str(&found), "can be reached, 1 topics are there"));
	ck_assert_ptr_nonnull(strstr(buf_str(&found), "the tables and the rights"));
}
END_TEST

START_TEST(finds_an_old_schema)
{
	finds(EXIT_CODE_SCHEMA, "run `cqrsd migrate`");
}
END_TEST

START_TEST(finds_what_is_missing_in_the_database)
{
	migrate();
	pg_server_exec("ALTER TABLE probed RENAME COLUMN \"Text\" TO other");
	finds(EXIT_CODE_FAILED, "table probed has no column Text");
	pg_server_exec("DROP TABLE probed");
	finds(EXIT_CODE_FAILED, "table probed does not exist");
}
END_TEST

START_TEST(finds_missing_rights)
{
	static char dsn[600];
	migrate();
	pg_server_exec("DO $$BEGIN CREATE ROLE probing LOGIN; EXCEPTION WHEN duplicate_object THEN "
	               "END$$; GRANT USAGE ON SCHEMA cqrs TO probing; "
	               "GRANT ALL ON ALL TABLES IN SCHEMA cqrs TO probing; "
	               "GRANT INSERT ON probed TO probing");
	snprintf(dsn, sizeof dsn, "%s user=probing", pg_server_dsn);
	config.core.postgres.dsn = dsn;
	finds(EXIT_CODE_FAILED, "GRANT UPDATE ON probed TO probing");
	ck_assert_ptr_null(strstr(buf_str(&problems), "GRANT INSERT"));
	pg_server_exec("GRANT UPDATE ON probed TO probing; "
	               "REVOKE UPDATE ON cqrs.offsets FROM probing");
	finds(EXIT_CODE_FAILED, "GRANT UPDATE ON cqrs.offsets TO probing");
	pg_server_exec("GRANT UPDATE ON cqrs.offsets TO probing");
	finds(EXIT_CODE_OK, "");
}
END_TEST

START_TEST(finds_what_is_away)
{
	migrate();
	config.core.kafka.brokers = "127.0.0.1:1";
	finds(EXIT_CODE_FAILED, "kafka: 127.0.0.1:1 cannot be reached");
	config.core.kafka.brokers = "embedded";
	finds(EXIT_CODE_OK, "");
	config.core.postgres.read.dsn = "host=/nonexistent";
	finds(EXIT_CODE_FAILED, "postgres read: postgres cannot be reached");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("probe");
	TCase *cases = tcase_create("probe");
	pg_server_start("check_probe");
	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, finds_nothing_wrong_when_all_is_there);
	tcase_add_test(cases, finds_an_old_schema);
	tcase_add_test(cases, finds_what_is_missing_in_the_database);
	tcase_add_test(cases, finds_missing_rights);
	tcase_add_test(cases, finds_what_is_away);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int bad = srunner_ntests_failed(runner);
	srunner_free(runner);
	pg_server_stop();
	return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
