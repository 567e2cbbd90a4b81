/* SPDX-License-Identifier: MIT */
/* The first line of a request: method, target, version (RFC 9112, 3). */
#include "http_syntax.h"

#include "url.h"

#include <string.h>
#include <strings.h>

static struct http_span span(size_t at, size_t len)
{
	return (struct http_span){.at = (uint32_t)at, .len = (uint32_t)len};
}

/* RFC 9112, 2.3: "HTTP/" DIGIT "." DIGIT; a later 1.x is read as 1.1 (RFC 9110, 2.5). */
static bool read_version(struct http_parser *p, const char *text, size_t len)
{
	if (len != 8 || memcmp(text, "HTTP/", 5) != 0 || !http_is(text[5], HTTP_DIGIT) ||
	    text[6] != '.' || !http_is(text[7], HTTP_DIGIT))
		return http_refuse(p, 400, "bad_request_line",
		                   "The request line is not \"METHOD TARGET HTTP/1.1\".");
	if (text[5] != '1')
		return http_refuse(p, 505, "bad_version", "This server speaks HTTP/1.1.");
	p->is_1_0 = text[7] == '0';
	p->keep_alive = !p->is_1_0;
	return true;
}

/*
 * Segments "." and ".." are taken out by clients before they ask (RFC 3986,
 * 5.2.4); one that is still there wants to be understood in two ways.
 */
static bool has_dot_segment(const char *path, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t from = ++i;
		while (i < len && path[i] != '/')
			i++;
		if ((i - from == 1 && path[from] == '.') ||
		    (i - from == 2 && path[from] == '.' && path[from + 1] == '.'))
			return true;
	}
	return false;
}

static bool has_escaped_slash(const char *path, size_t len)
{
	for (size_t i = 0; i + 2 < len; i++)
		if (path[i] == '%' && path[i + 1] == '2' && (path[i + 2] | 0x20) == 'f')
			return true;
	return false;
}

static bool has_control(const char *path, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f)
			return true;
	return false;
}

/* What is not escaped was looked at already, and is ASCII. */
static bool unescape_path(struct http_parser *p, char *path, size_t *len)
{
	if (!memchr(path, '%', *len))
		return true;
	if (has_escaped_slash(path, *len))
		return http_refuse(p, 400, "bad_target", "The path has an escaped slash (%2F).");
	if (!url_decode(path, len) || has_control(path, *len))
		return http_refuse(p, 400, "bad_target",
		                   "The path has a bad escape: '%' wants two hex digits, and the "
		                   "result must be UTF-8 without control characters.");
	return true;
}

static bool read_path(struct http_parser *p, char *data, size_t at, size_t len)
{
	char *path = data + at;
	if (http_run(path, len, HTTP_PATH) != len)
		return http_refuse(p, 400, "bad_target",
		                   "The path has a character that must be written as %XX.");
	if (!unescape_path(p, path, &len))
		return false;
	if (has_dot_segment(path, len))
		return http_refuse(p, 400, "bad_target", "The path has a segment \".\" or \"..\".");
	p->path = span(at, len);
	return true;
}

/* A path, and a query if there is a '?'. */
static bool read_origin_form(struct http_parser *p, char *data, size_t at, size_t len)
{
	const char *mark = memchr(data + at, '?', len);
	size_t path = mark ? (size_t)(mark - data) - at : len;
	size_t query = mark ? len - path - 1 : 0;
	p->query = span(at + len - query, query);
	if (http_run(data + p->query.at, query, HTTP_QUERY) != query)
		return http_refuse(p, 400, "bad_target",
		                   "The query has a character that must be written as %XX.");
	return read_path(p, data, at, path);
}

/* RFC 9112, 3.2.2: what proxies are asked, and every server must take. */
static bool read_absolute_form(struct http_parser *p, char *data, size_t at, size_t len)
{
	const char *text = data + at;
	size_t scheme = len >= 7 && strncasecmp(text, "http://", 7) == 0    ? 7
	                : len >= 8 && strncasecmp(text, "https://", 8) == 0 ? 8
	                                                                    : 0;
	size_t end = scheme;
	while (end < len && text[end] != '/' && text[end] != '?')
		end++;
	if (!scheme || !http_is_authority(text + scheme, end - scheme))
		return http_refuse(p, 400, "bad_target",
		                   "The request target is neither a path nor a http URL.");
	/* An empty path is "/": the authority, which nobody needs any more, lends the byte. */
	if (end == len || text[end] != '/')
		data[at + --end] = '/';
	return read_origin_form(p, data, at + end, len - end);
}

static bool read_target(struct http_parser *p, char *data, size_t at, size_t len)
{
	const char *method = data + p->method.at;
	if (p->method.len == 7 && memcmp(method, "CONNECT", 7) == 0)
		return http_refuse(p, 501, "not_a_proxy", "This server is no proxy.");
	if (len && data[at] == '/')
		return read_origin_form(p, data, at, len);
	if (len == 1 && data[at] == '*' && p->method.len == 7 &&
	    memcmp(method, "OPTIONS", 7) == 0) {
		p->path = span(at, 1);
		p->query = span(at + 1, 0);
		return true;
	}
	return read_absolute_form(p, data, at, len);
}

bool http_read_request_line(struct http_parser *p, char *data, size_t at, size_t len)
{
	const char *line = data + at;
	size_t method = http_run(line, len, HTTP_TOKEN);
	if (!method || method == len || line[method] != ' ')
		return http_refuse(p, 400, "bad_request_line",
		                   "The request does not begin with a method and one space.");
	if (method > HTTP_METHOD_MAX)
		return http_refuse(p, 501, "bad_method", "No method has a name that long.");
	const char *target = line + method + 1;
	const char *space = memchr(target, ' ', len - method - 1);
	if (!space)
		return http_refuse(p, 400, "bad_request_line",
		                   "The request line is not \"METHOD TARGET HTTP/1.1\".");
	p->method = span(at, method);
	return read_version(p, space + 1, (size_t)(line + len - space) - 1) &&
	       read_target(p, data, (size_t)(target - data), (size_t)(space - target));
}
