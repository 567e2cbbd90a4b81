/* SPDX-License-Identifier: MIT */
/* Decimal text to doubles and back. */
#include "decimal.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Between 10^-11 and 10^16, where nearly all that is measured is, a double times or
 * by a power of ten fits into 128 bits, and nothing has to be estimated.
 */
#define FIVES_MAX 27

static const uint64_t fives[FIVES_MAX + 1] = {/* 5^n */
                                              1u,
                                              5u,
                                              25u,
                                              125u,
                                              625u,
                                              3125u,
                                              15625u,
                                              78125u,
                                              390625u,
                                              1953125u,
                                              9765625u,
                                              48828125u,
                                              244140625u,
                                              1220703125u,
                                              6103515625u,
                                              30517578125u,
                                              152587890625u,
                                              762939453125u,
                                              3814697265625u,
                                              19073486328125u,
                                              95367431640625u,
                                              476837158203125u,
                                              2384185791015625u,
                                              11920928955078125u,
                                              59604644775390625u,
                                              298023223876953125u,
                                              1490116119384765625u,
                                              7450580596923828125u};

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

/*
 * The first 55 bits of the quotient, the last of which says whether anything follows:
 * converting them is the one rounding.
 */
static bool convert_quotient(const struct decimal *d, double *real)
{
	if (d->n_digits > DECIMAL_EXACT || !d->mantissa || d->exponent >= 0 ||
	    d->exponent < -FIVES_MAX)
		return false;
	int up = 64 + __builtin_clzll(d->mantissa), q = (int)-d->exponent;
	unsigned __int128 n = (unsigned __int128)d->mantissa << up, quotient = n / fives[q];
	int down = 128 - __builtin_clzll((uint64_t)(quotient >> 64)) - 55;
	uint64_t bits = (uint64_t)(quotient >> down);
	bits |= quotient * fives[q] != n || (unsigned __int128)bits << down != quotient;
	double m = ldexp((double)bits, down - up - q);
	*real = d->negative ? -m : m;
	return true;
}

double decimal_to_double(const struct decimal *d)
{
	double real;
	return convert_fast(d, &real) || convert_quotient(d, &real) ? real : convert_slowly(d);
}

/* ---- writing ---- */

/* Two digits that end at `end`; where they begin. */
static char *put_pair(char *end, unsigned n)
{
	static const char pairs[] = "00010203040506070809101112131415161718192021222324"
	                            "25262728293031323334353637383940414243444546474849"
	                            "50515253545556575859606162636465666768697071727374"
	                            "75767778798081828384858687888990919293949596979899";
	memcpy(end - 2, pairs + 2 * (size_t)n, 2);
	return end - 2;
}

/* The decimal digits of `n` so that they end at `end`; where they begin. */
static char *put_digits(char *end, uint64_t n)
{
	for (; n >= 100; n /= 100)
		end = put_pair(end, (unsigned)(n % 100));
	if (n >= 10)
		return put_pair(end, (unsigned)n);
	*--end = (char)('0' + n);
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

/* n / unit without zeros at the end; `unit` is a power of ten. */
static size_t put_fraction(char out[32], bool negative, uint64_t n, unsigned unit)
{
	char text[24], *end = text + sizeof text, *to = out;
	unsigned part = (unsigned)(n % unit);
	if (negative)
		*to++ = '-';
	char *digits = put_digits(end, n / unit);
	memcpy(to, digits, (size_t)(end - digits));
	to += end - digits;
	if (!part)
		return (size_t)(to - out);
	*to++ = '.';
	/* With a 1 in front, so that zeros behind the point are digits, too. */
	digits = put_digits(end, part + unit) + 1;
	while (end[-1] == '0')
		end--;
	memcpy(to, digits, (size_t)(end - digits));
	return (size_t)(to + (end - digits) - out);
}

/*
 * What has at most six decimals, as measured numbers nearly always do, and mostly two.
 * If n / 10^k, rounded once by the division, is `f`, then the decimal n * 10^-k
 * rounds to `f` as well; below 2^52 no other n does.  0: it is none of those.
 */
static size_t write_short(char out[32], double f)
{
	static const unsigned units[] = {100, 1000000};
	double size = fabs(f);
	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		double scaled = size * units[i];
		if (scaled >= 0x1p52)
			break;
		uint64_t n = (uint64_t)(scaled + 0.5);
		if ((double)n / units[i] == size)
			return put_fraction(out, f < 0, n, units[i]);
	}
	return 0;
}

/* A finite number that is not 0: m * 2^e. */
struct binary {
	uint64_t m;
	int e;
	bool is_power; /* of two: the number below is half as far away as the one above */
};

static struct binary cut_double(double f)
{
	uint64_t bits;
	memcpy(&bits, &f, sizeof bits);
	uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
	int exponent = (int)(bits >> 52 & 0x7ff);
	return (struct binary){fraction | (uint64_t)(exponent > 0) << 52, exponent - 1075,
	                       !fraction};
}

