/* SPDX-License-Identifier: MIT */
/*
 * The HTTP parser: what it makes of some bytes must not depend on how they
 * come.  The first byte of the input says how they are cut into pieces.
 */
#include "http_parser.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BODY 300

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One way of reading the bytes, in memory of exactly their size. */
struct reading {
	struct http_parser parser;
	enum http_parse verdict;
	char *bytes;
	size_t len; /* in the buffer */
	size_t fed; /* of the input */
};

static void must(int truth)
{
	if (!truth)
		abort();
}

static void is_inside(const struct reading *r, struct http_span span)
{
	must(span.at <= r->len && span.len <= r->len - span.at);
}

static void check(const struct reading *r)
{
	const struct http_parser *p = &r->parser;
	must(r->verdict != HTTP_PARSE_REFUSED ||
	     (p->refusal.status >= 400 && p->refusal.code && p->refusal.detail));
	if (r->verdict != HTTP_PARSE_DONE)
		return;
	must(p->consumed <= r->len && p->body.len <= MAX_BODY && p->n_fields <= HTTP_FIELDS_MAX);
	is_inside(r, p->method);
	is_inside(r, p->path);
	is_inside(r, p->query);
	is_inside(r, p->body);
	for (unsigned i = 0; i < p->n_fields; i++) {
		is_inside(r, p->fields[i].name);
		is_inside(r, p->fields[i].value);
		must(p->fields[i].name.len > 0);
	}
	must(p->method.len > 0 && p->path.len > 0);
	must(r->bytes[p->path.at] == '/' || r->bytes[p->path.at] == '*');
	must(memchr(r->bytes + p->path.at, 0, p->path.len) == NULL);
}

static void feed(struct reading *r, const uint8_t *data, size_t n)
{
	char *moved = malloc(r->len + n + !(r->len + n));
	must(moved != NULL);
	if (r->len)
		memcpy(moved, r->bytes, r->len);
	if (n)
		memcpy(moved + r->len, data, n);
	free(r->bytes);
	r->bytes = moved;
	r->len += n;
	r->fed += n;
	size_t before = r->len;
	r->verdict = http_parser_feed(&r->parser, r->bytes, &r->len);
	must(r->len <= before);
}

static void read_in_pieces(struct reading *r, const uint8_t *data, size_t size, size_t piece)
{
	memset(r, 0, sizeof *r);
	http_parser_init(&r->parser, MAX_BODY);
	r->verdict = HTTP_PARSE_MORE;
	do {
		size_t n = piece < size - r->fed ? piece : size - r->fed;
		feed(r, data + r->fed, n);
	} while (r->verdict == HTTP_PARSE_MORE && r->fed < size);
	check(r);
}

static void same_span(const struct reading *a, struct http_span x, const struct reading *b,
                      struct http_span y)
{
	must(x.len == y.len && memcmp(a->bytes + x.at, b->bytes + y.at, x.len) == 0);
}

static void are_same(const struct reading *a, const struct reading *b)
{
	const struct http_parser *p = &a->parser, *q = &b->parser;
	must(a->verdict == b->verdict);
	if (a->verdict == HTTP_PARSE_REFUSED)
		must(p->refusal.status == q->refusal.status &&
		     strcmp(p->refusal.code, q->refusal.code) == 0);
	if (a->verdict != HTTP_PARSE_DONE)
		return;
	same_span(a, p->method, b, q->method);
	same_span(a, p->path, b, q->path);
	same_span(a, p->query, b, q->query);
	same_span(a, p->body, b, q->body);
	must(p->n_fields == q->n_fields);
	for (unsigned i = 0; i < p->n_fields; i++) {
		same_span(a, p->fields[i].name, b, q->fields[i].name);
		same_span(a, p->fields[i].value, b, q->fields[i].value);
	}
	must(p->keep_alive == q->keep_alive && p->is_1_0 == q->is_1_0 &&
	     p->expects_continue == q->expects_continue);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reading whole, pieces;
	if (size < 1)
		return 0;
	size_t piece = data[0] % 64 + 1;
	data++;
	size--;
	read_in_pieces(&whole, data, size, size + 1);
	read_in_pieces(&pieces, data, size, piece);
	are_same(&whole, &pieces);
	/* What is consumed is where the next one begins, however much came before it. */
	if (whole.verdict == HTTP_PARSE_DONE)
		must(pieces.fed - (pieces.len - pieces.parser.consumed) ==
		     whole.fed - (whole.len - whole.parser.consumed));
	free(whole.bytes);
	free(pieces.bytes);
	return 0;
}
