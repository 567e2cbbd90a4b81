/* SPDX-License-Identifier: MIT */
/* What is wrong with a file: collected while it is read, told in one go. */
#include "mistakes.h"

#include "arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 100

struct mistake {
	int line, column;
	size_t order; /* keeps the order of those at one place */
	const char *message;
};

struct mistakes {
	struct arena *arena;
	const char *path;
	struct mistake list[SHOWN_MAX];
	size_t n; /* all of them; the list has the first SHOWN_MAX */
};

struct mistakes *mistakes_new(const char *path)
{
	struct arena *arena = arena_new();
	struct mistakes *mistakes = arena_alloc(arena, sizeof *mistakes);
	mistakes->arena = arena;
	mistakes->path = arena_copy(arena, path, strlen(path));
	return mistakes;
}

void mistakes_free(struct mistakes *mistakes)
{
	if (mistakes)
		arena_free(mistakes->arena);
}

/* Text from the file may be quoted in a message: it must not break the line. */
static void flatten(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = ' ';
}

static char *print(struct arena *arena, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	int len = vsnprintf(NULL, 0, fmt, ap);
	char *text = arena_alloc(arena, len < 0 ? 1 : (size_t)len + 1);
	if (len > 0)
		vsnprintf(text, (size_t)len + 1, fmt, again);
	va_end(again);
	return text;
}

void mistakes_add(struct mistakes *mistakes, int line, int column, const char *fmt, ...)
{
	size_t n = mistakes->n++;
	if (n >= SHOWN_MAX)
		return;
	va_list ap;
	va_start(ap, fmt);
	char *message = print(mistakes->arena, fmt, ap);
	va_end(ap);
	flatten(message, strlen(message));
	/* Its text was put together where memory can run out. */
	if (!*message)
		message = "out of memory";
	mistakes->list[n] =
	    (struct mistake){.line = line, .column = column, .order = n, .message = message};
}

size_t mistakes_count(const struct mistakes *mistakes)
{
	return mistakes->n;
}

static int compare(const void *x, const void *y)
{
	const struct mistake *a = x, *b = y;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

void mistakes_write(struct mistakes *mistakes, struct buf *out)
{
	size_t shown = mistakes->n < SHOWN_MAX ? mistakes->n : SHOWN_MAX;
	qsort(mistakes->list, shown, sizeof mistakes->list[0], compare);
	for (size_t i = 0; i < shown; i++) {
		const struct mistake *m = &mistakes->list[i];
		if (m->line)
			buf_printf(out, "%s:%d:%d: %s\n", mistakes->path, m->line, m->column,
			           m->message);
		else
			buf_printf(out, "%s: %s\n", mistakes->path, m->message);
	}
	if (mistakes->n > shown)
		buf_printf(out, "%s: and %zu more mistakes\n", mistakes->path, mistakes->n - shown);
}
