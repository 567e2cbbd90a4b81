/* SPDX-License-Identifier: MIT */
/*
 * What cqrs.sift() of sql/ takes out is what PostgreSQL refuses, row by row, and
 * it says the same about it.
 */
#include "core_schema.h"

#include <check.h>

static PGconn *pg;

/* What PostgreSQL says to each staged row alone. */
static const char truth[] =
    "CREATE FUNCTION truth(target regclass) RETURNS TABLE (n int, state text, reason text) "
    "LANGUAGE plpgsql AS $$ "
    "DECLARE columns text := (SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute "
    "WHERE attrelid = 'cqrs_stage_0'::regclass AND attnum > 1); "
    "BEGIN FOR n IN SELECT cqrs_n FROM cqrs_stage_0 ORDER BY 1 LOOP "
    "BEGIN EXECUTE format('INSERT INTO %s (%s) SELECT %s FROM cqrs_stage_0 WHERE cqrs_n = %s', "
    "target, columns, columns, n); "
    "SET CONSTRAINTS ALL IMMEDIATE; "
    "RAISE EXCEPTION USING ERRCODE = 'FINE0'; "
    "EXCEPTION WHEN OTHERS THEN state := SQLSTATE; "
    "reason := regexp_replace(SQLERRM, '\"t_leaf\\d*\"', '\"t\"'); "
    "IF state <> 'FINE0' THEN RETURN NEXT; END IF; "
    "END; END LOOP; END $$";

static void exec(const char *sql)
{
	PGresult *result = PQexec(pg, sql);
	ck_assert_msg(PQresultStatus(result) == PGRES_COMMAND_OK ||
	                  PQresultStatus(result) == PGRES_TUPLES_OK,
	              "%s: %s", sql, PQerrorMessage(pg));
	PQclear(result);
}

