/* SPDX-License-Identifier: MIT */
/* A section of the configuration and the table of options that it is read by. */
#include "section.h"

#include "option.h"
#include "suggest.h"

#include <stdio.h>
#include <string.h>

struct reader {
	const struct cqrs_option *options;
	const char *const *others;
	struct arena *arena;
	void *values;
	struct mistakes *mistakes;
};

/* What follows `prefix` in the name of an option; NULL if it is not in that section. */
static const char *below(const struct cqrs_option *option, const char *prefix)
{
	size_t len = strlen(prefix);
	if (strncmp(option->name, prefix, len) != 0)
		return NULL;
	if (len == 0)
		return option->name;
	return option->name[len] == '.' ? option->name + len + 1 : NULL;
}

static const char *join(struct reader *r, const char *prefix, const char *key)
{
	size_t size = strlen(prefix) + strlen(key) + 2;
	char *name = arena_alloc(r->arena, size);
	snprintf(name, size, "%s%s%s", prefix, *prefix ? "." : "", key);
	return name;
}

/* ---- names that nobody knows ---- */

/* The names that may stand in the section `prefix`, each once. */
static size_t list_names(struct reader *r, const char *prefix, const char ***names)
{
	size_t n = 0, max = 0;
	for (const struct cqrs_option *o = r->options; o->name; o++)
		max++;
	for (size_t i = 0; r->others && r->others[i]; i++)
		max++;
	const char **list = arena_alloc(r->arena, max * sizeof *list + 1);
	for (const struct cqrs_option *o = r->options; o->name; o++) {
		const char *rest = below(o, prefix);
		size_t len = rest ? strcspn(rest, ".") : 0;
		if (rest && (!n || strncmp(list[n - 1], rest, len) != 0 || list[n - 1][len]))
			list[n++] = arena_copy(r->arena, rest, len);
	}
	for (size_t i = 0; !*prefix && r->others && r->others[i]; i++)
		list[n++] = r->others[i];
	*names = list;
	return n;
}

/* For "log.level: info": the option, but not the way to write it. */
static bool is_flattened(struct reader *r, const char *prefix, const char *key)
{
	for (const struct cqrs_option *o = r->options; strchr(key, '.') && o->name; o++) {
		const char *rest = below(o, prefix);
		if (rest && strcmp(rest, key) == 0)
			return true;
	}
	return false;
}

static void unknown(struct reader *r, const char *prefix, const struct config_node *node)
{
	const char **names;
	size_t n = list_names(r, prefix, &names);
	bool flattened = is_flattened(r, prefix, node->key);
	const char *near = flattened ? NULL : suggest(node->key, names, n);
	struct buf text = BUF_INIT;
	buf_printf(&text, "unknown option \"%.100s\"", node->key);
	if (flattened)
		buf_puts(&text, ", write sections in each other instead of dots");
	else if (near)
		buf_printf(&text, ", did you mean \"%s\"?", near);
	else if (n == 0)
		buf_puts(&text, ", there are no options here");
	for (size_t i = 0; !near && !flattened && i < n; i++)
		buf_printf(&text, "%s%s", i == 0 ? ", known here: " : ", ", names[i]);
	mistakes_add(r->mistakes, node->key_line, node->key_column, "%s", buf_str(&text));
	buf_release(&text);
}

/* ---- values ---- */

static void wrong_kind(struct reader *r, const struct config_node *node, const char *name,
                       const char *expected)
{
	if (node->kind != CONFIG_BROKEN)
		mistakes_add(r->mistakes, node->line, node->column, "%s must be %s, not %s", name,
		             expected, config_node_kind(node));
}

