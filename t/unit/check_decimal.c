/* SPDX-License-Identifier: MIT */
/* Decimal text to doubles and back, both of them against the C library. */
#include "decimal.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 88172645463325252u;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static const char *text_of(double f)
{
	static char text[33];
	text[decimal_from_double(text, f)] = '\0';
	return text;
}

static const char *text_of_float(float f)
{
	static char text[33];
	text[decimal_from_float(text, f)] = '\0';
	return text;
}

/* Cuts a text without exponent, as the reader does. */
static double read_decimal(const char *text, int64_t exponent)
{
	struct decimal d = {.negative = *text == '-', .exponent = exponent};
	d.digits = text + d.negative;
	d.end = text + strlen(text);
	const char *point = strchr(text, '.');
	if (point)
		d.exponent -= d.end - point - 1;
	for (const char *p = d.digits; p < d.end; p++)
		if (*p != '.') {
			d.mantissa = d.mantissa * 10 + (uint64_t)(*p - '0');
			d.n_digits++;
		}
	return decimal_to_double(&d);
}

/* Bit by bit: 0.0 is not -0.0. */
static void assert_same(double a, double b)
{
	ck_assert_msg(memcmp(&a, &b, sizeof a) == 0, "%.17g is not %.17g", a, b);
}

START_TEST(writes_measured_numbers_as_people_do)
{
	ck_assert_str_eq(text_of(30), "30");
	ck_assert_str_eq(text_of(30.25), "30.25");
	ck_assert_str_eq(text_of(-4.5), "-4.5");
	ck_assert_str_eq(text_of(0.1), "0.1");
	ck_assert_str_eq(text_of(0.000001), "0.000001");
	ck_assert_str_eq(text_of(-0.05), "-0.05");
	ck_assert_str_eq(text_of(1000000), "1000000");
	ck_assert_str_eq(text_of(123456.654321), "123456.654321");
	ck_assert_str_eq(text_of(0), "0");
	ck_assert_str_eq(text_of(-0.0), "-0.0");
	ck_assert_str_eq(text_of(9007199254740991), "9007199254740991");
	ck_assert_str_eq(text_of(0.1 + 0.2), "0.30000000000000004");
}
END_TEST

START_TEST(writes_the_large_and_the_small_with_an_exponent)
{
	ck_assert_str_eq(text_of(1e22), "1e+22");
	ck_assert_str_eq(text_of(1e17), "1e+17");
	ck_assert_str_eq(text_of(1e16), "10000000000000000");
	ck_assert_str_eq(text_of(1.5e300), "1.5e+300");
	ck_assert_str_eq(text_of(-1.25e-7), "-1.25e-07");
	ck_assert_str_eq(text_of(0.0000123), "0.0000123");
	ck_assert_str_eq(text_of(DBL_MAX), "1.7976931348623157e+308");
	ck_assert_str_eq(text_of(DBL_TRUE_MIN), "4.94065645841247e-324");
}
END_TEST

START_TEST(has_no_text_for_what_is_not_finite)
{
	char text[32];
	ck_assert_uint_eq(decimal_from_double(text, NAN), 0);
	ck_assert_uint_eq(decimal_from_double(text, INFINITY), 0);
	ck_assert_uint_eq(decimal_from_double(text, -INFINITY), 0);
	ck_assert_uint_eq(decimal_from_float(text, NAN), 0);
}
END_TEST

START_TEST(writes_what_reads_back_as_the_same_number)
{
	for (int i = 0; i < 300000; i++) {
		uint64_t bits = next_random();
		double f;
		memcpy(&f, &bits, sizeof f);
		if (isfinite(f))
			assert_same(strtod(text_of(f), NULL), f);
		/* And such as sensors send. */
		f = (double)(int64_t)(bits >> 40) / (double[]){1, 10, 1000, 1e5, 1e6, 1e7}[i % 6];
		f = i & 1 ? f : -f;
		assert_same(strtod(text_of(f), NULL), f);
	}
}
END_TEST

START_TEST(writes_short_decimals_as_they_were)
{
	for (int i = 0; i < 300000; i++) {
		char given[40];
		int k = 1 + i % 6;
		/* A last digit that is not 0, so that nothing is there to be dropped. */
		uint64_t n = next_random() % 100000000 * 10 + 1 + next_random() % 9;
		uint64_t unit = (uint64_t[]){1, 10, 100, 1000, 10000, 100000, 1000000}[k];
		snprintf(given, sizeof given, "%llu.%0*llu", (unsigned long long)(n / unit), k,
		         (unsigned long long)(n % unit));
		ck_assert_str_eq(text_of(strtod(given, NULL)), given);
	}
}
END_TEST

/* How many digits there are, from the first to the last that are not 0. */
static int significant(const char *text)
{
	int n = 0, zeros = 0;
	for (; *text && *text != 'e'; text++) {
		if (*text < '0' || *text > '9' || (!n && *text == '0'))
			continue;
		zeros = *text == '0' ? zeros + 1 : 0;
		n++;
	}
	return n - zeros;
}

