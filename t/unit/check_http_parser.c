/* SPDX-License-Identifier: MIT */
/* Which bytes are a request, which are refused and how, and that it does not matter how they come.
 */
#include "http_parser.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BODY 32
#define OK       200 /* a request, and nothing left over */
#define REST     201 /* a request, and bytes behind it */
#define OPEN     0   /* more is needed */

/* The request line and Host, or a line and what follows. */
#define GET(fields)  "GET / HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define POST(fields) "POST / HTTP/1.1\r\nHost: a\r\n" fields
#define TARGET(t)    "GET " t " HTTP/1.1\r\nHost: a\r\n\r\n"
#define HOST(h)      "GET / HTTP/1.1\r\n" h "\r\n"
#define CHUNKS(c)    POST("Transfer-Encoding: chunked\r\n\r\n") c
#define CASE(section, status, bytes)                      \
	{                                                 \
		section, status, bytes, sizeof(bytes) - 1 \
	}

/* clang-format off */
static const struct {
	const char *section; /* of RFC 9112, if it does not say otherwise */
	int status;
	const char *bytes;
	size_t len;
} cases[] = {
	/* whole requests */
	CASE("3", OK, GET("")),
	CASE("3", OPEN, "GET / HTTP/1.1\r\nHost: a\r\n"),
	CASE("3", OPEN, ""),
	CASE("2.2: an empty line before", OK, "\r\n" GET("")),
	CASE("2.2: an empty line alone", OPEN, "\r\n"),
	CASE("2.2: two empty lines", 400, "\r\n\r\n" GET("")),
	CASE("2.2: a bare LF before", 400, "\n" GET("")),
	CASE("2.2: a bare CR before", 400, "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
	CASE("9.3.2: pipelined", REST, GET("") GET("")),
	CASE("9.3.2: pipelined rubbish is the next one's", REST, GET("") "\0\0"),

	/* the request line */
	CASE("2.2: bare LF", 400, "GET / HTTP/1.1\nHost: a\r\n\r\n"),
	CASE("2.2: bare LF everywhere", 400, "GET / HTTP/1.1\nHost: a\n\n"),
	CASE("2.2: CR CR LF", 400, "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
	CASE("3: two spaces", 400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
	CASE("3: two spaces before the version", 400, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
	CASE("3: a space behind", 400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
	CASE("3: a space before", 400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
	CASE("3: tabs", 400, "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n"),
	CASE("3: no target", 400, "GET HTTP/1.1\r\nHost: a\r\n\r\n"),
	CASE("3: empty target", 400, "GET  HTTP/1.1\r\nHost: a\r\n\r\n"),
	CASE("3: no version", 400, "GET /\r\nHost: a\r\n\r\n"),
	CASE("3: a method alone", 400, "GET\r\n\r\n"),
	CASE("3: a NUL", 400, "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
	CASE("3: a TLS greeting", 400, "\x16\x03\x01\x02"),
	CASE("3.1: any token is a method", OK, "M-SEARCH! / HTTP/1.1\r\nHost: a\r\n\r\n"),
	CASE("3.1: case matters, but not here", OK, "get / HTTP/1.1\r\nHost: a\r\n\r\n"),
	CASE("3.1: no token", 400, "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
	CASE("3.1: a method in quotes", 400, "\"GET\" / HTTP/1.1\r\nHost: a\r\n\r\n"),
	CASE("3.1: 32 letters", OK, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1\r\nHost: a\r\n\r\n"),
	CASE("3: 33 letters", 501, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\nHost: a\r\n\r\n"),

	/* versions */
	CASE("2.3", OK, "GET / HTTP/1.0\r\n\r\n"),
	CASE("2.3: 1.0 with Host", OK, "GET / HTTP/1.0\r\nHost: a\r\n\r\n"),
	CASE("RFC 9110 2.5: a later minor version", OK, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
	CASE("RFC 9110 15.6.6", 505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
	CASE("RFC 9110 15.6.6", 505, "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
	CASE("RFC 9113 3.4: preface", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	CASE("2.3: lower case", 400, "GET / http/1.1\r\nHost: a\r\n\r\n"),
	CASE("2.3: two digits", 400, "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
	CASE("2.3: leading zero", 400, "GET / HTTP/01.1\r\nHost: a\r\n\r\n"),
	CASE("2.3: no minor", 400, "GET / HTTP/1\r\nHost: a\r\n\r\n"),
	CASE("2.3: comma", 400, "GET / HTTP/1,1\r\nHost: a\r\n\r\n"),
	CASE("2.3: another protocol", 400, "GET / HTCP/1.1\r\nHost: a\r\n\r\n"),
	CASE("2.3: ICY", 400, "GET / ICY\r\nHost: a\r\n\r\n"),

	/* targets */
	CASE("3.2.1", OK, TARGET("/a/b?c=d&e")),
	CASE("3.2.1: empty query", OK, TARGET("/?")),
	CASE("3.2.1: double slash stays", OK, TARGET("//a//b")),
	CASE("3.2.1: what browsers leave bare in queries", OK, TARGET("/?a[]={b|c}\"^`\\")),
	CASE("3.2.1: a relative path", 400, TARGET("a/b")),
	CASE("3.2.1: a query alone", 400, TARGET("?a")),
	CASE("3.2: fragment", 400, TARGET("/a#b")),
	CASE("3.2: fragment in the query", 400, TARGET("/a?b#c")),
	CASE("3.2: not ASCII", 400, TARGET("/caf\xc3\xa9")),
	CASE("3.2: not ASCII in the query", 400, TARGET("/?caf\xc3\xa9")),
	CASE("3.2: control character", 400, TARGET("/a\x01")),
	CASE("3.2: DEL", 400, TARGET("/a\x7f")),
	CASE("3.2: bracket in a path", 400, TARGET("/a[1]")),
	CASE("3.2: backslash in a path", 400, TARGET("/a\\b")),
	CASE("RFC 3986 2.1: escapes", OK, TARGET("/caf%C3%a9%20%2b")),
	CASE("RFC 3986 2.1: no hex", 400, TARGET("/%zz")),
	CASE("RFC 3986 2.1: cut off", 400, TARGET("/%4")),
	CASE("RFC 3986 2.1: percent alone", 400, TARGET("/%")),
	CASE("RFC 3986 7.3: NUL", 400, TARGET("/%00")),
	CASE("RFC 3986 2.4: once", OK, TARGET("/%252e%252e")),
	CASE("RFC 3986 2.2: escaped slash", 400, TARGET("/a%2Fb")),
	CASE("RFC 3986 2.2: escaped slash", 400, TARGET("/a%2fb")),
	CASE("RFC 3986 7.3: escaped CR LF", 400, TARGET("/a%0d%0aX: y")),
	CASE("RFC 3986 7.3: escaped CR LF", 400, TARGET("/a%0d%0ab")),
	CASE("RFC 3629: not UTF-8", 400, TARGET("/%ff")),
	CASE("RFC 3629: overlong", 400, TARGET("/%c0%af")),
	CASE("RFC 3986 5.2.4", 400, TARGET("/a/../b")),
	CASE("RFC 3986 5.2.4", 400, TARGET("/..")),
	CASE("RFC 3986 5.2.4", 400, TARGET("/a/./b")),
	CASE("RFC 3986 5.2.4: escaped", 400, TARGET("/%2e%2e/b")),
	CASE("RFC 3986 5.2.4: names with dots", OK, TARGET("/...//a.b/.c")),
	CASE("3.2.2", OK, TARGET("http://a.example:80/b?c")),
	CASE("3.2.2", OK, TARGET("HTTPS://a.example/")),
	CASE("3.2.2: no path", OK, TARGET("http://a.example")),
	CASE("3.2.2: a query alone", OK, TARGET("http://a.example?b")),
	CASE("3.2.2: no host", 400, TARGET("http:///a")),
	CASE("3.2.2: user info", 400, TARGET("http://u:p@a/")),
	CASE("3.2.2: another scheme", 400, TARGET("ftp://a/")),
	CASE("3.2.2: bad port", 400, TARGET("http://a:b/")),
	CASE("3.2.2: Host is wanted all the same", 400, "GET http://a/ HTTP/1.1\r\n\r\n"),
	CASE("3.2.3", 501, "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
	CASE("3.2.4", OK, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
	CASE("3.2.4: only with OPTIONS", 400, TARGET("*")),

	/* Host */
	CASE("3.2: missing", 400, HOST("")),
	CASE("3.2: twice", 400, HOST("Host: a\r\nHost: b\r\n")),
	CASE("3.2: twice the same", 400, HOST("Host: a\r\nhost: a\r\n")),
	CASE("3.2: twice, 1.0", 400, "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"),
	CASE("RFC 9110 7.2", OK, HOST("Host: a.example:8080\r\n")),
	CASE("RFC 9110 7.2: IPv6", OK, HOST("Host: [::1]:8080\r\n")),
	CASE("RFC 9110 7.2: empty port", OK, HOST("Host: a:\r\n")),
	CASE("RFC 9110 7.2: empty", 400, HOST("Host:\r\n")),
	CASE("RFC 9110 7.2: a list", 400, HOST("Host: a, b/c\r\n")),
	CASE("RFC 9110 7.2: a path", 400, HOST("Host: a/b\r\n")),
	CASE("RFC 9110 7.2: user info", 400, HOST("Host: u@a\r\n")),
	CASE("RFC 9110 7.2: a space", 400, HOST("Host: a b\r\n")),
	CASE("RFC 9110 7.2: port too large", 400, HOST("Host: a:65536\r\n")),
	CASE("RFC 9110 7.2: no port", 400, HOST("Host: a:8o\r\n")),
	CASE("RFC 9110 7.2: open bracket", 400, HOST("Host: [::1\r\n")),
	CASE("RFC 9110 7.2: half an escape", 400, HOST("Host: a%4\r\n")),
	CASE("RFC 9110 7.2: not ASCII", 400, HOST("Host: caf\xc3\xa9\r\n")),

	/* field lines */
	CASE("5", OK, GET("A: b\r\n")),
	CASE("5: no space", OK, GET("A:b\r\n")),
	CASE("5: much space", OK, GET("A: \t b \t \r\n")),
	CASE("5: empty value", OK, GET("A:\r\n")),
	CASE("5: all of tchar", OK, GET("!#$%&'*+-.^_`|~09AZaz: b\r\n")),
	CASE("RFC 9110 5.5: obs-text", OK, GET("A: \xff\x80\r\n")),
	CASE("5.1: space before the colon", 400, GET("A : b\r\n")),
	CASE("5.1: tab before the colon", 400, GET("A\t: b\r\n")),
	CASE("5.2: folded", 400, GET("A: b\r\n c\r\n")),
	CASE("5.2: folded with a tab", 400, GET("A: b\r\n\tc: d\r\n")),
	CASE("2.2: space before the first field", 400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
	CASE("5: no colon", 400, GET("A\r\n")),
	CASE("5: no name", 400, GET(": b\r\n")),
	CASE("5: name of two words", 400, GET("A b: c\r\n")),
	CASE("5: name not ASCII", 400, GET("caf\xc3\xa9: b\r\n")),
	CASE("5: name in parentheses", 400, GET("(A): b\r\n")),
	CASE("RFC 9110 5.5: NUL", 400, GET("A: b\0c\r\n")),
	CASE("RFC 9110 5.5: NUL in the name", 400, GET("A\0: b\r\n")),
	CASE("RFC 9110 5.5: bare CR", 400, GET("A: b\rc\r\n")),
	CASE("RFC 9110 5.5: control character", 400, GET("A: b\x0b\r\n")),
	CASE("RFC 9110 5.5: DEL", 400, GET("A: b\x7f\r\n")),
	CASE("2.2: bare LF", 400, GET("A: b\nC: d\r\n")),
	CASE("2.2: bare LF at the end", 400, "GET / HTTP/1.1\r\nHost: a\r\n\n"),
	CASE("2.2: LF CR", 400, "GET / HTTP/1.1\r\nHost: a\n\r\n\r"),

	/* Content-Length */
	CASE("6.3", OK, POST("Content-Length: 3\r\n\r\nabc")),
	CASE("6.3", REST, POST("Content-Length: 3\r\n\r\nabcd")),
	CASE("6.3", OPEN, POST("Content-Length: 3\r\n\r\nab")),
	CASE("6.3: nothing", OK, POST("Content-Length: 0\r\n\r\n")),
	CASE("6.3: no length is no body", REST, POST("\r\nabc")),
	CASE("RFC 9110 8.6: leading zeros are digits", OK, POST("Content-Length: 003\r\n\r\nabc")),
	CASE("RFC 9110 9.3.1: with GET", OK, GET("Content-Length: 3\r\n") "abc"),
	CASE("6.3: 1.0", OK, "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc"),
	CASE("6.3: twice", 400, POST("Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc")),
	CASE("6.3: twice the same", 400, POST("Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc")),
	CASE("6.3: a list", 400, POST("Content-Length: 3, 3\r\n\r\nabc")),
	CASE("6.3: empty", 400, POST("Content-Length:\r\n\r\n")),
	CASE("6.3: plus", 400, POST("Content-Length: +3\r\n\r\nabc")),
	CASE("6.3: minus", 400, POST("Content-Length: -3\r\n\r\nabc")),
	CASE("6.3: space inside", 400, POST("Content-Length: 1 0\r\n\r\nabc")),
	CASE("6.3: hex", 400, POST("Content-Length: 0x3\r\n\r\nabc")),
	CASE("6.3: point", 400, POST("Content-Length: 3.0\r\n\r\nabc")),
	CASE("6.3: quotes", 400, POST("Content-Length: \"3\"\r\n\r\nabc")),
	CASE("RFC 9110 15.5.14: the largest", OK, POST("Content-Length: 32\r\n\r\n0123456789abcdef0123456789abcdef")),
	CASE("RFC 9110 15.5.14: one more", 413, POST("Content-Length: 33\r\n\r\n")),
	CASE("RFC 9110 8.6: beyond 64 bits", 413, POST("Content-Length: 18446744073709551619\r\n\r\nabc")),

	/* Transfer-Encoding */
	CASE("6.1: with a length", 400, POST("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
	CASE("6.1: with a length behind", 400, POST("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n")),
	CASE("6.1: 1.0", 400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	CASE("7: case does not matter", OK, POST("transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n")),
	CASE("6.1: unknown", 501, POST("Transfer-Encoding: gzip\r\n\r\n")),
	CASE("6.1: unknown before chunked", 501, POST("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")),
	CASE("6.1: identity is no more", 501, POST("Transfer-Encoding: identity\r\n\r\n")),
	CASE("6.1: not quite", 501, POST("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n")),
	CASE("6.3: chunked is not the last", 400, POST("Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n")),
	CASE("7.1: twice", 400, POST("Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n")),
	CASE("6.1: two fields", 400, POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
	CASE("6.1: empty", 400, POST("Transfer-Encoding:\r\n\r\n0\r\n\r\n")),
	CASE("6.1: an empty element", 400, POST("Transfer-Encoding: , chunked\r\n\r\n0\r\n\r\n")),
	CASE("7.1: parameters", 400, POST("Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n")),
	CASE("6.1: quotes", 400, POST("Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n")),
	CASE("6.1: a vertical tab", 400, POST("Transfer-Encoding: \x0b" "chunked\r\n\r\n0\r\n\r\n")),

	/* chunks */
	CASE("7.1", OK, CHUNKS("3\r\nabc\r\n0\r\n\r\n")),
	CASE("7.1", OK, CHUNKS("3\r\nabc\r\n00a\r\n0123456789\r\n000\r\n\r\n")),
	CASE("7.1", REST, CHUNKS("3\r\nabc\r\n0\r\n\r\nGET")),
	CASE("7.1", OPEN, CHUNKS("3\r\nabc\r\n0\r\n")),
	CASE("7.1", OPEN, CHUNKS("3\r\nabc\r\n")),
	CASE("7.1: no size", 400, CHUNKS("\r\nabc\r\n0\r\n\r\n")),
	CASE("7.1: no hex", 400, CHUNKS("g\r\nabc\r\n0\r\n\r\n")),
	CASE("7.1: 0x", 400, CHUNKS("0x3\r\nabc\r\n0\r\n\r\n")),
	CASE("7.1: plus", 400, CHUNKS("+3\r\nabc\r\n0\r\n\r\n")),
	CASE("7.1: minus", 400, CHUNKS("-3\r\nabc\r\n0\r\n\r\n")),
	CASE("7.1: space before", 400, CHUNKS(" 3\r\nabc\r\n0\r\n\r\n")),
	CASE("7.1: space behind", 400, CHUNKS("3 \r\nabc\r\n0\r\n\r\n")),
	CASE("7.1: too short", 400, CHUNKS("2\r\nabc\r\n0\r\n\r\n")),
	CASE("7.1: too long", 400, CHUNKS("4\r\nabc\r\n0\r\n\r\n")),
	CASE("7.1: bare LF behind the size", 400, CHUNKS("3\nabc\r\n0\r\n\r\n")),
	CASE("7.1: bare LF behind the data", 400, CHUNKS("3\r\nabc\n0\r\n\r\n")),
	CASE("7.1: CR and no LF", 400, CHUNKS("3\r\nabc\rX0\r\n\r\n")),
	CASE("7.1: bare LF at the end", 400, CHUNKS("0\r\n\n")),
	CASE("7.1: 17 digits", 400, CHUNKS("00000000000000003\r\nabc\r\n0\r\n\r\n")),
	CASE("7.1: all of 64 bits", 413, CHUNKS("ffffffffffffffff\r\nabc")),
	CASE("7.1: wraps around", 413, CHUNKS("3\r\nabc\r\nfffffffffffffffd\r\nabc")),
	CASE("RFC 9110 15.5.14: the largest", OK, CHUNKS("1f\r\n0123456789abcdef0123456789abcde\r\n1\r\nf\r\n0\r\n\r\n")),
	CASE("RFC 9110 15.5.14: one more", 413, CHUNKS("20\r\n0123456789abcdef0123456789abcdef\r\n1\r\n")),
	CASE("7.1.1: extensions", OK, CHUNKS("3;a;b=c;d=\"e\\\"; f\"\r\nabc\r\n0;g\r\n\r\n")),
	CASE("7.1.1: extensions with spaces", OK, CHUNKS("3 ; a = b\r\nabc\r\n0\r\n\r\n")),
	CASE("7.1.1: no name", 400, CHUNKS("3;\r\nabc\r\n0\r\n\r\n")),
	CASE("7.1.1: no value", 400, CHUNKS("3;a=\r\nabc\r\n0\r\n\r\n")),
	CASE("7.1.1: open quotes", 400, CHUNKS("3;a=\"b\r\nabc\r\n0\r\n\r\n")),
	CASE("7.1.1: open escape", 400, CHUNKS("3;a=\"b\\\r\nabc\r\n0\r\n\r\n")),
	CASE("7.1.1: a NUL", 400, CHUNKS("3;a\0\r\nabc\r\n0\r\n\r\n")),
	CASE("7.1.1: a bare CR", 400, CHUNKS("3;a\rb\r\nabc\r\n0\r\n\r\n")),
	CASE("7.1.2: trailers", OK, CHUNKS("0\r\nA: b\r\nHost: c\r\n\r\n")),
	CASE("7.1.2: a length in trailers means nothing", REST, CHUNKS("0\r\nContent-Length: 3\r\n\r\nabc")),
	CASE("7.1.2: a folded trailer", 400, CHUNKS("0\r\nA: b\r\n c\r\n\r\n")),
	CASE("7.1.2: no trailer", 400, CHUNKS("0\r\nA\r\n\r\n")),

	/* Expect, Connection */
	CASE("RFC 9110 10.1.1", OPEN, POST("Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")),
	CASE("RFC 9110 10.1.1: case", OPEN, POST("Content-Length: 3\r\nExpect: 100-Continue\r\n\r\n")),
	CASE("RFC 9110 10.1.1", 417, POST("Content-Length: 3\r\nExpect: 200-ok\r\n\r\n")),
	CASE("RFC 9110 10.1.1: empty", 417, POST("Content-Length: 3\r\nExpect:\r\n\r\n")),
	CASE("RFC 9110 10.1.1: 1.0", OK, "GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"),
	CASE("9.3", OK, GET("Connection: keep-alive, Upgrade\r\n")),
};
/* clang-format on */

#define N_CASES ((int)(sizeof cases / sizeof *cases))

static struct http_parser parser;
static char *bytes; /* exactly as many as there are, so that a sanitizer sees what is too much */
static size_t len;

/* Appends some bytes and feeds; the buffer moves each time. */
static enum http_parse feed(const char *more, size_t n)
{
	char *moved = malloc(len + n ? len + n : 1);
	ck_assert_ptr_nonnull(moved);
	if (len)
		memcpy(moved, bytes, len);
	if (n)
		memcpy(moved + len, more, n);
	free(bytes);
	bytes = moved;
	len += n;
	return http_parser_feed(&parser, bytes, &len);
}

static void start(void)
{
	free(bytes);
	bytes = NULL;
	len = 0;
	http_parser_init(&parser, MAX_BODY);
}

static int verdict_of(enum http_parse result)
{
	if (result == HTTP_PARSE_MORE)
		return OPEN;
	if (result == HTTP_PARSE_REFUSED) {
		ck_assert_ptr_nonnull(parser.refusal.code);
		ck_assert_ptr_nonnull(parser.refusal.detail);
		return parser.refusal.status;
	}
	ck_assert_uint_le(parser.consumed, len);
	return OK;
}

static int feed_in_pieces(const char *text, size_t n, size_t piece)
{
	enum http_parse result = HTTP_PARSE_MORE;
	start();
	for (size_t at = 0; at < n && result == HTTP_PARSE_MORE; at += piece)
		result = feed(text + at, piece < n - at ? piece : n - at);
	return verdict_of(result);
}

static int feed_whole(const char *text, size_t n)
{
	return feed_in_pieces(text, n, n ? n : 1);
}

static void is_span(struct http_span span, const char *expected)
{
	ck_assert_uint_le((size_t)span.at + span.len, len);
	ck_assert_uint_eq(span.len, strlen(expected));
	ck_assert_int_eq(memcmp(bytes + span.at, expected, span.len), 0);
}

START_TEST(judges_every_case)
{
	int verdict = feed_whole(cases[_i].bytes, cases[_i].len);
	int expected = cases[_i].status == REST ? OK : cases[_i].status;
	ck_assert_msg(verdict == expected, "%s: %d instead of %d (%s) for\n%s", cases[_i].section,
	              verdict, expected, verdict >= 400 ? parser.refusal.code : "",
	              cases[_i].bytes);
	if (cases[_i].status == OK)
		ck_assert_uint_eq(parser.consumed, len);
	if (cases[_i].status == REST)
		ck_assert_uint_lt(parser.consumed, len);
}
END_TEST

START_TEST(judges_every_case_the_same_in_pieces)
{
	int whole = feed_whole(cases[_i].bytes, cases[_i].len);
	const char *code = parser.refusal.code ? parser.refusal.code : "";
	for (size_t piece = 1; piece < cases[_i].len; piece++) {
		int verdict = feed_in_pieces(cases[_i].bytes, cases[_i].len, piece);
		ck_assert_msg(verdict == whole, "%s: %d instead of %d in pieces of %zu",
		              cases[_i].section, verdict, whole, piece);
		ck_assert_str_eq(parser.refusal.code ? parser.refusal.code : "", code);
	}
}
END_TEST

START_TEST(finds_the_parts_of_a_request)
{
	static const char text[] = "PUT /caf%C3%A9/x%20y?a=%20b HTTP/1.1\r\nHost: h:1\r\n"
	                           "X-One:  one \t\r\nContent-Length: 4\r\n\r\nbodyGET";
	for (size_t piece = 1; piece < sizeof text; piece++) {
		ck_assert_int_eq(feed_in_pieces(text, sizeof text - 4, piece), OK);
		is_span(parser.method, "PUT");
		is_span(parser.path, "/caf\xc3\xa9/x y");
		is_span(parser.query, "a=%20b");
		is_span(parser.body, "body");
		ck_assert_uint_eq(parser.n_fields, 3);
		is_span(parser.fields[1].name, "X-One");
		is_span(parser.fields[1].value, "one");
		ck_assert(parser.keep_alive && !parser.is_1_0 && !parser.expects_continue);
	}
}
END_TEST

START_TEST(takes_path_and_query_out_of_an_absolute_target)
{
	static const char *const targets[][3] = {
	    {"http://h/a?b", "/a", "b"}, {"http://h:80", "/", ""}, {"https://h?b", "/", "b"}};
	for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
		char text[100];
		int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n",
		                 targets[i][0]);
		ck_assert_int_eq(feed_whole(text, (size_t)n), OK);
		is_span(parser.path, targets[i][1]);
		is_span(parser.query, targets[i][2]);
	}
}
END_TEST

START_TEST(puts_chunks_together)
{
	static const char text[] =
	    CHUNKS("5;x=y\r\nHello\r\n2\r\n, \r\n6\r\nworld!\r\n0\r\nT: t\r\n\r\n");
	for (size_t piece = 1; piece < sizeof text; piece++) {
		ck_assert_int_eq(feed_in_pieces(text, sizeof text - 1, piece), OK);
		is_span(parser.body, "Hello, world!");
		ck_assert_uint_eq(parser.n_fields, 2);
	}
}
END_TEST

START_TEST(needs_no_more_room_than_the_body_for_chunks)
{
	start();
	static const char head[] = CHUNKS("");
	feed(head, sizeof head - 1);
	for (int i = 0; i < MAX_BODY; i++) {
		ck_assert_int_eq(feed("1;extension\r\nx\r\n", 16), HTTP_PARSE_MORE);
		ck_assert_uint_le(len, sizeof head + (size_t)i + 1);
	}
	ck_assert_int_eq(feed("0\r\n\r\n", 5), HTTP_PARSE_DONE);
	ck_assert_uint_eq(parser.body.len, MAX_BODY);
}
END_TEST

START_TEST(says_when_the_body_is_waited_for)
{
	start();
	ck_assert(http_parser_is_fresh(&parser));
	feed("POST / HTTP/1.1\r\n", 17);
	ck_assert(!http_parser_is_fresh(&parser) && !http_parser_in_body(&parser));
	feed("Host: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n", 52);
	ck_assert(http_parser_in_body(&parser) && parser.expects_continue);
	ck_assert_int_eq(feed("x", 1), HTTP_PARSE_DONE);
	ck_assert(!http_parser_in_body(&parser));
}
END_TEST

START_TEST(ends_the_connection_when_it_should)
{
	static const struct {
		const char *text;
		bool keep_alive;
	} kinds[] = {
	    {GET(""), true},
	    {GET("Connection: close\r\n"), false},
	    {GET("Connection: keep-alive\r\nConnection: x , CLOSE\r\n"), false},
	    {GET("Connection: closed\r\n"), true},
	    {"GET / HTTP/1.0\r\n\r\n", false},
	    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false},
	};
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		ck_assert_int_eq(feed_whole(kinds[i].text, strlen(kinds[i].text)), OK);
		ck_assert_msg(parser.keep_alive == kinds[i].keep_alive, "%s", kinds[i].text);
	}
}
END_TEST

/* ---- limits ---- */

struct text {
	char at[1 << 20];
	size_t n;
};
static struct text text;

static void put(const char *piece)
{
	memcpy(text.at + text.n, piece, strlen(piece));
	text.n += strlen(piece);
}

static void put_times(char c, size_t n)
{
	memset(text.at + text.n, c, n);
	text.n += n;
}

static int verdict(void)
{
	int whole = feed_whole(text.at, text.n);
	ck_assert_int_eq(feed_in_pieces(text.at, text.n, 1), whole);
	ck_assert_int_eq(feed_in_pieces(text.at, text.n, 1000), whole);
	return whole;
}

static int with_target_of(size_t n)
{
	text.n = 0;
	put("GET /");
	put_times('a', n - 1);
	put(" HTTP/1.1\r\nHost: a\r\n\r\n");
	return verdict();
}

START_TEST(limits_the_request_line)
{
	ck_assert_int_eq(with_target_of(HTTP_LINE_MAX - 15), OK);
	ck_assert_int_eq(with_target_of(HTTP_LINE_MAX - 14), 414);
	text.n = 0;
	put_times('a', HTTP_LINE_MAX);
	ck_assert_int_eq(verdict(), 414);
}
END_TEST

static int with_field_of(size_t n)
{
	text.n = 0;
	put("GET / HTTP/1.1\r\nHost: a\r\nA:");
	put_times('a', n - 4);
	put("\r\n\r\n");
	return verdict();
}

START_TEST(limits_a_field_line)
{
	ck_assert_int_eq(with_field_of(HTTP_LINE_MAX), OK);
	ck_assert_int_eq(with_field_of(HTTP_LINE_MAX + 1), 431);
}
END_TEST

/* No line is too long, but all of them, with the empty one, have `n` bytes. */
static int with_head_of(size_t n)
{
	text.n = 0;
	put("GET / HTTP/1.1\r\nHost: a\r\nA:");
	put_times('a', 5996);
	put("\r\nB:");
	put_times('b', 5996);
	put("\r\nC:");
	put_times('c', n - 9 - 6000 - 6000 - 4 - 2);
	put("\r\n\r\n");
	return verdict();
}

START_TEST(limits_all_field_lines_together)
{
	ck_assert_int_eq(with_head_of(HTTP_HEAD_MAX), OK);
	ck_assert_int_eq(with_head_of(HTTP_HEAD_MAX + 1), 431);
}
END_TEST

static int with_fields(int n)
{
	text.n = 0;
	put("GET / HTTP/1.1\r\nHost: a\r\n");
	for (int i = 1; i < n; i++)
		put("A: b\r\n");
	put("\r\n");
	return verdict();
}

START_TEST(limits_the_number_of_fields)
{
	ck_assert_int_eq(with_fields(HTTP_FIELDS_MAX), OK);
	ck_assert_int_eq(with_fields(HTTP_FIELDS_MAX + 1), 431);
}
END_TEST

static int with_trailers(int n)
{
	text.n = 0;
	put(CHUNKS("0\r\n"));
	for (int i = 0; i < n; i++)
		put("A: b\r\n");
	put("\r\n");
	return verdict();
}

START_TEST(limits_trailers)
{
	ck_assert_int_eq(with_trailers(HTTP_FIELDS_MAX), OK);
	ck_assert_int_eq(with_trailers(HTTP_FIELDS_MAX + 1), 431);
	text.n = 0;
	put(CHUNKS("0\r\n"));
	put_times('a', HTTP_LINE_MAX);
	ck_assert_int_eq(verdict(), 431);
}
END_TEST

START_TEST(limits_chunk_extensions_of_all_chunks_together)
{
	text.n = 0;
	put(CHUNKS(""));
	for (int i = 0; i < 11; i++) {
		put("1;");
		put_times('a', 99);
		put("\r\nx\r\n");
	}
	ck_assert_int_eq(verdict(), 400);
	ck_assert_str_eq(parser.refusal.code, "chunk_extensions_too_long");
	text.n = 0;
	put(CHUNKS("1;"));
	put_times('a', 2000);
	ck_assert_int_eq(verdict(), 400);
	ck_assert_str_eq(parser.refusal.code, "chunk_extensions_too_long");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http_parser");
	TCase *tc = tcase_create("http_parser");
	tcase_add_loop_test(tc, judges_every_case, 0, N_CASES);
	tcase_add_loop_test(tc, judges_every_case_the_same_in_pieces, 0, N_CASES);
	tcase_add_test(tc, finds_the_parts_of_a_request);
	tcase_add_test(tc, takes_path_and_query_out_of_an_absolute_target);
	tcase_add_test(tc, puts_chunks_together);
	tcase_add_test(tc, needs_no_more_room_than_the_body_for_chunks);
	tcase_add_test(tc, says_when_the_body_is_waited_for);
	tcase_add_test(tc, ends_the_connection_when_it_should);
	tcase_add_test(tc, limits_the_request_line);
	tcase_add_test(tc, limits_a_field_line);
	tcase_add_test(tc, limits_all_field_lines_together);
	tcase_add_test(tc, limits_the_number_of_fields);
	tcase_add_test(tc, limits_trailers);
	tcase_add_test(tc, limits_chunk_extensions_of_all_chunks_together);
	tcase_set_timeout(tc, 30);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
