/* SPDX-License-Identifier: MIT */
/* A file of sections and values as a tree, each node with its place in the file. */
#include "config_node.h"

#include <string.h>

const char *config_node_kind(const struct config_node *node)
{
	static const char *const names[] = {"nothing", "a value", "a mapping", "a sequence",
	                                    "a broken value"};
	return names[node->kind];
}

static const struct config_node *child(const struct config_node *node, const char *key, size_t len)
{
	if (!node || node->kind != CONFIG_MAPPING)
		return NULL;
	for (node = node->children; node; node = node->next)
		if (strncmp(node->key, key, len) == 0 && node->key[len] == '\0')
			return node;
	return NULL;
}

const struct config_node *config_node_child(const struct config_node *node, const char *key)
{
	return child(node, key, strlen(key));
}

const struct config_node *config_node_find(const struct config_node *node, const char *path)
{
	while (node && *path) {
		size_t len = strcspn(path, ".");
		node = child(node, path, len);
		path += len + (path[len] == '.');
	}
	return node;
}
