/* SPDX-License-Identifier: MIT */
/* Reading one HTTP/1.1 request out of a receive buffer, line by line. */
#include "http_parser.h"

#include "http_syntax.h"

#include <string.h>

enum state { START, FIELDS, BODY, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILERS, DONE, REFUSED };

#define CHUNK_DIGITS_MAX 16
#define CHUNK_LINE_MAX   (CHUNK_DIGITS_MAX + HTTP_EXT_MAX + 2)

/* What one step came to. */
enum step { MORE, ON };

/* Where a line begins, and how long it is without its CRLF. */
struct line {
	size_t at, len;
};

void http_parser_init(struct http_parser *p, size_t max_body)
{
	/* Not all of it: the table of fields is large, and n_fields says what of it counts. */
	p->method = p->path = p->query = p->body = (struct http_span){.at = 0};
	p->n_fields = p->n_trailers = 0;
	p->is_1_0 = p->keep_alive = p->expects_continue = false;
	p->seen_host = p->seen_length = p->seen_encoding = p->chunked = p->blank_line = false;
	p->consumed = p->line = p->scan = p->ext = p->block = 0;
	p->left = 0;
	p->refusal = (struct http_refusal){.status = 0};
	p->state = START;
	/* Places are 32 bits wide, and UINT32_MAX stands for "too much" in a Content-Length. */
	p->max_body = max_body < UINT32_MAX / 2 ? max_body : UINT32_MAX / 2;
}

bool http_parser_in_body(const struct http_parser *p)
{
	return p->state >= BODY && p->state < DONE;
}

bool http_parser_is_fresh(const struct http_parser *p)
{
	return p->state == START && p->scan == p->line;
}

static enum step refused(struct http_parser *p)
{
	p->state = REFUSED;
	return ON;
}

static enum step refuse(struct http_parser *p, int status, const char *code, const char *detail)
{
	http_refuse(p, status, code, detail);
	return refused(p);
}

/*
 * The next line, of at most `max` bytes.  Its length is judged before its
 * contents, so that the verdict is the same however the bytes come.  False:
 * it is not complete, or was refused (`too_long` says how).
 */
static bool take_line(struct http_parser *p, const char *data, size_t len, size_t max,
                      const struct http_refusal *too_long, struct line *line)
{
	const char *lf = memchr(data + p->scan, '\n', len - p->scan);
	size_t end = lf ? (size_t)(lf - data) + 1 : len;
	p->scan = end;
	if (end - p->line > max || (!lf && end - p->line == max)) {
		p->refusal = *too_long;
		p->state = REFUSED;
		return false;
	}
	if (!lf)
		return false;
	/* RFC 9112, 2.2 allows a bare LF as a line's end; two programs may then see two requests.
	 */
	if (end - p->line < 2 || lf[-1] != '\r') {
		refuse(p, 400, "bare_lf", "A line ends with LF alone instead of CR LF.");
		return false;
	}
	*line = (struct line){.at = p->line, .len = end - p->line - 2};
	p->line = end;
	return true;
}

static enum step waiting(const struct http_parser *p)
{
	return p->state == REFUSED ? ON : MORE;
}

static enum step read_start(struct http_parser *p, char *data, size_t len)
{
	static const struct http_refusal too_long = {414, "target_too_long",
	                                             "The request line is longer than 8 KiB."};
	struct line line;
	if (len == p->line)
		return MORE;
	/* One empty line before a request is an old habit (RFC 9112, 2.2).  Anything else that
	 * cannot begin a method (a TLS greeting) is refused before its line ends. */
	bool blank = data[p->line] == '\r' && !p->blank_line;
	if (!blank && !http_is(data[p->line], HTTP_TOKEN))
		return refuse(p, 400, "bad_request_line",
		              "The request does not begin with a method and one space.");
	if (!take_line(p, data, len, HTTP_LINE_MAX, &too_long, &line))
		return waiting(p);
	if (!line.len) {
		p->blank_line = true;
		return ON;
	}
	if (!http_read_request_line(p, data, line.at, line.len))
		return refused(p);
	p->state = FIELDS;
	return ON;
}

static bool take_field_line(struct http_parser *p, const char *data, size_t len, struct line *line)
{
	static const struct http_refusal too_large = {
	    431, "fields_too_large", "A field line is longer than 8 KiB, or all are than 16 KiB."};
	size_t left = HTTP_HEAD_MAX - p->block;
	size_t max = left < HTTP_LINE_MAX ? left : HTTP_LINE_MAX;
	if (!take_line(p, data, len, max, &too_large, line))
		return false;
	p->block += line->len + 2;
	return true;
}

/* The empty line: now it is known whether there is a body, and how long it may be. */
static enum step finish_fields(struct http_parser *p)
{
	if (!p->seen_host && !p->is_1_0)
		return refuse(p, 400, "missing_host", "There is no Host field.");
	if (p->left > p->max_body)
		return refuse(p, 413, "body_too_large",
		              "The body is larger than this server takes.");
	p->body.at = (uint32_t)p->line;
	p->state = p->chunked ? CHUNK_SIZE : p->left ? BODY : DONE;
	p->consumed = p->line;
	return ON;
}

static enum step read_fields(struct http_parser *p, char *data, size_t len)
{
	struct line line;
	if (!take_field_line(p, data, len, &line))
		return waiting(p);
	if (!line.len)
		return finish_fields(p);
	return http_read_field(p, data, line.at, line.len, true) ? ON : refused(p);
}

static enum step read_body(struct http_parser *p, char *data, size_t len)
{
	(void)data;
	if (len - p->body.at < p->left)
		return MORE;
	p->body.len = (uint32_t)p->left;
	p->consumed = p->body.at + p->body.len;
	p->state = DONE;
	return ON;
}

