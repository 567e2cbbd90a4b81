/* SPDX-License-Identifier: MIT */
/* Memory that runs out: the core's own, jansson's and libevent's. */
#include "injection.h"

#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <string.h>

#define NO_MEMORY (errno = ENOMEM, NULL)

INJECT(void *, malloc, (size_t size), (size), NO_MEMORY)
INJECT(void *, calloc, (size_t n, size_t size), (n, size), NO_MEMORY)
INJECT(void *, realloc, (void *old, size_t size), (old, size), NO_MEMORY)
INJECT(char *, strdup, (const char *text), (text), NO_MEMORY)
INJECT(char *, strndup, (const char *text, size_t len), (text, len), NO_MEMORY)

__attribute__((constructor)) static void inject_libraries(void)
{
	json_set_alloc_funcs(injected_malloc, free);
	event_set_mem_functions(injected_malloc, injected_realloc, free);
}
