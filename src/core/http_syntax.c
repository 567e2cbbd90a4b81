/* SPDX-License-Identifier: MIT */
/* Which bytes may stand where in a request. */
#include "http_syntax.h"

#include <string.h>
#include <strings.h>

#define T     HTTP_TOKEN
#define P     HTTP_PATH
#define Q     HTTP_QUERY
#define V     HTTP_VALUE
#define H     HTTP_HOST

#define DIGIT (T | P | Q | V | H | HTTP_DIGIT | HTTP_HEX)
#define HEX   (T | P | Q | V | H | HTTP_HEX)
#define ALPHA (T | P | Q | V | H)

const unsigned char http_classes[256] = {
    ['\t'] = V,
    [' '] = V,
    ['!'] = T | P | Q | V | H,
    ['"'] = Q | V,
    ['#'] = T | V,
    ['$'] = T | P | Q | V | H,
    ['%'] = T | P | Q | V | H,
    ['&'] = T | P | Q | V | H,
    ['\''] = T | P | Q | V | H,
    ['('] = P | Q | V | H,
    [')'] = P | Q | V | H,
    ['*'] = T | P | Q | V | H,
    ['+'] = T | P | Q | V | H,
    [','] = P | Q | V | H,
    ['-'] = T | P | Q | V | H,
    ['.'] = T | P | Q | V | H,
    ['/'] = P | Q | V,
    ['0' ... '9'] = DIGIT,
    [':'] = P | Q | V,
    [';'] = P | Q | V | H,
    ['<'] = Q | V,
    ['='] = P | Q | V | H,
    ['>'] = Q | V,
    ['?'] = Q | V,
    ['@'] = P | Q | V,
    ['A' ... 'F'] = HEX,
    ['G' ... 'Z'] = ALPHA,
    ['['] = Q | V,
    ['\\'] = Q | V,
    [']'] = Q | V,
    ['^'] = T | Q | V,
    ['_'] = T | P | Q | V | H,
    ['`'] = T | Q | V,
    ['a' ... 'f'] = HEX,
    ['g' ... 'z'] = ALPHA,
    ['{'] = Q | V,
    ['|'] = T | Q | V,
    ['}'] = Q | V,
    ['~'] = T | P | Q | V | H,
    [0x80 ... 0xff] = V,
};

size_t http_run(const char *text, size_t len, int classes)
{
	size_t n = 0;
	while (n < len && http_is(text[n], classes))
		n++;
	return n;
}

bool http_is_word(const char *text, size_t len, const char *word)
{
	return len == strlen(word) && strncasecmp(text, word, len) == 0;
}

/* [hex:.] between brackets: whether it is a real address does not matter to us. */
static size_t ip_literal(const char *text, size_t len)
{
	size_t n = 1;
	while (n < len && (http_is(text[n], HTTP_HEX) || text[n] == ':' || text[n] == '.'))
		n++;
	return n > 2 && n < len && text[n] == ']' ? n + 1 : 0;
}

static bool is_port(const char *text, size_t len)
{
	unsigned port = 0;
	if (len > 5 || http_run(text, len, HTTP_DIGIT) != len)
		return false;
	for (size_t i = 0; i < len; i++)
		port = port * 10 + (unsigned)(text[i] - '0');
	return port <= 65535;
}

bool http_is_authority(const char *text, size_t len)
{
	if (!len)
		return false;
	size_t host = text[0] == '[' ? ip_literal(text, len) : http_run(text, len, HTTP_HOST);
	if (!host)
		return false;
	for (size_t i = 0; i < host; i++)
		if (text[i] == '%' && (i + 2 >= host || http_run(text + i + 1, 2, HTTP_HEX) != 2))
			return false;
	if (host == len)
		return true;
	return text[host] == ':' && is_port(text + host + 1, len - host - 1);
}

bool http_refuse(struct http_parser *p, int status, const char *code, const char *detail)
{
	p->refusal = (struct http_refusal){.status = status, .code = code, .detail = detail};
	return false;
}
