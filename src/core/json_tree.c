/* SPDX-License-Identifier: MIT */
/* Trees of jansson that are whole, or are not. */
#include "json_tree.h"

#include <stdlib.h>

/* Of the call at hand: jansson's allocator has no argument. */
static bool is_out_of_memory;

static void *allocate(size_t size)
{
	void *memory = malloc(size);
	is_out_of_memory |= !memory;
	return memory;
}

json_t *json_tree_load(const char *text, size_t len, json_error_t *error)
{
	json_malloc_t former_malloc;
	json_free_t former_free;
	json_get_alloc_funcs(&former_malloc, &former_free);
	json_set_alloc_funcs(allocate, free);
	is_out_of_memory = false;
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, error);
	if (is_out_of_memory) {
		json_decref(json);
		json = NULL;
		if (error)
			*error->text = '\0';
	}
	json_set_alloc_funcs(former_malloc, former_free);
	return json;
}

void json_tree_set(json_t **object, const char *name, json_t *value)
{
	if (!json_object_set_new(*object, name, value))
		return;
	json_decref(*object);
	*object = NULL;
}

void json_tree_append(json_t **array, json_t *value)
{
	if (!json_array_append_new(*array, value))
		return;
	json_decref(*array);
	*array = NULL;
}
