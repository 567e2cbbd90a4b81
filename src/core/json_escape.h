/* SPDX-License-Identifier: MIT */
/*
 * The escapes in JSON strings (RFC 8259, section 7).
 */
#ifndef JSON_ESCAPE_H
#define JSON_ESCAPE_H

#include "buf.h"

/*
 * Decodes one escape.  `*p` is behind its backslash and moves behind the
 * escape, `*to` moves behind what was written, which is never longer than the
 * escape was.  NULL, or what is wrong with it.  \u0000 is: PostgreSQL cannot
 * store it.
 */
const char *json_unescape(const char **p, const char *end, char **to);

/* Appends a string with its quotes.  What is not UTF-8 becomes U+FFFD, byte by byte. */
void json_escape(struct buf *out, const char *text, size_t len);

#endif
