/* SPDX-License-Identifier: MIT */
/*
 * The lines of a descriptor, in bounded memory and without blocking on a pipe
 * that has nothing yet.
 */
#ifndef LINE_READER_H
#define LINE_READER_H

#include "buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum line_result {
	LINE_OK,
	LINE_LATER,    /* nothing to read now: wait until the descriptor is readable */
	LINE_END,      /* all were read; the last one needs no newline */
	LINE_TOO_LONG, /* longer than `max` bytes: cannot go on */
	LINE_FAILED,   /* see errno */
};

struct line_reader {
	int fd;
	int64_t number; /* of the last line, counted from 1 */
	struct buf buf;
	size_t at;      /* the first byte that was not returned */
	size_t scanned; /* and up to here there is no newline */
	size_t max;
	bool is_at_end;
};

/* The descriptor stays the caller's. */
void line_reader_init(struct line_reader *reader, int fd, size_t max);
void line_reader_release(struct line_reader *reader);

/* The next line without its newline, valid until the next call; it may have any bytes. */
enum line_result line_reader_next(struct line_reader *reader, const char **line, size_t *len);

#endif