static void read_map(struct reader *r, const struct cqrs_option *option,
                     const struct config_node *node)
{
	if (node->kind == CONFIG_NULL)
		return;
	if (node->kind != CONFIG_MAPPING) {
		wrong_kind(r, node, option->name, "a mapping of names to values");
		return;
	}
	size_t n = 0;
	for (const struct config_node *c = node->children; c; c = c->next)
		n++;
	struct cqrs_option_pair *pairs = arena_alloc(r->arena, (n + 1) * sizeof *pairs);
	option_set_map(option, pairs, r->values);
	for (const struct config_node *c = node->children; c; c = c->next) {
		if (c->kind == CONFIG_SCALAR)
			*pairs++ = (struct cqrs_option_pair){.name = c->key, .value = c->text};
		else
			wrong_kind(r, c, join(r, option->name, c->key), "a value");
	}
}

static void read_value(struct reader *r, const struct cqrs_option *option,
                       const struct config_node *node)
{
	struct buf why = BUF_INIT;
	if (option->type == CQRS_OPTION_MAP)
		read_map(r, option, node);
	else if (node->kind == CONFIG_NULL && option->type == CQRS_OPTION_STRING)
		mistakes_add(r->mistakes, node->line, node->column,
		             "%s has no value, write \"\" for an empty text", option->name);
	else if (node->kind == CONFIG_NULL)
		mistakes_add(r->mistakes, node->line, node->column, "%s has no value",
		             option->name);
	else if (node->kind != CONFIG_SCALAR)
		wrong_kind(r, node, option->name, "a value");
	else if (!option_set(option, node->text, node->expanded, r->values, &why))
		mistakes_add(r->mistakes, node->line, node->column, "%s", buf_str(&why));
	buf_release(&why);
}

/* ---- the walk ---- */

static void read_section(struct reader *r, const char *prefix, const struct config_node *node);

static bool is_other(const struct reader *r, const char *prefix, const char *key)
{
	for (size_t i = 0; !*prefix && r->others && r->others[i]; i++)
		if (strcmp(r->others[i], key) == 0)
			return true;
	return false;
}

static void read_child(struct reader *r, const char *prefix, const struct config_node *node)
{
	if (is_other(r, prefix, node->key))
		return;
	/* A dot in the file is not a section: the same option could then stand there twice. */
	const char *name = strchr(node->key, '.') ? "" : join(r, prefix, node->key);
	for (const struct cqrs_option *o = r->options; *name && o->name; o++) {
		if (strcmp(o->name, name) == 0) {
			read_value(r, o, node);
			return;
		}
		if (below(o, name)) {
			read_section(r, name, node);
			return;
		}
	}
	unknown(r, prefix, node);
}

static void read_section(struct reader *r, const char *prefix, const struct config_node *node)
{
	if (node->kind == CONFIG_NULL)
		return;
	if (node->kind != CONFIG_MAPPING) {
		wrong_kind(r, node, *prefix ? prefix : "this section", "a mapping of options");
		return;
	}
	for (const struct config_node *c = node->children; c; c = c->next)
		read_child(r, prefix, c);
}

static void read_default(struct reader *r, const struct cqrs_option *option,
                         const struct config_node *node)
{
	struct buf why = BUF_INIT;
	int line = node->key ? node->key_line : node->line;
	int column = node->key ? node->key_column : node->column;
	if (!option->initial) {
		if (!config_node_find(node, option->name))
			mistakes_add(r->mistakes, line, column, "the option %s is missing: %s",
			             option->name, option->help);
	} else if (!option_set(option, option->initial, false, r->values, &why)) {
		/* Whoever wrote the table has to act, but the reader of the file sees it first. */
		mistakes_add(r->mistakes, line, column, "wrong default, correct the module: %s",
		             buf_str(&why));
	}
	buf_release(&why);
}

void section_read(const struct cqrs_option *options, const struct config_node *node,
                  const char *const *others, struct arena *arena, void *values,
                  struct mistakes *mistakes)
{
	struct reader r = {.options = options,
	                   .others = others,
	                   .arena = arena,
	                   .values = values,
	                   .mistakes = mistakes};
	for (const struct cqrs_option *o = options; o->name; o++)
		read_default(&r, o, node);
	read_section(&r, "", node);
}
