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

struct buf {
	char *data; /* NULL when nothing was ever reserved; not terminated */
	size_t len;
	size_t cap;
	size_t max; /* 0: no limit */
	bool failed;
};

#define BUF_INIT             \
	{                    \
		.data = NULL \
	}

/* Frees the memory and makes the buffer empty again; `max` stays. */
void buf_release(struct buf *b);
/* Forgets the contents and the failure, keeps the memory. */
void buf_clear(struct buf *b);
/* Room for `n` more bytes at the end; NULL (and `failed`) if there is none. */
char *buf_reserve(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *data, size_t n);
void buf_puts(struct buf *b, const char *text);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap);
/* The contents as a C string (terminator not counted in len); "" when failed. */
const char *buf_str(struct buf *b);
/* Removes the first `n` bytes. */
void buf_drop(struct buf *b, size_t n);

/* Big-endian integers, as PostgreSQL's and Kafka's protocols have them. */
void buf_put16(struct buf *b, uint16_t v);
void buf_put32(struct buf *b, uint32_t v);
void buf_put64(struct buf *b, uint64_t v);

#endif
