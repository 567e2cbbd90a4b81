/* SPDX-License-Identifier: MIT */
/* How a value of each PostgreSQL type is written as text. */
#include "row_type.h"

#include "decimal.h"
#include "json_escape.h"
#include "pg_value.h"
#include "timestamp.h"

#include <assert.h>

/* ---- numbers ---- */

static bool put_integer(struct buf *out, int64_t i)
{
	char *at = buf_reserve(out, 24);
	if (at)
		out->len += decimal_from_integer(at, i);
	return true;
}

static bool put_bool(struct buf *out, const char *data, size_t len, enum row_time time)
{
	(void)time;
	buf_puts(out, len && *data ? "true" : "false");
	return true;
}

static bool put_int2(struct buf *out, const char *data, size_t len, enum row_time time)
{
	(void)time;
	return len == 2 && put_integer(out, (int16_t)pg_get16(data));
}

static bool put_int4(struct buf *out, const char *data, size_t len, enum row_time time)
{
	(void)time;
	return len == 4 && put_integer(out, (int32_t)pg_get32(data));
}

static bool put_oid(struct buf *out, const char *data, size_t len, enum row_time time)
{
	(void)time;
	return len == 4 && put_integer(out, pg_get32(data));
}

static bool put_int8(struct buf *out, const char *data, size_t len, enum row_time time)
{
	(void)time;
	return len == 8 && put_integer(out, (int64_t)pg_get64(data));
}

static bool put_float4(struct buf *out, const char *data, size_t len, enum row_time time)
{
	(void)time;
	if (len != 4)
		return false;
	float f;
	uint32_t bits = pg_get32(data);
	memcpy(&f, &bits, sizeof f);
	char *at = buf_reserve(out, 32);
	size_t n = at ? decimal_from_float(at, f) : 1;
	out->len += at ? n : 0;
	return n;
}

static bool put_float8(struct buf *out, const char *data, size_t len, enum row_time time)
{
	(void)time;
	if (len != 8)
		return false;
	double d;
	uint64_t bits = pg_get64(data);
	memcpy(&d, &bits, sizeof d);
	char *at = buf_reserve(out, 32);
	size_t n = at ? decimal_from_double(at, d) : 1;
	out->len += at ? n : 0;
	return n;
}

/* Four decimal digits of a numeric's group. */
static void put_group(char **at, unsigned group)
{
	for (unsigned unit = 1000; unit; unit /= 10)
		*(*at)++ = (char)('0' + group / unit % 10);
}

static unsigned get_group(const char *groups, int n, int i)
{
	return i >= 0 && i < n ? pg_get16(groups + (size_t)i * 2) : 0;
}

/* Groups of four digits of which the first counts 10000^weight (numeric.c, numeric_send). */
static bool put_numeric(struct buf *out, const char *data, size_t len, enum row_time time)
{
	(void)time;
	if (len < 8 || len < 8 + 2 * (size_t)pg_get16(data))
		return false;
	int n = pg_get16(data), weight = (int16_t)pg_get16(data + 2), scale = pg_get16(data + 6);
	unsigned sign = pg_get16(data + 4);
	if (sign != 0 && sign != 0x4000) /* NaN and infinities */
		return false;
	int whole = weight < 0 ? 0 : weight + 1, parts = (scale + 3) / 4;
	char *start = buf_reserve(out, (size_t)(whole + parts) * 4 + 4), *at = start;
	if (!start)
		return true;
	if (sign)
		*at++ = '-';
	char *digits = at;
	for (int i = 0; i < whole; i++)
		put_group(&at, get_group(data + 8, n, i));
	size_t zeros = 0;
	while (digits + zeros < at && digits[zeros] == '0')
		zeros++;
	memmove(digits, digits + zeros, (size_t)(at - digits) - zeros);
	at -= zeros;
	if (at == digits)
		*at++ = '0';
	if (scale) {
		*at++ = '.';
		for (int i = 0; i < parts; i++)
			put_group(&at, get_group(data + 8, n, weight + 1 + i));
		at -= parts * 4 - scale;
	}
	out->len += (size_t)(at - start);
	return true;
}

/* ---- times ---- */

/* Microseconds as a number of larger units, with a fraction only if there is one. */
static void put_epoch(struct buf *out, int64_t us, int64_t unit, int digits)
{
	int64_t rest = us % unit;
	if (us < 0 && us / unit == 0)
		buf_putc(out, '-');
	put_integer(out, us / unit);
	if (rest)
		buf_printf(out, ".%0*lld", digits, (long long)(rest < 0 ? -rest : rest));
}

/* Microseconds since 1970; false for infinity and what is beyond int64. */
static bool get_time(const char *data, size_t len, int64_t *us)
{
	int64_t since_2000 = len == 8 ? (int64_t)pg_get64(data) : INT64_MIN;
	return since_2000 != INT64_MIN && since_2000 != INT64_MAX &&
	       !__builtin_add_overflow(since_2000, PG_EPOCH_US, us);
}

static bool put_timestamptz(struct buf *out, const char *data, size_t len, enum row_time time)
{
	int64_t us;
	if (!get_time(data, len, &us))
		return false;
	char *at = buf_reserve(out, 40);
	if (!at)
		return true;
	if (time == ROW_TIME_RFC3339)
		out->len += timestamp_format(at, us);
	else if (time == ROW_TIME_UNIX)
		put_epoch(out, us, 1000000, 6);
	else
		put_epoch(out, us, 1000, 3);
	return true;
}

static bool put_timestamp(struct buf *out, const char *data, size_t len, enum row_time time)
{
	if (!put_timestamptz(out, data, len, time))
		return false;
	if (time == ROW_TIME_RFC3339 && !out->failed)
		out->len--; /* Z: it has no zone */
	return true;
}

