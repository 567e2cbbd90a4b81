/* SPDX-License-Identifier: MIT */
/* What can be shown of the string that says how to reach a database. */
#include "dsn.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define SPACE " \t\n\r\f\v"

/* password, sslpassword: whatever ends so is one. */
static bool is_password(const char *name, size_t len)
{
	static const char end[] = "password";
	size_t n = sizeof end - 1;
	return len >= n && strncasecmp(name + len - n, end, n) == 0;
}

/*
 * The end of a value: quoted in '…' or up to a space, with \ before any character.
 * NULL if it is malformed: who knows then what the rest of the text is.
 */
static const char *skip_value(const char *p)
{
	bool quoted = *p == '\'';
	if (quoted)
		p++;
	while (*p && (quoted ? *p != '\'' : !strchr(SPACE, *p)))
		p += p[0] == '\\' && p[1] ? 2 : 1;
	if (quoted && (!*p || (p[1] && !strchr(SPACE, p[1]))))
		return NULL;
	return quoted ? p + 1 : p;
}

static void mask_keywords(const char *p, struct buf *out)
{
	while (*p) {
		const char *name = p;
		p += strspn(p, SPACE);
		const char *word = p;
		p += strcspn(p, "=" SPACE);
		size_t word_len = (size_t)(p - word);
		p += strspn(p, SPACE);
		if (*p != '=') {
			buf_add(out, name, (size_t)(p - name));
			continue;
		}
		p++;
		p += strspn(p, SPACE);
		buf_add(out, name, (size_t)(p - name));
		const char *value = p;
		p = skip_value(p);
		if (!p || is_password(word, word_len))
			buf_puts(out, DSN_HIDDEN);
		else
			buf_add(out, value, (size_t)(p - value));
		if (!p)
			return;
	}
}

/* name=value&name=value, after the question mark. */
static void mask_query(const char *p, struct buf *out)
{
	while (*p) {
		size_t len = strcspn(p, "&");
		const char *equals = memchr(p, '=', len);
		if (equals && is_password(p, (size_t)(equals - p))) {
			buf_add(out, p, (size_t)(equals + 1 - p));
			buf_puts(out, DSN_HIDDEN);
		} else {
			buf_add(out, p, len);
		}
		p += len;
		if (*p == '&')
			buf_putc(out, *p++);
	}
}

static void mask_uri(const char *uri, struct buf *out)
{
	const char *authority = strstr(uri, "://") + 3;
	size_t len = strcspn(authority, "/?");
	/* The last @, for a password that was not percent-encoded may have one too,
	 * and may have what ends an authority: better to hide too much. */
	const char *at = memrchr(authority, '@', len);
	if (!at)
		at = strrchr(authority, '@');
	const char *colon = at ? memchr(authority, ':', (size_t)(at - authority)) : NULL;
	const char *rest = authority;
	buf_add(out, uri, (size_t)(authority - uri));
	if (colon) {
		buf_add(out, authority, (size_t)(colon + 1 - authority));
		buf_puts(out, DSN_HIDDEN);
		rest = at;
	}
	const char *query = strchr(rest, '?');
	if (!query) {
		buf_puts(out, rest);
		return;
	}
	buf_add(out, rest, (size_t)(query + 1 - rest));
	mask_query(query + 1, out);
}

void dsn_mask(const char *dsn, struct buf *out)
{
	if (strncmp(dsn, "postgresql://", 13) == 0 || strncmp(dsn, "postgres://", 11) == 0)
		mask_uri(dsn, out);
	else if (strcasestr(dsn, "password"))
		mask_keywords(dsn, out);
	else
		buf_puts(out, dsn);
}
