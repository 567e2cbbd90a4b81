/* SPDX-License-Identifier: MIT */
/* The rules of a product. */
#include "product.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool product_wrong(struct product_mistake *mistake, const char *member, const char *fmt, ...)
{
	va_list ap;
	mistake->member = member;
	mistake->no_memory = false;
	va_start(ap, fmt);
	vsnprintf(mistake->text, sizeof mistake->text, fmt, ap);
	va_end(ap);
	return false;
}

void product_clear(struct product *p)
{
	p->id[0] = p->price[0] = p->name[0] = p->description[0] = '\0';
	p->created_us = p->updated_us = p->version = 0;
}

/* ---- texts ---- */

bool product_set_id(struct product *p, const char *text, size_t len,
                    struct product_mistake *mistake)
{
	bool right = len == sizeof p->id - 1;
	for (size_t i = 0; right && i < len; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		right = dash ? text[i] == '-' : isxdigit((unsigned char)text[i]) != 0;
		p->id[i] = (char)tolower((unsigned char)text[i]);
	}
	if (!right)
		return product_wrong(mistake, "productId",
		                     "productId must be a UUID of 36 characters");
	p->id[len] = '\0';
	return true;
}

/* `out` has room for so many characters, of up to four bytes. */
static bool set_text(char *out, size_t characters_max, const char *text, size_t len,
                     const char *member, struct product_mistake *mistake)
{
	size_t characters = 0;
	for (size_t i = 0; i < len; i++)
		characters += (text[i] & 0xC0) != 0x80; /* not a continuation byte of UTF-8 */
	if (memchr(text, '\0', len))
		return product_wrong(mistake, member, "%s has a NUL character", member);
	if (characters < 1)
		return product_wrong(mistake, member, "%s must not be empty", member);
	if (characters > characters_max || len > 4 * characters_max)
		return product_wrong(mistake, member, "%s has %zu characters, at most %zu fit",
		                     member, characters, characters_max);
	memcpy(out, text, len);
	out[len] = '\0';
	return true;
}

bool product_set_name(struct product *p, const char *text, size_t len,
                      struct product_mistake *mistake)
{
	return set_text(p->name, PRODUCT_NAME_MAX, text, len, "name", mistake);
}

bool product_set_description(struct product *p, const char *text, size_t len,
                             struct product_mistake *mistake)
{
	return set_text(p->description, PRODUCT_DESCRIPTION_MAX, text, len, "description", mistake);
}

/* ---- the price ---- */

#define DIGITS_MAX   (PRODUCT_PRICE_DIGITS + 2)
#define EXPONENT_MAX 1000000 /* beyond which it does not matter */

/* digits * 10^exponent; the first and the last digit are not 0. */
struct decimal_parts {
	char digits[DIGITS_MAX];
	long n; /* may be greater than DIGITS_MAX: then it is too long for a price */
	long exponent;
};

static void add_digit(struct decimal_parts *d, char digit)
{
	if (d->n < DIGITS_MAX)
		d->digits[d->n] = digit;
	d->n++;
}

/* A number as JSON has them, without its sign. */
static void cut(struct decimal_parts *d, const char *p, const char *end)
{
	long zeros = 0, places = 0, exponent = 0;
	bool fraction = false;
	*d = (struct decimal_parts){.n = 0};
	for (; p < end && *p != 'e' && *p != 'E'; p++) {
		if (*p == '.') {
			fraction = true;
			continue;
		}
		places += fraction;
		if (*p == '0') {
			zeros++;
			continue;
		}
		for (; d->n && zeros; zeros--)
			add_digit(d, '0');
		zeros = 0;
		add_digit(d, *p);
	}
	if (p < end) {
		bool negative = *++p == '-';
		for (p += *p == '-' || *p == '+'; p < end; p++)
			exponent = exponent < EXPONENT_MAX ? exponent * 10 + (*p - '0') : exponent;
		exponent = negative ? -exponent : exponent;
	}
	d->exponent = exponent - places + zeros;
}

/* At most DIGITS_MAX characters, a point and a NUL come of it. */
static void write_decimal(char *out, const struct decimal_parts *d)
{
	long whole = d->n + d->exponent; /* digits before the point */
	if (whole <= 0)
		*out++ = '0';
	for (long i = 0; i < whole; i++)
		*out++ = i < d->n ? d->digits[i] : '0';
	if (d->exponent < 0)
		*out++ = '.';
	for (long i = whole; d->exponent < 0 && i < d->n; i++)
		*out++ = i < 0 ? '0' : d->digits[i];
	*out = '\0';
}

bool product_set_price(struct product *p, const char *text, size_t len,
                       struct product_mistake *mistake)
{
	struct decimal_parts d;
	bool negative = len && *text == '-';
	cut(&d, text + negative, text + len);
	if (!d.n) {
		strcpy(p->price, "0");
		return true;
	}
	if (negative)
		return product_wrong(mistake, "price", "price must not be negative");
	if (d.exponent < -2)
		return product_wrong(mistake, "price",
		                     "price must have at most two decimal places");
	if (d.n + d.exponent > PRODUCT_PRICE_DIGITS)
		return product_wrong(mistake, "price", "price must be less than 10^%d",
		                     PRODUCT_PRICE_DIGITS);
	write_decimal(p->price, &d);
	return true;
}

bool product_set_price_real(struct product *p, double price, struct product_mistake *mistake)
{
	char text[32];
	if (!isfinite(price))
		return product_wrong(mistake, "price", "price must be a number");
	if (fabs(price) >= 1e15)
		return product_wrong(mistake, "price", "price must be less than 10^%d",
		                     PRODUCT_PRICE_DIGITS);
	int len = snprintf(text, sizeof text, "%.2f", price);
	if (strtod(text, NULL) != price)
		return product_wrong(mistake, "price",
		                     "price must have at most two decimal places");
	return product_set_price(p, text, (size_t)len, mistake);
}

/* ---- what must be there ---- */

bool product_is_whole(const struct product *p, struct product_mistake *mistake)
{
	const char *missing = !p->name[0]          ? "name"
	                      : !p->description[0] ? "description"
	                      : !p->price[0]       ? "price"
	                                           : NULL;
	return missing ? product_wrong(mistake, missing, "%s is missing", missing) : true;
}

bool product_is_any(const struct product *p, struct product_mistake *mistake)
{
	if (p->name[0] || p->description[0] || p->price[0])
		return true;
	return product_wrong(mistake, "name", "one of name, description and price must be there");
}
