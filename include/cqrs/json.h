/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing JSON (RFC 8259) without a tree.
 *
 * The reader pulls one value after the other out of a text and is strict: it
 * accepts what jansson's json_loadb() accepts with JSON_REJECT_DUPLICATES off,
 * and in addition refuses \u0000 in strings, which PostgreSQL cannot store.
 */
#ifndef CQRS_JSON_H
#define CQRS_JSON_H

#include <cqrs/abi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- reading ---- */

enum cqrs_json_kind {
	CQRS_JSON_ERROR, /* see cqrs_json_reader.error */
	CQRS_JSON_NULL,
	CQRS_JSON_FALSE,
	CQRS_JSON_TRUE,
	CQRS_JSON_INTEGER, /* within int64: `integer`; outside it is an error, as in jansson */
	CQRS_JSON_REAL,    /* finite: `real` */
	CQRS_JSON_STRING,  /* `text`, `text_len`: unescaped UTF-8 */
	CQRS_JSON_ARRAY,   /* its elements follow, one by one, until CQRS_JSON_END */
	CQRS_JSON_OBJECT,  /* name, value, name, value … until CQRS_JSON_END */
	CQRS_JSON_END,     /* the innermost open array or object is complete */
	CQRS_JSON_DONE,    /* the document is complete and nothing but space follows it */
};

#define CQRS_JSON_DEPTH 2048 /* arrays and objects in each other, as in jansson; more: an error */

/* A reader on the stack.  Members without a comment are the reader's own. */
struct cqrs_json_reader {
	int64_t integer;  /* valid after CQRS_JSON_INTEGER */
	double real;      /* valid after CQRS_JSON_INTEGER and CQRS_JSON_REAL */
	const char *text; /* valid after CQRS_JSON_STRING until the next call; not terminated */
	size_t text_len;
	const char *error; /* after CQRS_JSON_ERROR: what is wrong, a constant */
	const char *p, *begin, *end;
	char *scratch; /* where escaped strings are unescaped to */
	size_t scratch_cap;
	uint64_t is_object[CQRS_JSON_DEPTH / 64]; /* one bit for each open level */
	unsigned depth;
	unsigned char state;
	bool no_memory; /* after CQRS_JSON_ERROR: the text may be right, it could not be read */
};

/* `text` is borrowed until the last call; no NUL needed.  Release frees what unescaping took. */
CQRS_EXPORT void cqrs_json_reader_init(struct cqrs_json_reader *r, const void *text, size_t len);
CQRS_EXPORT void cqrs_json_reader_release(struct cqrs_json_reader *r);

/* The next token.  Inside an object names come as CQRS_JSON_STRING. */
CQRS_EXPORT enum cqrs_json_kind cqrs_json_next(struct cqrs_json_reader *r);

/* Passes over the rest of the value whose first token was just returned; false: error. */
CQRS_EXPORT bool cqrs_json_skip(struct cqrs_json_reader *r, enum cqrs_json_kind kind);

/* Where the reader stands, in bytes from the beginning: for error messages. */
CQRS_EXPORT size_t cqrs_json_offset(const struct cqrs_json_reader *r);

/* ---- writing ---- */

struct cqrs_json; /* a JSON text being written; commas are put where they belong */

CQRS_EXPORT void cqrs_json_open_object(struct cqrs_json *out);
CQRS_EXPORT void cqrs_json_close_object(struct cqrs_json *out);
CQRS_EXPORT void cqrs_json_open_array(struct cqrs_json *out);
CQRS_EXPORT void cqrs_json_close_array(struct cqrs_json *out);
CQRS_EXPORT void cqrs_json_name(struct cqrs_json *out, const char *name);
CQRS_EXPORT void cqrs_json_null(struct cqrs_json *out);
CQRS_EXPORT void cqrs_json_bool(struct cqrs_json *out, bool b);
CQRS_EXPORT void cqrs_json_integer(struct cqrs_json *out, int64_t i);
CQRS_EXPORT void cqrs_json_real(struct cqrs_json *out, double f); /* NaN, infinities: null */
CQRS_EXPORT void cqrs_json_string(struct cqrs_json *out, const char *text, size_t len);

#endif
