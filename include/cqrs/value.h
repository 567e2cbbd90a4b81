/* SPDX-License-Identifier: MIT */
/*
 * Typed values: the fields of a row, the parameters of a statement or request.
 *
 * A value borrows its bytes: they must live until the call that takes the
 * value has returned.
 */
#ifndef CQRS_VALUE_H
#define CQRS_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Each is the PostgreSQL type of the same name (manual, chapter 8). */
enum cqrs_type {
	CQRS_BOOL,
	CQRS_INT2,
	CQRS_INT4,
	CQRS_INT8,
	CQRS_FLOAT4,
	CQRS_FLOAT8,
	CQRS_NUMERIC,     /* `s`: decimal text, e.g. "12.99" */
	CQRS_TEXT,        /* `s`: UTF-8 without NUL */
	CQRS_JSONB,       /* `s`: JSON text */
	CQRS_UUID,        /* `s`: the 36 characters of RFC 9562 */
	CQRS_BYTEA,       /* `s`: any bytes */
	CQRS_TIMESTAMPTZ, /* `i`: microseconds since 1970-01-01T00:00:00Z */
	CQRS_INT4_ARRAY,  /* `a`: CQRS_INT4 values; parameters only */
	CQRS_TEXT_ARRAY,  /* `a`: CQRS_TEXT values; parameters only */
};

struct cqrs_value {
	enum cqrs_type type;
	bool is_null;
	union {
		bool b;
		int64_t i; /* INT2, INT4, INT8, TIMESTAMPTZ */
		double f;  /* FLOAT4, FLOAT8 */
		struct {
			const char *data;
			size_t len;
		} s;
		struct {
			const struct cqrs_value *items;
			size_t n;
		} a;
	};
};

static inline struct cqrs_value cqrs_null(enum cqrs_type type)
{
	return (struct cqrs_value){.type = type, .is_null = true};
}

static inline struct cqrs_value cqrs_bool(bool b)
{
	return (struct cqrs_value){.type = CQRS_BOOL, .b = b};
}

static inline struct cqrs_value cqrs_int2(int16_t i)
{
	return (struct cqrs_value){.type = CQRS_INT2, .i = i};
}

static inline struct cqrs_value cqrs_int4(int32_t i)
{
	return (struct cqrs_value){.type = CQRS_INT4, .i = i};
}

static inline struct cqrs_value cqrs_int8(int64_t i)
{
	return (struct cqrs_value){.type = CQRS_INT8, .i = i};
}

static inline struct cqrs_value cqrs_float4(float f)
{
	return (struct cqrs_value){.type = CQRS_FLOAT4, .f = f};
}

static inline struct cqrs_value cqrs_float8(double f)
{
	return (struct cqrs_value){.type = CQRS_FLOAT8, .f = f};
}

static inline struct cqrs_value cqrs_timestamptz(int64_t unix_us)
{
	return (struct cqrs_value){.type = CQRS_TIMESTAMPTZ, .i = unix_us};
}

/* `type` is one of those that use `s`. */
static inline struct cqrs_value cqrs_bytes(enum cqrs_type type, const void *data, size_t len)
{
	return (struct cqrs_value){.type = type, .s = {(const char *)data, len}};
}

static inline struct cqrs_value cqrs_text(const char *text)
{
	return cqrs_bytes(CQRS_TEXT, text, strlen(text));
}

/* `type` is one of those that use `a`; each item is of its element's type. */
static inline struct cqrs_value cqrs_array(enum cqrs_type type, const struct cqrs_value *items,
                                           size_t n)
{
	return (struct cqrs_value){.type = type, .a = {items, n}};
}

#endif
