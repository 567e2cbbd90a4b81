/* SPDX-License-Identifier: MIT */
/* Migrations, against a real PostgreSQL. */
#include "schema.h"

#include "pg_server.h"

#include <check.h>

#define PATIENCE_US 10000000

static struct loop *loop;
static struct schema_outcome outcome;
static int done;

static const struct schema_file two[] = {
    {1, "first", "CREATE TABLE one (i int); INSERT INTO one VALUES (1);"},
    {2, "second-part", "CREATE TABLE two (i int) -- no semicolon"},
    {0, NULL, NULL},
};
static const struct schema_file three[] = {
    {1, "first", "CREATE TABLE one (i int); INSERT INTO one VALUES (1);"},
    {2, "second-part", "CREATE TABLE two (i int) -- no semicolon"},
    {3, "third", "INSERT INTO one VALUES (3)"},
    {0, NULL, NULL},
};

static void on_done(void *owner, const struct schema_outcome *o)
{
	/* May be freed from inside. */
	schema_free(*(struct schema **)owner);
	outcome = *o;
	done++;
	loop_stop(loop);
}

static enum schema_state run(const char *dsn, const struct schema_file *files, bool migrate)
{
	struct schema_outcome *at = &outcome;
	struct schema *schema = schema_new(loop, dsn, 0, files, PATIENCE_US);
	ck_assert_ptr_nonnull(schema);
	*at = (struct schema_outcome){.state = SCHEMA_FAILED};
	done = 0;
	if (migrate)
		schema_migrate(schema, on_done, &schema);
	else
		schema_check(schema, on_done, &schema);
	ck_assert_int_eq(done, 0);
	loop_run(loop);
	ck_assert_int_eq(done, 1);
	return outcome.state;
}

static void assert_message(const char *part)
{
	ck_assert_msg(strstr(outcome.message, part) != NULL, "\"%s\" is not in \"%s\"", part,
	              outcome.message);
}

static void setup(void)
{
	loop = loop_new();
	pg_server_exec("DROP SCHEMA IF EXISTS cqrs CASCADE; DROP TABLE IF EXISTS one, two, three");
}

static void teardown(void)
{
	loop_free(loop);
}

START_TEST(a_new_database_is_too_old)
{
	ck_assert_int_eq(run(pg_server_dsn, two, false), SCHEMA_TOO_OLD);
	assert_message("`cqrsd migrate`");
	assert_message("postgres.migrate: auto");
	ck_assert_int_eq(outcome.version, 0);
	ck_assert_int_eq(pg_server_number("SELECT count(*) FROM pg_namespace "
	                                  "WHERE nspname = 'cqrs'"),
	                 0);
}
END_TEST

START_TEST(migrates_a_new_database_and_then_it_is_current)
{
	ck_assert_int_eq(run(pg_server_dsn, two, true), SCHEMA_CURRENT);
	ck_assert_int_eq(outcome.applied, 2);
	ck_assert_int_eq(outcome.version, 2);
	ck_assert_int_eq(pg_server_number("SELECT count(*) FROM one"), 1);
	ck_assert_int_eq(pg_server_number("SELECT count(*) FROM two"), 0);
	char *names = pg_server_query("SELECT string_agg(version || '-' || name, ' ' ORDER BY "
	                              "version) FROM cqrs.schema_migrations");
	ck_assert_str_eq(names, "1-first 2-second-part");
	free(names);
	ck_assert_int_eq(run(pg_server_dsn, two, false), SCHEMA_CURRENT);
}
END_TEST

START_TEST(applies_only_what_is_missing)
{
	ck_assert_int_eq(run(pg_server_dsn, two, true), SCHEMA_CURRENT);
	ck_assert_int_eq(run(pg_server_dsn, two, true), SCHEMA_CURRENT);
	ck_assert_int_eq(outcome.applied, 0);
	ck_assert_int_eq(run(pg_server_dsn, three, false), SCHEMA_TOO_OLD);
	assert_message("at 002, 1 of 3");
	ck_assert_int_eq(run(pg_server_dsn, three, true), SCHEMA_CURRENT);
	ck_assert_int_eq(outcome.applied, 1);
	ck_assert_int_eq(pg_server_number("SELECT count(*) FROM one"), 2);
}
END_TEST

START_TEST(refuses_a_schema_of_a_later_program)
{
	ck_assert_int_eq(run(pg_server_dsn, three, true), SCHEMA_CURRENT);
	ck_assert_int_eq(run(pg_server_dsn, two, false), SCHEMA_TOO_NEW);
	assert_message("003-third");
	assert_message("install the cqrsd");
	ck_assert_int_eq(run(pg_server_dsn, two, true), SCHEMA_TOO_NEW);
	ck_assert_int_eq(outcome.applied, 0);
}
END_TEST

START_TEST(refuses_a_file_that_was_changed_after_it_was_applied)
{
	struct schema_file changed[3];
	memcpy(changed, two, sizeof changed);
	ck_assert_int_eq(run(pg_server_dsn, two, true), SCHEMA_CURRENT);
	changed[1].text = "CREATE TABLE two (i bigint)";
	ck_assert_int_eq(run(pg_server_dsn, changed, false), SCHEMA_CHANGED);
	assert_message("002-second-part was changed");
	assert_message("restore sql/002-second-part.sql");
	ck_assert_int_eq(run(pg_server_dsn, changed, true), SCHEMA_CHANGED);
}
END_TEST

