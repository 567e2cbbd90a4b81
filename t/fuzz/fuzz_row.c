/* SPDX-License-Identifier: MIT */
/*
 * Rows with any bytes in their fields: they are written as JSON that jansson
 * reads, and as CSV records of as many fields.
 *
 * A field of the input is its type, the length of its name, the name, the
 * length of its value, the value; 255 stands for null.
 */
#include "pg_value.h"
#include "row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const Oid oids[] = {PG_OID_BOOL,       PG_OID_BYTEA,      PG_OID_NAME,   PG_OID_INT8,
                           PG_OID_INT2,       PG_OID_INT4,       PG_OID_TEXT,   PG_OID_OID,
                           PG_OID_JSON,       PG_OID_FLOAT4,     PG_OID_FLOAT8, PG_OID_INT4_ARRAY,
                           PG_OID_TEXT_ARRAY, PG_OID_INT8_ARRAY, PG_OID_BPCHAR, PG_OID_VARCHAR,
                           PG_OID_DATE,       PG_OID_TIMESTAMP,  PG_OID_UUID,   PG_OID_JSONB,
                           PG_OID_NUMERIC,    PG_OID_TIMESTAMPTZ};

/* jansson has no reals of more than 308 digits, and the server sends JSON that is JSON. */
static bool is_fair(const struct field *f)
{
	if (f->type == PG_OID_NUMERIC)
		return f->len < 4 || (int16_t)pg_get16(f->data + 2) < 70;
	size_t version = f->type == PG_OID_JSONB && f->len;
	if (f->type != PG_OID_JSON && f->type != PG_OID_JSONB)
		return true;
	const char *text = f->data + version;
	size_t len = f->len - version;
	json_t *json = len && !memchr(text, 0, len)
	                   ? json_loadb(text, len, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL)
	                   : NULL;
	json_decref(json);
	return json;
}

/* `len` bytes at most, with a NUL behind them, in `*to`. */
static const char *take(const uint8_t **p, const uint8_t *end, size_t *len, char **to)
{
	char *copy = *to;
	if (*len > (size_t)(end - *p))
		*len = (size_t)(end - *p);
	memcpy(copy, *p, *len);
	copy[*len] = '\0';
	*p += *len;
	*to += *len + 1;
	return copy;
}

static int read_fields(const uint8_t *p, const uint8_t *end, struct field *fields, char *to)
{
	int n = 0;
	while (n < ROW_COLUMNS_MAX && end - p >= 3) {
		struct field *f = &fields[n++];
		f->type = oids[*p++ % (sizeof oids / sizeof *oids)];
		size_t name_len = *p++;
		f->name = take(&p, end, &name_len, &to);
		f->len = p < end ? *p++ : 255;
		f->data = f->len == 255 ? NULL : take(&p, end, &f->len, &to);
		if (f->data && !is_fair(f))
			f->data = NULL;
	}
	return n;
}

/* How long the field at `p` is; its text, without quotes, goes into `text`. */
static size_t read_csv(const char *p, const char *end, struct buf *text)
{
	const char *begin = p;
	bool quoted = p < end && *p == '"';
	for (p += quoted; p < end; p++) {
		if (quoted && *p == '"' && (++p == end || *p != '"'))
			break;
		if (!quoted && (*p == ',' || *p == '\r'))
			break;
		assert(quoted || (*p != '"' && *p != '\n'));
		buf_putc(text, *p);
	}
	return (size_t)(p - begin);
}

static void check_csv(struct row_writer *w, const PGresult *rows, const struct field *fields, int n)
{
	struct buf out = BUF_INIT, text = BUF_INIT;
	row_writer_csv(w, rows, 0, &out);
	const char *p = out.data, *end = out.data + out.len - 2;
	assert(memcmp(end, "\r\n", 2) == 0);
	for (int i = 0; i < n; i++) {
		const struct field *f = &fields[i];
		buf_clear(&text);
		assert(i == 0 || *p++ == ',');
		p += read_csv(p, end, &text);
		assert(f->data || text.len == 0);
		if (f->data && (f->type == PG_OID_TEXT || f->type == PG_OID_JSON))
			assert(text.len == f->len && memcmp(buf_str(&text), f->data, f->len) == 0);
	}
	assert(p == end);
	buf_release(&out);
	buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct field fields[ROW_COLUMNS_MAX];
	struct row_writer w = {.n = 0};
	struct buf error = BUF_INIT;
	if (size > 20000)
		return 0;
	char *memory = malloc(size + 2 * ROW_COLUMNS_MAX + 1);
	int n = read_fields(data, data + size, fields, memory);
	PGresult *rows = row_new(fields, n);
	for (enum row_time time = ROW_TIME_RFC3339; n && time <= ROW_TIME_UNIX_MS; time++) {
		assert(row_writer_init(&w, rows, time, &error));
		json_decref(row_read(&w, rows, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL));
		check_csv(&w, rows, fields, n);
	}
	PQclear(rows);
	row_writer_release(&w);
	free(memory);
	return 0;
}
