/* SPDX-License-Identifier: MIT */
/*
 * What stands in URLs: percent escapes, query strings, base64url.
 *
 * Strict where being lenient would mean that two programs read the same URL
 * differently: a '%' without two hex digits, an escaped NUL and text that is
 * not UTF-8 are errors.
 */
#ifndef URL_H
#define URL_H

#include "buf.h"
#include <stdbool.h>
#include <stddef.h>

/* Decodes %XX (RFC 3986, 2.1) once and in place, and shortens `*len`; false: not a decodable text,
 * which is then left in an undefined state. */
bool url_decode(char *text, size_t *len);
/* Appends a path with what may not stand there bare as %XX; '/' stays. */
void url_encode_path(struct buf *out, const char *path);

enum url_pair {
	URL_PAIR,     /* `name` and `value` are decoded */
	URL_PAIR_BAD, /* they cannot be decoded, and are as they were sent */
	URL_PAIR_END,
};

/*
 * Takes the next name=value off a query string, which is overwritten: start
 * with `*rest` at a writable copy of it.  Read as forms are (WHATWG URL, 5.1):
 * '+' is a space, a pair without '=' has the value "", empty pairs are passed
 * over.  Both texts are NUL-terminated, valid UTF-8 without NUL, and live as
 * long as the copy.
 */
enum url_pair url_query_next(char **rest, const char **name, const char **value);

/* Bytes that base64url_encode() writes at most, its NUL among them. */
#define BASE64URL_SIZE(n) (((n) + 2) / 3 * 4 + 1)

/* RFC 4648, 5, without padding; terminates `out`; returns the length without the NUL. */
size_t base64url_encode(char *out, const void *data, size_t len);
/* Into `out`, of at least len * 3 / 4 bytes; `*out_len` is then how many there are.  False: not
 * what base64url_encode() writes (padding, other letters, bits left over). */
bool base64url_decode(void *out, size_t *out_len, const char *text, size_t len);

#endif
