/* SPDX-License-Identifier: MIT */
/*
 * The pull reader against jansson: it must accept the same documents, with
 * equal values.  What was accepted is then written and read again.
 *
 * jansson 2.14 loses a NUL byte behind a number or a literal; the reader
 * refuses all that have one.
 */
#include "buf.h"
#include "json_writer.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition, const char *what)
{
	if (!condition) {
		fprintf(stderr, "broken: %s\n", what);
		abort();
	}
}

/* ---- reading ---- */

/* The value that begins with the token `kind`, as a tree; NULL: it is not one. */
static json_t *build(struct cqrs_json_reader *r, enum cqrs_json_kind kind);

static json_t *build_array(struct cqrs_json_reader *r)
{
	json_t *array = json_array();
	enum cqrs_json_kind kind;
	while ((kind = cqrs_json_next(r)) != CQRS_JSON_END) {
		json_t *element = build(r, kind);
		if (!element) {
			json_decref(array);
			return NULL;
		}
		json_array_append_new(array, element);
	}
	return array;
}

static json_t *build_object(struct cqrs_json_reader *r)
{
	json_t *object = json_object();
	enum cqrs_json_kind kind;
	while ((kind = cqrs_json_next(r)) != CQRS_JSON_END) {
		json_t *member = NULL;
		if (kind == CQRS_JSON_STRING) {
			/* The name dies at the next call. */
			size_t len = r->text_len;
			char *name = malloc(len + 1);
			memcpy(name, r->text, len);
			member = build(r, cqrs_json_next(r));
			if (member)
				json_object_setn_new_nocheck(object, name, len, member);
			free(name);
		}
		if (!member) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

static json_t *build(struct cqrs_json_reader *r, enum cqrs_json_kind kind)
{
	switch (kind) {
	case CQRS_JSON_NULL:
		return json_null();
	case CQRS_JSON_FALSE:
		return json_false();
	case CQRS_JSON_TRUE:
		return json_true();
	case CQRS_JSON_INTEGER:
		must(r->real == (double)r->integer, "the real of an integer");
		return json_integer(r->integer);
	case CQRS_JSON_REAL:
		return json_real(r->real);
	case CQRS_JSON_STRING:
		return json_stringn_nocheck(r->text, r->text_len);
	case CQRS_JSON_ARRAY:
		return build_array(r);
	case CQRS_JSON_OBJECT:
		return build_object(r);
	default:
		must(kind == CQRS_JSON_ERROR && r->error, "a token out of place");
		must(cqrs_json_next(r) == CQRS_JSON_ERROR, "an error does not last");
		return NULL;
	}
}

/* ---- comparing ---- */

/* A real that is a whole number is written as an integer: then compare the numbers. */
enum numbers { BY_TYPE, BY_VALUE };

static bool same(json_t *a, json_t *b, enum numbers how);

static bool same_elements(json_t *a, json_t *b, enum numbers how)
{
	bool equal = json_array_size(a) == json_array_size(b);
	for (size_t i = 0; equal && i < json_array_size(a); i++)
		equal = same(json_array_get(a, i), json_array_get(b, i), how);
	return equal;
}

static bool same_members(json_t *a, json_t *b, enum numbers how)
{
	bool equal = json_object_size(a) == json_object_size(b);
	for (void *at = json_object_iter(a); equal && at; at = json_object_iter_next(a, at)) {
		json_t *other = json_object_get(b, json_object_iter_key(at));
		equal = other && same(json_object_iter_value(at), other, how);
	}
	return equal;
}

/* Not json_equal(), for which 0.0 and -0.0 are the same. */
static bool same(json_t *a, json_t *b, enum numbers how)
{
	if (json_is_number(a) && json_is_number(b) && (how == BY_VALUE || json_is_real(a))) {
		double x = json_number_value(a), y = json_number_value(b);
		return memcmp(&x, &y, sizeof x) == 0 &&
		       (how == BY_VALUE || json_typeof(a) == json_typeof(b));
	}
	if (json_is_array(a) && json_is_array(b))
		return same_elements(a, b, how);
	if (json_is_object(a) && json_is_object(b))
		return same_members(a, b, how);
	return json_equal(a, b);
}

/* ---- writing ---- */

static void write_value(struct cqrs_json *w, json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_NULL:
		cqrs_json_null(w);
		break;
	case JSON_FALSE:
	case JSON_TRUE:
		cqrs_json_bool(w, json_is_true(value));
		break;
	case JSON_INTEGER:
		cqrs_json_integer(w, json_integer_value(value));
		break;
	case JSON_REAL:
		cqrs_json_real(w, json_real_value(value));
		break;
	case JSON_STRING:
		cqrs_json_string(w, json_string_value(value), json_string_length(value));
		break;
	case JSON_ARRAY:
		cqrs_json_open_array(w);
		for (size_t i = 0; i < json_array_size(value); i++)
			write_value(w, json_array_get(value, i));
		cqrs_json_close_array(w);
		break;
	case JSON_OBJECT:
		cqrs_json_open_object(w);
		for (void *at = json_object_iter(value); at;
		     at = json_object_iter_next(value, at)) {
			cqrs_json_name(w, json_object_iter_key(at));
			write_value(w, json_object_iter_value(at));
		}
		cqrs_json_close_object(w);
		break;
	}
}

static void check_writer(json_t *value)
{
	struct buf out = BUF_INIT;
	struct cqrs_json w;
	json_writer_init(&w, &out);
	write_value(&w, value);
	json_t *again = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
	must(again, "what was written is not JSON");
	must(same(value, again, BY_VALUE), "what was written differs");
	json_decref(again);
	buf_release(&out);
}

/* ---- the target ---- */

static void check_skip(const void *data, size_t size, bool valid)
{
	struct cqrs_json_reader r;
	cqrs_json_reader_init(&r, data, size);
	bool passed =
	    cqrs_json_skip(&r, cqrs_json_next(&r)) && cqrs_json_next(&r) == CQRS_JSON_DONE;
	must(passed == valid, "skipping and reading disagree");
	must(cqrs_json_offset(&r) <= size, "beyond the end");
	cqrs_json_reader_release(&r);
}

/* The whole document; NULL: refused. */
static json_t *read_document(const char *text, size_t size)
{
	struct cqrs_json_reader r;
	cqrs_json_reader_init(&r, text, size);
	json_t *value = build(&r, cqrs_json_next(&r));
	if (value && cqrs_json_next(&r) != CQRS_JSON_DONE) {
		json_decref(value);
		value = NULL;
	}
	cqrs_json_reader_release(&r);
	return value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* At its very size, so that reading beyond it is seen. */
	char *text = malloc(size ? size : 1);
	memcpy(text, data, size);
	json_t *ours = read_document(text, size), *theirs = NULL;
	if (memchr(text, 0, size)) {
		must(!ours, "a NUL byte was accepted");
	} else {
		theirs = json_loadb(text, size, 0, NULL);
		must(!ours == !theirs, ours ? "jansson refuses this" : "jansson accepts this");
	}
	check_skip(text, size, theirs != NULL);
	if (ours) {
		must(same(ours, theirs, BY_TYPE), "the values differ");
		check_writer(ours);
	}
	json_decref(ours);
	json_decref(theirs);
	free(text);
	return 0;
}
