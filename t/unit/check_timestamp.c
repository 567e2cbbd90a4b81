/* SPDX-License-Identifier: MIT */
/* Times and durations: what is understood, what is refused, what is written. */
#include "timestamp.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND INT64_C(1000000)
#define NOW    INT64_C(1646409307123456)
#define NONE   INT64_C(-1)

static int64_t rfc3339(const char *text)
{
	int64_t us = NONE;
	/* Of its own size, so that the sanitizer sees a read beyond it. */
	size_t len = strlen(text);
	char *copy = malloc(len + 1);
	char *exact = memcpy(copy + 1, text, len);
	bool ok = cqrs_time_from_rfc3339(exact, len, &us);
	free(copy);
	ck_assert(ok == (us != NONE));
	return us;
}

static int64_t epoch(int64_t n, enum cqrs_time_unit unit)
{
	int64_t us = NONE;
	ck_assert(cqrs_time_from_epoch(n, unit, &us) == (us != NONE));
	return us;
}

static int64_t parsed(const char *text)
{
	int64_t us = NONE;
	ck_assert(timestamp_parse(text, strlen(text), NOW, &us) == (us != NONE));
	return us;
}

static int64_t duration(const char *text)
{
	int64_t us = NONE;
	ck_assert(duration_parse(text, strlen(text), &us) == (us != NONE));
	return us;
}

static const char *formatted(int64_t us)
{
	static char text[40];
	ck_assert_uint_eq(timestamp_format(text, us), strlen(text));
	return text;
}

START_TEST(reads_rfc3339)
{
	ck_assert_int_eq(rfc3339("2022-03-04T15:55:07Z"), 1646409307 * SECOND);
	ck_assert_int_eq(rfc3339("2022-03-04t15:55:07z"), 1646409307 * SECOND);
	ck_assert_int_eq(rfc3339("2022-03-04T17:25:07+01:30"), 1646409307 * SECOND);
	ck_assert_int_eq(rfc3339("2022-03-04T07:55:07-08:00"), 1646409307 * SECOND);
	ck_assert_int_eq(rfc3339("2022-03-04T15:55:07-00:00"), 1646409307 * SECOND);
	ck_assert_int_eq(rfc3339("1970-01-01T00:00:00Z"), 0);
	ck_assert_int_eq(rfc3339("2200-12-31T23:59:59.999999Z"), CQRS_TIME_END - 1);
}
END_TEST

START_TEST(cuts_fractions_at_the_microsecond)
{
	ck_assert_int_eq(rfc3339("1970-01-01T00:00:01.5Z"), 1500000);
	ck_assert_int_eq(rfc3339("1970-01-01T00:00:00.000001Z"), 1);
	ck_assert_int_eq(rfc3339("1970-01-01T00:00:00.0000019999999999999999Z"), 1);
	ck_assert_int_eq(rfc3339("1970-01-01T00:00:00.Z"), NONE);
}
END_TEST

START_TEST(reads_a_leap_second_as_the_next_second)
{
	ck_assert_int_eq(rfc3339("2016-12-31T23:59:60Z"), rfc3339("2017-01-01T00:00:00Z"));
	ck_assert_int_eq(rfc3339("2016-12-31T23:59:60.5Z"), rfc3339("2017-01-01T00:00:00.5Z"));
	ck_assert_int_eq(rfc3339("2016-12-31T23:59:61Z"), NONE);
}
END_TEST

START_TEST(knows_the_calendar)
{
	ck_assert_int_ne(rfc3339("2024-02-29T00:00:00Z"), NONE);
	ck_assert_int_ne(rfc3339("2000-02-29T00:00:00Z"), NONE);
	ck_assert_int_eq(rfc3339("2023-02-29T00:00:00Z"), NONE);
	ck_assert_int_eq(rfc3339("2100-02-29T00:00:00Z"), NONE);
	ck_assert_int_eq(rfc3339("2022-04-31T00:00:00Z"), NONE);
	ck_assert_int_eq(rfc3339("2022-00-01T00:00:00Z"), NONE);
	ck_assert_int_eq(rfc3339("2022-13-01T00:00:00Z"), NONE);
	ck_assert_int_eq(rfc3339("2022-01-00T00:00:00Z"), NONE);
	ck_assert_int_eq(rfc3339("2022-01-01T24:00:00Z"), NONE);
	ck_assert_int_eq(rfc3339("2022-01-01T00:60:00Z"), NONE);
	ck_assert_int_eq(rfc3339("2022-01-01T00:00:00+24:00"), NONE);
	ck_assert_int_eq(rfc3339("2022-01-01T00:00:00+01:60"), NONE);
}
END_TEST

START_TEST(refuses_times_outside_of_1970_to_2200)
{
	ck_assert_int_eq(rfc3339("1969-12-31T23:59:59Z"), NONE);
	ck_assert_int_eq(rfc3339("1970-01-01T00:30:00+01:00"), NONE);
	ck_assert_int_eq(rfc3339("1969-12-31T23:30:00-01:00"), 1800 * SECOND);
	ck_assert_int_eq(rfc3339("2201-01-01T00:00:00Z"), NONE);
	ck_assert_int_eq(rfc3339("2200-12-31T23:59:60Z"), NONE);
	ck_assert_int_eq(rfc3339("0000-01-01T00:00:00Z"), NONE);
	ck_assert_int_eq(rfc3339("9999-12-31T23:59:59Z"), NONE);
}
END_TEST

