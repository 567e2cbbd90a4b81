/* SPDX-License-Identifier: MIT */
/*
 * Chunked bodies, against a second reader that is as simple as RFC 9112, 7.1 has
 * it: it works on all the bytes at once, out of place, and knows no states.  The
 * first byte of the input says how the parser gets them in pieces.
 */
#include "http_parser.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BODY 200
#define HEAD     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
	if (!truth)
		abort();
}

/* What is left to read, and what was read. */
struct reader {
	const char *at, *end;
	char body[MAX_BODY];
	size_t len;
	bool refused, incomplete;
};

/* A line without its CRLF; false: there is none, or it is not one. */
static bool take_line(struct reader *r, const char **line, size_t *len, size_t max)
{
	const char *lf = memchr(r->at, '\n', (size_t)(r->end - r->at));
	size_t n = (size_t)((lf ? lf + 1 : r->end) - r->at);
	r->refused = n > max || (!lf && n == max) || (lf && (n < 2 || lf[-1] != '\r'));
	r->incomplete = !r->refused && !lf;
	if (r->refused || r->incomplete)
		return false;
	*line = r->at;
	*len = n - 2;
	r->at = lf + 1;
	return true;
}

static int digit(char c)
{
	const char *digits = "0123456789abcdefABCDEF", *at = c ? strchr(digits, c) : NULL;
	return !at ? -1 : at - digits < 16 ? (int)(at - digits) : (int)(at - digits) - 6;
}

/* The size, or -1: not for us to say, since the extension is somebody else's to judge. */
static int64_t chunk_size(const char *line, size_t len, bool *sound)
{
	uint64_t n = 0;
	size_t i = 0;
	for (; i < len && digit(line[i]) >= 0; i++)
		n = n > UINT64_MAX >> 5 ? n : n * 16 + (uint64_t)digit(line[i]);
	*sound = i > 0 && i <= 16;
	if (i < len)
		return -1;
	return n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

enum verdict { BODY, REFUSED, INCOMPLETE, UNKNOWN };

/* Reads chunks up to the last one; trailers and extensions are left to the parser. */
static enum verdict read_chunks(struct reader *r)
{
	for (;;) {
		const char *line;
		size_t len;
		bool sound;
		if (!take_line(r, &line, &len, 16 + HTTP_EXT_MAX + 2))
			return r->refused ? REFUSED : INCOMPLETE;
		int64_t n = chunk_size(line, len, &sound);
		if (!sound)
			return REFUSED;
		if (n < 0)
			return UNKNOWN;
		if ((uint64_t)n > MAX_BODY - r->len)
			return REFUSED;
		if (n == 0)
			return BODY;
		size_t there =
		    (size_t)(r->end - r->at) < (size_t)n ? (size_t)(r->end - r->at) : (size_t)n;
		memcpy(r->body + r->len, r->at, there);
		r->len += there;
		r->at += there;
		if (there < (size_t)n)
			return INCOMPLETE;
		size_t left = (size_t)(r->end - r->at);
		if ((left >= 1 && r->at[0] != '\r') || (left >= 2 && r->at[1] != '\n'))
			return REFUSED;
		if (left < 2)
			return INCOMPLETE;
		r->at += 2;
	}
}

/* Feeds the parser piece by piece, in a buffer of exactly the bytes that it has. */
static enum http_parse parse(struct http_parser *p, char **bytes, size_t *len, const char *data,
                             size_t size, size_t piece)
{
	enum http_parse verdict = HTTP_PARSE_MORE;
	for (size_t at = 0; verdict == HTTP_PARSE_MORE && at < size; at += piece) {
		size_t n = piece < size - at ? piece : size - at;
		char *moved = malloc(*len + n);
		must(moved != NULL);
		if (*len)
			memcpy(moved, *bytes, *len);
		memcpy(moved + *len, data + at, n);
		free(*bytes);
		*bytes = moved;
		*len += n;
		verdict = http_parser_feed(p, *bytes, len);
	}
	return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t head = sizeof HEAD - 1;
	struct http_parser p;
	if (size < 1)
		return 0;
	size_t piece = data[0] % 64 + 1, len = 0, all = head + size - 1;
	char *text = malloc(all), *bytes = NULL;
	must(text != NULL);
	memcpy(text, HEAD, head);
	memcpy(text + head, data + 1, size - 1);
	struct reader r = {.at = text + head, .end = text + all};
	enum verdict expected = read_chunks(&r);
	http_parser_init(&p, MAX_BODY);
	enum http_parse verdict = parse(&p, &bytes, &len, text, all, piece);
	if (expected == REFUSED)
		must(verdict == HTTP_PARSE_REFUSED);
	if (expected == INCOMPLETE)
		must(verdict == HTTP_PARSE_MORE && p.body.len == r.len);
	/* Whatever stood in extensions, what was read before them is the beginning. */
	if (expected != REFUSED && verdict != HTTP_PARSE_REFUSED)
		must(p.body.len >= r.len && memcmp(bytes + p.body.at, r.body, r.len) == 0);
	if (expected == BODY && verdict == HTTP_PARSE_DONE)
		must(p.body.len == r.len);
	free(text);
	free(bytes);
	return 0;
}
