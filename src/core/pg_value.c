/* SPDX-License-Identifier: MIT */
/* Typed values in PostgreSQL's binary format: parameters and COPY fields. */
#include "pg_value.h"

#include "pg_numeric.h"
#include "utf8.h"

#include <assert.h>
#include <math.h>

/* The first year of timestamptz (manual, table 8.9). */
#define TIMESTAMP_MIN INT64_C(-211813488000000000) /* 4714-11-24 BC, from 2000 */

Oid pg_value_oid(enum cqrs_type type)
{
	static const Oid oids[] = {
	    [CQRS_BOOL] = PG_OID_BOOL,
	    [CQRS_INT2] = PG_OID_INT2,
	    [CQRS_INT4] = PG_OID_INT4,
	    [CQRS_INT8] = PG_OID_INT8,
	    [CQRS_FLOAT4] = PG_OID_FLOAT4,
	    [CQRS_FLOAT8] = PG_OID_FLOAT8,
	    [CQRS_NUMERIC] = PG_OID_NUMERIC,
	    [CQRS_TEXT] = PG_OID_TEXT,
	    [CQRS_JSONB] = PG_OID_JSONB,
	    [CQRS_UUID] = PG_OID_UUID,
	    [CQRS_BYTEA] = PG_OID_BYTEA,
	    [CQRS_TIMESTAMPTZ] = PG_OID_TIMESTAMPTZ,
	    [CQRS_INT4_ARRAY] = PG_OID_INT4_ARRAY,
	    [CQRS_TEXT_ARRAY] = PG_OID_TEXT_ARRAY,
	};
	assert((size_t)type < sizeof oids / sizeof *oids);
	return oids[type];
}

Oid pg_value_array_oid(enum cqrs_type type)
{
	static const Oid oids[] = {
	    [CQRS_BOOL] = PG_OID_BOOL_ARRAY,       [CQRS_INT2] = PG_OID_INT2_ARRAY,
	    [CQRS_INT4] = PG_OID_INT4_ARRAY,       [CQRS_INT8] = PG_OID_INT8_ARRAY,
	    [CQRS_FLOAT4] = PG_OID_FLOAT4_ARRAY,   [CQRS_FLOAT8] = PG_OID_FLOAT8_ARRAY,
	    [CQRS_NUMERIC] = PG_OID_NUMERIC_ARRAY, [CQRS_TEXT] = PG_OID_TEXT_ARRAY,
	    [CQRS_JSONB] = PG_OID_JSONB_ARRAY,     [CQRS_UUID] = PG_OID_UUID_ARRAY,
	    [CQRS_BYTEA] = PG_OID_BYTEA_ARRAY,     [CQRS_TIMESTAMPTZ] = PG_OID_TIMESTAMPTZ_ARRAY,
	};
	return (size_t)type < sizeof oids / sizeof *oids ? oids[type] : 0;
}

const char *pg_value_type_name(enum cqrs_type type)
{
	static const char *const names[] = {
	    [CQRS_BOOL] = "boolean",         [CQRS_INT2] = "smallint",
	    [CQRS_INT4] = "integer",         [CQRS_INT8] = "bigint",
	    [CQRS_FLOAT4] = "real",          [CQRS_FLOAT8] = "double precision",
	    [CQRS_NUMERIC] = "numeric",      [CQRS_TEXT] = "text",
	    [CQRS_JSONB] = "jsonb",          [CQRS_UUID] = "uuid",
	    [CQRS_BYTEA] = "bytea",          [CQRS_TIMESTAMPTZ] = "timestamptz",
	    [CQRS_INT4_ARRAY] = "integer[]", [CQRS_TEXT_ARRAY] = "text[]",
	};
	assert((size_t)type < sizeof names / sizeof *names);
	return names[type];
}

/* Eight bytes of ASCII without NUL. */
static bool is_plain(const char *s)
{
	uint64_t w;
	memcpy(&w, s, sizeof w);
	uint64_t zero = (w - 0x0101010101010101u) & ~w;
	return !((w | zero) & 0x8080808080808080u);
}

bool pg_value_is_text(const char *data, size_t len)
{
	const char *end = data + len;
	while (data < end) {
		if (end - data >= 8 && is_plain(data)) {
			data += 8;
			continue;
		}
		size_t n = *data ? utf8_length(data, end) : 0;
		if (!n)
			return false;
		data += n;
	}
	return true;
}

static bool put_text(struct buf *b, const struct cqrs_value *v)
{
	if (!pg_value_is_text(v->s.data, v->s.len))
		return false;
	buf_add(b, v->s.data, v->s.len);
	return true;
}