/* The first field of the answer, until the next call. */
static const char *text_of(const char *sql)
{
	static char text[4096];
	PGresult *result = PQexec(pg, sql);
	ck_assert_msg(PQresultStatus(result) == PGRES_TUPLES_OK, "%s: %s", sql, PQerrorMessage(pg));
	snprintf(text, sizeof text, "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
	return text;
}

static void setup(void)
{
	pg = PQconnectdb(pg_server_dsn);
	exec("SET client_min_messages = warning; DROP SCHEMA IF EXISTS cqrs CASCADE;"
	     "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE SCHEMA cqrs");
	core_schema(pg);
	exec(truth);
}

static void teardown(void)
{
	PQfinish(pg);
}

static void fill_stage(int n, const char *columns, const char *rows)
{
	char sql[4096];
	snprintf(sql, sizeof sql,
	         "CREATE TEMP TABLE cqrs_stage_%d (cqrs_n integer, %s);"
	         "INSERT INTO cqrs_stage_%d SELECT row_number() OVER () - 1, * FROM (VALUES %s) v",
	         n, columns, n, rows);
	exec(sql);
}

#define LIST(from)                                                                             \
	"SELECT coalesce(string_agg(concat_ws(' ', n, state, reason), E'\\n' ORDER BY n), '')" \
	" FROM " from
#define SIFT(tables, targets, refs) \
	LIST("cqrs.sift('" tables "', '" targets "', " refs ") AS s (t, n, state, reason)")
#define NO_REFS "'{}', '{}', '{}', '{}', '{}'"

/* Sifts rows for the table t; they must be the ones that PostgreSQL refuses, `bad` many. */
static void sifts(const char *ddl, const char *columns, const char *rows, int bad)
{
	char expected[4096];
	exec(ddl);
	fill_stage(0, columns, rows);
	snprintf(expected, sizeof expected, "%s", text_of(LIST("truth('t')")));
	ck_assert_str_eq(text_of(SIFT("{0}", "{t}", NO_REFS)), expected);
	ck_assert_str_eq(text_of(LIST("truth('t')")), "");
	int lines = *expected != '\0';
	for (const char *p = expected; *p; p++)
		lines += *p == '\n';
	ck_assert_int_eq(lines, bad);
}

START_TEST(takes_out_nulls_and_violated_checks)
{
	sifts("CREATE TABLE t (n int NOT NULL, v float8 CHECK (v < 1000), w float8, "
	      "CONSTRAINT a_first CHECK (v + w <> 5), more int DEFAULT 7 CHECK (more > 6))",
	      "n int, v float8, w float8",
	      "(1, 1::float8, 1::float8), (NULL, 1, 1), (2, 1000, 1), (3, 2, 3), (4, NULL, NULL), "
	      "(5, 'NaN', 0), (6, 2000, -1995), (7, 'Infinity', NULL)",
	      6);
}
END_TEST

START_TEST(takes_out_what_has_no_room)
{
	sifts("CREATE TABLE t (small smallint, middle int, price numeric(5, 2), cents numeric(4, "
	      "-2), "
	      "name varchar(3), code char(2), r real, plain numeric)",
	      "small int, middle bigint, price numeric, cents float8, name text, code text, r "
	      "float8, "
	      "plain float8",
	      "(32767, 2147483647, 999.99, 1.5, 'abc', 'ab', 3.4e38, 1e300),"
	      "(32768, 1, 1, 1, 'a', 'a', 1, 1), (-32768, 1, 1, 1, 'a', 'a', 1, 1),"
	      "(-32769, 1, 1, 1, 'a', 'a', 1, 1), (1, 2147483648, 1, 1, 'a', 'a', 1, 1),"
	      "(1, -2147483648, 1, 1, 'a', 'a', 1, 1), (1, 1, 999.994, 1, 'a', 'a', 1, 1),"
	      "(1, 1, 999.995, 1, 'a', 'a', 1, 1), (1, 1, -1000, 1, 'a', 'a', 1, 1),"
	      "(1, 1, 'NaN', 1, 'a', 'a', 1, 1), (1, 1, 'Infinity', 1, 'a', 'a', 1, 1),"
	      "(1, 1, 1, 999949, 'a', 'a', 1, 1), (1, 1, 1, 999950, 'a', 'a', 1, 1),"
	      "(1, 1, 1, 1, 'abc   ', 'ab   ', 1, 1), (1, 1, 1, 1, 'abcd', 'a', 1, 1),"
	      "(1, 1, 1, 1, 'äöü', 'äö', 1, 1), (1, 1, 1, 1, 'a', 'abc', 1, 1),"
	      "(1, 1, 1, 1, 'a', 'a', 3.5e38, 1), (1, 1, 1, 1, 'a', 'a', 3.40282356e38, 1),"
	      "(1, 1, 1, 1, 'a', 'a', '-Infinity', 1), (1, 1, 1, 1, 'a', 'a', 'NaN', 'Infinity'),"
	      "(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
	      10);
}
END_TEST

START_TEST(checks_see_values_as_they_will_be_stored)
{
	sifts("CREATE TABLE t (price numeric(5, 1) CHECK (price < 2), small smallint CHECK (small "
	      "> 0), "
	      "name varchar(3) CHECK (name <> 'abc'), c text COLLATE \"C\" CHECK (c < 'a'))",
	      "price float8, small bigint, name text, c text",
	      "(1.96, 1, 'a', 'Z'), (1.94, 0, 'b', 'Z'), (1, 70000, 'abc  ', 'B'),"
	      "(1, 1, 'abc  ', 'B'), (1, 1, 'ab', 'a'), (1, 1, 'ab', 'B')",
	      5);
}
END_TEST

START_TEST(takes_out_orphans)
{
	sifts("CREATE TABLE one (id int PRIMARY KEY); CREATE TABLE two (a int, b text, PRIMARY KEY "
	      "(b, a));"
	      "CREATE TABLE t (n int REFERENCES one, a int, b text, "
	      "FOREIGN KEY (b, a) REFERENCES two DEFERRABLE INITIALLY DEFERRED);"
	      "INSERT INTO one VALUES (1); INSERT INTO two VALUES (1, 'x')",
	      "n int, a int, b text",
	      "(1, 1, 'x'), (2, 1, 'x'), (NULL, 1, 'x'), (1, 2, 'x'), (1, NULL, 'y'), (1, 1, 'y')",
	      3);
}
END_TEST

START_TEST(takes_out_what_has_no_partition_of_a_range)
{
	sifts(
	    "CREATE TABLE t (time timestamptz NOT NULL, v int CHECK (v > 0)) PARTITION BY RANGE "
	    "(time);"
	    "CREATE TABLE t_leaf1 PARTITION OF t FOR VALUES FROM (MINVALUE) TO ('2020-01-01Z');"
	    "CREATE TABLE t_leaf2 PARTITION OF t FOR VALUES FROM ('2020-01-01Z') TO "
	    "('2020-01-02Z');"
	    "CREATE TABLE t_leaf3 PARTITION OF t FOR VALUES FROM ('2020-01-03Z') TO "
	    "('2020-01-04Z')",
	    "time timestamptz, v int",
	    "('2019-01-01Z'::timestamptz, 1), ('2020-01-01T23:59:59Z', 0), ('2020-01-02Z', 1),"
	    "('2020-01-03Z', 1), ('2020-01-04Z', 1), ('infinity', 1), ('-infinity', 1), (NULL, 1)",
	    5);
}
END_TEST

START_TEST(takes_out_what_has_no_partition_in_a_tree)
{
	sifts("CREATE TABLE t (a text, b int) PARTITION BY LIST (a);"
	      "CREATE TABLE t_leaf1 PARTITION OF t FOR VALUES IN ('x', 'y');"
	      "CREATE TABLE t_z PARTITION OF t FOR VALUES IN ('z', NULL) PARTITION BY RANGE (b);"
	      "CREATE TABLE t_leaf2 PARTITION OF t_z FOR VALUES FROM (0) TO (10);"
	      "CREATE TABLE t_leaf3 PARTITION OF t_z FOR VALUES FROM (10) TO (MAXVALUE)",
	      "a text, b int", "('x', -1), ('z', 1), (NULL, 99), ('w', 1), ('y', NULL)", 1);
}
END_TEST

START_TEST(a_default_partition_takes_everything)
{
	sifts("CREATE TABLE t (n int) PARTITION BY RANGE (n);"
	      "CREATE TABLE t_leaf1 PARTITION OF t FOR VALUES FROM (0) TO (10);"
	      "CREATE TABLE t_leaf2 PARTITION OF t DEFAULT",
	      "n int", "(1), (100), (NULL)", 0);
}
END_TEST

START_TEST(a_table_without_partitions_takes_nothing)
{
	sifts("CREATE TABLE t (n int) PARTITION BY RANGE (n)", "n int", "(1), (NULL)", 2);
}
END_TEST

START_TEST(hashes_and_domains_are_understood)
{
	sifts("CREATE DOMAIN short AS varchar(3); CREATE TABLE t (n int, s short) PARTITION BY "
	      "HASH (n);"
	      "CREATE TABLE t_leaf1 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
	      "CREATE TABLE t_leaf2 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
	      "n int, s text", "(1, 'abc'), (2, 'abcd'), (NULL, 'a')", 1);
}
END_TEST

START_TEST(names_are_quoted)
{
	sifts("CREATE TABLE \"It's; \"\"x\" (\"Id\" int PRIMARY KEY);"
	      "CREATE TABLE t (\"a'b\" int CONSTRAINT \"o'c\" CHECK (\"a'b\" > 0) NOT NULL,"
	      "\"select\" int REFERENCES \"It's; \"\"x\", \"%I\" varchar(1))",
	      "\"a'b\" int, \"select\" int, \"%I\" text",
	      "(1, NULL, 'x'), (0, NULL, 'x'), (NULL, NULL, 'x'), (1, 1, 'x'), (1, NULL, '\"''')",
	      4);
}
END_TEST

/* ---- what it leaves for the database to say ---- */

static void leaves(const char *ddl, const char *columns, const char *rows, const char *taken)
{
	exec(ddl);
	fill_stage(0, columns, rows);
	ck_assert_str_eq(text_of(SIFT("{0}", "{t}", NO_REFS)), taken);
}

START_TEST(a_check_that_raises_does_not_hide_the_others)
{
	leaves("CREATE TABLE t (n int CONSTRAINT divides CHECK (10 / n > 1) CONSTRAINT small CHECK "
	       "(n < "
	       "100))",
	       "n int", "(1), (0), (100), (7)",
	       "2 23514 new row for relation \"t\" violates check constraint \"small\"");
	ck_assert_str_eq(text_of("SELECT string_agg(cqrs_n::text, ' ') FROM cqrs_stage_0"),
	                 "0 1 3");
}
END_TEST

START_TEST(a_trigger_may_make_good_rows_of_bad_ones)
{
	leaves("CREATE TABLE t (n int NOT NULL CHECK (n < 100));"
	       "CREATE FUNCTION mend() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
	       "NEW.n := coalesce(least(NEW.n, 99), 0); RETURN NEW; END $$;"
	       "CREATE TRIGGER mend BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION mend()",
	       "n int", "(1), (1000), (NULL)", "");
	ck_assert_str_eq(text_of(LIST("truth('t')")), "");
	exec("ALTER TABLE t DISABLE TRIGGER mend");
	ck_assert_str_ne(text_of(SIFT("{0}", "{t}", NO_REFS)), "");
}
END_TEST

START_TEST(a_view_is_left_alone)
{
	leaves("CREATE TABLE base (n int NOT NULL); CREATE VIEW t AS SELECT * FROM base", "n int",
	       "(1), (NULL)", "");
}
END_TEST

START_TEST(a_foreign_key_that_was_disabled_is_not_enforced)
{
	leaves("CREATE TABLE one (id int PRIMARY KEY); CREATE TABLE t (n int REFERENCES one);"
	       "ALTER TABLE t DISABLE TRIGGER ALL",
	       "n int", "(1)", "");
	ck_assert_str_eq(text_of(LIST("truth('t')")), "");
}
END_TEST

START_TEST(what_cannot_be_said_without_trying_is_left)
{
	leaves(
	    "CREATE TABLE t (made int GENERATED ALWAYS AS (n + 1) STORED CHECK (made < 5), n int, "
	    "j jsonb CHECK (j ? 'a'), d date CHECK (d > '2020-01-01'))",
	    "n int, j bytea, d timestamptz", "(9, '\\x00'::bytea, '2000-01-01'::timestamptz)", "");
}
END_TEST

/* ---- more than one table ---- */

static void family(void)
{
	exec("CREATE TABLE parent (id int PRIMARY KEY CHECK (id < 100));"
	     "CREATE TABLE child (n int REFERENCES parent DEFERRABLE)");
	fill_stage(0, "n int", "(1), (2), (100), (3)");
	fill_stage(1, "id int", "(1), (100)");
	exec("INSERT INTO parent VALUES (2)");
}

START_TEST(who_comes_with_a_parent_is_no_orphan)
{
	family();
	ck_assert_str_eq(
	    text_of("SELECT string_agg(concat_ws(' ', t, n, state), ', ' ORDER BY t, n) "
	            "FROM cqrs.sift('{0, 1}', '{child, parent}', " NO_REFS
	            ") s (t, n, state, reason)"),
	    "0 2 23503, 0 3 23503, 1 1 23514");
}
END_TEST

START_TEST(whose_parent_was_an_orphan_is_one)
{
	exec("CREATE TABLE t (id int PRIMARY KEY, up int REFERENCES t)");
	fill_stage(0, "id int, up int", "(1, NULL), (2, 1), (3, 2), (4, 9), (5, 4), (6, 5)");
	ck_assert_str_eq(text_of("SELECT string_agg(n::text, ' ' ORDER BY n) FROM cqrs.sift('{0}', "
	                         "'{t}', " NO_REFS ") s (t, n, state, reason)"),
	                 "3 4 5");
}
END_TEST

START_TEST(declared_references_are_checked_too)
{
	exec("CREATE TABLE t (n int); CREATE TABLE \"Other\" (\"Id\" int); INSERT INTO \"Other\" "
	     "VALUES (1)");
	fill_stage(0, "n int", "(1), (2), (NULL)");
	ck_assert_str_eq(
	    text_of(
	        SIFT("{0}", "{t}", "'{0}', '{n}', ARRAY['\"Other\"'], '{Id}', '{\"not there\"}'")),
	    "1 23503 not there");
	PGresult *result =
	    PQexec(pg, SIFT("{0}", "{t}", "'{0}', '{n}', '{nowhere}', '{id}', '{\"not there\"}'"));
	ck_assert_str_eq(PQresultErrorField(result, PG_DIAG_SQLSTATE), "42P01");
	PQclear(result);
}
END_TEST

/* ---- what is there already ---- */

#define DUPLICATES                                                 \
	"SELECT coalesce(string_agg(n::text, ' ' ORDER BY n), '')" \
	" FROM cqrs.duplicates('{0}', '{t}') AS d (t, n)"
#define REFUSED_AS_DUPLICATE                                       \
	"SELECT coalesce(string_agg(n::text, ' ' ORDER BY n), '')" \
	" FROM truth('t') WHERE state = '23505'"

/* The staged rows with these numbers are known, and PostgreSQL says so as well. */
static void knows(const char *ddl, const char *columns, const char *rows, const char *numbers)
{
	exec(ddl);
	fill_stage(0, columns, rows);
	ck_assert_str_eq(text_of(REFUSED_AS_DUPLICATE), numbers);
	ck_assert_str_eq(text_of(DUPLICATES), numbers);
}

START_TEST(knows_each_unique_key)
{
	knows("CREATE TABLE t (a int PRIMARY KEY, b text, c \"char\", \"D 'e\" float8, "
	      "UNIQUE (b, \"D 'e\"), UNIQUE (c) INCLUDE (a));"
	      "INSERT INTO t VALUES (1, 'x', 'k', 1.5), (2, NULL, NULL, 2), (-3, 'y', 'l', 'NaN')",
	      "a int, b text, c \"char\", \"D 'e\" float8",
	      "(1, 'z', NULL::\"char\", 0::float8), (4, 'x', NULL, 1.5), (5, 'x', NULL, 1.50001),"
	      "(6, NULL, NULL, 2), (-3, NULL, NULL, NULL), (7, 'y', NULL, 'NaN'), (8, 'q', 'k', "
	      "9), "
	      "(NULL, NULL, NULL, NULL)",
	      "0 1 4 5 6");
}
END_TEST

START_TEST(knows_keys_of_partitions)
{
	knows("CREATE TABLE t (s int, at timestamptz, v int, PRIMARY KEY (s, at)) PARTITION BY "
	      "RANGE (at);"
	      "CREATE TABLE t_leaf1 PARTITION OF t FOR VALUES FROM ('2020-01-01Z') TO "
	      "('2020-01-02Z');"
	      "CREATE TABLE t_leaf2 PARTITION OF t FOR VALUES FROM ('2020-01-02Z') TO "
	      "('2020-01-03Z');"
	      "INSERT INTO t VALUES (1, '2020-01-01 23:59:59.999999Z', 1), (1, '2020-01-02Z', 1), "
	      "(2, '2020-01-02 12:00Z', 1)",
	      "s int, at timestamptz, v int",
	      "(1, '2020-01-01 23:59:59.999999Z'::timestamptz, 0), (1, '2020-01-01 23:59:59Z', 0),"
	      "(1, '2020-01-02Z', 0), (2, '2020-01-02Z', 0), (2, '2020-01-02 12:00Z', 0), "
	      "(2, '2030-01-01Z', 0), (3, '-infinity', 0), (3, NULL, 0)",
	      "0 2 4");
	/* The key is in each partition, but not what they are made by. */
	exec("DROP TABLE cqrs_stage_0; DROP TABLE t");
	knows("CREATE TABLE t (s int, at int) PARTITION BY HASH (s);"
	      "CREATE TABLE t_leaf PARTITION OF t FOR VALUES WITH (MODULUS 1, REMAINDER 0);"
	      "CREATE UNIQUE INDEX ON t (s); INSERT INTO t VALUES (5, 5)",
	      "s int, at int", "(4, 5), (5, 4)", "1");
}
END_TEST

START_TEST(knows_keys_of_a_narrower_type)
{
	knows("CREATE TABLE t (n smallint UNIQUE, v varchar(3) UNIQUE, r real UNIQUE);"
	      "INSERT INTO t VALUES (7, 'abc', 0.1)",
	      "n int, v text, r float8",
	      "(7, 'a', 1::float8), (40000, 'b', 2), (8, 'abc  ', 3), (9, 'abcd', 4), (10, 'c', "
	      "0.1)",
	      "0 2 4");
}
END_TEST

/* They are left for cqrs.store(). */
START_TEST(does_not_ask_what_no_plain_index_tells)
{
	exec("CREATE TABLE t (a int, b text, c int UNIQUE DEFERRABLE);"
	     "CREATE UNIQUE INDEX ON t (a) WHERE a > 10; CREATE UNIQUE INDEX ON t (lower(b));"
	     "INSERT INTO t VALUES (11, 'X', 1)");
	fill_stage(0, "a int, b text, c int", "(11, 'y', 2), (12, 'x', 3), (13, 'z', 1)");
	ck_assert_str_eq(text_of(DUPLICATES), "");
	exec("DROP TABLE t; CREATE TABLE t (a int PRIMARY KEY, b text, c int);"
	     "INSERT INTO t VALUES (11); CREATE ROLE blind; GRANT INSERT, SELECT (b, c) ON t TO "
	     "blind;"
	     "GRANT USAGE ON SCHEMA cqrs, public TO blind; GRANT ALL ON cqrs_stage_0 TO blind;"
	     "SET ROLE blind");
	ck_assert_str_eq(text_of(DUPLICATES), "");
	exec("RESET ROLE; GRANT SELECT (a) ON t TO blind; SET ROLE blind");
	ck_assert_str_eq(text_of(DUPLICATES), "0");
	exec("RESET ROLE; DROP OWNED BY blind; DROP ROLE blind");
}
END_TEST

static void add_duplicate_tests(TCase *cases)
{
	tcase_add_test(cases, knows_each_unique_key);
	tcase_add_test(cases, knows_keys_of_partitions);
	tcase_add_test(cases, knows_keys_of_a_narrower_type);
	tcase_add_test(cases, does_not_ask_what_no_plain_index_tells);
}

static void add_tests(TCase *cases)
{
	tcase_add_test(cases, takes_out_nulls_and_violated_checks);
	tcase_add_test(cases, takes_out_what_has_no_room);
	tcase_add_test(cases, checks_see_values_as_they_will_be_stored);
	tcase_add_test(cases, takes_out_orphans);
	tcase_add_test(cases, takes_out_what_has_no_partition_of_a_range);
	tcase_add_test(cases, takes_out_what_has_no_partition_in_a_tree);
	tcase_add_test(cases, a_default_partition_takes_everything);
	tcase_add_test(cases, a_table_without_partitions_takes_nothing);
	tcase_add_test(cases, hashes_and_domains_are_understood);
	tcase_add_test(cases, names_are_quoted);
	tcase_add_test(cases, a_check_that_raises_does_not_hide_the_others);
	tcase_add_test(cases, a_trigger_may_make_good_rows_of_bad_ones);
	tcase_add_test(cases, a_view_is_left_alone);
	tcase_add_test(cases, a_foreign_key_that_was_disabled_is_not_enforced);
	tcase_add_test(cases, what_cannot_be_said_without_trying_is_left);
	tcase_add_test(cases, who_comes_with_a_parent_is_no_orphan);
	tcase_add_test(cases, whose_parent_was_an_orphan_is_one);
	tcase_add_test(cases, declared_references_are_checked_too);
}

int main(void)
{
	Suite *suite = suite_create("sift");
	TCase *cases = tcase_create("sift");
	pg_server_start("check_sift");
	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, setup, teardown);
	add_tests(cases);
	add_duplicate_tests(cases);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	pg_server_stop();
	return failed != 0;
}
