/* SPDX-License-Identifier: MIT */
/* UTF-8, one character at a time. */
#include "utf8.h"

#include <stdbool.h>
#include <string.h>

static bool continues(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* The second byte alone tells overlong forms, surrogates and what is past U+10FFFF. */
static bool may_follow(unsigned char first, unsigned char second)
{
	switch (first) {
	case 0xe0:
		return second >= 0xa0 && second <= 0xbf;
	case 0xed:
		return second >= 0x80 && second <= 0x9f;
	case 0xf0:
		return second >= 0x90 && second <= 0xbf;
	case 0xf4:
		return second >= 0x80 && second <= 0x8f;
	default:
		return continues(second);
	}
}

size_t utf8_length(const char *p, const char *end)
{
	const unsigned char *s = (const unsigned char *)p;
	size_t left = (size_t)(end - p);
	if (!left)
		return 0;
	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4 || left < 2 || !may_follow(s[0], s[1]))
		return 0;
	if (s[0] < 0xe0)
		return 2;
	if (left < 3 || !continues(s[2]))
		return 0;
	if (s[0] < 0xf0)
		return 3;
	return left >= 4 && continues(s[3]) ? 4 : 0;
}

uint32_t utf8_decode(const char *p, size_t len)
{
	uint32_t c = (unsigned char)p[0] & (len == 1 ? 0x7fu : 0x7fu >> len);
	for (size_t i = 1; i < len; i++)
		c = c << 6 | ((unsigned char)p[i] & 0x3fu);
	return c;
}

void utf8_mend(char *text)
{
	for (char *end = text + strlen(text); text < end;) {
		size_t n = utf8_length(text, end);
		if (!n)
			*text = '?';
		text += n ? n : 1;
	}
}

size_t utf8_encode(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
	for (size_t i = n - 1; i > 0; i--) {
		out[i] = (char)(0x80 | (c & 0x3f));
		c >>= 6;
	}
	out[0] = (char)(lead[n] | c);
	return n;
}
