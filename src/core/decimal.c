/* SPDX-License-Identifier: MIT */
/* Decimal text to doubles and back. */
#include "decimal.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

/*
 * Correct rounding of any decimal by strtod().  It is handed the digits without
 * a point, which is where locales differ, and not more of them than can matter:
 * half-way points between doubles have at most 768 digits, so behind those a
 * single 1 says all that "and something more" can say.
 */
static double convert_slowly(const struct decimal *d)
{
	enum { KEPT = 800 };
	char text[KEPT + 32];
	size_t n = 0;
	int64_t exponent = d->exponent;
	text[n++] = d->negative ? '-' : '+';
	for (const char *p = d->digits; p < d->end; p++) {
		if (*p == '.' || (*p == '0' && n == 1))
			continue;
		if (n <= KEPT) {
			text[n++] = *p;
		} else {
			exponent++;
			if (*p != '0')
				text[KEPT] = '1';
		}
	}
	if (n == 1)
		return d->negative ? -0.0 : 0.0;
	if (exponent > 99999)
		exponent = 99999;
	if (exponent < -99999)
		exponent = -99999;
	snprintf(text + n, sizeof text - n, "e%d", (int)exponent);
	return strtod(text, NULL);
}

/*
 * Both the mantissa and the power of ten are exact doubles, so that the one
 * rounding of their product or quotient is the correct one.
 */
static bool convert_fast(const struct decimal *d, double *real)
{
	static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
	                               1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
	                               1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	if (FLT_EVAL_METHOD != 0 || d->n_digits > DECIMAL_EXACT ||
	    d->mantissa >= 1ull << DBL_MANT_DIG || d->exponent < -22 || d->exponent > 22)
		return false;
	double m = (double)d->mantissa;
	m = d->exponent < 0 ? m / power[-d->exponent] : m * power[d->exponent];
	*real = d->negative ? -m : m;
	return true;
}

double decimal_to_double(const struct decimal *d)
{
	double real;
	return convert_fast(d, &real) ? real : convert_slowly(d);
}

/* ---- writing ---- */

/* The decimal digits of `n` so that they end at `end`; where they begin. */
static char *put_digits(char *end, uint64_t n)
{
	do
		*--end = (char)('0' + n % 10);
	while (n /= 10);
	return end;
}

size_t decimal_from_integer(char out[24], int64_t i)
{
	char digits[24], *end = digits + sizeof digits;
	char *p = put_digits(end, i < 0 ? 0 - (uint64_t)i : (uint64_t)i);
	if (i < 0)
		*--p = '-';
	memcpy(out, p, (size_t)(end - p));
	return (size_t)(end - p);
}

/*
 * What has at most six decimals, as measured numbers nearly always do.  If
 * n / 10^k, rounded once by the division, is `f`, then the decimal n * 10^-k
 * rounds to `f` as well.  0: it is none of those.
 */
static size_t write_short(char out[32], double f)
{
	static const double power[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
	char digits[24], *end = digits + sizeof digits;
	for (int k = 0; k <= 6; k++) {
		double scaled = fabs(f) * power[k];
		if (scaled >= 0x1p53)
			break;
		uint64_t n = (uint64_t)llrint(scaled);
		if ((double)n / power[k] != fabs(f))
			continue;
		char *p = put_digits(end, n), *to = out;
		/* At least one digit in front of the point. */
		while (end - p <= k)
			*--p = '0';
		if (f < 0)
			*to++ = '-';
		size_t whole = (size_t)(end - p - k);
		memcpy(to, p, whole);
		to += whole;
		if (k) {
			*to++ = '.';
			memcpy(to, p + whole, (size_t)k);
			to += k;
		}
		return (size_t)(to - out);
	}
	return 0;
}

/*
 * Cuts what "%.*e" wrote into digits and exponent, whatever the point of the
 * locale is; trailing zeros are dropped.  How many digits.
 */
static int cut(const char *text, char digits[20], int *exponent)
{
	int n = 0;
	for (; *text != 'e'; text++)
		if (*text >= '0' && *text <= '9' && n < 19)
			digits[n++] = *text;
	*exponent = atoi(text + 1);
	while (n > 1 && digits[n - 1] == '0')
		n--;
	digits[n] = '\0';
	return n;
}

/* Lays digits out as "%g" does: 1.5e-07, 0.00015, 1500000.5, 1.5e+20. */
static size_t lay_out(char out[32], bool negative, const char *digits, int n, int exponent)
{
	char *to = out;
	if (negative)
		*to++ = '-';
	if (exponent < -5 || exponent > 16) {
		*to++ = digits[0];
		if (n > 1)
			to += sprintf(to, ".%s", digits + 1);
		return (size_t)(to + sprintf(to, "e%+03d", exponent) - out);
	}
	if (exponent < 0) {
		to += sprintf(to, "0.%.*s%s", -exponent - 1, "0000", digits);
		return (size_t)(to - out);
	}
	for (int i = 0; i < n || i <= exponent; i++) {
		if (i == exponent + 1)
			*to++ = '.';
		*to++ = i < n ? digits[i] : '0';
	}
	return (size_t)(to - out);
}

size_t decimal_from_double(char out[32], double f)
{
	if (!isfinite(f))
		return 0;
	if (f == 0 && signbit(f)) {
		memcpy(out, "-0.0", 4);
		return 4;
	}
	size_t len = write_short(out, f);
	if (len)
		return len;
	char text[40], digits[20];
	int exponent, precision = 14;
	do
		snprintf(text, sizeof text, "%.*e", precision, f);
	while (strtod(text, NULL) != f && ++precision < 17);
	int n = cut(text, digits, &exponent);
	return lay_out(out, f < 0, digits, n, exponent);
}

size_t decimal_from_float(char out[32], float f)
{
	if (!isfinite(f))
		return 0;
	if (f == 0)
		return decimal_from_double(out, (double)f);
	char text[40], digits[20];
	int exponent, precision = 5;
	do
		snprintf(text, sizeof text, "%.*e", precision, (double)f);
	while (strtof(text, NULL) != f && ++precision < 9);
	int n = cut(text, digits, &exponent);
	return lay_out(out, f < 0, digits, n, exponent);
}
