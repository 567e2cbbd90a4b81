/* SPDX-License-Identifier: MIT */
/* Every type that PostgreSQL sends, as JSON and as CSV. */
#include "row_writer.h"

#include "rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct row_writer writer;
static struct buf out, error;

/* One field as JSON; "text" and its CSV in `csv`. */
static char csv[4096];

static const char *field(Oid type, const void *data, size_t len, enum row_time time)
{
	static const char *const names[] = {"a"};
	static char json[4096];
	PGresult *rows = rows_new(1, names, &type);
	rows_set(rows, 0, 0, data, len);
	buf_clear(&error);
	ck_assert_msg(row_writer_init(&writer, rows, time, &error), "%s", buf_str(&error));
	buf_clear(&out);
	row_writer_csv(&writer, rows, 0, &out);
	ck_assert(!memcmp(out.data + out.len - 2, "\r\n", 2));
	snprintf(csv, sizeof csv, "%.*s", (int)out.len - 2, out.data);
	buf_clear(&out);
	row_writer_json(&writer, rows, 0, &out);
	ck_assert(!strncmp(out.data, "{\"a\":", 5) && out.data[out.len - 1] == '}');
	snprintf(json, sizeof json, "%.*s", (int)out.len - 6, out.data + 5);
	PQclear(rows);
	return json;
}

static const char *value(struct cqrs_value v)
{
	static struct buf b;
	buf_clear(&b);
	ck_assert(pg_value_encode(&b, &v));
	return field(pg_value_oid(v.type), buf_str(&b), b.len, ROW_TIME_RFC3339);
}

static const char *hex(Oid type, const char *digits)
{
	char bytes[512];
	size_t n = strlen(digits) / 2;
	for (size_t i = 0; i < n; i++)
		sscanf(digits + 2 * i, "%2hhx", (unsigned char *)&bytes[i]);
	return field(type, bytes, n, ROW_TIME_RFC3339);
}

START_TEST(writes_numbers_without_loss)
{
	ck_assert_str_eq(value(cqrs_int8(INT64_MIN)), "-9223372036854775808");
	ck_assert_str_eq(value(cqrs_int4(-1)), "-1");
	ck_assert_str_eq(value((struct cqrs_value){.type = CQRS_INT2, .i = -300}), "-300");
	ck_assert_str_eq(value(cqrs_float8(0.1)), "0.1");
	ck_assert_str_eq(value(cqrs_float8(30)), "30");
	ck_assert_str_eq(value((struct cqrs_value){.type = CQRS_FLOAT4, .f = (double)0.1f}), "0.1");
	ck_assert_str_eq(value(cqrs_float8(NAN)), "null");
	ck_assert_str_eq(csv, "");
	ck_assert_str_eq(value(cqrs_float8(-INFINITY)), "null");
	ck_assert_str_eq(value(cqrs_bool(true)), "true");
	ck_assert_str_eq(csv, "true");
	ck_assert_str_eq(value(cqrs_bool(false)), "false");
	ck_assert_str_eq(hex(PG_OID_OID, "ffffffff"), "4294967295");
}
END_TEST

START_TEST(brings_numeric_back_as_it_was_written)
{
	static const char *const same[] = {"0",
	                                   "0.0",
	                                   "1",
	                                   "-1",
	                                   "12.99",
	                                   "0.00001234",
	                                   "12000000",
	                                   "123456789.000100",
	                                   "0.0015",
	                                   "-0.1",
	                                   "10000",
	                                   "9999.9999",
	                                   "0.0000000",
	                                   "100000000000000000000",
	                                   "99999999999999999999999999.000000000000000001",
	                                   "0.00000000000000000001",
	                                   "-12.500"};
	for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
		ck_assert_str_eq(value(cqrs_bytes(CQRS_NUMERIC, same[i], strlen(same[i]))),
		                 same[i]);
		ck_assert_str_eq(csv, same[i]);
	}
	ck_assert_str_eq(value(cqrs_bytes(CQRS_NUMERIC, "1e5", 3)), "100000");
	ck_assert_str_eq(hex(PG_OID_NUMERIC, "00000000c0000000"), "null");     /* NaN */
	ck_assert_str_eq(hex(PG_OID_NUMERIC, "00000000d0000000"), "null");     /* Infinity */
	ck_assert_str_eq(hex(PG_OID_NUMERIC, "0002000000000002000c"), "null"); /* cut short */
}
END_TEST

