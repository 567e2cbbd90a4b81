/* SPDX-License-Identifier: MIT */
/*
 * Starts the command modules of a set on a bus.
 */
#ifndef COMMAND_MODULES_H
#define COMMAND_MODULES_H

#include "command_bus.h"
#include "module.h"

/* Told of each module: `error` is why it did not start; NULL: it did. */
typedef void command_modules_fn(const struct module *module, const char *error);

/* All of them, also behind one that does not start; true when all did. */
bool command_modules_start(struct module_set *set, struct command_bus *bus,
                           command_modules_fn *told);
/* Only one. */
bool command_modules_start_one(struct module *module, struct command_bus *bus,
                               command_modules_fn *told);

#endif
