/* SPDX-License-Identifier: MIT */
/* The shadow of a view. */
#include "shadow.h"

#include "buf.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static bool is_of_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$';
}

char *shadow_sql(const char *view, const char *sql)
{
	struct buf out = BUF_INIT;
	size_t len = strlen(view);
	const char *rest = sql, *found;
	while ((found = strstr(rest, view))) {
		bool is_schema = found[len] == '.' && (found == sql || !is_of_name(found[-1]));
		buf_add(&out, rest, (size_t)(found - rest) + len);
		if (is_schema)
			buf_puts(&out, SHADOW_SUFFIX);
		rest = found + len;
	}
	buf_puts(&out, rest);
	buf_putc(&out, '\0');
	if (out.failed)
		buf_release(&out);
	return out.data;
}
