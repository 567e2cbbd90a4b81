/* SPDX-License-Identifier: MIT */
/*
 * The module registry: finds command and query modules by name, makes sure
 * that they fit, and keeps their options and instances.
 *
 * A module is linked into the program (cqrs_command_NAME, cqrs_query_NAME) or
 * lies in module_path as command/NAME.so, query/NAME.so or NAME.so; whichever
 * it is, it goes the same way:
 *
 *   configured ─► loaded (descriptor checked) ─► options parsed ─► started ─► stopped
 */
#ifndef MODULE_H
#define MODULE_H

#include "buf.h"
#include "config.h"
#include <cqrs/command.h>
#include <cqrs/query.h>
#include <stdbool.h>
#include <stddef.h>

enum module_kind { MODULE_COMMAND, MODULE_QUERY };

/* A loaded module; belongs to its set. */
struct module {
	enum module_kind kind;
	const char *name;
	const char *summary;
	const struct cqrs_option *options; /* NULL: none */
	size_t options_size;
	const char *origin; /* "linked in", or the path of its file */
	/* the set's own */
	union {
		const struct cqrs_command_module *command;
		const struct cqrs_query_module *query;
	};
	const void *values; /* its options, see module_set_load() */
	void *handle;       /* dlopen(); NULL: linked in */
	void *self;         /* what start() returned; NULL: not started */
};

struct module_set;

/* `path` is module_path, borrowed for good. */
struct module_set *module_set_new(const char *path);
/* Stops what still runs, in reverse order, and closes the files. */
void module_set_free(struct module_set *set);

/*
 * Loads one module; NULL, with a sentence in `why` that says what to do, when
 * there is none that fits.  A module is loaded once.
 */
struct module *module_set_add(struct module_set *set, enum module_kind kind, const char *name,
                              struct buf *why);

/*
 * Loads all that the configuration names, commands first, and parses their
 * options, which live as long as `config`.  Mistakes are appended to `errors`,
 * or with NULL kept for config_report(); false if there was any.
 */
bool module_set_load(struct module_set *set, struct config *config, struct buf *errors);

/* The modules in the order they were loaded. */
size_t module_set_count(const struct module_set *set);
struct module *module_set_at(const struct module_set *set, size_t i);

/* "a b c": the names of the linked-in modules of a kind. */
const char *module_linked(enum module_kind kind);
/* "command" or "query". */
const char *module_kind_name(enum module_kind kind);

/* Calls start(); false if it returned NULL, and then the setup object knows why. */
bool module_start_command(struct module *module, struct cqrs_setup *setup);
bool module_start_query(struct module *module, struct cqrs_routes *routes);
/* Calls stop() if the module runs. */
void module_stop(struct module *module);
/* Stops all that run, in reverse order. */
void module_set_stop(struct module_set *set);

#endif
