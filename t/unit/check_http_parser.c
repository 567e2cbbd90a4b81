/* SPDX-License-Identifier: MIT */
/* Which bytes are a request, which are refused and how, and that it does not matter how they come.
 */
#include "buf.h"
#include "http_parser.h"

#include <assert.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES    "t/support/http_cases"
#define MAX_BODY 1024
#define OK       200 /* a request, maybe with bytes behind it */
#define OPEN     0   /* more is needed */

/* The request line and Host, or a line and what follows. */
#define GET(fields)  "GET / HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define POST(fields) "POST / HTTP/1.1\r\nHost: a\r\n" fields
#define CHUNKS(c)    POST("Transfer-Encoding: chunked\r\n\r\n") c

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

/* ---- the table of cases ---- */

struct test_case {
	char *what;
	struct buf verdict, bytes;
	size_t rest; /* of `bytes`, behind the request */
};
static struct test_case cases[1000];
static int n_cases;

static void unescape(struct test_case *c, struct buf *out, const char *text);

/* `\{N*TEXT}`; returns what is behind it. */
static const char *repeat(struct test_case *c, struct buf *out, const char *text)
{
	char *times, *piece;
	long n = strtol(text, &times, 10);
	const char *end = strchr(times, '}');
	assert(n > 0 && *times == '*' && end);
	piece = strndup(times + 1, (size_t)(end - times) - 1);
	while (n--)
		unescape(c, out, piece);
	free(piece);
	return end + 1;
}

static void unescape(struct test_case *c, struct buf *out, const char *text)
{
	static const char letters[] = "rnt\\", bytes_of[] = "\r\n\t\\";
	while (*text) {
		const char *at = text[0] == '\\' ? strchr(letters, text[1]) : NULL;
		char hex[3] = "";
		if (text[0] != '\\') {
			buf_putc(out, *text++);
		} else if (text[1] == 'x') {
			memcpy(hex, text + 2, 2);
			buf_putc(out, (char)strtol(hex, NULL, 16));
			text += 4;
		} else if (text[1] == '{') {
			text = repeat(c, out, text + 2);
		} else if (text[1] == '|') {
			c->rest = out->len;
			text += 2;
		} else {
			assert(at && *at);
			buf_putc(out, bytes_of[at - letters]);
			text += 2;
		}
	}
}

static void read_case(char *line)
{
	static const char bar[] = " | ";
	struct test_case *c = &cases[n_cases++];
	char *what = strstr(line, bar), *data = what ? strstr(what + 3, bar) : NULL;
	assert(data && n_cases < 1000);
	*what = *data = '\0';
	c->what = strdup(what + 3);
	unescape(c, &c->verdict, line);
	c->rest = 0;
	unescape(c, &c->bytes, data + 3);
	c->rest = c->rest ? c->bytes.len - c->rest : 0;
}

static void read_cases(void)
{
	FILE *file = fopen(CASES, "r");
	char *line = NULL;
	size_t size = 0;
	assert(file != NULL); /* run from the root of the tree */
	while (getline(&line, &size, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (*line && *line != '#')
			read_case(line);
	}
	free(line);
	fclose(file);
}

static void release_cases(void)
{
	while (n_cases) {
		struct test_case *c = &cases[--n_cases];
		free(c->what);
		buf_release(&c->verdict);
		buf_release(&c->bytes);
	}
}

/* As the table has it. */
static void describe(struct buf *out, int verdict)
{
	buf_clear(out);
	if (verdict == OPEN) {
		buf_puts(out, "more");
	} else if (verdict != OK) {
		buf_printf(out, "%d %s", verdict, parser.refusal.code);
	} else {
		buf_add(out, bytes + parser.method.at, parser.method.len);
		buf_putc(out, ' ');
		buf_add(out, bytes + parser.path.at, parser.path.len);
		buf_puts(out, parser.query.len ? "?" : "");
		buf_add(out, bytes + parser.query.at, parser.query.len);
		buf_puts(out, parser.body.len ? " " : "");
		buf_add(out, bytes + parser.body.at, parser.body.len);
	}
}

static void is_judged(const struct test_case *c, size_t piece)
{
	struct buf found = BUF_INIT;
	describe(&found, feed_in_pieces(c->bytes.data, c->bytes.len, piece));
	bool same =
	    found.len == c->verdict.len && memcmp(found.data, c->verdict.data, found.len) == 0;
	ck_assert_msg(same, "%s: \"%s\" instead of \"%.*s\", in pieces of %zu", c->what,
	              buf_str(&found), (int)c->verdict.len, c->verdict.data, piece);
	buf_release(&found);
}

START_TEST(judges_every_case)
{
	const struct test_case *c = &cases[_i];
	is_judged(c, c->bytes.len);
	if (parser.refusal.status == 0 && c->verdict.data[0] != 'm')
		ck_assert_uint_eq(len - parser.consumed, c->rest);
}
END_TEST

START_TEST(judges_every_case_the_same_in_pieces)
{
	const struct test_case *c = &cases[_i];
	/* Of what is long, not every piece: only beginnings, ends and some between. */
	for (size_t piece = 1; piece < c->bytes.len; piece += piece < 300 ? 1 : 977)
		is_judged(c, piece);
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
	for (int i = 0; i < 64; i++) {
		ck_assert_int_eq(feed("1;extension\r\nx\r\n", 16), HTTP_PARSE_MORE);
		ck_assert_uint_le(len, sizeof head + (size_t)i + 1);
	}
	ck_assert_int_eq(feed("0\r\n\r\n", 5), HTTP_PARSE_DONE);
	ck_assert_uint_eq(parser.body.len, 64);
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
	tcase_add_loop_test(tc, judges_every_case, 0, n_cases);
	tcase_add_loop_test(tc, judges_every_case_the_same_in_pieces, 0, n_cases);
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
	read_cases();
	SRunner *runner = srunner_create(suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	release_cases();
	return failed != 0;
}
