/* SPDX-License-Identifier: MIT */
/* Points in time and spans of time, from text and to text. */
#include "timestamp.h"

#include <string.h>

#define SECOND INT64_C(1000000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static const int64_t us_per_unit[] = {
    [CQRS_TIME_S] = SECOND,
    [CQRS_TIME_MS] = 1000,
    [CQRS_TIME_US] = 1,
};

static bool in_range(int64_t us)
{
	return us >= CQRS_TIME_MIN && us < CQRS_TIME_END;
}

/* ---- epoch numbers ---- */

/*
 * Each unit reaches from where the one before it passes the year 2200, so that
 * whatever reads as seconds within the range is seconds.  In the other units
 * the same number would mean a time before 1970-03-26, and only that is lost.
 */
static enum cqrs_time_unit unit_by_magnitude(int64_t n)
{
	if (n < CQRS_TIME_END / SECOND)
		return CQRS_TIME_S;
	if (n < CQRS_TIME_END / 1000)
		return CQRS_TIME_MS;
	return n < CQRS_TIME_END ? CQRS_TIME_US : CQRS_TIME_NS;
}

bool cqrs_time_from_epoch(int64_t n, enum cqrs_time_unit unit, int64_t *us)
{
	int64_t at;
	if (n < 0)
		return false;
	if (unit == CQRS_TIME_AUTO)
		unit = unit_by_magnitude(n);
	if (unit == CQRS_TIME_NS)
		at = n / 1000;
	else if (__builtin_mul_overflow(n, us_per_unit[unit], &at))
		return false;
	if (!in_range(at))
		return false;
	*us = at;
	return true;
}

/* ---- the calendar ---- */

static bool is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days of the year before each month; the second row is for leap years. */
static const short days_before[2][13] = {
    {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365},
    {0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335, 366},
};

/* Days from 0000-01-01 to the first day of a year from 0 on (Gregorian throughout). */
static int64_t days_before_year(int64_t year)
{
	/* Leap years before it: the year 0 is one itself. */
	int64_t last = year - 1;
	return year * 365 + (year ? last / 4 - last / 100 + last / 400 + 1 : 0);
}

#define DAYS_TO_1970 719528
#define CYCLE_YEARS  400
#define CYCLE_DAYS   146097

/* ---- reading RFC 3339 ---- */

/* What is left of a text that is being read. */
struct rest {
	const char *p, *end;
};

/* Exactly `n` digits; -1 if they are not there. */
static int take_digits(struct rest *in, int n)
{
	int value = 0;
	if (in->end - in->p < n)
		return -1;
	for (; n; n--, in->p++) {
		if (*in->p < '0' || *in->p > '9')
			return -1;
		value = value * 10 + (*in->p - '0');
	}
	return value;
}

/* One of the bytes in `any`, which is then returned; 0 if there is another one. */
static char take_one(struct rest *in, const char *any)
{
	if (in->p == in->end || !*in->p || !strchr(any, *in->p))
		return 0;
	return *in->p++;
}

static bool take_date(struct rest *in, int64_t *days)
{
	int year = take_digits(in, 4);
	if (year < 0 || !take_one(in, "-"))
		return false;
	int month = take_digits(in, 2);
	if (month < 1 || month > 12 || !take_one(in, "-"))
		return false;
	const short *before = days_before[is_leap(year)];
	int day = take_digits(in, 2);
	if (day < 1 || day > before[month] - before[month - 1])
		return false;
	*days = days_before_year(year) - DAYS_TO_1970 + before[month - 1] + day - 1;
	return true;
}

/* The digits behind the point; what is finer than a microsecond is cut off. */
static bool take_fraction(struct rest *in, int64_t *us)
{
	int64_t unit = SECOND;
	const char *begin = in->p;
	for (*us = 0; in->p < in->end && *in->p >= '0' && *in->p <= '9'; in->p++) {
		unit /= 10;
		*us += unit * (*in->p - '0');
	}
	return in->p > begin;
}

/*
 * Second 60, which RFC 3339 allows for leap seconds, is the first one of the
 * next minute: the count of microseconds has no leap seconds, and PostgreSQL
 * reads it the same way.
 */
static bool take_time(struct rest *in, int64_t *us)
{
	int64_t fraction = 0;
	int hour = take_digits(in, 2);
	if (hour < 0 || hour > 23 || !take_one(in, ":"))
		return false;
	int minute = take_digits(in, 2);
	if (minute < 0 || minute > 59 || !take_one(in, ":"))
		return false;
	int second = take_digits(in, 2);
	if (second < 0 || second > 60)
		return false;
	if (take_one(in, ".") && !take_fraction(in, &fraction))
		return false;
	*us = hour * HOUR + minute * MINUTE + second * SECOND + fraction;
	return true;
}

/* `signs` are the bytes that may begin a numeric offset. */
static bool take_offset(struct rest *in, const char *signs, int64_t *us)
{
	*us = 0;
	if (take_one(in, "Zz"))
		return true;
	char sign = take_one(in, signs);
	if (!sign)
		return false;
	int hour = take_digits(in, 2);
	if (hour < 0 || hour > 23 || !take_one(in, ":"))
		return false;
	int minute = take_digits(in, 2);
	if (minute < 0 || minute > 59)
		return false;
	*us = hour * HOUR + minute * MINUTE;
	if (sign == '-')
		*us = -*us;
	return true;
}

