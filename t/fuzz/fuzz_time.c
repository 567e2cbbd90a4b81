/* SPDX-License-Identifier: MIT */
/*
 * Times and durations as foreign text, and any number as a time: what is
 * accepted agrees with the C library's calendar and survives a round trip.
 */
#include "timestamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW INT64_C(1646409307123456)

static void must(bool condition, const char *what)
{
	if (!condition) {
		fprintf(stderr, "broken: %s\n", what);
		abort();
	}
}

/* An accepted RFC 3339 text, read again the lenient way by the C library. */
static void check_calendar(const char *text, int64_t us)
{
	struct tm tm = {.tm_isdst = 0};
	int hour = 0, minute = 0, used = 0;
	char sign = '+';
	must(sscanf(text, "%4d-%2d-%2d%*[Tt]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
	            &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) == 6,
	     "accepted without a date and a time");
	double fraction = text[used] == '.' ? strtod(text + used, NULL) : 0;
	const char *offset = text + used + strspn(text + used, ".0123456789");
	if (*offset != 'Z' && *offset != 'z')
		must(sscanf(offset, "%c%2d:%2d", &sign, &hour, &minute) == 3, "accepted offset");
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	int64_t seconds = timegm(&tm) - (sign == '-' ? -1 : 1) * (hour * 3600 + minute * 60);
	must(us / 1000000 == seconds, "the calendar of the C library says otherwise");
	must((double)(us % 1000000) <= fraction * 1e6 + 0.01 &&
	         (double)(us % 1000000) > fraction * 1e6 - 1.01,
	     "the fraction");
}

static void check_format(int64_t us)
{
	char text[40];
	int64_t again;
	size_t len = timestamp_format(text, us);
	must(len == strlen(text) && len < sizeof text, "the length");
	bool in_range = us >= CQRS_TIME_MIN && us < CQRS_TIME_END;
	must(cqrs_time_from_rfc3339(text, len, &again) == in_range, "what was written is refused");
	must(!in_range || again == us, "what was written reads differently");

	time_t seconds = us / 1000000 - (us % 1000000 < 0);
	struct tm tm;
	char expected[60];
	gmtime_r(&seconds, &tm);
	int year = tm.tm_year + 1900;
	snprintf(expected, sizeof expected,
	         year < 0 || year > 9999 ? "%+07d-%02d-%02dT%02d:%02d:%02d"
	                                 : "%04d-%02d-%02dT%02d:%02d:%02d",
	         year, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	must(strncmp(text, expected, strlen(expected)) == 0, "gmtime() says otherwise");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 200)
		return 0;
	/* One copy at its very size, so that reading beyond it is seen; one for sscanf(). */
	char *text = malloc(size ? size : 1), line[201];
	memcpy(text, data, size);
	memcpy(line, data, size);
	line[size] = '\0';
	int64_t us, same, span = -1;
	if (cqrs_time_from_rfc3339(text, size, &us)) {
		check_calendar(line, us);
		check_format(us);
		must(timestamp_parse(text, size, NOW, &same) && same == us, "the two parsers");
	}
	if (timestamp_parse(text, size, NOW, &us))
		must(us >= CQRS_TIME_MIN && us < CQRS_TIME_END, "out of range");
	if (duration_parse(text, size, &span))
		must(span >= 0, "a negative duration");
	if (size == sizeof us) {
		memcpy(&us, data, sizeof us);
		check_format(us);
		for (enum cqrs_time_unit unit = CQRS_TIME_AUTO; unit <= CQRS_TIME_NS; unit++)
			if (cqrs_time_from_epoch(us, unit, &same))
				must(same >= CQRS_TIME_MIN && same < CQRS_TIME_END, "epoch");
	}
	free(text);
	return 0;
}
