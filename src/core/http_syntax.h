/* SPDX-License-Identifier: MIT */
/*
 * The parser's own: classes of bytes, and the two kinds of lines of a head.
 */
#ifndef HTTP_SYNTAX_H
#define HTTP_SYNTAX_H

#include "http_parser.h"

enum {
	HTTP_TOKEN = 1, /* tchar, RFC 9110, 5.6.2 */
	HTTP_PATH = 2,  /* pchar, '/' and '%', RFC 3986, 3.3 */
	HTTP_QUERY =
	    4, /* all that is visible but '#': what browsers leave bare, RFC 3986 does not */
	HTTP_VALUE = 8, /* field-vchar, SP and HTAB, RFC 9110, 5.5 */
	HTTP_HOST = 16, /* reg-name, RFC 3986, 3.2.2 */
	HTTP_DIGIT = 32,
	HTTP_HEX = 64,
};

extern const unsigned char http_classes[256];

static inline bool http_is(char c, int classes)
{
	return http_classes[(unsigned char)c] & classes;
}

/* How many of the first `len` bytes are of these classes. */
size_t http_run(const char *text, size_t len, int classes);
/* Compares with a lower-case word, without case. */
bool http_is_word(const char *text, size_t len, const char *word);
/* uri-host [":" port], RFC 9110, 7.2; not empty. */
bool http_is_authority(const char *text, size_t len);

/* Always false. */
bool http_refuse(struct http_parser *p, int status, const char *code, const char *detail);

/* `len` bytes of `data` at `at` are a line without its CRLF; false: refused. */
bool http_read_request_line(struct http_parser *p, char *data, size_t at, size_t len);
/* With `keep` the field is noted and obeyed; a trailer field is only looked at. */
bool http_read_field(struct http_parser *p, const char *data, size_t at, size_t len, bool keep);

#endif
