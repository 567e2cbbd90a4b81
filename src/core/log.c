/* SPDX-License-Identifier: MIT */
/* One line per event that matters, to stderr. */
#include "log.h"

#include "buf.h"
#include "json_escape.h"
#include "utf8.h"

#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* As JSON each byte may become two, and what is around them is less than 100: see put(). */
#define MESSAGE_MAX ((PIPE_BUF - 100) / 2)

static const char *const level_names[] = {"debug", "info", "warning", "error"};
static enum log_level least = LOG_LEVEL_INFO;
static enum log_format format = LOG_FORMAT_TEXT;
static atomic_ulong lost; /* lines that could not be written */

void log_setup(enum log_level level, enum log_format as)
{
	least = level;
	format = as;
}

static void timestamp(char *text, size_t size)
{
	struct timeval now;
	struct tm tm;
	gettimeofday(&now, NULL);
	gmtime_r(&now.tv_sec, &tm);
	size_t n = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, size - n, ".%03dZ", (int)(now.tv_usec / 1000));
}

/* A message is one line, whatever a server put into its error. */
static void flatten(char *text)
{
	size_t n = strlen(text);
	while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
		text[--n] = '\0';
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = ' ';
}

static void add_json(struct buf *line, const char *when, enum log_level level, char *message)
{
	utf8_mend(message);
	buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", when,
	           level_names[level]);
	json_escape(line, message, strlen(message));
	buf_puts(line, "}\n");
}

/*
 * A full disk or a reader that does not read must not stop the work.  poll()
 * says that PIPE_BUF bytes will not block, which is more than a line has; the
 * descriptor may be shared with others, so it cannot be made nonblocking.
 */
static bool put(const struct buf *line)
{
	struct pollfd to = {.fd = STDERR_FILENO, .events = POLLOUT};
	return poll(&to, 1, 0) == 1 && (to.revents & POLLOUT) &&
	       write(STDERR_FILENO, line->data, line->len) == (ssize_t)line->len;
}

static void add_line(struct buf *line, enum log_level level, const char *fmt, va_list ap)
{
	char when[40], message[MESSAGE_MAX];
	timestamp(when, sizeof when);
	vsnprintf(message, sizeof message, fmt, ap);
	flatten(message);
	if (format == LOG_FORMAT_JSON)
		add_json(line, when, level, message);
	else
		buf_printf(line, "%s %-7s %s\n", when, level_names[level], message);
}

static void add_loss(struct buf *line, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	add_line(line, LOG_LEVEL_WARNING, fmt, ap);
	va_end(ap);
}

/* When a line can be written again, it is said how many could not. */
static void tell_loss(void)
{
	struct buf line = BUF_INIT;
	unsigned long n = atomic_exchange(&lost, 0);
	add_loss(&line, "log: %lu lines could not be written before this one", n);
	if (n && !put(&line))
		atomic_fetch_add(&lost, n);
	buf_release(&line);
}

void log_write(enum log_level level, const char *fmt, va_list ap)
{
	struct buf line = BUF_INIT;
	if (level < least)
		return;
	add_line(&line, level, fmt, ap);
	if (atomic_load(&lost))
		tell_loss();
	if (line.failed || !put(&line))
		atomic_fetch_add(&lost, 1);
	buf_release(&line);
}

#define DEFINE(name, level)                \
	void name(const char *fmt, ...)    \
	{                                  \
		va_list ap;                \
		va_start(ap, fmt);         \
		log_write(level, fmt, ap); \
		va_end(ap);                \
	}

DEFINE(log_debug, LOG_LEVEL_DEBUG)
DEFINE(log_info, LOG_LEVEL_INFO)
DEFINE(log_warning, LOG_LEVEL_WARNING)
DEFINE(log_error, LOG_LEVEL_ERROR)
