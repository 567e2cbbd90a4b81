/* SPDX-License-Identifier: MIT */
/*
 * A growing run of bytes.
 *
 * Failure is sticky: when memory runs out (or `max` is passed) the buffer
 * stops growing and `failed` stays set, so a writer checks once, at the end.
 */
#ifndef BUF_H
#define BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
	char *data; /* NULL when nothing was ever reserved; not terminated */
	size_t len;
	size_t cap;
	size_t max; /* 0: no limit */
	bool failed;
	bool is_full; /* it failed because of `max` */
};

#define BUF_INIT             \
	{                    \
		.data = NULL \
	}

/* Frees the memory and makes the buffer empty again; `max` stays. */
void buf_release(struct buf *b);
/* Forgets the contents and the failure, keeps the memory. */
void buf_clear(struct buf *b);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap);
/* The contents as a C string (terminator not counted in len); "" when failed. */
const char *buf_str(struct buf *b);
/* Removes the first `n` bytes. */
void buf_drop(struct buf *b, size_t n);
/* What buf_reserve() does when there is no room yet. */
char *buf_grow(struct buf *b, size_t n);

/* Room for `n` more bytes at the end; NULL (and `failed`) if there is none. */
static inline char *buf_reserve(struct buf *b, size_t n)
{
	if (n <= b->cap - b->len && (!b->max || b->len + n <= b->max) && !b->failed)
		return b->data + b->len;
	return buf_grow(b, n);
}

static inline void buf_add(struct buf *b, const void *data, size_t n)
{
	char *at = n ? buf_reserve(b, n) : NULL;
	if (!at)
		return;
	memcpy(at, data, n);
	b->len += n;
}

static inline void buf_puts(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

static inline void buf_putc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

/* Big-endian integers, as PostgreSQL's and Kafka's protocols have them. */
static inline void buf_put16(struct buf *b, uint16_t v)
{
	v = __builtin_bswap16(v);
	buf_add(b, &v, sizeof v);
}

static inline void buf_put32(struct buf *b, uint32_t v)
{
	v = __builtin_bswap32(v);
	buf_add(b, &v, sizeof v);
}

static inline void buf_put64(struct buf *b, uint64_t v)
{
	v = __builtin_bswap64(v);
	buf_add(b, &v, sizeof v);
}

#endif
