/* SPDX-License-Identifier: MIT */
/* Values against the bytes that PostgreSQL 15's own send functions give. */
#include "pg_value.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct buf b = BUF_INIT;

static const char *hex(struct cqrs_value v)
{
	static char text[4096];
	buf_clear(&b);
	buf_puts(&b, "x"); /* a value is appended, whatever stands there */
	if (!pg_value_encode(&b, &v)) {
		ck_assert_uint_eq(b.len, 1);
		return "refused";
	}
	ck_assert(!b.failed);
	for (size_t i = 1; i < b.len; i++)
		snprintf(text + 2 * (i - 1), 3, "%02x", (unsigned char)b.data[i]);
	text[2 * (b.len - 1)] = '\0';
	return text;
}

static struct cqrs_value text_of(enum cqrs_type type, const char *s)
{
	return cqrs_bytes(type, s, strlen(s));
}

/* select x, encode(numeric_send(x::numeric), 'hex') */
static const struct {
	const char *text, *hex;
} numerics[] = {
    {"0", "0000000000000000"},
    {"0.0", "0000000000000001"},
    {"-0", "0000000000000000"},
    {"1", "00010000000000000001"},
    {"-1", "00010000400000000001"},
    {"12.99", "0002000000000002000c26ac"},
    {"0.00001234", "0001fffe0000000804d2"},
    {"12000000", "000100010000000004b0"},
    {"123456789.000100", "0004000200000006000109291a850001"},
    {"1e5", "0001000100000000000a"},
    {"1.5e-3", "0001ffff00000004000f"},
    {"-0.1", "0001ffff4000000103e8"},
    {"10000", "00010001000000000001"},
    {"9999.9999", "0002000000000004270f270f"},
    {"0.0000000", "0000000000000007"},
    {"100000000000000000000", "00010005000000000001"},
    {"-00012.500", "0002000040000003000c1388"},
    {"1e-20", "0001fffb000000140001"},
    {"12345.6e2", "0002000100000000007b11d0"},
};

START_TEST(writes_numeric_as_postgresql_does)
{
	ck_assert_str_eq(hex(text_of(CQRS_NUMERIC, numerics[_i].text)), numerics[_i].hex);
}
END_TEST

