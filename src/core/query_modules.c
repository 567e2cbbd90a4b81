/* SPDX-License-Identifier: MIT */
/* Starts the query modules of a set on a bus. */
#include "query_modules.h"

/* False, with why in `error`. */
static bool start(struct module *module, struct query_bus *bus, struct buf *error)
{
	struct cqrs_routes *routes = query_bus_routes(bus, module->name);
	if (!routes) {
		buf_puts(error, "out of memory");
		return false;
	}
	module_start_query(module, routes);
	return query_bus_started(routes, module->self, error);
}

bool query_modules_start(struct module_set *set, struct query_bus *bus, query_modules_fn *told)
{
	bool fine = true;
	for (size_t i = 0; i < module_set_count(set); i++) {
		struct module *module = module_set_at(set, i);
		struct buf error = BUF_INIT;
		if (module->kind != MODULE_QUERY)
			continue;
		bool ok = start(module, bus, &error);
		told(module, ok ? NULL : buf_str(&error));
		buf_release(&error);
		fine = fine && ok;
	}
	return fine;
}