static bool put_jsonb(struct buf *b, const struct cqrs_value *v)
{
	if (!pg_value_is_text(v->s.data, v->s.len))
		return false;
	buf_putc(b, 1); /* the version of jsonb's binary format */
	buf_add(b, v->s.data, v->s.len);
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool pg_uuid_parse(char out[16], const char *s, size_t len)
{
	if (len != 36)
		return false;
	for (size_t i = 0, n = 0; i < len;) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (s[i++] != '-')
				return false;
			continue;
		}
		int high = hex_digit(s[i]), low = hex_digit(s[i + 1]);
		if (high < 0 || low < 0)
			return false;
		out[n++] = (char)(high << 4 | low);
		i += 2;
	}
	return true;
}

static bool put_uuid(struct buf *b, const char *s, size_t len)
{
	char bytes[16];
	if (!pg_uuid_parse(bytes, s, len))
		return false;
	buf_add(b, bytes, sizeof bytes);
	return true;
}

void pg_array_begin(struct buf *b, Oid element, bool any_null, size_t n)
{
	buf_put32(b, 1); /* dimension */
	buf_put32(b, any_null);
	buf_put32(b, element);
	buf_put32(b, (uint32_t)n);
	buf_put32(b, 1); /* the first index */
}

static bool put_array(struct buf *b, const struct cqrs_value *v, Oid element)
{
	bool any_null = false;
	for (size_t i = 0; i < v->a.n; i++)
		any_null |= v->a.items[i].is_null;
	if (v->a.n > INT32_MAX)
		return false;
	if (!v->a.n) {
		buf_put32(b, 0); /* dimensions */
		buf_put32(b, 0);
		buf_put32(b, element);
		return true;
	}
	pg_array_begin(b, element, any_null, v->a.n);
	for (size_t i = 0; i < v->a.n; i++) {
		const struct cqrs_value *item = &v->a.items[i];
		assert(item->is_null || pg_value_oid(item->type) == element);
		if (!pg_value_add_field(b, item))
			return false;
	}
	return true;
}

static bool put(struct buf *b, const struct cqrs_value *v)
{
	switch (v->type) {
	case CQRS_NUMERIC:
		return pg_numeric_put(b, v->s.data, v->s.len);
	case CQRS_TEXT:
		return put_text(b, v);
	case CQRS_JSONB:
		return put_jsonb(b, v);
	case CQRS_UUID:
		return put_uuid(b, v->s.data, v->s.len);
	case CQRS_BYTEA:
		buf_add(b, v->s.data, v->s.len);
		return true;
	case CQRS_INT4_ARRAY:
		return put_array(b, v, PG_OID_INT4);
	case CQRS_TEXT_ARRAY:
		return put_array(b, v, PG_OID_TEXT);
	default:
		return false;
	}
}

/* ---- what always has the same length ---- */

/* In bytes, of which there are at most 8; 0: it depends on the value. */
static const unsigned char lengths[] = {
    [CQRS_BOOL] = 1,       [CQRS_INT2] = 2,       [CQRS_INT4] = 4,    [CQRS_INT8] = 8,
    [CQRS_FLOAT4] = 4,     [CQRS_FLOAT8] = 8,     [CQRS_NUMERIC] = 0, [CQRS_TEXT] = 0,
    [CQRS_JSONB] = 0,      [CQRS_UUID] = 0,       [CQRS_BYTEA] = 0,   [CQRS_TIMESTAMPTZ] = 8,
    [CQRS_INT4_ARRAY] = 0, [CQRS_TEXT_ARRAY] = 0,
};

static bool float4_bits(double d, uint64_t *bits)
{
	float f = (float)d;
	uint32_t word;
	memcpy(&word, &f, sizeof word);
	*bits = word;
	return !isinf(f) || isinf(d);
}

/* The bytes of such a value as a number; false: it is out of range. */
static inline bool to_bits(const struct cqrs_value *v, uint64_t *bits)
{
	*bits = (uint64_t)v->i;
	switch (v->type) {
	case CQRS_BOOL:
		*bits = v->b;
		return true;
	case CQRS_INT2:
		return v->i >= INT16_MIN && v->i <= INT16_MAX;
	case CQRS_INT4:
		return v->i >= INT32_MIN && v->i <= INT32_MAX;
	case CQRS_FLOAT4:
		return float4_bits(v->f, bits);
	case CQRS_FLOAT8:
		memcpy(bits, &v->f, sizeof *bits);
		return true;
	case CQRS_TIMESTAMPTZ:
		/* int64 ends long before PostgreSQL's last year. */
		*bits -= (uint64_t)PG_EPOCH_US;
		return v->i >= TIMESTAMP_MIN + PG_EPOCH_US;
	default:
		return true;
	}
}