static const char *timestamp_as(int64_t us, enum row_time time)
{
	uint64_t bytes = __builtin_bswap64((uint64_t)(us - PG_EPOCH_US));
	return field(PG_OID_TIMESTAMPTZ, &bytes, 8, time);
}

START_TEST(writes_times_as_asked)
{
	ck_assert_str_eq(timestamp_as(1646409307000000, ROW_TIME_RFC3339),
	                 "\"2022-03-04T15:55:07Z\"");
	ck_assert_str_eq(csv, "2022-03-04T15:55:07Z");
	ck_assert_str_eq(timestamp_as(1646409307000000, ROW_TIME_UNIX), "1646409307");
	ck_assert_str_eq(csv, "1646409307");
	ck_assert_str_eq(timestamp_as(1646409307000001, ROW_TIME_UNIX), "1646409307.000001");
	ck_assert_str_eq(timestamp_as(1646409307012000, ROW_TIME_UNIX_MS), "1646409307012");
	ck_assert_str_eq(timestamp_as(1646409307012034, ROW_TIME_UNIX_MS), "1646409307012.034");
	ck_assert_str_eq(timestamp_as(-500000, ROW_TIME_UNIX), "-0.500000");
	ck_assert_str_eq(timestamp_as(-1500000, ROW_TIME_UNIX), "-1.500000");
	ck_assert_str_eq(hex(PG_OID_TIMESTAMPTZ, "7fffffffffffffff"), "null"); /* infinity */
	ck_assert_str_eq(hex(PG_OID_TIMESTAMPTZ, "8000000000000000"), "null");
	ck_assert_str_eq(hex(PG_OID_TIMESTAMP, "00027c654eae2cc1"),
	                 "\"2022-03-04T15:55:07.000001\"");
	ck_assert_str_eq(hex(PG_OID_DATE, "00001fa2"), "\"2022-03-04\"");
	ck_assert_str_eq(hex(PG_OID_DATE, "ffffffff"), "\"1999-12-31\"");
	ck_assert_str_eq(hex(PG_OID_DATE, "7fffffff"), "null");
}
END_TEST

START_TEST(quotes_text_where_it_must)
{
	ck_assert_str_eq(value(cqrs_text("floor")), "\"floor\"");
	ck_assert_str_eq(csv, "floor");
	ck_assert_str_eq(value(cqrs_text("a \"b\", c\nd\\")), "\"a \\\"b\\\", c\\nd\\\\\"");
	ck_assert_str_eq(csv, "\"a \"\"b\"\", c\nd\\\"");
	ck_assert_str_eq(value(cqrs_text("")), "\"\"");
	ck_assert_str_eq(csv, "\"\"");
	ck_assert_str_eq(field(PG_OID_TEXT, NULL, 0, ROW_TIME_RFC3339), "null");
	ck_assert_str_eq(csv, "");
	ck_assert_str_eq(value(cqrs_text("\r")), "\"\\r\"");
	ck_assert_str_eq(csv, "\"\r\"");
}
END_TEST

START_TEST(writes_the_other_types)
{
	ck_assert_str_eq(value(cqrs_bytes(CQRS_UUID, "0188F3A2-7e5b-4c1d-9a3e-0123456789ab", 36)),
	                 "\"0188f3a2-7e5b-4c1d-9a3e-0123456789ab\"");
	ck_assert_str_eq(value(cqrs_bytes(CQRS_BYTEA, "\0\xff", 2)), "\"\\\\x00ff\"");
	ck_assert_str_eq(csv, "\\x00ff");
	ck_assert_str_eq(value(cqrs_bytes(CQRS_JSONB, "{\"a\": [1]}", 10)), "{\"a\": [1]}");
	ck_assert_str_eq(csv, "\"{\"\"a\"\": [1]}\"");
	ck_assert_str_eq(hex(PG_OID_JSON, "7b7d"), "{}");
	ck_assert_str_eq(csv, "{}");
}
END_TEST

