/* SPDX-License-Identifier: MIT */
/* The module registry: finds modules by name and makes sure that they fit. */
#include "module.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef LINKED_COMMANDS
#define LINKED_COMMANDS ""
#define LINKED_QUERIES  ""
#endif

#define NAME_MAX_LENGTH 63

struct module_set {
	const char *path;
	struct module **modules;
	size_t n;
};

const char *module_kind_name(enum module_kind kind)
{
	return kind == MODULE_COMMAND ? "command" : "query";
}

/* The section of the configuration file that lists modules of this kind. */
static const char *section_name(enum module_kind kind)
{
	return kind == MODULE_COMMAND ? "commands:" : "queries:";
}

static enum module_kind other(enum module_kind kind)
{
	return kind == MODULE_COMMAND ? MODULE_QUERY : MODULE_COMMAND;
}

const char *module_linked(enum module_kind kind)
{
	return kind == MODULE_COMMAND ? LINKED_COMMANDS : LINKED_QUERIES;
}

/* A name becomes part of a symbol and of a path: nothing else may be in it. */
static bool is_name(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
	return name[n] == '\0' && name[0] >= 'a' && name[0] <= 'z' && n <= NAME_MAX_LENGTH;
}

/* `handle` NULL: the running program. */
static const void *find_descriptor(void *handle, enum module_kind kind, const char *name)
{
	char symbol[NAME_MAX_LENGTH + 32];
	snprintf(symbol, sizeof symbol, "cqrs_%s_%s", module_kind_name(kind), name);
	return dlsym(handle ? handle : RTLD_DEFAULT, symbol);
}

/* ---- files ---- */

/* Who can write what we load can do what we can. */
static const char *why_unsafe(const struct stat *st)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return "belongs to another user: chown it to root";
	if (st->st_mode & S_IWOTH)
		return "can be written by everybody: chmod o-w";
	if (st->st_mode & S_IWGRP && st->st_gid != 0 && st->st_gid != getegid())
		return "can be written by another group: chmod g-w";
	return NULL;
}

static bool is_safe(const char *name, const char *path, struct buf *errors)
{
	char directory[PATH_MAX];
	struct stat st;
	snprintf(directory, sizeof directory, "%s", path);
	char *slash = strrchr(directory, '/');
	slash[slash == directory] = '\0';
	const char *const both[] = {path, directory};
	for (int i = 0; i < 2; i++) {
		const char *why = stat(both[i], &st) ? strerror(errno) : why_unsafe(&st);
		if (!why)
			continue;
		buf_printf(errors, "module %s: %s %s", name, both[i], why);
		return false;
	}
	return true;
}

/* The module's file with links resolved, so that the checked path is the loaded one. */
static bool find_file(const char *directory, enum module_kind kind, const char *name,
                      char found[PATH_MAX])
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/%s/%s.so", directory, module_kind_name(kind), name);
	if (realpath(path, found))
		return true;
	snprintf(path, sizeof path, "%s/%s.so", directory, name);
	return realpath(path, found) != NULL;
}

static void *open_file(const char *name, const char *path, struct buf *errors)
{
	if (!is_safe(name, path, errors))
		return NULL;
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		buf_printf(errors, "module %s: cannot be loaded: %s", name, dlerror());
	return handle;
}

/* ---- descriptors ---- */

/* "module order.so", or "module order" when it is linked in. */
static const char *suffix(const struct module *module)
{
	return module->handle ? ".so" : "";
}

static bool check_abi(const struct module *module, struct buf *errors)
{
	unsigned abi = module->kind == MODULE_COMMAND ? module->command->abi : module->query->abi;
	if (abi == CQRS_ABI)
		return true;
	/* Nothing else of it may be looked at: it is of another shape. */
	buf_printf(errors,
	           "module %s%s was built for another cqrsd (ABI %u, this is %u), rebuild it",
	           module->name, suffix(module), abi, CQRS_ABI);
	return false;
}

static bool check_members(struct module *module, struct buf *errors)
{
	const char *name, *missing = NULL;
	if (module->kind == MODULE_COMMAND) {
		const struct cqrs_command_module *m = module->command;
		name = m->name;
		module->summary = m->summary;
		module->options = m->options;
		module->options_size = m->options_size;
		missing = !m->start ? ".start" : !m->stop ? ".stop" : NULL;
	} else {
		const struct cqrs_query_module *m = module->query;
		name = m->name;
		module->summary = m->summary;
		module->options = m->options;
		module->options_size = m->options_size;
		missing = !m->start ? ".start" : !m->stop ? ".stop" : NULL;
	}
	if (module->options && module->options->name && !module->options_size)
		missing = ".options_size";
	if (missing)
		buf_printf(errors, "module %s%s has no %s: name it in its CQRS_%s_MODULE line",
		           module->name, suffix(module), missing,
		           module->kind == MODULE_COMMAND ? "COMMAND" : "QUERY");
	else if (!name || strcmp(name, module->name))
		buf_printf(errors, "module %s%s calls itself \"%s\": rename the one or the other",
		           module->name, suffix(module), name ? name : "");
	else
		return true;
	return false;
}

/* ---- finding ---- */

static void explain_missing(const struct module_set *set, enum module_kind kind, const char *name,
                            struct buf *errors)
{
	char path[PATH_MAX];
	if (find_descriptor(NULL, other(kind), name) ||
	    find_file(set->path, other(kind), name, path)) {
		buf_printf(errors, "module %s is a %s module: list it under %s, not under %s", name,
		           module_kind_name(other(kind)), section_name(other(kind)),
		           section_name(kind));
		return;
	}
	buf_printf(errors,
	           "module %s is not linked in, and neither %s/%s/%s.so nor %s/%s.so is there: "
	           "correct its name or module_path",
	           name, set->path, module_kind_name(kind), name, set->path, name);
}

