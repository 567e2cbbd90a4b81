/* SPDX-License-Identifier: MIT */
/* A tree of jansson as text. */
#include "json_text.h"

static int add(const char *text, size_t len, void *arg)
{
	buf_add(arg, text, len);
	return 0;
}

void json_text(struct buf *out, const json_t *json, size_t flags)
{
	/* What add() could not keep is kept in mind by the buffer, whatever jansson makes of it. */
	if (!json || json_dump_callback(json, add, out, flags))
		out->failed = true;
}