/* The `len` bytes of a number, the highest first; there is room for 8. */
static inline void store_bits(char *at, uint64_t bits, size_t len)
{
	bits = __builtin_bswap64(bits << (64 - 8 * len));
	memcpy(at, &bits, sizeof bits);
}

/* ---- one or the other ---- */

bool pg_value_encode(struct buf *b, const struct cqrs_value *value)
{
	size_t start = b->len, len = lengths[value->type];
	uint64_t bits;
	assert(!value->is_null);
	if (len) {
		char *at = buf_reserve(b, sizeof bits);
		if (!to_bits(value, &bits))
			return false;
		if (at)
			store_bits(at, bits, len);
		b->len += at ? len : 0;
		return true;
	}
	if (put(b, value))
		return true;
	b->len = start;
	return false;
}

static bool add_long_field(struct buf *b, const struct cqrs_value *value)
{
	size_t start = b->len;
	buf_put32(b, 0);
	if (!put(b, value)) {
		b->len = start;
		return false;
	}
	if (!b->failed) {
		uint32_t len = __builtin_bswap32((uint32_t)(b->len - start - 4));
		memcpy(b->data + start, &len, sizeof len);
	}
	return true;
}

bool pg_value_add_field(struct buf *b, const struct cqrs_value *value)
{
	size_t len = lengths[value->type];
	uint64_t bits;
	if (value->is_null) {
		buf_put32(b, UINT32_MAX);
		return true;
	}
	if (!len)
		return add_long_field(b, value);
	if (!to_bits(value, &bits))
		return false;
	char *at = buf_reserve(b, 4 + sizeof bits);
	if (at) {
		store_bits(at, len, 4);
		store_bits(at + 4, bits, len);
		b->len += 4 + len;
	}
	return true;
}

void pg_uuid_format(char out[36], const char *bytes)
{
	static const char digits[] = "0123456789abcdef";
	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = digits[(unsigned char)bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
}

static bool get_text(const char *data, size_t len, struct cqrs_value *value)
{
	*value = cqrs_bytes(CQRS_TEXT, data, len);
	return pg_value_is_text(data, len);
}

static bool get_float(const char *data, size_t len, struct cqrs_value *value)
{
	if (len == 4) {
		float f;
		uint32_t bits = pg_get32(data);
		memcpy(&f, &bits, sizeof f);
		*value = (struct cqrs_value){.type = CQRS_FLOAT4, .f = (double)f};
		return true;
	}
	uint64_t bits = len == 8 ? pg_get64(data) : 0;
	value->type = CQRS_FLOAT8;
	memcpy(&value->f, &bits, sizeof bits);
	return len == 8;
}

bool pg_value_decode(Oid oid, const char *data, size_t len, char text[40], struct cqrs_value *value)
{
	*value = cqrs_bool(false);
	switch (oid) {
	case PG_OID_BOOL:
		*value = cqrs_bool(len == 1 && *data);
		return len == 1;
	case PG_OID_INT2:
		*value = (struct cqrs_value){.type = CQRS_INT2};
		value->i = len == 2 ? (int16_t)pg_get16(data) : 0;
		return len == 2;
	case PG_OID_INT4:
		*value = cqrs_int4(len == 4 ? (int32_t)pg_get32(data) : 0);
		return len == 4;
	case PG_OID_INT8:
		*value = cqrs_int8(len == 8 ? (int64_t)pg_get64(data) : 0);
		return len == 8;
	case PG_OID_TIMESTAMPTZ:
		value->type = CQRS_TIMESTAMPTZ;
		return len == 8 &&
		       !__builtin_add_overflow((int64_t)pg_get64(data), PG_EPOCH_US, &value->i);
	case PG_OID_FLOAT4:
	case PG_OID_FLOAT8:
		return get_float(data, len, value) &&
		       (value->type == CQRS_FLOAT4) == (oid == PG_OID_FLOAT4);
	case PG_OID_TEXT:
	case PG_OID_VARCHAR:
	case PG_OID_BPCHAR:
	case PG_OID_NAME:
		return get_text(data, len, value);
	case PG_OID_UUID:
		if (len != 16)
			return false;
		pg_uuid_format(text, data);
		*value = cqrs_bytes(CQRS_UUID, text, 36);
		return true;
	default:
		return false;
	}
}
