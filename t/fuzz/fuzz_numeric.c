/* SPDX-License-Identifier: MIT */
/*
 * Decimal text to PostgreSQL's numeric and back: the same number, as far as
 * there are digits.  Eight bytes are also a double and two floats, which must
 * read back from their text.
 */
#include "decimal.h"
#include "pg_value.h"
#include "row_type.h"

#include <assert.h>
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXT_MAX 4000
#define SURE_MAX 400 /* up to so many digits, and such exponents, nothing may be refused */

static regex_t grammar;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	return regcomp(&grammar, "^[+-]?([0-9]+\\.?[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?$",
	               REG_EXTENDED | REG_NOSUB);
}

static long exponent_of(const char *text)
{
	const char *e = strpbrk(text, "eE");
	return e ? strtol(e + 1, NULL, 10) : 0;
}

/* The number as digits without zeros around them and a power of ten; how many bytes. */
static int canonical(char out[TEXT_MAX + 40], const char *text)
{
	int n = 0, zeros = 0;
	bool point = false;
	long exponent = exponent_of(text);
	for (const char *p = text + strspn(text, "+-"); strchr(".0123456789", *p) && *p; p++) {
		if (*p == '.') {
			point = true;
			continue;
		}
		exponent -= point;
		zeros = *p == '0' ? zeros + 1 : 0;
		if (n || *p != '0')
			out[n++] = *p;
	}
	if (!n)
		return sprintf(out, "0");
	n -= zeros;
	return n + sprintf(out + n, "e%ld%s", exponent + zeros, *text == '-' ? "-" : "");
}

static void check_groups(const struct buf *b)
{
	size_t n = pg_get16(b->data);
	assert(b->len == 8 + 2 * n && pg_get16(b->data + 6) <= 1000);
	for (size_t i = 0; i < n; i++)
		assert(pg_get16(b->data + 8 + 2 * i) < 10000);
	assert(!n || (pg_get16(b->data + 8) && pg_get16(b->data + b->len - 2)));
}

static void check_numeric(const char *text, size_t size)
{
	static char once[TEXT_MAX + 40], twice[TEXT_MAX + 40];
	struct buf b = BUF_INIT, out = BUF_INIT, again = BUF_INIT;
	struct cqrs_value value = cqrs_bytes(CQRS_NUMERIC, text, size);
	bool valid = strlen(text) == size && regexec(&grammar, text, 0, NULL, 0) == 0;
	bool ok = pg_value_encode(&b, &value);
	assert(valid || !ok);
	assert(!valid || ok || size > SURE_MAX || labs(exponent_of(text)) > SURE_MAX);
	if (ok) {
		check_groups(&b);
		assert(row_type_find(PG_OID_NUMERIC)->put(&out, b.data, b.len, ROW_TIME_UNIX));
		int n = canonical(once, text);
		assert(n == canonical(twice, buf_str(&out)) && strcmp(once, twice) == 0);
		value = cqrs_bytes(CQRS_NUMERIC, out.data, out.len);
		assert(pg_value_encode(&again, &value) && again.len == b.len);
		assert(memcmp(again.data, b.data, b.len) == 0);
	}
	buf_release(&b);
	buf_release(&out);
	buf_release(&again);
}

static void check_binary(const uint8_t *data)
{
	char text[33];
	double d, d2;
	float f, f2;
	memcpy(&d, data, sizeof d);
	memcpy(&f, data, sizeof f);
	text[decimal_from_double(text, d)] = '\0';
	d2 = strtod(text, NULL);
	assert(isfinite(d) ? memcmp(&d, &d2, sizeof d) == 0 : !*text);
	text[decimal_from_float(text, f)] = '\0';
	f2 = strtof(text, NULL);
	assert(isfinite(f) ? memcmp(&f, &f2, sizeof f) == 0 : !*text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > TEXT_MAX)
		return 0;
	char *text = calloc(1, size + 1);
	memcpy(text, data, size);
	check_numeric(text, size);
	if (size == 8)
		check_binary(data);
	free(text);
	return 0;
}
