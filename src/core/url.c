/* SPDX-License-Identifier: MIT */
/* What stands in URLs: percent escapes, query strings, base64url. */
#include "url.h"

#include "utf8.h"

#include <stdint.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The byte that the escape at `text` stands for; -1: it is none, or NUL. */
static int escaped_byte(const char *text, size_t len)
{
	if (len < 3)
		return -1;
	int high = hex_digit(text[1]), low = hex_digit(text[2]);
	if (high < 0 || low < 0 || high + low == 0)
		return -1;
	return high * 16 + low;
}

static bool is_utf8(const char *text, size_t len)
{
	const char *end = text + len;
	while (text < end) {
		size_t n = (unsigned char)*text < 0x80 ? 1 : utf8_length(text, end);
		if (!n)
			return false;
		text += n;
	}
	return true;
}

bool url_decode(char *text, size_t *len)
{
	const char *escape = memchr(text, '%', *len);
	size_t to = escape ? (size_t)(escape - text) : *len;
	for (size_t from = to; from < *len; from++) {
		int byte = (unsigned char)text[from];
		if (byte == '%') {
			byte = escaped_byte(text + from, *len - from);
			if (byte < 0)
				return false;
			from += 2;
		}
		text[to++] = (char)byte;
	}
	*len = to;
	return is_utf8(text, to);
}

/* RFC 3986, 3.3: pchar and '/'. */
static bool stands_bare_in_path(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-._~!$&'()*+,;=:@/", c));
}

void url_encode_path(struct buf *out, const char *path)
{
	static const char digits[] = "0123456789ABCDEF";
	for (; *path; path++) {
		if (stands_bare_in_path(*path)) {
			buf_putc(out, *path);
			continue;
		}
		unsigned char c = (unsigned char)*path;
		buf_add(out, (char[]){'%', digits[c >> 4], digits[c & 15]}, 3);
	}
}

/* One half of a pair, `len` bytes, without an effect on the text if it is bad. */
static bool half_is_decodable(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '%' && escaped_byte(text + i, len - i) < 0)
			return false;
	}
	return true;
}

static bool decode_half(char *text)
{
	size_t len = strlen(text);
	for (char *p = text; (p = strchr(p, '+'));)
		*p = ' ';
	bool ok = url_decode(text, &len);
	text[len] = '\0';
	return ok;
}

enum url_pair url_query_next(char **rest, const char **name, const char **value)
{
	char *pair = *rest + strspn(*rest, "&");
	if (!*pair) {
		*rest = pair;
		return URL_PAIR_END;
	}
	char *end = pair + strcspn(pair, "&");
	*rest = *end ? end + 1 : end;
	*end = '\0';
	char *equals = strchr(pair, '=');
	if (equals)
		*equals = '\0';
	*name = pair;
	*value = equals ? equals + 1 : end;
	if (!half_is_decodable(*name, strlen(*name)) || !half_is_decodable(*value, strlen(*value)))
		return URL_PAIR_BAD;
	/* What does not turn out to be UTF-8 is shown as decoded: nothing better is left. */
	bool name_ok = decode_half(pair);
	bool value_ok = !equals || decode_half(equals + 1);
	return name_ok && value_ok ? URL_PAIR : URL_PAIR_BAD;
}

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t base64url_encode(char *out, const void *data, size_t len)
{
	const unsigned char *in = data;
	char *at = out;
	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t bits = (uint32_t)in[i] << 16;
		bits |= n > 1 ? (uint32_t)in[i + 1] << 8 : 0;
		bits |= n > 2 ? in[i + 2] : 0;
		for (size_t j = 0; j <= n; j++)
			*at++ = letters[bits >> (18 - 6 * j) & 63];
	}
	*at = '\0';
	return (size_t)(at - out);
}

static int letter_value(char c)
{
	const char *at = c ? strchr(letters, c) : NULL;
	return at ? (int)(at - letters) : -1;
}

bool base64url_decode(void *out, size_t *out_len, const char *text, size_t len)
{
	unsigned char *at = out;
	uint32_t bits = 0;
	unsigned have = 0;
	for (size_t i = 0; i < len; i++) {
		int value = letter_value(text[i]);
		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		have += 6;
		if (have >= 8) {
			have -= 8;
			*at++ = (unsigned char)(bits >> have);
			bits &= (1u << have) - 1;
		}
	}
	*out_len = (size_t)(at - (unsigned char *)out);
	/* A single letter too many, or bits that no encoder would have set. */
	return have < 6 && bits == 0;
}