static void explain_symbol(enum module_kind kind, void *handle, const char *name,
                           struct buf *errors)
{
	if (find_descriptor(handle, other(kind), name))
		buf_printf(errors, "module %s.so is a %s module: list it under %s, not under %s",
		           name, module_kind_name(other(kind)), section_name(other(kind)),
		           section_name(kind));
	else
		buf_printf(errors,
		           "module %s.so does not export cqrs_%s_%s: end it with "
		           "CQRS_%s_MODULE(%s, ...) and rebuild it",
		           name, module_kind_name(kind), name,
		           kind == MODULE_COMMAND ? "COMMAND" : "QUERY", name);
}

/* Fills handle, origin and the descriptor. */
static bool find_module(const struct module_set *set, struct module *module, struct buf *errors)
{
	char path[PATH_MAX];
	const void *descriptor = find_descriptor(NULL, module->kind, module->name);
	const char *origin = "linked in";
	if (!descriptor) {
		if (!find_file(set->path, module->kind, module->name, path)) {
			explain_missing(set, module->kind, module->name, errors);
			return false;
		}
		module->handle = open_file(module->name, path, errors);
		if (!module->handle)
			return false;
		descriptor = find_descriptor(module->handle, module->kind, module->name);
		if (!descriptor) {
			explain_symbol(module->kind, module->handle, module->name, errors);
			return false;
		}
		origin = path;
	}
	if (module->kind == MODULE_COMMAND)
		module->command = descriptor;
	else
		module->query = descriptor;
	module->origin = strdup(origin);
	return module->origin != NULL;
}

/* ---- the set ---- */

struct module_set *module_set_new(const char *path)
{
	struct module_set *set = calloc(1, sizeof *set);
	if (set)
		set->path = path;
	return set;
}

static void free_module(struct module *module)
{
	if (module->handle)
		dlclose(module->handle);
	free((void *)(uintptr_t)module->origin);
	free((void *)(uintptr_t)module->name);
	free(module);
}

void module_set_free(struct module_set *set)
{
	if (!set)
		return;
	module_set_stop(set);
	while (set->n)
		free_module(set->modules[--set->n]);
	free(set->modules);
	free(set);
}

static bool append(struct module_set *set, struct module *module)
{
	struct module **grown = realloc(set->modules, (set->n + 1) * sizeof(struct module *));
	if (!grown)
		return false;
	set->modules = grown;
	set->modules[set->n++] = module;
	return true;
}

static bool is_loaded(const struct module_set *set, enum module_kind kind, const char *name)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->modules[i]->kind == kind && !strcmp(set->modules[i]->name, name))
			return true;
	return false;
}

struct module *module_set_add(struct module_set *set, enum module_kind kind, const char *name,
                              struct buf *errors)
{
	if (!is_name(name)) {
		buf_printf(errors,
		           "module \"%s\": a name is a small letter and then at most %d small "
		           "letters, digits and _",
		           name, NAME_MAX_LENGTH - 1);
		return NULL;
	}
	if (is_loaded(set, kind, name)) {
		buf_printf(errors, "module %s is loaded already: list it once under %s", name,
		           section_name(kind));
		return NULL;
	}
	struct module *module = calloc(1, sizeof *module);
	if (!module)
		return NULL;
	module->kind = kind;
	module->name = strdup(name);
	if (module->name && find_module(set, module, errors) && check_abi(module, errors) &&
	    check_members(module, errors) && append(set, module))
		return module;
	free_module(module);
	return NULL;
}

static bool load(struct module_set *set, struct config *config, enum module_kind kind,
                 const struct config_module *named, struct buf *errors)
{
	struct buf why = BUF_INIT;
	struct module *module = module_set_add(set, kind, named->name, &why);
	if (module)
		module->values = config_module_options(config, named, module->options,
		                                       module->options_size, errors);
	else
		config_module_mistake(config, named, errors, "%s", buf_str(&why));
	buf_release(&why);
	return module && module->values;
}

bool module_set_load(struct module_set *set, struct config *config, struct buf *errors)
{
	bool fine = true;
	for (size_t i = 0; i < config->n_commands; i++)
		fine &= load(set, config, MODULE_COMMAND, &config->commands[i], errors);
	for (size_t i = 0; i < config->n_queries; i++)
		fine &= load(set, config, MODULE_QUERY, &config->queries[i], errors);
	return fine;
}

size_t module_set_count(const struct module_set *set)
{
	return set->n;
}

struct module *module_set_at(const struct module_set *set, size_t i)
{
	assert(i < set->n);
	return set->modules[i];
}

/* ---- life ---- */

bool module_start_command(struct module *module, struct cqrs_setup *setup)
{
	assert(module->kind == MODULE_COMMAND && !module->self);
	module->self = module->command->start(setup, module->values);
	return module->self != NULL;
}

bool module_start_query(struct module *module, struct cqrs_routes *routes)
{
	assert(module->kind == MODULE_QUERY && !module->self);
	module->self = module->query->start(routes, module->values);
	return module->self != NULL;
}

void module_stop(struct module *module)
{
	if (!module->self)
		return;
	(module->kind == MODULE_COMMAND ? module->command->stop
	                                : module->query->stop)(module->self);
	module->self = NULL;
}

void module_set_stop(struct module_set *set)
{
	for (size_t i = set->n; i--;)
		module_stop(set->modules[i]);
}