START_TEST(writes_arrays)
{
	struct cqrs_value ints[] = {cqrs_int4(1), cqrs_null(CQRS_INT4), cqrs_int4(-3)};
	struct cqrs_value texts[] = {cqrs_text("a\""), cqrs_text("")};
	struct cqrs_value v = {.type = CQRS_INT4_ARRAY, .a = {ints, 3}};
	ck_assert_str_eq(value(v), "[1,null,-3]");
	ck_assert_str_eq(csv, "\"[1,null,-3]\"");
	v.a.n = 0;
	ck_assert_str_eq(value(v), "[]");
	v = (struct cqrs_value){.type = CQRS_TEXT_ARRAY, .a = {texts, 2}};
	ck_assert_str_eq(value(v), "[\"a\\\"\",\"\"]");
	/* '{{1,2},{3,4}}'::int4[] */
	ck_assert_str_eq(hex(PG_OID_INT4_ARRAY,
	                     "000000020000000000000017000000020000000100000002000000010000000400"
	                     "000001000000040000000200000004000000030000000400000004"),
	                 "[[1,2],[3,4]]");
	ck_assert_str_eq(hex(PG_OID_INT4_ARRAY, "0000000100000000000000170000000200000001"),
	                 "null");
	ck_assert_str_eq(hex(PG_OID_INT4_ARRAY, "00000001"), "null");
}
END_TEST

START_TEST(writes_no_array_that_would_not_be_json)
{
	/* Of dates, which need quotes. */
	ck_assert_str_eq(
	    hex(PG_OID_INT4_ARRAY, "00000001000000000000043a00000001000000010000000400001f40"),
	    "null");
	/* A billion times nothing. */
	ck_assert_str_eq(hex(PG_OID_INT4_ARRAY, "000000020000000000000017400000000000000100000000"
	                                        "00000001"),
	                 "null");
}
END_TEST

START_TEST(writes_whole_rows)
{
	static const char *const names[] = {"time", "sensor \"id\"", "a,b"};
	static const Oid types[] = {PG_OID_TIMESTAMPTZ, PG_OID_INT4, PG_OID_VARCHAR};
	PGresult *rows = rows_new(3, names, types);
	rows_put(rows, 0, 0, cqrs_timestamptz(0));
	rows_put(rows, 0, 1, cqrs_int4(1));
	rows_put(rows, 0, 2, cqrs_null(CQRS_TEXT));
	ck_assert(row_writer_init(&writer, rows, ROW_TIME_RFC3339, &error));
	buf_clear(&out);
	row_writer_json(&writer, rows, 0, &out);
	ck_assert_str_eq(buf_str(&out),
	                 "{\"time\":\"1970-01-01T00:00:00Z\",\"sensor \\\"id\\\"\":1,"
	                 "\"a,b\":null}");
	buf_clear(&out);
	row_writer_csv_header(rows, &out);
	row_writer_csv(&writer, rows, 0, &out);
	ck_assert_str_eq(buf_str(&out), "time,\"sensor \"\"id\"\"\",\"a,b\"\r\n"
	                                "1970-01-01T00:00:00Z,1,\r\n");
	PQclear(rows);
}
END_TEST

START_TEST(says_what_to_do_about_an_unknown_type)
{
	static const char *const names[] = {"where"};
	static const Oid types[] = {600}; /* point */
	PGresult *rows = rows_new(1, names, types);
	buf_clear(&error);
	ck_assert(!row_writer_init(&writer, rows, ROW_TIME_RFC3339, &error));
	ck_assert_str_eq(buf_str(&error), "column \"where\" has a type that cannot be written (oid "
	                                  "600): cast it in the statement, as in where::text");
	PQclear(rows);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("row_writer");
	TCase *tc = tcase_create("row_writer");
	tcase_add_test(tc, writes_numbers_without_loss);
	tcase_add_test(tc, brings_numeric_back_as_it_was_written);
	tcase_add_test(tc, writes_times_as_asked);
	tcase_add_test(tc, quotes_text_where_it_must);
	tcase_add_test(tc, writes_the_other_types);
	tcase_add_test(tc, writes_arrays);
	tcase_add_test(tc, writes_no_array_that_would_not_be_json);
	tcase_add_test(tc, writes_whole_rows);
	tcase_add_test(tc, says_what_to_do_about_an_unknown_type);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
