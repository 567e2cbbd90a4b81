/* SPDX-License-Identifier: MIT */
/*
 * Pulls one JSON value after the other out of a text.
 *
 * Telemetry passes through here a reading at a time, so the common case of
 * each token costs no copy and no allocation: a string without escapes is a
 * slice of the input, and a short decimal is one division.
 *
 * One difference to jansson is meant: jansson 2.14 loses a NUL byte that
 * follows a number or a literal and reads on; here it is an error, as in
 * RFC 8259.
 */
#include <cqrs/json.h>

#include "decimal.h"
#include "json_escape.h"
#include "utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What may come next. */
enum {
	START,  /* the document */
	FIRST,  /* the first element or name, or the end of the array or object */
	NEXT,   /* a comma, or the end of the array or object */
	VALUE,  /* the value of a name */
	ENDED,  /* nothing */
	FAILED, /* nothing, and `error` says why */
};

static enum cqrs_json_kind fail(struct cqrs_json_reader *r, const char *why)
{
	r->error = why;
	r->state = FAILED;
	return CQRS_JSON_ERROR;
}

static int peek_behind_space(struct cqrs_json_reader *r)
{
	const char *p = r->p;
	while (p < r->end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	r->p = p;
	return p < r->end ? (unsigned char)*p : -1;
}

/* Passes over white space; the byte that follows it, -1 at the end of the text. */
static inline int peek(struct cqrs_json_reader *r)
{
	if (r->p < r->end && (unsigned char)*r->p > ' ')
		return (unsigned char)*r->p;
	return peek_behind_space(r);
}

static inline bool is_digit(const char *p, const char *end)
{
	return p < end && *p >= '0' && *p <= '9';
}

/* ---- nesting ---- */

static inline bool in_object(const struct cqrs_json_reader *r)
{
	unsigned level = r->depth - 1;
	return r->is_object[level / 64] >> (level % 64) & 1;
}

static inline enum cqrs_json_kind open_level(struct cqrs_json_reader *r, bool object)
{
	uint64_t bit = 1ull << (r->depth % 64), *word = &r->is_object[r->depth / 64];
	*word = object ? *word | bit : *word & ~bit;
	r->depth++;
	r->p++;
	r->state = FIRST;
	return object ? CQRS_JSON_OBJECT : CQRS_JSON_ARRAY;
}

static inline enum cqrs_json_kind close_level(struct cqrs_json_reader *r)
{
	r->depth--;
	r->p++;
	r->state = r->depth ? NEXT : ENDED;
	return CQRS_JSON_END;
}

/* ---- strings ---- */

/* Room to unescape the rest of the string at `p`, which cannot get longer by it. */
static bool reserve_scratch(struct cqrs_json_reader *r, const char *p)
{
	size_t before = (size_t)(p - r->p);
	while (p < r->end && *p != '"')
		p += *p == '\\' && r->end - p > 1 ? 2 : 1;
	size_t need = before + (size_t)(p - r->p);
	if (need <= r->scratch_cap)
		return true;
	char *scratch = realloc(r->scratch, need);
	if (!scratch)
		return false;
	r->scratch = scratch;
	r->scratch_cap = need;
	return true;
}

/*
 * The rest of a string that begins at r->p.  Reads in place until the first
 * escape, and from there on copies run by run.
 */
static enum cqrs_json_kind read_any_string(struct cqrs_json_reader *r)
{
	const char *p = r->p, *end = r->end, *run = p, *why;
	char *to = NULL;
	for (;;) {
		p = json_skip_plain(p, end);
		if (p == end)
			return fail(r, "a string is not closed");
		if ((unsigned char)*p >= 0x80) {
			size_t n = utf8_length(p, end);
			if (!n)
				return fail(r, "a string is not UTF-8");
			p += n;
			continue;
		}
		if ((unsigned char)*p < 0x20)
			return fail(r, "a control character in a string");
		if (*p == '\\' && !to) {
			if (!reserve_scratch(r, p)) {
				r->no_memory = true;
				return fail(r, "out of memory");
			}
			to = r->scratch;
		}
		if (to) {
			memcpy(to, run, (size_t)(p - run));
			to += p - run;
		}
		if (*p++ == '"')
			break;
		if ((why = json_unescape(&p, end, &to)))
			return fail(r, why);
		run = p;
	}
	r->text = to ? r->scratch : r->p;
	r->text_len = (size_t)(to ? to - r->scratch : p - 1 - r->p);
	r->p = p;
	return CQRS_JSON_STRING;
}

/* The string whose opening quote is at r->p. */
static inline enum cqrs_json_kind read_string(struct cqrs_json_reader *r)
{
	const char *p = ++r->p, *end = json_skip_plain(p, r->end);
	if (end == r->end || *end != '"')
		return read_any_string(r);
	r->text = p;
	r->text_len = (size_t)(end - p);
	r->p = end + 1;
	return CQRS_JSON_STRING;
}

/* A name, of which the first byte is `c`, and the colon behind it. */
static inline enum cqrs_json_kind read_name(struct cqrs_json_reader *r, int c)
{
	if (c != '"')
		return fail(r, "a name in quotes was expected");
	if (read_string(r) == CQRS_JSON_ERROR)
		return CQRS_JSON_ERROR;
	if (peek(r) != ':')
		return fail(r, "':' was expected behind a name");
	r->p++;
	r->state = VALUE;
	return CQRS_JSON_STRING;
}

/* ---- numbers ---- */

/* No text is long enough to make up for an exponent of this size. */
#define EXPONENT_MAX INT64_C(1000000000000000)

static inline const char *read_digits(const char *p, const char *end, uint64_t *n)
{
	unsigned digit;
	for (; p < end && (digit = (unsigned)(unsigned char)*p - '0') <= 9; p++)
		*n = *n * 10 + digit;
	return p;
}

/* The exponent behind 'e'; NULL if there are no digits. */
static const char *read_exponent(const char *p, const char *end, int64_t *exponent)
{
	bool negative = p < end && *p == '-';
	int64_t n = 0;
	if (p < end && (*p == '-' || *p == '+'))
		p++;
	if (!is_digit(p, end))
		return NULL;
	for (; is_digit(p, end); p++)
		if (n < EXPONENT_MAX)
			n = n * 10 + (*p - '0');
	*exponent += negative ? -n : n;
	return p;
}

static inline enum cqrs_json_kind finish_integer(struct cqrs_json_reader *r, uint64_t n,
                                                 size_t n_digits, bool negative)
{
	if (n_digits > 19 || n > (uint64_t)INT64_MAX + negative)
		return fail(r, "an integer is beyond 64 bits");
	r->integer = negative ? (int64_t)(0 - n) : (int64_t)n;
	r->real = (double)r->integer;
	return CQRS_JSON_INTEGER;
}

/* What follows the digits up to r->p: a point and digits, an exponent, or both.  Never inline:
 * who reads something else needs no room for it. */
static __attribute__((noinline)) enum cqrs_json_kind finish_real(struct cqrs_json_reader *r,
                                                                 uint64_t n, const char *digits,
                                                                 bool negative)
{
	const char *p = r->p, *end = r->end;
	struct decimal d = {.digits = digits, .end = p, .negative = negative};
	d.n_digits = (size_t)(p - digits);
	if (*p == '.') {
		const char *from = ++p;
		p = read_digits(from, end, &n);
		if (p == from)
			return fail(r, "a digit was expected behind '.'");
		d.n_digits += (size_t)(p - from);
		d.exponent = from - p;
		d.end = p;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p = read_exponent(p + 1, end, &d.exponent);
		if (!p)
			return fail(r, "a digit was expected in an exponent");
	}
	r->p = p;
	d.mantissa = n;
	r->real = decimal_to_double(&d);
	return isinf(r->real) ? fail(r, "a number is too large") : CQRS_JSON_REAL;
}

/* RFC 8259, section 6; r->p is at the minus or at a digit. */
static inline enum cqrs_json_kind read_number(struct cqrs_json_reader *r)
{
	const char *end = r->end;
	bool negative = *r->p == '-';
	const char *digits = r->p + negative, *p;
	uint64_t n = 0;
	p = read_digits(digits, end, &n);
	if (p == digits)
		return fail(r, "a digit was expected behind '-'");
	if (*digits == '0' && p - digits > 1)
		return fail(r, "a number begins with 0");
	r->p = p;
	if (p < end && (*p == '.' || *p == 'e' || *p == 'E'))
		return finish_real(r, n, digits, negative);
	return finish_integer(r, n, (size_t)(p - digits), negative);
}

/* ---- tokens ---- */

static enum cqrs_json_kind read_literal(struct cqrs_json_reader *r, const char *word,
                                        enum cqrs_json_kind kind)
{
	size_t n = strlen(word);
	if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
		return fail(r, "a value was expected");
	r->p += n;
	return kind;
}

/* The value of which the first byte is `c`. */
static inline enum cqrs_json_kind read_value(struct cqrs_json_reader *r, int c)
{
	/* As in jansson, whose count includes the scalars. */
	if (r->depth >= CQRS_JSON_DEPTH)
		return fail(r, "arrays and objects are nested too deeply");
	r->state = NEXT;
	switch (c) {
	case '[':
		return open_level(r, false);
	case '{':
		return open_level(r, true);
	case '"':
		return read_string(r);
	case 't':
		return read_literal(r, "true", CQRS_JSON_TRUE);
	case 'f':
		return read_literal(r, "false", CQRS_JSON_FALSE);
	case 'n':
		return read_literal(r, "null", CQRS_JSON_NULL);
	case -1:
		return fail(r, "the text ends too early");
	default:
		if (c == '-' || (c >= '0' && c <= '9'))
			return read_number(r);
		return fail(r, "a value was expected");
	}
}

void cqrs_json_reader_init(struct cqrs_json_reader *r, const void *text, size_t len)
{
	/* `is_object` is written before it is read, level by level. */
	r->text = r->error = NULL;
	r->text_len = 0;
	r->integer = 0;
	r->real = 0;
	r->p = r->begin = text;
	r->end = r->begin + len;
	r->scratch = NULL;
	r->scratch_cap = 0;
	r->no_memory = false;
	r->depth = 0;
	r->state = START;
}

void cqrs_json_reader_release(struct cqrs_json_reader *r)
{
	free(r->scratch);
	r->scratch = NULL;
	r->scratch_cap = 0;
}

static inline bool closes(const struct cqrs_json_reader *r, int c)
{
	return c == (in_object(r) ? '}' : ']');
}

/* Between elements or members: passes over the comma, and `*c` is what follows it. */
static inline bool pass_comma(struct cqrs_json_reader *r, int *c)
{
	if (*c != ',') {
		fail(r, in_object(r) ? "',' or '}' was expected" : "',' or ']' was expected");
		return false;
	}
	r->p++;
	*c = peek(r);
	return true;
}

enum cqrs_json_kind cqrs_json_next(struct cqrs_json_reader *r)
{
	int c = peek(r);
	switch (r->state) {
	case START:
		if (c != '[' && c != '{')
			return fail(r, "an array or an object was expected");
		break;
	case FIRST:
	case NEXT:
		if (closes(r, c))
			return close_level(r);
		if (r->state == NEXT && !pass_comma(r, &c))
			return CQRS_JSON_ERROR;
		if (in_object(r))
			return read_name(r, c);
		break;
	case VALUE:
		break;
	case ENDED:
		return c < 0 ? CQRS_JSON_DONE : fail(r, "something follows the document");
	default:
		return CQRS_JSON_ERROR;
	}
	return read_value(r, c);
}

bool cqrs_json_skip(struct cqrs_json_reader *r, enum cqrs_json_kind kind)
{
	unsigned outside = r->depth;
	if (kind == CQRS_JSON_ARRAY || kind == CQRS_JSON_OBJECT)
		for (outside--; r->depth > outside && kind != CQRS_JSON_ERROR;)
			kind = cqrs_json_next(r);
	return kind != CQRS_JSON_ERROR;
}

size_t cqrs_json_offset(const struct cqrs_json_reader *r)
{
	return (size_t)(r->p - r->begin);
}