static bool parse_rfc3339(const char *text, size_t len, const char *signs, int64_t *us)
{
	struct rest in = {text, text + len};
	int64_t days, time, offset;
	if (!take_date(&in, &days) || !take_one(&in, "Tt") || !take_time(&in, &time) ||
	    !take_offset(&in, signs, &offset) || in.p != in.end)
		return false;
	int64_t at = days * DAY + time - offset;
	if (!in_range(at))
		return false;
	*us = at;
	return true;
}

bool cqrs_time_from_rfc3339(const char *text, size_t len, int64_t *us)
{
	return parse_rfc3339(text, len, "+-", us);
}

/* ---- reading what a request says ---- */

/* All of the text as a number; false: it has other bytes than digits, or is beyond int64_t. */
static bool parse_digits(const char *text, size_t len, int64_t *n)
{
	*n = 0;
	for (size_t i = 0; i < len; i++)
		if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(*n, 10, n) ||
		    __builtin_add_overflow(*n, text[i] - '0', n))
			return false;
	return len > 0;
}

bool duration_parse(const char *text, size_t len, int64_t *us)
{
	static const struct {
		const char *name;
		int64_t us;
	} units[] = {{"us", 1},     {"ms", 1000}, {"s", SECOND},
	             {"m", MINUTE}, {"h", HOUR},  {"d", DAY}};
	size_t digits = 0;
	int64_t n;
	while (digits < len && text[digits] >= '0' && text[digits] <= '9')
		digits++;
	if (!parse_digits(text, digits, &n))
		return false;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (strlen(units[i].name) == len - digits &&
		    memcmp(units[i].name, text + digits, len - digits) == 0) {
			if (__builtin_mul_overflow(n, units[i].us, &n))
				return false;
			*us = n;
			return true;
		}
	return false;
}

/* What follows "now": nothing, or a sign and a duration. */
static bool parse_now(const char *text, size_t len, int64_t now_us, int64_t *us)
{
	int64_t span, at = now_us;
	if (len) {
		if (!strchr("+- ", text[0]) || !text[0] ||
		    !duration_parse(text + 1, len - 1, &span))
			return false;
		if (text[0] == '-' ? __builtin_sub_overflow(now_us, span, &at)
		                   : __builtin_add_overflow(now_us, span, &at))
			return false;
	}
	if (!in_range(at))
		return false;
	*us = at;
	return true;
}

bool timestamp_parse(const char *text, size_t len, int64_t now_us, int64_t *us)
{
	int64_t n;
	if (len >= 3 && memcmp(text, "now", 3) == 0)
		return parse_now(text + 3, len - 3, now_us, us);
	if (parse_digits(text, len, &n))
		return cqrs_time_from_epoch(n, CQRS_TIME_AUTO, us);
	return parse_rfc3339(text, len, "+- ", us);
}

/* ---- writing ---- */

/* `n` in `width` digits, with zeros in front. */
static inline char *put_digits(char *to, uint32_t n, int width)
{
	for (int i = width - 1; i >= 0; i--, n /= 10)
		to[i] = (char)('0' + n % 10);
	return to + width;
}

static inline char *put_two(char *to, uint32_t n)
{
	to[0] = (char)('0' + n / 10);
	to[1] = (char)('0' + n % 10);
	return to + 2;
}

static char *put_year(char *to, int64_t year)
{
	if (year >= 0 && year <= 9999)
		return put_two(put_two(to, (uint32_t)year / 100), (uint32_t)year % 100);
	*to++ = year < 0 ? '-' : '+';
	return put_digits(to, (uint32_t)(year < 0 ? -year : year), 6);
}

/* The date `days` after 1970-01-01: counted within the 400 years after which the calendar repeats.
 */
static char *put_date(char *to, int64_t days)
{
	days += DAYS_TO_1970;
	int64_t cycle = days / CYCLE_DAYS - (days % CYCLE_DAYS < 0);
	days -= cycle * CYCLE_DAYS;
	int64_t year = days / 366;
	while (days_before_year(year + 1) <= days)
		year++;
	days -= days_before_year(year);
	const short *before = days_before[is_leap(year)];
	int month = (int)(days / 31);
	while (before[month + 1] <= days)
		month++;
	to = put_year(to, cycle * CYCLE_YEARS + year);
	*to++ = '-';
	to = put_two(to, (uint32_t)month + 1);
	*to++ = '-';
	return put_two(to, (uint32_t)(days - before[month]) + 1);
}

size_t timestamp_format(char out[40], int64_t us)
{
	int64_t days = us / DAY, time = us % DAY;
	if (time < 0) {
		time += DAY;
		days--;
	}
	char *to = put_date(out, days);
	*to++ = 'T';
	uint32_t second = (uint32_t)(time / SECOND), fraction = (uint32_t)(time % SECOND);
	to = put_two(to, second / 3600);
	*to++ = ':';
	to = put_two(to, second / 60 % 60);
	*to++ = ':';
	to = put_two(to, second % 60);
	if (fraction) {
		*to++ = '.';
		to = fraction % 1000 ? put_digits(to, fraction, 6)
		                     : put_digits(to, fraction / 1000, 3);
	}
	*to++ = 'Z';
	*to = '\0';
	return (size_t)(to - out);
}
