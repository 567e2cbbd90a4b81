/* SPDX-License-Identifier: MIT */
/*
 * What is behind the writing half of <cqrs/json.h>: JSON put into a buffer,
 * value after value, with commas where they belong.
 *
 * A buffer that fails makes the rest of the writing do nothing: look at
 * buf.failed once, at the end.  Closing what is not open, a name outside of
 * an object and a value without a name in one are bugs and assert.
 */
#ifndef JSON_WRITER_H
#define JSON_WRITER_H

#include "buf.h"
#include <cqrs/json.h>

struct cqrs_json {
	struct buf *out;
	unsigned depth; /* open levels, at most CQRS_JSON_DEPTH; at 0 any number of values */
	bool comma;     /* the next value or name needs one before it */
	bool named;     /* a name was written and its value was not */
	uint64_t is_object[CQRS_JSON_DEPTH / 64]; /* one bit for each open level */
};

/* `out` is borrowed for as long as the writer is used; JSON is appended to it. */
void json_writer_init(struct cqrs_json *w, struct buf *out);

/* Writes a value that is JSON text already: a jsonb, or a finite numeric. */
void json_writer_raw(struct cqrs_json *w, const char *text, size_t len);

/*
 * A double as JSON (and CSV) text, not terminated; how many bytes.  A short
 * decimal that reads back as the same number ("30", "30.25", "1e+300",
 * "-0.0"); 0 bytes for NaN and infinities, which JSON does not have.
 */
size_t json_format_real(char out[32], double f);

#endif