START_TEST(a_failing_migration_leaves_nothing_of_itself)
{
	static const struct schema_file broken[] = {
	    {1, "first", "CREATE TABLE one (i int); INSERT INTO one VALUES (1);"},
	    {2, "broken", "CREATE TABLE two (i int); SELECT 1 / 0"},
	    {0, NULL, NULL},
	};
	ck_assert_int_eq(run(pg_server_dsn, broken, true), SCHEMA_FAILED);
	assert_message("002-broken was refused");
	assert_message("22012");
	ck_assert_int_eq(outcome.applied, 1);
	ck_assert_int_eq(pg_server_number("SELECT count(*) FROM pg_class WHERE relname = 'two'"),
	                 0);
	ck_assert_int_eq(pg_server_number("SELECT count(*) FROM cqrs.schema_migrations"), 1);
	ck_assert_int_eq(run(pg_server_dsn, two, true), SCHEMA_CURRENT);
	ck_assert_int_eq(outcome.applied, 1);
}
END_TEST

enum { TOGETHER = 8 };
static int running;

static void on_one_of_many(void *owner, const struct schema_outcome *o)
{
	ck_assert_int_eq(o->state, SCHEMA_CURRENT);
	*(int *)owner = o->applied;
	if (--running == 0)
		loop_stop(loop);
}

START_TEST(many_may_migrate_at_the_same_time)
{
	struct schema *schemas[TOGETHER];
	int applied[TOGETHER], sum = 0;
	for (int i = 0; i < TOGETHER; i++) {
		schemas[i] = schema_new(loop, pg_server_dsn, 0, three, PATIENCE_US);
		schema_migrate(schemas[i], on_one_of_many, &applied[i]);
	}
	running = TOGETHER;
	loop_run(loop);
	for (int i = 0; i < TOGETHER; i++) {
		sum += applied[i];
		schema_free(schemas[i]);
	}
	ck_assert_int_eq(sum, 3);
	ck_assert_int_eq(pg_server_number("SELECT count(*) FROM one"), 2);
}
END_TEST

START_TEST(says_that_the_server_is_away)
{
	struct schema *schema = schema_new(loop, "host=/nonexistent dbname=none", 0, two, 300000);
	done = 0;
	schema_check(schema, on_done, &schema);
	loop_run(loop);
	ck_assert_int_eq(outcome.state, SCHEMA_AWAY);
	assert_message("/nonexistent");
}
END_TEST

START_TEST(waits_for_a_server_without_patience)
{
	struct schema *schema = schema_new(loop, "host=/nonexistent dbname=none", 0, two, 0);
	struct timer *limit = timer_new(loop, (loop_fn *)(void (*)(void))loop_stop, loop);
	done = 0;
	schema_check(schema, on_done, &schema);
	timer_arm(limit, 1000000);
	loop_run(loop);
	ck_assert_int_eq(done, 0);
	schema_free(schema);
	timer_free(limit);
}
END_TEST

START_TEST(a_current_schema_needs_no_rights_to_create)
{
	char dsn[600];
	ck_assert_int_eq(run(pg_server_dsn, two, true), SCHEMA_CURRENT);
	pg_server_exec("DO $$BEGIN CREATE ROLE plain LOGIN; EXCEPTION WHEN duplicate_object THEN "
	               "END$$; GRANT USAGE ON SCHEMA cqrs TO plain; "
	               "GRANT SELECT ON cqrs.schema_migrations TO plain");
	snprintf(dsn, sizeof dsn, "%s user=plain", pg_server_dsn);
	ck_assert_int_eq(run(dsn, two, true), SCHEMA_CURRENT);
	ck_assert_int_eq(run(dsn, three, true), SCHEMA_FAILED);
	assert_message("permission denied");
}
END_TEST

START_TEST(the_built_in_files_apply_to_an_empty_database)
{
	pg_server_exec("CREATE DATABASE whole");
	char dsn[600];
	snprintf(dsn, sizeof dsn, "%s dbname=whole", pg_server_dsn);
	ck_assert_msg(run(dsn, schema_files, true) == SCHEMA_CURRENT, "%s", outcome.message);
	for (int i = 0; schema_files[i].number; i++)
		ck_assert_int_eq(schema_files[i].number, i + 1);
	pg_server_exec("DROP DATABASE whole WITH (FORCE)");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("schema");
	TCase *cases = tcase_create("schema");
	pg_server_start("check_schema");
	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, a_new_database_is_too_old);
	tcase_add_test(cases, migrates_a_new_database_and_then_it_is_current);
	tcase_add_test(cases, applies_only_what_is_missing);
	tcase_add_test(cases, refuses_a_schema_of_a_later_program);
	tcase_add_test(cases, refuses_a_file_that_was_changed_after_it_was_applied);
	tcase_add_test(cases, a_failing_migration_leaves_nothing_of_itself);
	tcase_add_test(cases, many_may_migrate_at_the_same_time);
	tcase_add_test(cases, says_that_the_server_is_away);
	tcase_add_test(cases, waits_for_a_server_without_patience);
	tcase_add_test(cases, a_current_schema_needs_no_rights_to_create);
	tcase_add_test(cases, the_built_in_files_apply_to_an_empty_database);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int bad = srunner_ntests_failed(runner);
	srunner_free(runner);
	pg_server_stop();
	return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
