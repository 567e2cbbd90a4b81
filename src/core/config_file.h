/* SPDX-License-Identifier: MIT */
/*
 * A configuration file in YAML, read into a tree: the only file that knows libyaml.
 *
 * Less than all of YAML, so that a file says what it looks like: one document,
 * no anchors, aliases or tags, no name twice in a mapping.  ${…} in values is
 * expanded as config_expand.h says.
 */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include "arena.h"
#include "config_node.h"
#include "mistakes.h"

#define CONFIG_FILE_MAX  1048576 /* bytes of a file, and of what ${…} puts into it */
#define CONFIG_DEPTH_MAX 16      /* sections in each other */
#define CONFIG_NODES_MAX 10000

/*
 * The tree of a text, always a mapping (an empty file is an empty one), in the
 * arena; NULL if the text cannot be understood.  There may be mistakes either way.
 * `path` is for ${file:…} alone.
 */
struct config_node *config_file_parse(struct arena *arena, const char *path, const char *text,
                                      size_t len, struct mistakes *mistakes);

/* The same for a file. */
struct config_node *config_file_read(struct arena *arena, const char *path,
                                     struct mistakes *mistakes);

#endif
