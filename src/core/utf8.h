/* SPDX-License-Identifier: MIT */
/*
 * UTF-8 (RFC 3629), one character at a time.
 */
#ifndef UTF8_H
#define UTF8_H

#include <stddef.h>
#include <stdint.h>

/* How many bytes (1 to 4) the character at `p` has; 0: it is not UTF-8, or cut off by `end`. */
size_t utf8_length(const char *p, const char *end);
/* The character at `p`, of which utf8_length() said that it has `len` bytes. */
uint32_t utf8_decode(const char *p, size_t len);
/* Replaces what is no UTF-8 by '?', which keeps its length. */
void utf8_mend(char *text);
/* Writes the character `c` (at most U+10FFFF) as 1 to 4 bytes; how many. */
size_t utf8_encode(char *out, uint32_t c);

#endif
