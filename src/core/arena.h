/* SPDX-License-Identifier: MIT */
/*
 * Memory that is taken in small pieces and given back all at once.
 *
 * For what is read when the daemon starts: memory that runs out then ends the
 * process, so nothing here can fail.  What goes in must be bounded by its reader.
 */
#ifndef ARENA_H
#define ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *arena);
/* Zeroed, aligned for anything, valid until arena_free(). */
void *arena_alloc(struct arena *arena, size_t size);
/* A terminated copy of `len` bytes. */
char *arena_copy(struct arena *arena, const char *text, size_t len);

#endif
