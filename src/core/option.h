/* SPDX-License-Identifier: MIT */
/*
 * One option: its text read into the owner's struct, and written back.
 */
#ifndef OPTION_H
#define OPTION_H

#include "arena.h"
#include "buf.h"
#include <cqrs/option.h>
#include <stdbool.h>

/*
 * Reads `text` into the struct `values`; strings are borrowed from `text`.
 * False if it cannot be: the reason is in `why`, in the units of the option, and
 * quotes the text unless `hide` or the option is a secret.  A MAP takes "{}" alone.
 */
bool option_set(const struct cqrs_option *option, const char *text, bool hide, void *values,
                struct buf *why);
/* `pairs` end with name NULL and are borrowed. */
void option_set_map(const struct cqrs_option *option, const struct cqrs_option_pair *pairs,
                    void *values);

/* "{}" or the pairs of a MAP. */
const struct cqrs_option_pair *option_map(const struct cqrs_option *option, const void *values);

/*
 * Appends the value as it would stand in the file; secrets, and passwords in
 * a text, are hidden.  Not for a MAP.
 */
void option_print(const struct cqrs_option *option, const void *values, struct buf *out);
/* A text in double quotes for YAML, so that it reads back the same; what is not UTF-8: U+FFFD. */
void option_print_text(const char *text, struct buf *out);

/* Appends "1 to 64", "at least 16MiB", "debug, info or error"; nothing if there is no limit. */
void option_print_range(const struct cqrs_option *option, struct buf *out);

#endif
