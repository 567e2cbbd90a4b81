/* SPDX-License-Identifier: MIT */
/*
 * Starts the query modules of a set on a bus.
 */
#ifndef QUERY_MODULES_H
#define QUERY_MODULES_H

#include "module.h"
#include "query_bus.h"

/* Told of each module: `error` is why it did not start; NULL: it did. */
typedef void query_modules_fn(const struct module *module, const char *error);

/* All of them, also behind one that does not start; true when all did. */
bool query_modules_start(struct module_set *set, struct query_bus *bus, query_modules_fn *told);

#endif