START_TEST(refuses_what_is_nearly_rfc3339)
{
	static const char *const wrong[] = {"",
	                                    "2022-03-04",
	                                    "2022-03-04T15:55Z",
	                                    "2022-03-04T15:55:07",
	                                    "2022-03-04 15:55:07Z",
	                                    "2022-03-04T15:55:07Z ",
	                                    "22-03-04T15:55:07Z",
	                                    "2022-3-4T15:55:07Z",
	                                    "2022-03-04T15:55:07+0100",
	                                    "2022-03-04T15:55:07+1",
	                                    "2022-03-04T15:55:07 Z",
	                                    "2022-03-04T15:55:07+01:00Z",
	                                    "+022-03-04T15:55:07Z",
	                                    "2022/03/04T15:55:07Z",
	                                    "2022-03-04T15:55:07,5Z",
	                                    "2022-03-04T15:55:7Z",
	                                    "now",
	                                    "1646409307",
	                                    "2022-03-04T15:55:07 01:00"};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		ck_assert_msg(rfc3339(wrong[i]) == NONE, "%s", wrong[i]);
}
END_TEST

START_TEST(agrees_with_the_c_library_on_every_day)
{
	char text[40];
	for (int64_t day = 0; day < CQRS_TIME_END / SECOND / 86400; day++) {
		time_t seconds = (time_t)(day * 86400 + day % 86400);
		struct tm tm;
		strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &tm));
		ck_assert_int_eq(rfc3339(text), seconds * SECOND);
		ck_assert_str_eq(formatted(seconds * SECOND), text);
	}
}
END_TEST

START_TEST(tells_epoch_units_apart_by_magnitude)
{
	int64_t expected = 1646409307 * SECOND;
	ck_assert_int_eq(epoch(1646409307, CQRS_TIME_AUTO), expected);
	ck_assert_int_eq(epoch(1646409307123, CQRS_TIME_AUTO), expected + 123000);
	ck_assert_int_eq(epoch(1646409307123456, CQRS_TIME_AUTO), expected + 123456);
	ck_assert_int_eq(epoch(1646409307123456789, CQRS_TIME_AUTO), expected + 123456);
	ck_assert_int_eq(epoch(0, CQRS_TIME_AUTO), 0);
	/* The last second of the range, in each unit, and what lies behind it. */
	ck_assert_int_eq(epoch(7289654399, CQRS_TIME_AUTO), CQRS_TIME_END - SECOND);
	ck_assert_int_eq(epoch(7289654400, CQRS_TIME_AUTO), 7289654400 * 1000);
	ck_assert_int_eq(epoch(7289654399999, CQRS_TIME_AUTO), CQRS_TIME_END - 1000);
	ck_assert_int_eq(epoch(7289654400000, CQRS_TIME_AUTO), 7289654400000);
	ck_assert_int_eq(epoch(7289654399999999, CQRS_TIME_AUTO), CQRS_TIME_END - 1);
	ck_assert_int_eq(epoch(7289654400000000, CQRS_TIME_AUTO), 7289654400000);
	ck_assert_int_eq(epoch(7289654399999999999, CQRS_TIME_AUTO), CQRS_TIME_END - 1);
	ck_assert_int_eq(epoch(7289654400000000000, CQRS_TIME_AUTO), NONE);
	ck_assert_int_eq(epoch(INT64_MAX, CQRS_TIME_AUTO), NONE);
}
END_TEST

START_TEST(keeps_to_a_unit_that_is_given)
{
	ck_assert_int_eq(epoch(5, CQRS_TIME_S), 5 * SECOND);
	ck_assert_int_eq(epoch(5, CQRS_TIME_MS), 5000);
	ck_assert_int_eq(epoch(5, CQRS_TIME_US), 5);
	ck_assert_int_eq(epoch(5999, CQRS_TIME_NS), 5);
	ck_assert_int_eq(epoch(1646409307123, CQRS_TIME_S), NONE);
	ck_assert_int_eq(epoch(INT64_MAX, CQRS_TIME_S), NONE);
	for (enum cqrs_time_unit unit = CQRS_TIME_AUTO; unit <= CQRS_TIME_NS; unit++) {
		ck_assert_int_eq(epoch(-1, unit), NONE);
		ck_assert_int_eq(epoch(INT64_MIN, unit), NONE);
	}
}
END_TEST

