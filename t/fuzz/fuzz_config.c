/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a configuration file.
 *
 * What loads must print as text that loads again and prints the same; what
 * does not must say why.
 */
#include "arena.h"
#include "config.h"
#include "config_check.h"
#include "config_file.h"
#include "section.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Nothing is there, so that ${file:…} of a relative path finds nothing. */
#define PATH "/nonexistent/cqrs.yaml"

static const char *const others[] = {"commands", "queries", NULL};

/* Appends what the text means; false, with at least one mistake, if it is wrong. */
static bool print(const char *text, size_t len, struct buf *out)
{
	struct arena *arena = arena_new();
	struct mistakes *mistakes = mistakes_new(PATH);
	struct core_options core = {0};
	struct buf lines = BUF_INIT;
	struct config_node *root = config_file_parse(arena, PATH, text, len, mistakes);
	if (root) {
		section_read(config_options, root, others, arena, &core, mistakes);
		config_check(&core, root, mistakes);
	}
	bool ok = mistakes_count(mistakes) == 0;
	if (!root && ok)
		abort();
	mistakes_write(mistakes, &lines);
	if (ok != (lines.len == 0) || (!ok && strncmp(lines.data, PATH ":", sizeof PATH) != 0))
		abort();
	if (ok)
		section_print(config_options, &core, 0, out);
	buf_release(&lines);
	mistakes_free(mistakes);
	arena_free(arena);
	return ok;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	/* Not the files of whoever runs this. */
	if (memmem(data, size, "file:/", 6))
		return -1;
	struct buf once = BUF_INIT, twice = BUF_INIT;
	if (print((const char *)data, size, &once)) {
		if (!print(once.data, once.len, &twice) || once.len != twice.len ||
		    memcmp(once.data, twice.data, once.len) != 0)
			abort();
	}
	buf_release(&once);
	buf_release(&twice);
	return 0;
}
