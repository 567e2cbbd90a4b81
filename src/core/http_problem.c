/* SPDX-License-Identifier: MIT */
/* What goes wrong, as problem+json. */
#include "http_problem.h"

#include "url.h"
#include "utf8.h"

#include <string.h>

const char *http_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} known[] = {
	    {200, "OK"},
	    {201, "Created"},
	    {202, "Accepted"},
	    {204, "No Content"},
	    {303, "See Other"},
	    {304, "Not Modified"},
	    {400, "Bad Request"},
	    {401, "Unauthorized"},
	    {403, "Forbidden"},
	    {404, "Not Found"},
	    {405, "Method Not Allowed"},
	    {406, "Not Acceptable"},
	    {408, "Request Timeout"},
	    {409, "Conflict"},
	    {410, "Gone"},
	    {412, "Precondition Failed"},
	    {413, "Content Too Large"},
	    {414, "URI Too Long"},
	    {415, "Unsupported Media Type"},
	    {417, "Expectation Failed"},
	    {422, "Unprocessable Content"},
	    {425, "Too Early"},
	    {428, "Precondition Required"},
	    {429, "Too Many Requests"},
	    {431, "Request Header Fields Too Large"},
	    {500, "Internal Server Error"},
	    {501, "Not Implemented"},
	    {502, "Bad Gateway"},
	    {503, "Service Unavailable"},
	    {504, "Gateway Timeout"},
	    {505, "HTTP Version Not Supported"},
	};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (known[i].status == status)
			return known[i].reason;
	return "Unknown";
}

static void add_escaped(struct buf *out, unsigned char c)
{
	static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
	const char *at = c ? strchr(plain, c) : NULL;
	if (at)
		buf_add(out, (char[]){'\\', letters[at - plain]}, 2);
	else
		buf_printf(out, "\\u%04x", c);
}

static void add_string(struct buf *out, const char *text, const char *end)
{
	buf_putc(out, '"');
	while (text < end) {
		unsigned char c = (unsigned char)*text;
		size_t n = utf8_length(text, end);
		if (!n)
			buf_puts(out, "\xef\xbf\xbd");
		else if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f)
			add_escaped(out, c);
		else
			buf_add(out, text, n);
		text += n ? n : 1;
	}
	buf_putc(out, '"');
}

static void add_member(struct buf *out, const char *name, const char *value)
{
	if (!value)
		return;
	buf_puts(out, ",\"");
	buf_puts(out, name);
	buf_puts(out, "\":");
	add_string(out, value, value + strlen(value));
}

/* A URI reference, so escaped again: the path was decoded. */
static void add_instance(struct buf *out, const char *path)
{
	if (!path)
		return;
	buf_puts(out, ",\"instance\":\"");
	url_encode_path(out, path);
	buf_putc(out, '"');
}

void http_problem_write(struct buf *out, const struct http_problem *problem)
{
	/* RFC 9457, 4.2.1: with about:blank the title is the status's own. */
	buf_puts(out, "{\"type\":\"about:blank\"");
	add_member(out, "title", http_reason(problem->status));
	buf_printf(out, ",\"status\":%d", problem->status);
	add_member(out, "detail", problem->detail);
	add_instance(out, problem->instance);
	add_member(out, "code", problem->code);
	add_member(out, "param", problem->param);
	add_member(out, "trace_id", problem->trace_id);
	buf_puts(out, "}\n");
}