START_TEST(refuses_what_is_no_number)
{
	static const char *const bad[] = {"",    ".",    "-",  "1e",   "1e+", "1x",     "1..2",
	                                  "NaN", "1e5.", " 1", "0x10", "+-1", "1e2000", "1e-2000"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(!strcmp(hex(text_of(CQRS_NUMERIC, bad[i])), "refused"), "%s", bad[i]);
	char digits[1200];
	memset(digits, '7', sizeof digits);
	ck_assert_str_eq(hex(cqrs_bytes(CQRS_NUMERIC, digits, 1001)), "refused");
	ck_assert_str_ne(hex(cqrs_bytes(CQRS_NUMERIC, digits, 1000)), "refused");
}
END_TEST

START_TEST(writes_integers_big_endian)
{
	struct cqrs_value small = {.type = CQRS_INT2, .i = -2};
	ck_assert_str_eq(hex(small), "fffe");
	ck_assert_str_eq(hex(cqrs_int4(7)), "00000007");
	ck_assert_str_eq(hex(cqrs_int8(INT64_MIN)), "8000000000000000");
	ck_assert_str_eq(hex(cqrs_bool(true)), "01");
}
END_TEST

START_TEST(refuses_integers_out_of_range)
{
	struct cqrs_value v = {.type = CQRS_INT2, .i = 32768};
	ck_assert_str_eq(hex(v), "refused");
	v = (struct cqrs_value){.type = CQRS_INT4, .i = INT64_C(-2147483649)};
	ck_assert_str_eq(hex(v), "refused");
	v.i++;
	ck_assert_str_eq(hex(v), "80000000");
}
END_TEST

START_TEST(writes_floats)
{
	struct cqrs_value single = {.type = CQRS_FLOAT4, .f = 1.5};
	ck_assert_str_eq(hex(single), "3fc00000");
	ck_assert_str_eq(hex(cqrs_float8(-0.1)), "bfb999999999999a");
	single.f = 1e300;
	ck_assert_str_eq(hex(single), "refused");
	single.f = -INFINITY;
	ck_assert_str_eq(hex(single), "ff800000");
}
END_TEST

START_TEST(counts_time_from_2000)
{
	ck_assert_str_eq(hex(cqrs_timestamptz(1646409307000001)), "00027c654eae2cc1");
	ck_assert_str_eq(hex(cqrs_timestamptz(PG_EPOCH_US)), "0000000000000000");
	ck_assert_str_eq(hex(cqrs_timestamptz(INT64_MIN)), "refused");
}
END_TEST

START_TEST(writes_uuid_and_jsonb)
{
	ck_assert_str_eq(hex(text_of(CQRS_UUID, "0188f3a2-7e5b-4c1d-9a3e-0123456789AB")),
	                 "0188f3a27e5b4c1d9a3e0123456789ab");
	ck_assert_str_eq(hex(text_of(CQRS_JSONB, "{\"a\": 1}")), "017b2261223a20317d");
	static const char *const bad[] = {
	    "", "0188f3a27e5b4c1d9a3e0123456789ab", "0188f3a2-7e5b-4c1d-9a3e-0123456789ag",
	    "0188f3a2-7e5b-4c1d-9a3e0-123456789ab", "0188f3a2-7e5b-4c1d-9a3e-0123456789ab0"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_str_eq(hex(text_of(CQRS_UUID, bad[i])), "refused");
}
END_TEST

START_TEST(writes_arrays)
{
	struct cqrs_value ints[] = {cqrs_int4(1), cqrs_int4(-2), cqrs_null(CQRS_INT4)};
	struct cqrs_value texts[] = {cqrs_text("a"), cqrs_text("é")};
	struct cqrs_value v = {.type = CQRS_INT4_ARRAY, .a = {ints, 3}};
	ck_assert_str_eq(hex(v), "00000001000000010000001700000003000000010000000400000001"
	                         "00000004fffffffeffffffff");
	v.a.n = 0;
	ck_assert_str_eq(hex(v), "000000000000000000000017");
	v = (struct cqrs_value){.type = CQRS_TEXT_ARRAY, .a = {texts, 2}};
	ck_assert_str_eq(hex(v), "0000000100000000000000190000000200000001000000016100000002c3a9");
	texts[1] = cqrs_bytes(CQRS_TEXT, "\xff", 1);
	ck_assert_str_eq(hex(v), "refused");
}
END_TEST

START_TEST(takes_only_utf8_without_nul_as_text)
{
	static const struct {
		const char *s;
		size_t len;
	} bad[] = {
	    {"\0", 1},
	    {"0123456\0", 8},
	    {"abcdefgh\0abcdefg", 16},
	    {"\x80", 1},
	    {"\xc0\x80", 2},
	    {"\xc3", 1},
	    {"\xc3(", 2},
	    {"\xe0\x80\x80", 3},
	    {"\xed\xa0\x80", 3},
	    {"\xf0\x80\x80\x80", 4},
	    {"\xf4\x90\x80\x80", 4},
	    {"\xf5\x80\x80\x80", 4},
	    {"\xe2\x82", 2},
	    {"01234567\xff", 9},
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_str_eq(hex(cqrs_bytes(CQRS_TEXT, bad[i].s, bad[i].len)), "refused");
	ck_assert_str_eq(hex(cqrs_text("")), "");
	ck_assert_str_eq(hex(cqrs_text("é€𝄞\x7f")), "c3a9e282acf09d849e7f");
	ck_assert(pg_value_is_text("a plain text of more than eight bytes", 37));
	ck_assert_str_eq(hex(cqrs_bytes(CQRS_BYTEA, "\0\xff", 2)), "00ff");
}
END_TEST

START_TEST(knows_the_oid_of_every_type)
{
	ck_assert_uint_eq(pg_value_oid(CQRS_BOOL), 16);
	ck_assert_uint_eq(pg_value_oid(CQRS_NUMERIC), 1700);
	ck_assert_uint_eq(pg_value_oid(CQRS_TIMESTAMPTZ), 1184);
	ck_assert_uint_eq(pg_value_oid(CQRS_TEXT_ARRAY), 1009);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pg_value");
	TCase *tc = tcase_create("pg_value");
	tcase_add_loop_test(tc, writes_numeric_as_postgresql_does, 0,
	                    (int)(sizeof numerics / sizeof *numerics));
	tcase_add_test(tc, refuses_what_is_no_number);
	tcase_add_test(tc, writes_integers_big_endian);
	tcase_add_test(tc, refuses_integers_out_of_range);
	tcase_add_test(tc, writes_floats);
	tcase_add_test(tc, counts_time_from_2000);
	tcase_add_test(tc, writes_uuid_and_jsonb);
	tcase_add_test(tc, writes_arrays);
	tcase_add_test(tc, takes_only_utf8_without_nul_as_text);
	tcase_add_test(tc, knows_the_oid_of_every_type);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
