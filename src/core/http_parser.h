/* SPDX-License-Identifier: MIT */
/*
 * Reading one HTTP/1.1 request (RFC 9112) out of a receive buffer.
 *
 * No I/O and no memory of its own: what it finds are places in the buffer.
 * It is strict wherever two programs could disagree about where a request
 * ends or what it asks for.  One pass: time is linear, also byte by byte.
 *
 *   START ─► FIELDS ─┬─► BODY ──────────────────────────────┬─► DONE
 *                    ├─► CHUNK_SIZE ◄─► DATA ─► TRAILERS ───┤
 *                    └──────────────────────────────────────┘
 *   any of them ─► REFUSED
 */
#ifndef HTTP_PARSER_H
#define HTTP_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_LINE_MAX   8192  /* the request line or a field line, with its CRLF */
#define HTTP_HEAD_MAX   16384 /* all field lines together, with their CRLF; the same for trailers */
#define HTTP_FIELDS_MAX 64
#define HTTP_METHOD_MAX 32
#define HTTP_EXT_MAX    1024 /* chunk extensions of a request, all together */

/* A part of the buffer. */
struct http_span {
	uint32_t at;
	uint32_t len;
};

struct http_field {
	struct http_span name, value;
};

/* What is wrong with a request; all of it constant. */
struct http_refusal {
	int status;
	const char *code;   /* for programs: "duplicate_content_length" */
	const char *detail; /* for people */
};

enum http_parse { HTTP_PARSE_MORE, HTTP_PARSE_DONE, HTTP_PARSE_REFUSED };

/* Members without a comment are the parser's own. */
struct http_parser {
	struct http_span method;
	struct http_span path;  /* decoded once, in place; begins with '/', or is "*" (OPTIONS) */
	struct http_span query; /* raw, without '?' */
	struct http_span body;  /* contiguous, chunks put together */
	struct http_field fields[HTTP_FIELDS_MAX];
	unsigned n_fields;
	bool is_1_0;
	bool keep_alive;             /* the client wants the connection to go on */
	bool expects_continue;       /* and waits for "100 Continue" before it sends the body */
	size_t consumed;             /* after DONE: the request's length in the buffer */
	struct http_refusal refusal; /* after REFUSED */
	unsigned char state;
	bool seen_host, seen_length, seen_encoding, chunked, blank_line;
	uint64_t left;
	size_t max_body, line, scan, ext;
	size_t block; /* bytes of field lines */
	unsigned n_trailers;
};

void http_parser_init(struct http_parser *p, size_t max_body);

/*
 * Reads on.  `data` holds the request from its first byte on (it may have
 * moved), `*len` bytes so far.  After MORE `*len` may be smaller than before:
 * the framing of chunks was taken out, and more is appended there.  The bytes
 * of `data` are changed in place.  Not called again after DONE or REFUSED.
 */
enum http_parse http_parser_feed(struct http_parser *p, char *data, size_t *len);

/* The request line and the header are complete, the body is not. */
bool http_parser_in_body(const struct http_parser *p);
/* Nothing of the request has come yet. */
bool http_parser_is_fresh(const struct http_parser *p);

#endif
