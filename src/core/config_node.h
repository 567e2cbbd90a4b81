/* SPDX-License-Identifier: MIT */
/*
 * A file of sections and values as a tree, each node with its place in the file.
 *
 * Who reads the tree needs to know nothing of YAML; config_file.h makes it.
 */
#ifndef CONFIG_NODE_H
#define CONFIG_NODE_H

#include <stdbool.h>
#include <stddef.h>

enum config_kind {
	CONFIG_NULL,     /* nothing, ~ or null, not quoted */
	CONFIG_SCALAR,   /* `text` */
	CONFIG_MAPPING,  /* children with a `key` each, no two the same */
	CONFIG_SEQUENCE, /* children without */
	CONFIG_BROKEN,   /* a value with a mistake that has been told */
};

struct config_node {
	enum config_kind kind;
	int line, column; /* where the value begins, both from 1 */
	const char *key;  /* in a mapping: its name, NULL elsewhere */
	int key_line, key_column;
	const char *text; /* CONFIG_SCALAR: the text, ${…} expanded; otherwise NULL */
	bool expanded;    /* some of the text is not from this file: do not quote it */
	struct config_node *children, *next;
};

/* "mapping", "sequence" …, for messages. */
const char *config_node_kind(const struct config_node *node);
/* The child of a mapping with this name; NULL if there is none, or `node` is NULL or no mapping. */
const struct config_node *config_node_child(const struct config_node *node, const char *key);
/* Down a path of names with dots between them, "kafka.start"; NULL if it ends on the way. */
const struct config_node *config_node_find(const struct config_node *node, const char *path);

#endif
