/* SPDX-License-Identifier: MIT */
/*
 * One line per event that matters, noun first: "kafka: group joined, 4 partitions".
 *
 * The only state that is global, because every part may have to say something.
 * Lines are written to stderr with one write(2), and only if that does not have
 * to wait.  What cannot be written is lost, and counted in the next line that can.
 */
#ifndef LOG_H
#define LOG_H

#include <stdarg.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

void log_setup(enum log_level level, enum log_format format);

void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_write(enum log_level level, const char *fmt, va_list ap);

#endif
