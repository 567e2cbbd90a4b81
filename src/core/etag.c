/* SPDX-License-Identifier: MIT */
/* Entity tags. */
#include "etag.h"

#include "row_type.h"

#include <string.h>

/* What RFC 9110 calls etagc, without the bytes beyond ASCII. */
static bool is_plain(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] < '!' || text[i] > '~' || text[i] == '"')
			return false;
	return true;
}

bool etag_from_value(char tag[ETAG_MAX], const PGresult *rows, int row, int column,
                     struct buf *scratch)
{
	const struct row_type *type = row_type_find(PQftype(rows, column));
	const char *data = PQgetvalue(rows, row, column);
	size_t len = (size_t)PQgetlength(rows, row, column), begin = scratch->len;
	bool ok = type && !PQgetisnull(rows, row, column) &&
	          (type->class == ROW_BARE || type->class == ROW_TEXT);
	if (ok && type->put)
		ok = type->put(scratch, data, len, ROW_TIME_RFC3339);
	else if (ok)
		buf_add(scratch, data, len);
	const char *text = scratch->data + begin;
	len = scratch->len - begin;
	ok = ok && !scratch->failed && len <= ETAG_MAX - 3 && is_plain(text, len);
	if (ok) {
		*tag = '"';
		strcpy((char *)mempcpy(tag + 1, text, len), "\"");
	}
	scratch->len = begin;
	return ok;
}

static const char *skip_space(const char *p)
{
	while (*p == ' ' || *p == '\t' || *p == ',')
		p++;
	return p;
}

bool etag_is_named(const char *if_none_match, const char *tag)
{
	const char *p = skip_space(if_none_match), *end;
	size_t len = strlen(tag);
	if (*p == '*' && !*skip_space(p + 1))
		return true;
	for (; *p; p = skip_space(end)) {
		if (p[0] == 'W' && p[1] == '/')
			p += 2;
		end = *p == '"' ? strchr(p + 1, '"') : NULL;
		if (!end)
			return false; /* it is no list of tags */
		end++;
		if ((size_t)(end - p) == len && !memcmp(p, tag, len))
			return true;
	}
	return false;
}