static struct binary cut_float(float f)
{
	uint32_t bits;
	memcpy(&bits, &f, sizeof bits);
	uint32_t fraction = bits & ((1u << 23) - 1), exponent = bits >> 23 & 0xff;
	return (struct binary){fraction | (uint32_t)(exponent > 0) << 23, (int)exponent - 150,
	                       !fraction};
}

/*
 * Of the decimals n * 10^exponent that are nearer to the number than to its neighbours
 * the shortest, and of those the nearest; false: it is beyond 128 bits.  All is
 * scaled by 10^k, so that 17 or 18 digits stand before the point.
 */
static bool find_shortest(struct binary b, uint64_t *n, int *exponent)
{
	int log2 = 63 - __builtin_clzll(b.m) + b.e, k = 16 - (log2 * 1233 >> 12);
	int shift = 2 - b.e - k;
	if (k < 0 || k > FIVES_MAX || shift < 1 || shift > 127)
		return false;
	unsigned __int128 value = (unsigned __int128)b.m * 4 * fives[k];
	unsigned __int128 low = value - fives[k] * (b.is_power ? 1u : 2u);
	unsigned __int128 high = value + fives[k] * 2u;
	unsigned __int128 part = ((unsigned __int128)1 << shift) - 1; /* behind the point */
	/* What lies in the middle between two numbers is read as the even one. */
	bool odd = b.m & 1;
	uint64_t from = (uint64_t)(low >> shift) + ((low & part) != 0 || odd);
	uint64_t to = (uint64_t)(high >> shift) - ((high & part) == 0 && odd);
	uint64_t unit = 1;
	*exponent = -k;
	for (uint64_t f = (from + 9) / 10, t = to / 10; f <= t; f = (f + 9) / 10, t /= 10) {
		unit *= 10;
		++*exponent;
	}
	uint64_t halves = (uint64_t)(value >> (shift - 1)), rest = halves % (2 * unit);
	*n = halves / (2 * unit);
	*n += rest > unit || (rest == unit && ((value & part >> 1) != 0 || (*n & 1)));
	*n += *n * unit < from;
	*n -= *n * unit > to;
	return true;
}

/* Lays digits out as "%g" does: 1.5e-07, 0.00015, 1500000.5, 1.5e+20; the first counts 10^exponent.
 */
static size_t lay_out(char out[32], bool negative, const char *digits, int n, int exponent)
{
	char *to = out;
	if (negative)
		*to++ = '-';
	if (exponent < -5 || exponent > 16) {
		*to++ = digits[0];
		if (n > 1)
			to += sprintf(to, ".%.*s", n - 1, digits + 1);
		return (size_t)(to + sprintf(to, "e%+03d", exponent) - out);
	}
	if (exponent < 0) {
		memcpy(to, "0.0000", 6);
		to += 1 - exponent;
		memcpy(to, digits, (size_t)n);
		return (size_t)(to + n - out);
	}
	int whole = exponent + 1 < n ? exponent + 1 : n;
	memcpy(to, digits, (size_t)whole);
	memset(to + whole, '0', (size_t)(exponent + 1 - whole));
	to += exponent + 1;
	if (whole == n)
		return (size_t)(to - out);
	*to++ = '.';
	memcpy(to, digits + whole, (size_t)(n - whole));
	return (size_t)(to + (n - whole) - out);
}

static size_t write_shortest(char out[32], bool negative, struct binary b)
{
	char text[24], *end = text + sizeof text;
	uint64_t n;
	int exponent;
	if (!find_shortest(b, &n, &exponent))
		return 0;
	char *digits = put_digits(end, n);
	int n_digits = (int)(end - digits);
	return lay_out(out, negative, digits, n_digits, exponent + n_digits - 1);
}

/*
 * What "%.*e" wrote, whatever the point of the locale is; trailing zeros are dropped.
 */
static size_t lay_out_again(char out[32], const char *text)
{
	char digits[20] = "0";
	int n = 0;
	bool negative = *text == '-';
	for (; *text != 'e'; text++)
		if (*text >= '0' && *text <= '9' && n < 19)
			digits[n++] = *text;
	while (n > 1 && digits[n - 1] == '0')
		n--;
	return lay_out(out, negative, digits, n, atoi(text + 1));
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
	if (!len)
		len = write_shortest(out, f < 0, cut_double(f));
	if (len)
		return len;
	char text[40];
	int precision = 14;
	do
		snprintf(text, sizeof text, "%.*e", precision, f);
	while (strtod(text, NULL) != f && ++precision < 17);
	return lay_out_again(out, text);
}

size_t decimal_from_float(char out[32], float f)
{
	if (!isfinite(f))
		return 0;
	if (f == 0)
		return decimal_from_double(out, (double)f);
	size_t len = write_shortest(out, f < 0, cut_float(f));
	if (len)
		return len;
	char text[40];
	int precision = 5;
	do
		snprintf(text, sizeof text, "%.*e", precision, (double)f);
	while (strtof(text, NULL) != f && ++precision < 9);
	return lay_out_again(out, text);
}