START_TEST(understands_what_a_request_says)
{
	ck_assert_int_eq(parsed("2022-03-04T15:55:07Z"), 1646409307 * SECOND);
	ck_assert_int_eq(parsed("2022-03-04T16:55:07 01:00"), 1646409307 * SECOND);
	ck_assert_int_eq(parsed("1646409307"), 1646409307 * SECOND);
	ck_assert_int_eq(parsed("1646409307123"), 1646409307123000);
	ck_assert_int_eq(parsed("now"), NOW);
	ck_assert_int_eq(parsed("now-6h"), NOW - 6 * 3600 * SECOND);
	ck_assert_int_eq(parsed("now+15m"), NOW + 900 * SECOND);
	ck_assert_int_eq(parsed("now 15m"), NOW + 900 * SECOND);
	ck_assert_int_eq(parsed("now-30d"), NOW - 30 * 86400 * SECOND);
	ck_assert_int_eq(parsed("now+0s"), NOW);
}
END_TEST

START_TEST(refuses_what_a_request_cannot_mean)
{
	static const char *const wrong[] = {"",
	                                    "no",
	                                    "nowhere",
	                                    "now-",
	                                    "now-6",
	                                    "now6h",
	                                    "now--6h",
	                                    "now-6h ",
	                                    "now-100000d",
	                                    "now+106751991d",
	                                    "-1",
	                                    "1.5",
	                                    "1e9",
	                                    " 1646409307",
	                                    "99999999999999999999",
	                                    "2022-03-04",
	                                    "yesterday",
	                                    "NOW",
	                                    "9223372036854775807"};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		ck_assert_msg(parsed(wrong[i]) == NONE, "%s", wrong[i]);
}
END_TEST

START_TEST(reads_durations_of_every_unit)
{
	ck_assert_int_eq(duration("500us"), 500);
	ck_assert_int_eq(duration("20ms"), 20000);
	ck_assert_int_eq(duration("5s"), 5 * SECOND);
	ck_assert_int_eq(duration("30m"), 1800 * SECOND);
	ck_assert_int_eq(duration("12h"), 43200 * SECOND);
	ck_assert_int_eq(duration("1d"), 86400 * SECOND);
	ck_assert_int_eq(duration("0s"), 0);
	ck_assert_int_eq(duration("106751991d"), INT64_C(106751991) * 86400 * SECOND);
}
END_TEST

START_TEST(refuses_what_is_no_duration)
{
	static const char *const wrong[] = {"",
	                                    "5",
	                                    "s",
	                                    "5 s",
	                                    "5S",
	                                    "1.5s",
	                                    "-5s",
	                                    "+5s",
	                                    "5sec",
	                                    "1h30m",
	                                    "5w",
	                                    "5u",
	                                    " 5s",
	                                    "106751992d",
	                                    "9223372036854775808us",
	                                    "99999999999999999999s"};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		ck_assert_msg(duration(wrong[i]) == NONE, "%s", wrong[i]);
}
END_TEST

START_TEST(writes_as_many_digits_as_are_needed)
{
	ck_assert_str_eq(formatted(1646409307 * SECOND), "2022-03-04T15:55:07Z");
	ck_assert_str_eq(formatted(1646409307 * SECOND + 120000), "2022-03-04T15:55:07.120Z");
	ck_assert_str_eq(formatted(1646409307 * SECOND + 123456), "2022-03-04T15:55:07.123456Z");
	ck_assert_str_eq(formatted(1), "1970-01-01T00:00:00.000001Z");
	ck_assert_str_eq(formatted(0), "1970-01-01T00:00:00Z");
}
END_TEST

START_TEST(writes_any_time_there_is)
{
	ck_assert_str_eq(formatted(-1), "1969-12-31T23:59:59.999999Z");
	ck_assert_str_eq(formatted(-62167219200 * SECOND), "0000-01-01T00:00:00Z");
	ck_assert_str_eq(formatted(-62167219201 * SECOND), "-000001-12-31T23:59:59Z");
	ck_assert_str_eq(formatted(253402300799 * SECOND), "9999-12-31T23:59:59Z");
	ck_assert_str_eq(formatted(253402300800 * SECOND), "+010000-01-01T00:00:00Z");
	ck_assert_str_eq(formatted(INT64_MAX), "+294247-01-10T04:00:54.775807Z");
	ck_assert_str_eq(formatted(INT64_MIN), "-290308-12-21T19:59:05.224192Z");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("timestamp");
	TCase *tcase = tcase_create("timestamp");
	tcase_add_test(tcase, reads_rfc3339);
	tcase_add_test(tcase, cuts_fractions_at_the_microsecond);
	tcase_add_test(tcase, reads_a_leap_second_as_the_next_second);
	tcase_add_test(tcase, knows_the_calendar);
	tcase_add_test(tcase, refuses_times_outside_of_1970_to_2200);
	tcase_add_test(tcase, refuses_what_is_nearly_rfc3339);
	tcase_add_test(tcase, agrees_with_the_c_library_on_every_day);
	tcase_add_test(tcase, tells_epoch_units_apart_by_magnitude);
	tcase_add_test(tcase, keeps_to_a_unit_that_is_given);
	tcase_add_test(tcase, understands_what_a_request_says);
	tcase_add_test(tcase, refuses_what_a_request_cannot_mean);
	tcase_add_test(tcase, reads_durations_of_every_unit);
	tcase_add_test(tcase, refuses_what_is_no_duration);
	tcase_add_test(tcase, writes_as_many_digits_as_are_needed);
	tcase_add_test(tcase, writes_any_time_there_is);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
