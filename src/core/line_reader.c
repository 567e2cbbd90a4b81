/* SPDX-License-Identifier: MIT */
/* The lines of a descriptor, in bounded memory. */
#include "line_reader.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define PIECE 65536

void line_reader_init(struct line_reader *reader, int fd, size_t max)
{
	*reader = (struct line_reader){.fd = fd, .max = max};
}

void line_reader_release(struct line_reader *reader)
{
	buf_release(&reader->buf);
}

/* LINE_OK: there may be more bytes now, or the end was met. */
static enum line_result fill(struct line_reader *reader)
{
	/* Asked instead of O_NONBLOCK, which others who have the same terminal would notice. */
	struct pollfd ready = {.fd = reader->fd, .events = POLLIN};
	if (poll(&ready, 1, 0) == 0)
		return LINE_LATER;
	buf_drop(&reader->buf, reader->at);
	reader->scanned -= reader->at;
	reader->at = 0;
	char *room = buf_reserve(&reader->buf, PIECE);
	if (!room) {
		errno = ENOMEM;
		return LINE_FAILED;
	}
	ssize_t n = read(reader->fd, room, PIECE);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? LINE_LATER : LINE_FAILED;
	reader->buf.len += (size_t)n;
	reader->is_at_end = n == 0;
	return LINE_OK;
}

static bool find_line(struct line_reader *reader, const char **line, size_t *len)
{
	const char *data = reader->buf.data;
	size_t left = reader->buf.len - reader->scanned;
	const char *newline = left ? memchr(data + reader->scanned, '\n', left) : NULL;
	bool is_last = !newline && reader->is_at_end && reader->buf.len > reader->at;
	reader->scanned = newline ? (size_t)(newline - data) + 1 : reader->buf.len;
	if (!newline && !is_last)
		return false;
	*line = data + reader->at;
	*len = reader->scanned - reader->at - (newline != NULL);
	reader->at = reader->scanned;
	reader->number++;
	return true;
}

enum line_result line_reader_next(struct line_reader *reader, const char **line, size_t *len)
{
	while (!find_line(reader, line, len)) {
		if (reader->is_at_end)
			return LINE_END;
		if (reader->buf.len - reader->at > reader->max)
			return LINE_TOO_LONG;
		enum line_result result = fill(reader);
		if (result != LINE_OK)
			return result;
	}
	return *len > reader->max ? LINE_TOO_LONG : LINE_OK;
}