START_TEST(writes_the_shortest_and_of_those_the_nearest)
{
	ck_assert_str_eq(text_of(1.0 / 3), "0.3333333333333333");
	ck_assert_str_eq(text_of(136.0 / 7), "19.428571428571427");
	ck_assert_str_eq(text_of(9007199254740994), "9007199254740994");
	ck_assert_str_eq(text_of(0x1p-20), "9.5367431640625e-07");
	for (int i = 0; i < 50000; i++) {
		uint64_t fraction = i % 50 ? next_random() >> 12 : 0;
		uint64_t bits = fraction | (1023 - 36 + next_random() % 89) << 52;
		char expected[40], given[33];
		double f;
		int precision = 0;
		memcpy(&f, &bits, sizeof f);
		do
			snprintf(expected, sizeof expected, "%.*e", precision, f);
		while (strtod(expected, NULL) != f && ++precision < 17);
		strcpy(given, text_of(f));
		ck_assert_msg(significant(given) <= precision + 1, "%s, not %s", given, expected);
		if (significant(given) == significant(expected))
			ck_assert_msg(strtold(given, NULL) == strtold(expected, NULL), "%s, not %s",
			              given, expected);
	}
}
END_TEST

START_TEST(writes_floats_as_floats)
{
	ck_assert_str_eq(text_of_float(30.1f), "30.1");
	ck_assert_str_eq(text_of_float(-0.3f), "-0.3");
	ck_assert_str_eq(text_of_float(16777216.0f), "16777216");
	ck_assert_str_eq(text_of_float(0.0f), "0");
	ck_assert_str_eq(text_of_float(-0.0f), "-0.0");
	ck_assert_str_eq(text_of_float(1e-20f), "1e-20");
	for (int i = 0; i < 100000; i++) {
		uint32_t bits = (uint32_t)next_random();
		float f;
		memcpy(&f, &bits, sizeof f);
		if (isfinite(f))
			ck_assert_msg(strtof(text_of_float(f), NULL) == f, "%.9g", (double)f);
	}
}
END_TEST

START_TEST(writes_all_integers)
{
	char text[25];
	text[decimal_from_integer(text, 0)] = '\0';
	ck_assert_str_eq(text, "0");
	text[decimal_from_integer(text, INT64_MAX)] = '\0';
	ck_assert_str_eq(text, "9223372036854775807");
	text[decimal_from_integer(text, INT64_MIN)] = '\0';
	ck_assert_str_eq(text, "-9223372036854775808");
}
END_TEST

START_TEST(reads_as_strtod_does)
{
	for (int i = 0; i < 300000; i++) {
		char text[80], all[100];
		int exponent = (int)(next_random() % 700) - 350;
		int point = (int)(next_random() % 18);
		snprintf(text, sizeof text, "%s%0*llu.%llu", i & 1 ? "-" : "", point,
		         (unsigned long long)(next_random() >> (next_random() % 64)),
		         (unsigned long long)(next_random() >> (next_random() % 64)));
		if (i % 3 == 0)
			exponent /= 16;
		snprintf(all, sizeof all, "%se%d", text, exponent);
		assert_same(read_decimal(text, exponent), strtod(all, NULL));
	}
}
END_TEST

START_TEST(rounds_half_way_points_to_even_at_any_length)
{
	/* The middle between 1 and the next double, then just above and below it. */
	const char *middle = "1.00000000000000011102230246251565404236316680908203125";
	char text[2000];
	assert_same(read_decimal(middle, 0), 1.0);
	snprintf(text, sizeof text, "%s%01500d1", middle, 0);
	assert_same(read_decimal(text, 0), nextafter(1.0, 2));
	snprintf(text, sizeof text, "%.*s4%01500d", (int)strlen(middle) - 1, middle, 9);
	assert_same(read_decimal(text, 0), 1.0);

	/* The longest of them: between the largest subnormal and the smallest normal. */
	snprintf(text, sizeof text, "%.1100f", DBL_MIN);
	assert_same(read_decimal(text, 0), DBL_MIN);
	assert_same(read_decimal("9007199254740993", 0), 9007199254740992.0);
	assert_same(read_decimal("9007199254740993.00000000000000000001", 0), 9007199254740994.0);
}
END_TEST

START_TEST(reads_zeros_and_extremes)
{
	assert_same(read_decimal("0.000", 1000000000000), 0.0);
	assert_same(read_decimal("-0", 0), -0.0);
	assert_same(read_decimal("1", 1000000000000), INFINITY);
	assert_same(read_decimal("-1", -1000000000000), -0.0);
	char text[3000];
	snprintf(text, sizeof text, "0.%01000d5", 0);
	assert_same(read_decimal(text, 1001), 5.0);
	snprintf(text, sizeof text, "%d%01000d", 25, 0);
	assert_same(read_decimal(text, -1001), 2.5);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("decimal");
	TCase *tcase = tcase_create("decimal");
	tcase_add_test(tcase, writes_measured_numbers_as_people_do);
	tcase_add_test(tcase, writes_the_large_and_the_small_with_an_exponent);
	tcase_add_test(tcase, has_no_text_for_what_is_not_finite);
	tcase_add_test(tcase, writes_what_reads_back_as_the_same_number);
	tcase_add_test(tcase, writes_short_decimals_as_they_were);
	tcase_add_test(tcase, writes_the_shortest_and_of_those_the_nearest);
	tcase_add_test(tcase, writes_floats_as_floats);
	tcase_add_test(tcase, writes_all_integers);
	tcase_add_test(tcase, reads_as_strtod_does);
	tcase_add_test(tcase, rounds_half_way_points_to_even_at_any_length);
	tcase_add_test(tcase, reads_zeros_and_extremes);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
