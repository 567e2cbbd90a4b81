/* SPDX-License-Identifier: MIT */
/* Field lines, and the fields that say where a request ends (RFC 9112, 5 and 6). */
#include "http_syntax.h"

#include <string.h>

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* The next element of a comma-separated list, trimmed; false: no more. */
static bool next_element(const char **at, const char *end, const char **element, size_t *len)
{
	if (*at > end)
		return false;
	const char *comma = memchr(*at, ',', (size_t)(end - *at));
	const char *from = *at, *to = comma ? comma : end;
	*at = to + 1;
	while (from < to && is_space(*from))
		from++;
	while (to > from && is_space(to[-1]))
		to--;
	*element = from;
	*len = (size_t)(to - from);
	return true;
}

static bool read_host(struct http_parser *p, const char *value, size_t len)
{
	if (p->seen_host)
		return http_refuse(p, 400, "duplicate_host", "There are two Host fields.");
	p->seen_host = true;
	if (!http_is_authority(value, len))
		return http_refuse(p, 400, "bad_host", "The Host field is not a host and a port.");
	return true;
}

static bool length_and_encoding(struct http_parser *p)
{
	return http_refuse(p, 400, "length_and_encoding",
	                   "Content-Length and Transfer-Encoding contradict each other.");
}

/* RFC 9112, 6.3: digits, once.  Equal lengths in a list might be read as one; we do not. */
static bool read_content_length(struct http_parser *p, const char *value, size_t len)
{
	if (p->seen_length)
		return http_refuse(p, 400, "duplicate_content_length",
		                   "There are two Content-Length fields.");
	p->seen_length = true;
	if (p->seen_encoding)
		return length_and_encoding(p);
	if (!len || http_run(value, len, HTTP_DIGIT) != len)
		return http_refuse(p, 400, "bad_content_length", "Content-Length is not a number.");
	p->left = 0;
	for (size_t i = 0; i < len; i++) {
		p->left = p->left * 10 + (uint64_t)(value[i] - '0');
		/* Enough to be too much, and far from overflowing. */
		if (p->left > UINT32_MAX)
			p->left = UINT32_MAX;
	}
	return true;
}

/*
 * `chunked` alone is understood.  Behind other codings it says where the body
 * ends but not what it is (501, RFC 9112, 6.1); anywhere else, twice or with
 * parameters, it does not even say that (400, RFC 9112, 6.3).
 */
static bool read_transfer_encoding(struct http_parser *p, const char *value, size_t len)
{
	const char *at = value, *coding;
	size_t n, codings = 0, chunked = 0;
	bool sound = !p->seen_encoding, last = false;
	p->seen_encoding = true;
	if (p->seen_length)
		return length_and_encoding(p);
	while (next_element(&at, value + len, &coding, &n)) {
		sound = sound && n && http_run(coding, n, HTTP_TOKEN) == n;
		last = http_is_word(coding, n, "chunked");
		codings++;
		chunked += last;
	}
	if (!sound || p->is_1_0 || chunked > 1 || (chunked && !last))
		return http_refuse(p, 400, "bad_transfer_encoding",
		                   "Transfer-Encoding does not say where the body ends.");
	if (codings > 1 || !chunked)
		return http_refuse(p, 501, "unknown_transfer_encoding",
		                   "The only Transfer-Encoding that is understood is chunked.");
	p->chunked = true;
	return true;
}

static bool read_expect(struct http_parser *p, const char *value, size_t len)
{
	/* RFC 9110, 10.1.1: a 1.0 client cannot mean it. */
	if (p->is_1_0)
		return true;
	if (!http_is_word(value, len, "100-continue"))
		return http_refuse(p, 417, "unknown_expectation",
		                   "The only expectation that is understood is 100-continue.");
	p->expects_continue = true;
	return true;
}

static bool read_connection(struct http_parser *p, const char *value, size_t len)
{
	const char *at = value, *option;
	size_t n;
	while (next_element(&at, value + len, &option, &n))
		if (http_is_word(option, n, "close"))
			p->keep_alive = false;
	return true;
}

static bool obey(struct http_parser *p, const char *name, size_t name_len, const char *value,
                 size_t len)
{
	static const struct {
		const char *name;
		bool (*read)(struct http_parser *p, const char *value, size_t len);
	} known[] = {
	    {"host", read_host},
	    {"content-length", read_content_length},
	    {"transfer-encoding", read_transfer_encoding},
	    {"expect", read_expect},
	    {"connection", read_connection},
	};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (http_is_word(name, name_len, known[i].name))
			return known[i].read(p, value, len);
	return true;
}

static bool bad_name(struct http_parser *p, const char *line, size_t len, size_t name)
{
	if (len && is_space(line[0]))
		return http_refuse(p, 400, "folded_field",
		                   "A field line begins with a space; folded lines are obsolete.");
	if (name && name < len && is_space(line[name]))
		return http_refuse(p, 400, "space_before_colon",
		                   "There is a space between a field name and its colon.");
	return http_refuse(p, 400, "bad_field", "A field line is not \"name: value\".");
}

bool http_read_field(struct http_parser *p, const char *data, size_t at, size_t len, bool keep)
{
	const char *line = data + at;
	size_t name = http_run(line, len, HTTP_TOKEN);
	if (!name || name == len || line[name] != ':')
		return bad_name(p, line, len, name);
	size_t from = name + 1, to = len;
	while (from < to && is_space(line[from]))
		from++;
	while (to > from && is_space(line[to - 1]))
		to--;
	if (http_run(line + from, to - from, HTTP_VALUE) != to - from)
		return http_refuse(p, 400, "bad_field", "A field has a control character in it.");
	if (!keep)
		return true;
	if (p->n_fields == HTTP_FIELDS_MAX)
		return http_refuse(p, 431, "too_many_fields", "There are more than 64 fields.");
	p->fields[p->n_fields++] = (struct http_field){
	    .name = {.at = (uint32_t)at, .len = (uint32_t)name},
	    .value = {.at = (uint32_t)(at + from), .len = (uint32_t)(to - from)},
	};
	return obey(p, line, name, line + from, to - from);
}
