/* SPDX-License-Identifier: MIT */
/* A growing run of bytes. */
#include "buf.h"

#include <stdio.h>
#include <stdlib.h>

void buf_release(struct buf *b)
{
	free(b->data);
	*b = (struct buf){.max = b->max};
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = b->is_full = false;
}

static bool enlarge(struct buf *b, size_t need)
{
	size_t cap = b->cap ? b->cap : 64;
	while (cap < need)
		cap += cap / 2 + 64;
	char *data = realloc(b->data, cap);
	if (!data)
		return false;
	b->data = data;
	b->cap = cap;
	return true;
}

char *buf_grow(struct buf *b, size_t n)
{
	if (b->failed)
		return NULL;
	b->is_full = n > SIZE_MAX / 4 - b->len || (b->max && b->len + n > b->max);
	if (b->is_full || (b->len + n > b->cap && !enlarge(b, b->len + n))) {
		b->failed = true;
		return NULL;
	}
	return b->data + b->len;
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	/* One more than is counted: vsnprintf() wants to terminate. */
	char *at = n < 0 ? NULL : buf_reserve(b, (size_t)n + 1);
	if (at) {
		vsnprintf(at, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	} else {
		b->failed = true;
	}
	va_end(again);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

const char *buf_str(struct buf *b)
{
	char *at = buf_reserve(b, 1);
	if (!at)
		return "";
	*at = '\0';
	return b->data;
}

void buf_drop(struct buf *b, size_t n)
{
	if (n >= b->len) {
		b->len = 0;
		return;
	}
	if (n)
		memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
}