static size_t skip_space(const char *text, size_t at, size_t len)
{
	while (at < len && (text[at] == ' ' || text[at] == '\t'))
		at++;
	return at;
}

/* token or quoted-string (RFC 9110, 5.6.4); its length, 0: neither. */
static size_t extension_value(const char *text, size_t len)
{
	if (!len || text[0] != '"')
		return http_run(text, len, HTTP_TOKEN);
	for (size_t i = 1; i < len; i++) {
		if (text[i] == '"')
			return i + 1;
		if (text[i] == '\\')
			i++;
		if (i == len || !http_is(text[i], HTTP_VALUE))
			return 0;
	}
	return 0;
}

/* RFC 9112, 7.1.1: *( ";" name [ "=" value ] ), with spaces that nobody should send. */
static bool are_extensions(const char *text, size_t len)
{
	for (size_t at = 0; at < len;) {
		at = skip_space(text, at, len);
		if (at == len || text[at] != ';')
			return false;
		at = skip_space(text, at + 1, len);
		size_t name = http_run(text + at, len - at, HTTP_TOKEN);
		if (!name)
			return false;
		at += name;
		size_t equals = skip_space(text, at, len);
		if (equals == len || text[equals] != '=')
			continue;
		at = skip_space(text, equals + 1, len);
		size_t value = extension_value(text + at, len - at);
		if (!value)
			return false;
		at += value;
	}
	return true;
}

static uint64_t hex_value(const char *text, size_t len)
{
	uint64_t value = 0;
	for (size_t i = 0; i < len; i++) {
		unsigned c = (unsigned char)text[i];
		value = value << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return value;
}

static enum step read_chunk_size(struct http_parser *p, char *data, size_t len)
{
	static const struct http_refusal too_long = {400, "chunk_extensions_too_long",
	                                             "The chunk extensions are longer than 1 KiB."};
	struct line line;
	if (!take_line(p, data, len, CHUNK_LINE_MAX, &too_long, &line))
		return waiting(p);
	const char *text = data + line.at;
	size_t digits = http_run(text, line.len, HTTP_HEX);
	if (!digits || digits > CHUNK_DIGITS_MAX ||
	    !are_extensions(text + digits, line.len - digits))
		return refuse(p, 400, "bad_chunk", "A chunk does not begin with its size in hex.");
	p->ext += line.len - digits;
	if (p->ext > HTTP_EXT_MAX)
		return refuse(p, too_long.status, too_long.code, too_long.detail);
	p->left = hex_value(text, digits);
	if (p->left > p->max_body - p->body.len)
		return refuse(p, 413, "body_too_large",
		              "The body is larger than this server takes.");
	p->state = p->left ? CHUNK_DATA : TRAILERS;
	p->block = 0;
	return ON;
}

/* Moves the data to where the body ends so far: each byte once. */
static enum step read_chunk_data(struct http_parser *p, char *data, size_t len)
{
	size_t n = len - p->line;
	if (n > p->left)
		n = (size_t)p->left;
	memmove(data + p->body.at + p->body.len, data + p->line, n);
	p->body.len += (uint32_t)n;
	p->line += n;
	p->scan = p->line;
	p->left -= n;
	if (p->left)
		return MORE;
	p->state = CHUNK_END;
	return ON;
}

static enum step read_chunk_end(struct http_parser *p, char *data, size_t len)
{
	size_t n = len - p->line;
	if ((n >= 1 && data[p->line] != '\r') || (n >= 2 && data[p->line + 1] != '\n'))
		return refuse(p, 400, "bad_chunk", "A chunk is not as long as it says.");
	if (n < 2)
		return MORE;
	p->line += 2;
	p->scan = p->line;
	p->state = CHUNK_SIZE;
	return ON;
}

/* RFC 9112, 7.1.2: nobody asked for trailers, so they are checked and dropped. */
static enum step read_trailers(struct http_parser *p, char *data, size_t len)
{
	struct line line;
	if (!take_field_line(p, data, len, &line))
		return waiting(p);
	if (!line.len) {
		p->consumed = p->line;
		p->state = DONE;
		return ON;
	}
	if (++p->n_trailers > HTTP_FIELDS_MAX)
		return refuse(p, 431, "too_many_fields", "There are more than 64 trailer fields.");
	return http_read_field(p, data, line.at, line.len, false) ? ON : refused(p);
}

/* Takes the framing between the body and what is not read yet out of the buffer. */
static void squeeze(struct http_parser *p, char *data, size_t *len)
{
	size_t end = p->body.at + p->body.len, gap = p->line - end;
	if (p->state < CHUNK_SIZE || !gap)
		return;
	memmove(data + end, data + p->line, *len - p->line);
	*len -= gap;
	p->line -= gap;
	p->scan -= gap;
}

enum http_parse http_parser_feed(struct http_parser *p, char *data, size_t *len)
{
	static enum step (*const read[])(struct http_parser *, char *, size_t) = {
	    [START] = read_start,
	    [FIELDS] = read_fields,
	    [BODY] = read_body,
	    [CHUNK_SIZE] = read_chunk_size,
	    [CHUNK_DATA] = read_chunk_data,
	    [CHUNK_END] = read_chunk_end,
	    [TRAILERS] = read_trailers,
	};
	while (p->state < DONE) {
		if (read[p->state](p, data, *len) == MORE) {
			squeeze(p, data, len);
			return HTTP_PARSE_MORE;
		}
	}
	return p->state == DONE ? HTTP_PARSE_DONE : HTTP_PARSE_REFUSED;
}
