/* SPDX-License-Identifier: MIT */
/*
 * Trees of jansson that are whole, or are not.
 *
 * When memory runs out, json_loadb() of jansson 2.14 calls the text wrong, or
 * even takes it and leaves bytes out; and a member that could not be made is
 * missing in its object, as if there were none.
 */
#ifndef JSON_TREE_H
#define JSON_TREE_H

#include <jansson.h>
#include <stdbool.h>

/*
 * What a text says, members once only; to be freed with json_decref().  NULL: no
 * JSON, and `error` (NULL: never mind) says why, or no memory, and its text is "".
 */
json_t *json_tree_load(const char *text, size_t len, json_error_t *error);

/*
 * Take `value`; NULL is one that there was no memory for.  Without memory the
 * whole object or array is freed and becomes NULL, and stays so.
 */
void json_tree_set(json_t **object, const char *name, json_t *value);
void json_tree_append(json_t **array, json_t *value);

#endif
