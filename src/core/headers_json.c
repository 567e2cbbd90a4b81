/* SPDX-License-Identifier: MIT */
/* The headers of a message as the JSON of a dead letter, and back. */
#include "headers_json.h"

#include "json_text.h"
#include "json_tree.h"
#include "pg_value.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define HEX "\\x"

/* Replaces what is in `out`. */
static void write_text(struct buf *out, const void *bytes, size_t len)
{
	bool is_odd = !pg_value_is_text(bytes, len) || (len >= 2 && !memcmp(bytes, HEX, 2));
	buf_clear(out);
	buf_puts(out, is_odd ? HEX : "");
	for (size_t i = 0; is_odd && i < len; i++)
		buf_printf(out, "%02x", ((const unsigned char *)bytes)[i]);
	buf_add(out, bytes, is_odd ? 0 : len);
}

static json_t *write_value(const struct cqrs_header *header, struct buf *text)
{
	if (!header->value)
		return json_null();
	write_text(text, header->value, header->value_len);
	return text->failed ? NULL : json_stringn(text->data ? text->data : "", text->len);
}

/* Takes `value`, which may be NULL; false: no memory. */
static bool add(json_t *object, const char *name, json_t *value)
{
	json_t *before = json_object_get(object, name);
	if (!before)
		return json_object_set_new(object, name, value) == 0;
	if (json_is_array(before))
		return json_array_append_new(before, value) == 0;
	return json_object_set_new(object, name, json_pack("[O, o]", before, value)) == 0;
}

void headers_json_write(struct buf *out, const struct cqrs_header *headers, size_t n)
{
	struct buf name = BUF_INIT, text = BUF_INIT;
	json_t *object = json_object();
	bool ok = object != NULL;
	for (size_t i = 0; ok && i < n; i++) {
		write_text(&name, headers[i].name, strlen(headers[i].name));
		ok = !name.failed && add(object, buf_str(&name), write_value(&headers[i], &text));
		ok = ok && !name.failed;
	}
	json_text(out, ok ? object : NULL, JSON_COMPACT);
	json_decref(object);
	buf_release(&name);
	buf_release(&text);
}

/* ---- and back ---- */

/* One allocation: first the headers, then their names and values. */
struct reading {
	struct cqrs_header *headers;
	size_t n;
	char *bytes; /* where the next go; NULL: only count */
	size_t size;
};

static void keep(struct reading *r, const void *bytes, size_t len)
{
	r->size += len;
	if (!r->bytes)
		return;
	memcpy(r->bytes, bytes, len);
	r->bytes += len;
}

static int digit(char c)
{
	const char *digits = "0123456789abcdef", *found = c ? strchr(digits, c) : NULL;
	return found ? (int)(found - digits) : -1;
}

/* Whether write_text() could have written it of bytes, of those but NUL for a `name`. */
static bool is_hex(const char *text, size_t len, bool name)
{
	if (len < 2 || len % 2 || memcmp(text, HEX, 2))
		return false;
	for (size_t i = 2; i < len; i += 2)
		if (digit(text[i]) < 0 || digit(text[i + 1]) < 0 ||
		    (name && text[i] == '0' && text[i + 1] == '0'))
			return false;
	return true;
}

/* How many bytes it is. */
static size_t read_text(struct reading *r, const char *text, size_t len, bool name)
{
	if (!is_hex(text, len, name)) {
		keep(r, text, len);
		return len;
	}
	for (size_t i = 2; i < len; i += 2) {
		char byte = (char)(digit(text[i]) * 16 + digit(text[i + 1]));
		keep(r, &byte, 1);
	}
	return len / 2 - 1;
}

static void read_value(struct reading *r, const char *name, const json_t *value)
{
	struct cqrs_header header = {.name = r->bytes};
	read_text(r, name, strlen(name), true);
	keep(r, "", 1);
	if (json_is_string(value)) {
		header.value = r->bytes;
		header.value_len =
		    read_text(r, json_string_value(value), json_string_length(value), false);
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

bool headers_json_read(const char *json, struct cqrs_header **headers, size_t *n)
{
	struct reading r = {.headers = NULL};
	json_t *object = json ? json_tree_load(json, strlen(json), NULL) : NULL;
	bool ok = !json || json_is_object(object);
	*n = 0;
	if (object && ok)
		read_object(&r, object);
	if (r.n) {
		/* One byte more: the last value may be empty, and is not NULL. */
		r.headers = calloc(1, r.n * sizeof *r.headers + r.size + 1);
		ok = r.headers != NULL;
	}
	if (r.headers) {
		r.bytes = (char *)(r.headers + r.n);
		read_object(&r, object);
		*n = r.n;
	}
	json_decref(object);
	*headers = r.headers;
	return ok;
}
