/* SPDX-License-Identifier: MIT */
/* Memory that is taken in small pieces and given back all at once. */
#include "arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE 4000
#define ALIGNMENT  _Alignof(max_align_t)

struct chunk {
	struct chunk *next;
	_Alignas(max_align_t) char data[];
};

struct arena {
	struct chunk *chunks; /* the newest first: pieces come from it */
	size_t used, size;    /* of the newest */
};

static void *allocate(size_t size)
{
	void *memory = calloc(1, size);
	if (!memory) {
		fputs("out of memory while starting\n", stderr);
		exit(1);
	}
	return memory;
}

struct arena *arena_new(void)
{
	return allocate(sizeof(struct arena));
}

void arena_free(struct arena *arena)
{
	if (!arena)
		return;
	while (arena->chunks) {
		struct chunk *next = arena->chunks->next;
		free(arena->chunks);
		arena->chunks = next;
	}
	free(arena);
}

void *arena_alloc(struct arena *arena, size_t size)
{
	size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	if (!arena->chunks || size > arena->size - arena->used) {
		size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;
		struct chunk *chunk = allocate(sizeof *chunk + room);
		chunk->next = arena->chunks;
		*arena = (struct arena){.chunks = chunk, .size = room};
	}
	char *piece = arena->chunks->data + arena->used;
	arena->used += size;
	return piece;
}

char *arena_copy(struct arena *arena, const char *text, size_t len)
{
	char *copy = arena_alloc(arena, len + 1);
	if (len)
		memcpy(copy, text, len);
	return copy;
}