static bool put_date(struct buf *out, const char *data, size_t len, enum row_time time)
{
	(void)time;
	int64_t us, days = len == 4 ? (int32_t)pg_get32(data) : INT32_MIN;
	char text[40];
	if (days == INT32_MIN || days == INT32_MAX ||
	    __builtin_mul_overflow(days, INT64_C(86400000000), &us) ||
	    __builtin_add_overflow(us, PG_EPOCH_US, &us))
		return false;
	timestamp_format(text, us);
	buf_add(out, text, strcspn(text, "T"));
	return true;
}

/* ---- others ---- */

static bool put_uuid(struct buf *out, const char *data, size_t len, enum row_time time)
{
	(void)time;
	char *at = len == 16 ? buf_reserve(out, 36) : NULL;
	if (!at)
		return out->failed;
	pg_uuid_format(at, data);
	out->len += 36;
	return true;
}

static bool put_hex(struct buf *out, const char *data, size_t len, enum row_time time)
{
	(void)time;
	static const char digits[] = "0123456789abcdef";
	char *at = buf_reserve(out, 2 * len);
	for (size_t i = 0; at && i < len; i++) {
		*at++ = digits[(unsigned char)data[i] >> 4];
		*at++ = digits[data[i] & 15];
	}
	out->len += at ? 2 * len : 0;
	return true;
}

static bool put_json(struct buf *out, const char *data, size_t len, enum row_time time)
{
	(void)time;
	buf_add(out, data, len);
	return true;
}

static bool put_jsonb(struct buf *out, const char *data, size_t len, enum row_time time)
{
	/* Behind the version of the format, of which there is only this one. */
	return len && *data == 1 && put_json(out, data + 1, len - 1, time);
}

/* ---- arrays (arrayfuncs.c, array_send) ---- */

struct array {
	const char *at, *end;
	const struct row_type *element;
	int dims;
	uint32_t sizes[6]; /* MAXDIM */
	enum row_time time;
};

static bool put_element(struct buf *out, struct array *a)
{
	if (a->end - a->at < 4)
		return false;
	uint32_t len = pg_get32(a->at);
	const char *data = a->at += 4;
	if (len == UINT32_MAX) {
		buf_puts(out, "null");
		return true;
	}
	if ((size_t)(a->end - a->at) < len)
		return false;
	a->at += len;
	if (a->element->class == ROW_TEXT)
		json_escape(out, data, len);
	else if (!a->element->put(out, data, len, a->time))
		buf_puts(out, "null");
	return true;
}

static bool put_dimension(struct buf *out, struct array *a, int dim)
{
	bool ok = true;
	buf_putc(out, '[');
	for (uint32_t i = 0; ok && i < a->sizes[dim]; i++) {
		if (i)
			buf_putc(out, ',');
		ok = dim + 1 < a->dims ? put_dimension(out, a, dim + 1) : put_element(out, a);
	}
	buf_putc(out, ']');
	return ok;
}

static bool put_array(struct buf *out, const char *data, size_t len, enum row_time time)
{
	size_t start = out->len, dims = len < 12 ? 7 : pg_get32(data);
	if (dims > 6 || len < 12 + 8 * dims)
		return false;
	struct array a = {.at = data + 12, .end = data + len, .dims = (int)dims, .time = time};
	a.element = row_type_find(pg_get32(data + 8));
	if (!a.element || (a.element->class != ROW_BARE && a.element->class != ROW_TEXT))
		return false;
	for (size_t i = 0; i < dims; i++, a.at += 8) {
		a.sizes[i] = pg_get32(a.at);
		if (!a.sizes[i]) /* without elements there are no dimensions */
			return false;
	}
	if (!a.dims)
		a.dims = 1; /* of size 0 */
	if (put_dimension(out, &a, 0))
		return true;
	out->len = start;
	return false;
}

/* By number. */
static const struct row_type types[] = {
    {PG_OID_BOOL, ROW_BARE, put_bool},
    {PG_OID_BYTEA, ROW_BYTEA, put_hex},
    {PG_OID_NAME, ROW_TEXT, NULL},
    {PG_OID_INT8, ROW_BARE, put_int8},
    {PG_OID_INT2, ROW_BARE, put_int2},
    {PG_OID_INT4, ROW_BARE, put_int4},
    {PG_OID_TEXT, ROW_TEXT, NULL},
    {PG_OID_OID, ROW_BARE, put_oid},
    {PG_OID_JSON, ROW_JSON, put_json},
    {PG_OID_FLOAT4, ROW_BARE, put_float4},
    {PG_OID_FLOAT8, ROW_BARE, put_float8},
    {PG_OID_INT4_ARRAY, ROW_JSON, put_array},
    {PG_OID_TEXT_ARRAY, ROW_JSON, put_array},
    {PG_OID_INT8_ARRAY, ROW_JSON, put_array},
    {PG_OID_BPCHAR, ROW_TEXT, NULL},
    {PG_OID_VARCHAR, ROW_TEXT, NULL},
    {PG_OID_DATE, ROW_QUOTED, put_date},
    {PG_OID_TIMESTAMP, ROW_TIME, put_timestamp},
    {PG_OID_TIMESTAMPTZ, ROW_TIME, put_timestamptz},
    {PG_OID_NUMERIC, ROW_BARE, put_numeric},
    {PG_OID_UUID, ROW_QUOTED, put_uuid},
    {PG_OID_JSONB, ROW_JSON, put_jsonb},
};

const struct row_type *row_type_find(Oid oid)
{
	size_t low = 0, high = sizeof types / sizeof *types;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (types[middle].oid == oid)
			return &types[middle];
		if (types[middle].oid < oid)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
