/* SPDX-License-Identifier: MIT */
/*
 * Typed values of any bytes, as parameters and COPY fields: what is encoded is
 * the same value when PostgreSQL sends it back and a row is written of it.
 *
 * The first byte says which type.
 */
#include "pg_value.h"
#include "row.h"

#include <cqrs/time.h>
#include <math.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ITEMS_MAX 64

/* Elements of an array: four bytes each, or what is between two 0xff; 0xfe is null. */
static size_t make_items(enum cqrs_type type, const char *data, size_t size,
                         struct cqrs_value items[ITEMS_MAX])
{
	size_t n = 0;
	for (const char *end = data + size; data < end && n < ITEMS_MAX; n++) {
		size_t left = (size_t)(end - data);
		const char *stop = memchr(data, 0xff, left);
		size_t len = stop ? (size_t)(stop - data) : left;
		items[n] = cqrs_bytes(type, data, len);
		if (type == CQRS_INT4) {
			char word[4] = {0};
			memcpy(word, data, len < 4 ? len : 4);
			items[n] = cqrs_int4((int32_t)pg_get32(word));
		}
		items[n].is_null = len == 1 && *data == '\xfe';
		data += len + (stop != NULL);
	}
	return n;
}

static struct cqrs_value make(enum cqrs_type type, const char *data, size_t size,
                              struct cqrs_value items[ITEMS_MAX])
{
	struct cqrs_value value = cqrs_bytes(type, data, size);
	char word[8] = {0};
	memcpy(word, data, size < 8 ? size : 8);
	int64_t i = (int64_t)pg_get64(word);
	switch (type) {
	case CQRS_BOOL:
		return cqrs_bool(i & 1);
	case CQRS_INT2:
	case CQRS_INT4:
	case CQRS_INT8:
	case CQRS_TIMESTAMPTZ:
		return (struct cqrs_value){.type = type, .i = size > 8 ? i >> 32 : i};
	case CQRS_FLOAT4:
	case CQRS_FLOAT8:
		value = (struct cqrs_value){.type = type};
		memcpy(&value.f, word, sizeof value.f);
		return value;
	case CQRS_INT4_ARRAY:
		return cqrs_array(type, items, make_items(CQRS_INT4, data, size, items));
	case CQRS_TEXT_ARRAY:
		return cqrs_array(type, items, make_items(CQRS_TEXT, data, size, items));
	default:
		return value;
	}
}

static bool is_string(const json_t *json, const char *data, size_t len)
{
	return json_is_string(json) && json_string_length(json) == len &&
	       memcmp(json_string_value(json), data, len) == 0;
}

static bool is_hex(const json_t *json, const struct cqrs_value *v)
{
	const char *text = json_string_value(json);
	bool same = text && strncmp(text, "\\x", 2) == 0 && strlen(text) == 2 + 2 * v->s.len;
	for (size_t i = 0; same && i < v->s.len; i++) {
		char byte[3] = {text[2 + 2 * i], text[3 + 2 * i], '\0'};
		same = (char)strtol(byte, NULL, 16) == v->s.data[i];
	}
	return same;
}

static bool is_real(const json_t *json, const struct cqrs_value *v)
{
	double d = json_number_value(json);
	float f = (float)d, f2 = (float)v->f;
	if (!isfinite(v->f) || !json)
		return json_is_null(json);
	return v->type == CQRS_FLOAT4 ? memcmp(&f, &f2, sizeof f) == 0
	                              : memcmp(&d, &v->f, sizeof d) == 0;
}

static bool is_time(const json_t *json, int64_t us)
{
	int64_t again;
	if (us < CQRS_TIME_MIN || us >= CQRS_TIME_END)
		return json_is_string(json);
	return cqrs_time_from_rfc3339(json_string_value(json), json_string_length(json), &again) &&
	       again == us;
}

/* Whether `json` says what `v` does. */
static bool says(const json_t *json, const struct cqrs_value *v)
{
	bool same = true;
	if (v->is_null)
		return json_is_null(json);
	switch (v->type) {
	case CQRS_BOOL:
		return json_is_boolean(json) && json_is_true(json) == v->b;
	case CQRS_INT2:
	case CQRS_INT4:
	case CQRS_INT8:
		return json_is_integer(json) && json_integer_value(json) == v->i;
	case CQRS_FLOAT4:
	case CQRS_FLOAT8:
		return is_real(json, v);
	case CQRS_TEXT:
		return is_string(json, v->s.data, v->s.len);
	case CQRS_UUID:
		return v->s.len == 36 && strncasecmp(json_string_value(json), v->s.data, 36) == 0;
	case CQRS_BYTEA:
		return is_hex(json, v);
	case CQRS_TIMESTAMPTZ:
		return is_time(json, v->i);
	case CQRS_INT4_ARRAY:
	case CQRS_TEXT_ARRAY:
		for (size_t i = 0; same && i < v->a.n; i++)
			same = says(json_array_get(json, i), &v->a.items[i]);
		return same && json_is_array(json) && json_array_size(json) == v->a.n;
	default: /* NUMERIC has a target of its own, JSONB is as it was */
		return true;
	}
}

/* What pg_value_decode() knows must be encoded as the same bytes again. */
static void check_decode(Oid oid, const struct buf *b)
{
	char text[40];
	struct cqrs_value value;
	struct buf again = BUF_INIT;
	if (pg_value_decode(oid, b->len ? b->data : "", b->len, text, &value)) {
		assert(pg_value_encode(&again, &value) && again.len == b->len);
		assert(!b->len || memcmp(again.data, b->data, b->len) == 0);
	}
	buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cqrs_value items[ITEMS_MAX];
	struct buf b = BUF_INIT, error = BUF_INIT;
	struct row_writer w = {.n = 0};
	if (!size)
		return 0;
	enum cqrs_type type = data[0] % (CQRS_TEXT_ARRAY + 1);
	struct cqrs_value value = make(type, (const char *)data + 1, size - 1, items);
	buf_puts(&b, "x"); /* whoever was there before */
	if (pg_value_encode(&b, &value)) {
		buf_drop(&b, 1);
		check_decode(pg_value_oid(type), &b);
		struct field field = {"v", pg_value_oid(type), buf_str(&b), b.len};
		PGresult *rows = row_new(&field, 1);
		assert(row_writer_init(&w, rows, ROW_TIME_RFC3339, &error));
		if (type != CQRS_NUMERIC && type != CQRS_JSONB) {
			json_t *row = row_read(&w, rows, JSON_ALLOW_NUL);
			assert(says(json_object_get(row, "v"), &value));
			json_decref(row);
		}
		PQclear(rows);
	} else {
		assert(b.len == 1);
	}
	row_writer_release(&w);
	buf_release(&b);
	return 0;
}
