/* SPDX-License-Identifier: MIT */
/* Names and texts of the configuration as they must stand in SQL (manual, chapter 4.1). */
#include "pg_conn.h"

#include "buf.h"

#include <stdlib.h>
#include <string.h>

/* The buffer as a string of its own; NULL when memory ran out. */
static char *take(struct buf *b)
{
	buf_putc(b, '\0');
	if (!b->failed)
		return b->data;
	buf_release(b);
	return NULL;
}

void pg_add_identifier(struct buf *sql, const char *name)
{
	buf_putc(sql, '"');
	for (; *name; name++) {
		if (*name == '.')
			buf_puts(sql, "\".\"");
		else if (*name == '"')
			buf_puts(sql, "\"\"");
		else
			buf_putc(sql, *name);
	}
	buf_putc(sql, '"');
}

char *pg_quote_identifier(const char *name)
{
	struct buf b = BUF_INIT;
	pg_add_identifier(&b, name);
	return take(&b);
}

void pg_add_literal(struct buf *sql, const char *text)
{
	/* A plain literal reads backslashes by standard_conforming_strings, E'' does not.  The
	 * space keeps the E apart from a word before it. */
	buf_puts(sql, strchr(text, '\\') ? " E'" : "'");
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			buf_putc(sql, *text);
		buf_putc(sql, *text);
	}
	buf_putc(sql, '\'');
}

char *pg_quote_literal(const char *text)
{
	struct buf b = BUF_INIT;
	pg_add_literal(&b, text);
	return take(&b);
}
