/* SPDX-License-Identifier: MIT */
/*
 * A section of the configuration and the table of options that it is read by.
 *
 * Dots in the names of options are sections in sections; options that share
 * one stand next to each other in the table.
 */
#ifndef SECTION_H
#define SECTION_H

#include "arena.h"
#include "buf.h"
#include "config_node.h"
#include "mistakes.h"
#include <cqrs/option.h>

/*
 * Fills the zeroed struct `values` from the defaults and from `node`, a mapping
 * or nothing.  Whatever is wrong becomes mistakes, and the default stands.
 * `others` are names in `node` that belong to somebody else, ends with NULL.
 * Texts are borrowed from the node and the table.
 */
void section_read(const struct cqrs_option *options, const struct config_node *node,
                  const char *const *others, struct arena *arena, void *values,
                  struct mistakes *mistakes);

/* YAML that section_read() would fill the same struct from, secrets hidden. */
void section_print(const struct cqrs_option *options, const void *values, int indent,
                   struct buf *out);

/* One line for each option: name, default, help, range. */
void section_help(const struct cqrs_option *options, struct buf *out);

/* How many of the dots of `name` lead into the same sections as `before`, which may be NULL. */
int section_shared(const char *name, const char *before);

#endif
