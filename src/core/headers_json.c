/* SPDX-License-Identifier: MIT */
/* The headers of a message as the JSON of a dead letter, and back. */
#include "headers_json.h"

#include "buf.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define HEX "\\x"

static json_t *write_hex(const struct cqrs_header *header)
{
	const unsigned char *bytes = header->value;
	struct buf hex = BUF_INIT;
	buf_puts(&hex, HEX);
	for (size_t i = 0; i < header->value_len; i++)
		buf_printf(&hex, "%02x", bytes[i]);
	json_t *text = hex.failed ? NULL : json_string(buf_str(&hex));
	buf_release(&hex);
	return text;
}

static json_t *write_value(const struct cqrs_header *header)
{
	if (!header->value)
		return json_null();
	/* PostgreSQL's JSON has no NUL. */
	bool is_odd = memchr(header->value, 0, header->value_len) ||
	              (header->value_len >= 2 && !memcmp(header->value, HEX, 2));
	json_t *text = is_odd ? NULL : json_stringn(header->value, header->value_len);
	return text ? text : write_hex(header);
}

char *headers_json_write(const struct cqrs_header *headers, size_t n)
{
	json_t *object = n ? json_object() : NULL;
	for (size_t i = 0; object && i < n; i++) {
		json_t *value = write_value(&headers[i]);
		json_t *before = json_object_get(object, headers[i].name);
		if (!before)
			json_object_set_new(object, headers[i].name, value);
		else if (json_is_array(before))
			json_array_append_new(before, value);
		else
			json_object_set_new(object, headers[i].name,
			                    json_pack("[O, o]", before, value));
	}
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	json_decref(object);
	return text;
}

/* ---- and back ---- */

/* One allocation: first the headers, then their names and values. */
struct reading {
	struct cqrs_header *headers;
	size_t n;
	char *bytes; /* where the next go; NULL: only count */
	size_t size;
};

static const void *keep(struct reading *r, const void *bytes, size_t len)
{
	char *at = r->bytes;
	r->size += len;
	if (!at)
		return NULL;
	memcpy(at, bytes, len);
	r->bytes += len;
	return at;
}

static int digit(char c)
{
	const char *digits = "0123456789abcdef", *found = c ? strchr(digits, c) : NULL;
	return found ? (int)(found - digits) : -1;
}

/* False: it is not what write_hex() writes. */
static bool read_hex(struct reading *r, const char *text, size_t len, struct cqrs_header *out)
{
	if (len < 2 || len % 2 || memcmp(text, HEX, 2))
		return false;
	for (size_t i = 2; i < len; i++)
		if (digit(text[i]) < 0)
			return false;
	out->value_len = len / 2 - 1;
	out->value = r->bytes;
	for (size_t i = 2; i < len; i += 2) {
		char byte = (char)(digit(text[i]) * 16 + digit(text[i + 1]));
		keep(r, &byte, 1);
	}
	return true;
}

static void read_value(struct reading *r, const char *name, const json_t *value)
{
	struct cqrs_header header = {.name = NULL};
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);
	header.name = keep(r, name, strlen(name) + 1);
	if (text && !read_hex(r, text, len, &header)) {
		header.value = keep(r, text, len);
		header.value_len = len;
	}
	if (r->headers)
		r->headers[r->n] = header;
	r->n++;
}

static void read_object(struct reading *r, json_t *object)
{
	const char *name;
	json_t *value, *one;
	size_t i;
	r->n = r->size = 0;
	json_object_foreach(object, name, value)
	{
		if (json_is_array(value))
			json_array_foreach(value, i, one) read_value(r, name, one);
		else
			read_value(r, name, value);
	}
}

struct cqrs_header *headers_json_read(const char *json, size_t *n)
{
	struct reading r = {.headers = NULL};
	json_t *object = json ? json_loads(json, 0, NULL) : NULL;
	*n = 0;
	if (json_is_object(object) && json_object_size(object)) {
		read_object(&r, object);
		/* One byte more: the last value may be empty, and is not NULL. */
		r.headers = calloc(1, r.n * sizeof *r.headers + r.size + 1);
	}
	if (r.headers) {
		r.bytes = (char *)(r.headers + r.n);
		read_object(&r, object);
		*n = r.n;
	}
	json_decref(object);
	return r.headers;
}
