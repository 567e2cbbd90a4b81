/* SPDX-License-Identifier: MIT */
/* Puts JSON into a buffer, value after value. */
#include "json_writer.h"

#include "decimal.h"
#include "json_escape.h"

#include <assert.h>
#include <string.h>

void json_writer_init(struct cqrs_json *w, struct buf *out)
{
	/* `is_object` is written before it is read, level by level. */
	w->out = out;
	w->depth = 0;
	w->comma = w->named = false;
}

/* ---- structure ---- */

static bool in_object(const struct cqrs_json *w)
{
	unsigned level = w->depth - 1;
	return w->depth && (w->is_object[level / 64] >> (level % 64) & 1);
}

/* Before each value: the comma if one is due. */
static void begin_value(struct cqrs_json *w)
{
	assert(!in_object(w) || w->named);
	if (w->comma)
		buf_putc(w->out, ',');
	w->comma = w->depth > 0;
	w->named = false;
}

static void open_level(struct cqrs_json *w, bool object)
{
	begin_value(w);
	buf_putc(w->out, object ? '{' : '[');
	assert(w->depth < CQRS_JSON_DEPTH);
	uint64_t bit = 1ull << (w->depth % 64), *word = &w->is_object[w->depth / 64];
	*word = object ? *word | bit : *word & ~bit;
	w->depth++;
	w->comma = false;
}

static void close_level(struct cqrs_json *w, bool object)
{
	assert(w->depth > 0 && in_object(w) == object && !w->named);
	buf_putc(w->out, object ? '}' : ']');
	w->depth--;
	w->comma = w->depth > 0;
}

void cqrs_json_open_object(struct cqrs_json *w)
{
	open_level(w, true);
}

void cqrs_json_close_object(struct cqrs_json *w)
{
	close_level(w, true);
}

void cqrs_json_open_array(struct cqrs_json *w)
{
	open_level(w, false);
}

void cqrs_json_close_array(struct cqrs_json *w)
{
	close_level(w, false);
}

/* ---- text ---- */

void cqrs_json_name(struct cqrs_json *w, const char *name)
{
	assert(in_object(w) && !w->named);
	if (w->comma)
		buf_putc(w->out, ',');
	json_escape(w->out, name, strlen(name));
	buf_putc(w->out, ':');
	w->comma = false;
	w->named = true;
}

void cqrs_json_string(struct cqrs_json *w, const char *text, size_t len)
{
	begin_value(w);
	json_escape(w->out, text, len);
}

/* ---- other values ---- */

void json_writer_raw(struct cqrs_json *w, const char *text, size_t len)
{
	begin_value(w);
	buf_add(w->out, text, len);
}

void cqrs_json_null(struct cqrs_json *w)
{
	json_writer_raw(w, "null", 4);
}

void cqrs_json_bool(struct cqrs_json *w, bool b)
{
	json_writer_raw(w, b ? "true" : "false", b ? 4 : 5);
}

void cqrs_json_integer(struct cqrs_json *w, int64_t i)
{
	char text[24];
	json_writer_raw(w, text, decimal_from_integer(text, i));
}

size_t json_format_real(char out[32], double f)
{
	return decimal_from_double(out, f);
}

void cqrs_json_real(struct cqrs_json *w, double f)
{
	char text[32];
	size_t n = decimal_from_double(text, f);
	if (n)
		json_writer_raw(w, text, n);
	else
		cqrs_json_null(w);
}
