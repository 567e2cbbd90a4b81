/* SPDX-License-Identifier: MIT */
/* The configuration: what etc/cqrs.yaml says, checked, with defaults filled in. */
#include "config.h"

#include "arena.h"
#include "config_check.h"
#include "config_file.h"
#include "mistakes.h"
#include "section.h"

#include <string.h>

static const char *const module_lists[] = {"commands", "queries", NULL};

static const char *list_word(const char *list)
{
	return strcmp(list, "commands") == 0 ? "command" : "query";
}

/* Below `commands:` there are options of the core, too. */
static bool is_module(const char *list, const struct config_node *node)
{
	const struct cqrs_option *o = config_command_options;
	if (strcmp(list, module_lists[0]) != 0)
		return true;
	while (o->name && strcmp(o->name, node->key) != 0)
		o++;
	return !o->name;
}

/* Without the modules. */
static void read_command_options(struct config *config)
{
	const struct config_node *node = config_node_child(config->root, module_lists[0]);
	struct config_node section = {.kind = CONFIG_MAPPING}, **end = &section.children;
	const struct config_node *c = node ? node->children : NULL;
	for (; c && node->kind == CONFIG_MAPPING; c = c->next) {
		if (is_module(module_lists[0], c))
			continue;
		*end = arena_alloc(config->arena, sizeof **end);
		**end = *c;
		end = &(*end)->next;
	}
	*end = NULL;
	section_read(config_command_options, &section, NULL, config->arena, &config->core,
	             config->mistakes);
}

/* "sensor:" and the like below `commands:`; what they say is read when the module is known. */
static struct config_module *read_modules(struct config *config, const char *list, size_t *n)
{
	const struct config_node *node = config_node_child(config->root, list);
	if (!node || node->kind == CONFIG_NULL || node->kind == CONFIG_BROKEN)
		return NULL;
	if (node->kind != CONFIG_MAPPING) {
		mistakes_add(config->mistakes, node->line, node->column,
		             "%s must be a mapping of %s modules to their options, such as "
		             "{ sensor: {} }, not %s",
		             list, list_word(list), config_node_kind(node));
		return NULL;
	}
	for (const struct config_node *c = node->children; c; c = c->next)
		*n += is_module(list, c);
	struct config_module *modules = arena_alloc(config->arena, *n * sizeof *modules);
	struct config_module *next = modules;
	for (const struct config_node *c = node->children; c; c = c->next)
		if (is_module(list, c))
			*next++ = (struct config_module){.name = c->key,
			                                 .line = c->key_line,
			                                 .column = c->key_column,
			                                 .section = c};
	return modules;
}

struct config *config_open(const char *path, struct buf *errors)
{
	struct arena *arena = arena_new();
	struct config *config = arena_alloc(arena, sizeof *config);
	config->arena = arena;
	config->path = arena_copy(arena, path, strlen(path));
	config->mistakes = mistakes_new(path);
	config->root = config_file_read(arena, path, config->mistakes);
	if (!config->root) {
		mistakes_write(config->mistakes, errors);
		config_free(config);
		return NULL;
	}
	section_read(config_options, config->root, module_lists, arena, &config->core,
	             config->mistakes);
	read_command_options(config);
	config_check(&config->core, config->root, config->mistakes);
	config->commands = read_modules(config, module_lists[0], &config->n_commands);
	config->queries = read_modules(config, module_lists[1], &config->n_queries);
	return config;
}

bool config_report(struct config *config, struct buf *errors)
{
	mistakes_write(config->mistakes, errors);
	return mistakes_count(config->mistakes) == 0;
}

struct config *config_load(const char *path, struct buf *errors)
{
	struct config *config = config_open(path, errors);
	if (config && !config_report(config, errors)) {
		config_free(config);
		return NULL;
	}
	return config;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	mistakes_free(config->mistakes);
	/* The last one: the configuration itself lies in there. */
	arena_free(config->arena);
}

/* ---- modules ---- */

static size_t size_of(const struct cqrs_option *option)
{
	switch (option->type) {
	case CQRS_OPTION_INTEGER:
	case CQRS_OPTION_DURATION:
	case CQRS_OPTION_SIZE:
		return sizeof(int64_t);
	case CQRS_OPTION_BOOLEAN:
		return sizeof(bool);
	case CQRS_OPTION_CHOICE:
		return sizeof(int);
	default:
		return sizeof(void *);
	}
}

/* A table that would write outside of its struct would do so silently. */
static bool check_table(const struct config_module *module, const struct cqrs_option *options,
                        size_t size, struct mistakes *mistakes)
{
	for (const struct cqrs_option *o = options; o->name; o++) {
		if (o->offset <= size && size_of(o) <= size - o->offset)
			continue;
		mistakes_add(mistakes, module->line, module->column,
		             "module %s: the option %s lies outside of .options_size, correct the "
		             "module",
		             module->name, o->name);
		return false;
	}
	return true;
}

/* Told now, or kept for config_report(). */
static struct mistakes *begin_mistakes(struct config *config, struct buf *errors)
{
	return errors ? mistakes_new(config->path) : config->mistakes;
}

static void end_mistakes(struct mistakes *mistakes, struct buf *errors)
{
	if (!errors)
		return;
	mistakes_write(mistakes, errors);
	mistakes_free(mistakes);
}

void *config_module_options(struct config *config, const struct config_module *module,
                            const struct cqrs_option *options, size_t size, struct buf *errors)
{
	static const struct cqrs_option none[] = {CQRS_OPTIONS_END};
	struct mistakes *mistakes = begin_mistakes(config, errors);
	size_t before = mistakes_count(mistakes);
	void *values = arena_alloc(config->arena, size);
	if (!options)
		options = none;
	if (check_table(module, options, size, mistakes))
		section_read(options, module->section, NULL, config->arena, values, mistakes);
	bool ok = mistakes_count(mistakes) == before;
	end_mistakes(mistakes, errors);
	return ok ? values : NULL;
}

void config_module_mistake(struct config *config, const struct config_module *module,
                           struct buf *errors, const char *fmt, ...)
{
	struct mistakes *mistakes = begin_mistakes(config, errors);
	struct buf text = BUF_INIT;
	va_list ap;
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	mistakes_add(mistakes, module->line, module->column, "%s", buf_str(&text));
	buf_release(&text);
	end_mistakes(mistakes, errors);
}

/* ---- showing ---- */

void config_print(const struct config *config, struct buf *out)
{
	section_print(config_options, &config->core, 0, out);
}

void config_print_options(const struct cqrs_option *options, const void *values, int indent,
                          struct buf *out)
{
	section_print(options, values, indent, out);
}

void config_print_help(const struct cqrs_option *options, struct buf *out)
{
	section_help(options, out);
}
