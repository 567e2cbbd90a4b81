/* SPDX-License-Identifier: MIT */
/* Typed values in PostgreSQL's binary format: parameters and COPY fields. */
#include "pg_value.h"

#include "utf8.h"

#include <assert.h>
#include <math.h>

/* The limits of numeric and timestamptz (manual, tables 8.2 and 8.9). */
#define NUMERIC_DIGITS_MAX                                                    \
	1000 /* ours: PostgreSQL takes 131,072, a request has no need of them \
	      */
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

static bool put_timestamptz(struct buf *b, int64_t unix_us)
{
	/* int64 ends long before PostgreSQL's last year. */
	if (unix_us < TIMESTAMP_MIN + PG_EPOCH_US)
		return false;
	buf_put64(b, (uint64_t)(unix_us - PG_EPOCH_US));
	return true;
}

static bool put_float4(struct buf *b, double d)
{
	float f = (float)d;
	if (isinf(f) && !isinf(d))
		return false;
	uint32_t bits;
	memcpy(&bits, &f, sizeof bits);
	buf_put32(b, bits);
	return true;
}

static void put_float8(struct buf *b, double d)
{
	uint64_t bits;
	memcpy(&bits, &d, sizeof bits);
	buf_put64(b, bits);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool put_uuid(struct buf *b, const char *s, size_t len)
{
	char bytes[16];
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
		bytes[n++] = (char)(high << 4 | low);
		i += 2;
	}
	buf_add(b, bytes, sizeof bytes);
	return true;
}

/* Decimal text taken apart: the digits, and where the point stands among them. */
struct numeric {
	bool negative;
	int n;     /* digits, leading zeros left out */
	int point; /* digits before the decimal point; may be negative or above n */
	int scale; /* digits after it that were written or meant */
	char digits[NUMERIC_DIGITS_MAX];
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
		if (*s < '0' || *s > '9' || *exponent > NUMERIC_DIGITS_MAX)
			return false;
		*exponent = *exponent * 10 + (*s - '0');
	}
	if (negative)
		*exponent = -*exponent;
	return true;
}

static bool parse_numeric(const char *s, size_t len, struct numeric *d)
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
		if (d->n == NUMERIC_DIGITS_MAX)
			return false;
		d->digits[d->n++] = *s;
		d->point += !point;
	}
	if (!any || !parse_exponent(s, end, &exponent))
		return false;
	d->point += exponent;
	d->scale = exponent > d->scale ? 0 : d->scale - exponent;
	return d->point <= NUMERIC_DIGITS_MAX && d->scale <= NUMERIC_DIGITS_MAX;
}

/* The digit that stands `place` digits right of the decimal point (0: the first). */
static unsigned numeric_digit(const struct numeric *d, int place)
{
	int i = d->point + place;
	return i >= 0 && i < d->n ? (unsigned)(d->digits[i] - '0') : 0;
}

static bool put_numeric(struct buf *b, const char *s, size_t len)
{
	struct numeric d;
	if (!parse_numeric(s, len, &d))
		return false;
	while (d.n && d.digits[d.n - 1] == '0')
		d.n--;
	/* Groups of four digits, the decimal point always between two of them. */
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
			group = group * 10 + numeric_digit(&d, g * 4 + i);
		buf_put16(b, (uint16_t)group);
	}
	return true;
}

static bool put_array(struct buf *b, const struct cqrs_value *v, Oid element)
{
	bool any_null = false;
	for (size_t i = 0; i < v->a.n; i++)
		any_null |= v->a.items[i].is_null;
	if (v->a.n > INT32_MAX)
		return false;
	buf_put32(b, v->a.n ? 1 : 0); /* dimensions */
	buf_put32(b, any_null);
	buf_put32(b, element);
	if (!v->a.n)
		return true;
	buf_put32(b, (uint32_t)v->a.n);
	buf_put32(b, 1); /* the first index */
	for (size_t i = 0; i < v->a.n; i++) {
		const struct cqrs_value *item = &v->a.items[i];
		buf_put32(b, UINT32_MAX); /* null, unless put right below */
		if (item->is_null)
			continue;
		size_t at = b->len;
		assert(pg_value_oid(item->type) == element);
		if (!pg_value_encode(b, item))
			return false;
		if (b->failed)
			return true;
		uint32_t size = __builtin_bswap32((uint32_t)(b->len - at));
		memcpy(b->data + at - 4, &size, sizeof size);
	}
	return true;
}

static bool put(struct buf *b, const struct cqrs_value *v)
{
	switch (v->type) {
	case CQRS_BOOL:
		buf_putc(b, v->b);
		return true;
	case CQRS_INT2:
		buf_put16(b, (uint16_t)v->i);
		return v->i >= INT16_MIN && v->i <= INT16_MAX;
	case CQRS_INT4:
		buf_put32(b, (uint32_t)v->i);
		return v->i >= INT32_MIN && v->i <= INT32_MAX;
	case CQRS_INT8:
		buf_put64(b, (uint64_t)v->i);
		return true;
	case CQRS_FLOAT4:
		return put_float4(b, v->f);
	case CQRS_FLOAT8:
		put_float8(b, v->f);
		return true;
	case CQRS_NUMERIC:
		return put_numeric(b, v->s.data, v->s.len);
	case CQRS_TEXT:
		return put_text(b, v);
	case CQRS_JSONB:
		return put_jsonb(b, v);
	case CQRS_UUID:
		return put_uuid(b, v->s.data, v->s.len);
	case CQRS_BYTEA:
		buf_add(b, v->s.data, v->s.len);
		return true;
	case CQRS_TIMESTAMPTZ:
		return put_timestamptz(b, v->i);
	case CQRS_INT4_ARRAY:
		return put_array(b, v, PG_OID_INT4);
	case CQRS_TEXT_ARRAY:
		return put_array(b, v, PG_OID_TEXT);
	}
	return false;
}

bool pg_value_encode(struct buf *b, const struct cqrs_value *value)
{
	size_t start = b->len;
	assert(!value->is_null);
	if (put(b, value))
		return true;
	b->len = start;
	return false;
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
