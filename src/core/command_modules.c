/* SPDX-License-Identifier: MIT */
/* Starts the command modules of a set on a bus. */
#include "command_modules.h"

#include "progress.h"

/* Why it did not start; NULL: it did. */
static const char *start(struct module *module, struct command_bus *bus)
{
	const char *error;
	struct cqrs_setup *setup = command_bus_setup(bus, module->command);
	if (!setup)
		return "out of memory";
	module_start_command(module, setup);
	return command_bus_add(bus, setup, module->self, &error) ? NULL : error;
}

bool command_modules_start_one(struct module *module, struct command_bus *bus,
                               command_modules_fn *told)
{
	const char *error = start(module, bus);
	told(module, error);
	return !error;
}

bool command_modules_start(struct module_set *set, struct command_bus *bus,
                           command_modules_fn *told)
{
	bool fine = true;
	for (size_t i = 0; i < module_set_count(set); i++) {
		struct module *module = module_set_at(set, i);
		if (module->kind != MODULE_COMMAND)
			continue;
		fine &= command_modules_start_one(module, bus, told);
	}
	return fine && progress_join(bus);
}
