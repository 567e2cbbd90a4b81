/* SPDX-License-Identifier: MIT */
/*
 * The hot parts, one after the other, for bench/instructions to count.
 *
 * Callgrind counts what happens inside counted(); the linker's --wrap shows us our
 * own allocations.  What a part works on is made outside, from fixed numbers, and
 * each part has run once before it is counted: what is left is what it costs for
 * ever, while all goes well.  `build/instructions decode` under callgrind with
 * --toggle-collect=counted shows where.
 */
#include "instructions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void must(bool is)
{
	if (!is) {
		fputs("instructions: a part does not work\n", stderr);
		exit(1);
	}
}

/* ---- allocations of ours ---- */

static size_t n_allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size)
{
	n_allocations++;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	n_allocations++;
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	n_allocations++;
	return __real_realloc(memory, size);
}

char *__wrap_strdup(const char *text)
{
	n_allocations++;
	return __real_strdup(text);
}

/* ---- the parts ---- */

/* Callgrind collects while this runs, and writes down what it has when it returns. */
__attribute__((noinline)) void counted(void (*run)(void));
__attribute__((noinline)) void counted(void (*run)(void))
{
	run();
	__asm__ volatile(""); /* not a jump */
}

/* All of them, or the one that is named. */
static void run(const struct part *part, const char *only)
{
	for (; part->name; part++) {
		if (only && strcmp(part->name, only) != 0)
			continue;
		if (part->prepare)
			part->prepare();
		part->run();
		if (part->prepare)
			part->prepare();
		n_allocations = 0;
		counted(part->run);
		printf("%s\t%d\t%zu\t%s\n", part->name, part->units, n_allocations, part->unit);
	}
}

int main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : NULL;
	struct loop *loop = loop_new();
	struct metrics *metrics = metrics_new();
	must(loop && metrics);
	run(instructions_start_writing(loop, metrics), only);
	run(instructions_start_reading(loop, metrics), only);
	instructions_stop_reading();
	instructions_stop_writing();
	metrics_free(metrics);
	loop_free(loop);
	return 0;
}
