/* SPDX-License-Identifier: MIT */
/*
 * The escapes in JSON strings (RFC 8259, section 7).
 */
#ifndef JSON_ESCAPE_H
#define JSON_ESCAPE_H

#include "buf.h"
#include <endian.h>

/*
 * Decodes one escape.  `*p` is behind its backslash and moves behind the
 * escape, `*to` moves behind what was written, which is never longer than the
 * escape was.  NULL, or what is wrong with it.  \u0000 is: PostgreSQL cannot
 * store it.
 */
const char *json_unescape(const char **p, const char *end, char **to);

/* Appends a string with its quotes.  What is not UTF-8 becomes U+FFFD, byte by byte. */
void json_escape(struct buf *out, const char *text, size_t len);

/*
 * The first byte from `p` on that is not plain: a quote, a backslash, a
 * control character, or not ASCII.  Looks at eight bytes at a time.  In each
 * term below a byte may be marked wrongly only if it is not ASCII, or above one
 * that is marked rightly, so the lowest mark is always right.
 */
static inline const char *json_skip_plain(const char *p, const char *end)
{
	const uint64_t ones = 0x0101010101010101u;
	for (; end - p >= 8; p += 8) {
		uint64_t x;
		memcpy(&x, p, sizeof x);
		x = le64toh(x);
		uint64_t found =
		    ((x ^ ones * '"') - ones) | ((x ^ ones * '\\') - ones) | (x - ones * 0x20) | x;
		found &= ones * 0x80;
		if (found)
			return p + __builtin_ctzll(found) / 8;
	}
	while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' &&
	       *p != '\\')
		p++;
	return p;
}

#endif
