/* SPDX-License-Identifier: MIT */
/* The text between the quotes of a JSON string, one way and the other. */
#include "json_escape.h"

#include "utf8.h"

#include <stdint.h>
#include <string.h>

/* ---- reading ---- */

/* The four hexadecimal digits of \uXXXX; -1 if they are not. */
static int32_t hex4(const char *p, const char *end)
{
	if (end - p < 4)
		return -1;
	int32_t n = 0;
	for (int i = 0; i < 4; i++) {
		char c = p[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
		            : c >= 'a' && c <= 'f' ? c - 'a' + 10
		            : c >= 'A' && c <= 'F' ? c - 'A' + 10
		                                   : -1;
		if (digit < 0)
			return -1;
		n = n << 4 | digit;
	}
	return n;
}

/* A \uXXXX, or two that are a surrogate pair; `*p` is at the first digit and moves behind. */
static const char *unescape_unicode(const char **p, const char *end, char **to)
{
	int32_t c = hex4(*p, end);
	if (c < 0)
		return "\\u needs four hexadecimal digits";
	*p += 4;
	if (c == 0)
		return "\\u0000 cannot be stored";
	if (c >= 0xd800 && c <= 0xdbff) {
		int32_t low =
		    end - *p >= 2 && (*p)[0] == '\\' && (*p)[1] == 'u' ? hex4(*p + 2, end) : -1;
		if (low < 0xdc00 || low > 0xdfff)
			return "half a surrogate pair";
		*p += 6;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	} else if (c >= 0xdc00 && c <= 0xdfff) {
		return "half a surrogate pair";
	}
	*to += utf8_encode(*to, (uint32_t)c);
	return NULL;
}

const char *json_unescape(const char **p, const char *end, char **to)
{
	static const char plain[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
	char c = *p < end ? *(*p)++ : '\0';
	if (c == 'u')
		return unescape_unicode(p, end, to);
	const char *found = c ? strchr(plain, c) : NULL;
	if (!found)
		return "unknown escape in a string";
	*(*to)++ = meaning[found - plain];
	return NULL;
}

/* ---- writing ---- */

/* How many bytes from `p` on need no escape. */
static size_t plain_run(const char *p, const char *end)
{
	const char *begin = p;
	size_t n;
	while ((p = json_skip_plain(p, end)) < end && (unsigned char)*p >= 0x80 &&
	       (n = utf8_length(p, end)))
		p += n;
	return (size_t)(p - begin);
}

/* RFC 8259, section 7.  A byte that is not UTF-8 becomes U+FFFD. */
static void put_escaped(struct buf *out, char c)
{
	static const char short_form[] = "\bb\tt\nn\ff\rr\"\"\\\\";
	if ((unsigned char)c >= 0x80) {
		buf_add(out, "\xef\xbf\xbd", 3);
		return;
	}
	for (const char *p = short_form; *p; p += 2)
		if (*p == c) {
			char escape[2] = {'\\', p[1]};
			buf_add(out, escape, 2);
			return;
		}
	buf_printf(out, "\\u%04x", (unsigned)c);
}

void json_escape(struct buf *out, const char *p, size_t len)
{
	const char *end = p + len;
	buf_putc(out, '"');
	for (;;) {
		size_t n = plain_run(p, end);
		buf_add(out, p, n);
		p += n;
		if (p == end)
			break;
		put_escaped(out, *p++);
	}
	buf_putc(out, '"');
}
