/* SPDX-License-Identifier: MIT */
/* cqrsd -T: the configuration as it takes effect, in the form of the file. */
#include "cmd.h"

#include <stdio.h>

/* `options` stand beside the modules, with values in `core`; NULL: none. */
static void print_modules(const struct module_set *modules, enum module_kind kind,
                          const struct cqrs_option *options, const struct core_options *core,
                          struct buf *out)
{
	const char *title = kind == MODULE_COMMAND ? "commands:" : "queries:";
	bool is_empty = true;
	for (size_t i = 0; i < module_set_count(modules); i++) {
		const struct module *module = module_set_at(modules, i);
		if (module->kind != kind)
			continue;
		if (is_empty)
			buf_printf(out, "%s\n", title);
		if (is_empty && options)
			config_print_options(options, core, 2, out);
		is_empty = false;
		bool has_options = module->options && module->options->name;
		buf_printf(out, "  %s:%s\n", module->name, has_options ? "" : " {}");
		if (has_options)
			config_print_options(module->options, module->values, 4, out);
	}
	if (is_empty)
		buf_printf(out, "%s {}\n", title);
}

int cmd_print(struct cmd *cmd)
{
	struct buf out = BUF_INIT;
	int code = cmd_load(cmd, true);
	if (code)
		return code;
	config_print(cmd->config, &out);
	print_modules(cmd->modules, MODULE_COMMAND, config_command_options, &cmd->config->core,
	              &out);
	print_modules(cmd->modules, MODULE_QUERY, NULL, NULL, &out);
	code = cmd_write(stdout, &out);
	buf_release(&out);
	return code;
}
