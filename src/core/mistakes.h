/* SPDX-License-Identifier: MIT */
/*
 * What is wrong with a file: collected while it is read, told in one go.
 *
 * A person who mends a file wants all of its mistakes, in the order of the
 * lines, whatever the order in which they were found.
 */
#ifndef MISTAKES_H
#define MISTAKES_H

#include "buf.h"

struct mistakes;

/* `path` is what the lines begin with; it is copied. */
struct mistakes *mistakes_new(const char *path);
void mistakes_free(struct mistakes *mistakes);

/* Lines and columns count from 1; line 0: the file as a whole. */
void mistakes_add(struct mistakes *mistakes, int line, int column, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
size_t mistakes_count(const struct mistakes *mistakes);

/* Appends "path:line:column: message" lines, sorted; at most a hundred. */
void mistakes_write(struct mistakes *mistakes, struct buf *out);

#endif
