/* SPDX-License-Identifier: MIT */
/* One line per event that matters, to stderr. */
#include "log.h"

#include "buf.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_MAX 2000

static const char *const level_names[] = {"debug", "info", "warning", "error"};
static enum log_level least = LOG_LEVEL_INFO;
static enum log_format format = LOG_FORMAT_TEXT;

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
	json_t *json = json_pack("{s:s, s:s, s:s%}", "time", when, "level", level_names[level],
	                         "message", message, strlen(message));
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	/* jansson refuses text that is not UTF-8: show what can be shown. */
	if (!text && json == NULL) {
		for (char *p = message; *p; p++)
			if ((unsigned char)*p >= 0x80 || *p == '"' || *p == '\\')
				*p = '?';
		buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\"%s\"}\n", when,
		           level_names[level], message);
	} else if (text) {
		buf_printf(line, "%s\n", text);
	}
	free(text);
	json_decref(json);
}

void log_write(enum log_level level, const char *fmt, va_list ap)
{
	if (level < least)
		return;
	char when[40], message[MESSAGE_MAX];
	struct buf line = BUF_INIT;
	timestamp(when, sizeof when);
	vsnprintf(message, sizeof message, fmt, ap);
	flatten(message);
	if (format == LOG_FORMAT_JSON)
		add_json(&line, when, level, message);
	else
		buf_printf(&line, "%s %-7s %s\n", when, level_names[level], message);
	/* A full disk or a closed stderr must not stop the work. */
	ssize_t ignored = line.len ? write(STDERR_FILENO, line.data, line.len) : 0;
	(void)ignored;
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
