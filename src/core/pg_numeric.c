/* SPDX-License-Identifier: MIT */
/* Decimal text as PostgreSQL's numeric, in binary format. */
#include "pg_numeric.h"

#define DIGITS_MAX \
	1000 /* PostgreSQL takes 131,072 (manual, table 8.2), a request has no need of them */

/* Decimal text taken apart: the digits, and where the point stands among them. */
struct numeric {
	bool negative;
	int n;     /* digits, leading zeros left out */
	int point; /* digits before the decimal point; may be negative or above n */
	int scale; /* digits after it that were written or meant */
	char digits[DIGITS_MAX];
};

/* The optional exponent at `*s`, which ends the text. */
static bool parse_exponent(const char *s, const char *end, int *exponent)
{
	*exponent = 0;
	if (s == end)
		return true;
	if (*s != 'e' && *s != 'E')
		return false;
	s++;
	bool negative = s < end && *s == '-';
	if (s < end && (*s == '-' || *s == '+'))
		s++;
	if (s == end)
		return false;
	for (; s < end; s++) {
		if (*s < '0' || *s > '9' || *exponent > DIGITS_MAX)
			return false;
		*exponent = *exponent * 10 + (*s - '0');
	}
	if (negative)
		*exponent = -*exponent;
	return true;
}

static bool parse(const char *s, size_t len, struct numeric *d)
{
	const char *end = s + len;
	bool point = false, any = false;
	int exponent;
	d->negative = len && *s == '-';
	d->n = d->point = d->scale = 0;
	if (len && (*s == '-' || *s == '+'))
		s++;
	for (; s < end && ((*s >= '0' && *s <= '9') || (*s == '.' && !point)); s++) {
		if (*s == '.') {
			point = true;
			continue;
		}
		any = true;
		d->scale += point;
		if (!d->n && *s == '0') { /* a leading zero counts only behind the point */
			d->point -= point;
			continue;
		}
		if (d->n == DIGITS_MAX)
			return false;
		d->digits[d->n++] = *s;
		d->point += !point;
	}
	if (!any || !parse_exponent(s, end, &exponent))
		return false;
	d->point += exponent;
	d->scale = exponent > d->scale ? 0 : d->scale - exponent;
	return d->point <= DIGITS_MAX && d->scale <= DIGITS_MAX;
}

/* The digit that stands `place` digits right of the decimal point (0: the first). */
static unsigned digit(const struct numeric *d, int place)
{
	int i = d->point + place;
	return i >= 0 && i < d->n ? (unsigned)(d->digits[i] - '0') : 0;
}

/* Groups of four digits of which the first counts 10000^weight (numeric.c, numeric_recv). */
bool pg_numeric_put(struct buf *b, const char *text, size_t len)
{
	struct numeric d;
	if (!parse(text, len, &d))
		return false;
	while (d.n && d.digits[d.n - 1] == '0')
		d.n--;
	/* The decimal point is always between two of them. */
	int first = d.point > 0 ? -((d.point + 3) / 4) : -d.point / 4;
	int last = d.n - d.point; /* one past the last digit that is not 0 */
	last = last > 0 ? (last + 3) / 4 : -(-last / 4);
	int groups = d.n ? last - first : 0;
	buf_put16(b, (uint16_t)groups);
	buf_put16(b, groups ? (uint16_t)(-first - 1) : 0);
	buf_put16(b, d.negative && groups ? 0x4000 : 0);
	buf_put16(b, (uint16_t)d.scale);
	for (int g = first; g < first + groups; g++) {
		unsigned group = 0;
		for (int i = 0; i < 4; i++)
			group = group * 10 + digit(&d, g * 4 + i);
		buf_put16(b, (uint16_t)group);
	}
	return true;
}
