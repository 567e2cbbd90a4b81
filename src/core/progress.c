/* SPDX-License-Identifier: MIT */
/* How far events have come, on the side of those who have views of them. */
#include "progress.h"

#include "command_bus_internal.h"
#include "log.h"
#include "pg_conn.h"

static const struct cqrs_command_module module = {
    .abi = CQRS_ABI, .name = "progress", .summary = "how far events have come"};

static void handle(void *self, const struct cqrs_message *msg, struct cqrs_batch *batch)
{
	struct cqrs_value told = cqrs_bytes(CQRS_JSONB, msg->value, msg->value_len);
	if (msg->value)
		cqrs_execute(batch, self, &told, CQRS_ANY_ROWS, NULL);
}

bool progress_join(struct command_bus *bus)
{
	static const enum cqrs_type types[] = {CQRS_JSONB};
	const char *error = "out of memory";
	if (!bus->projects || !bus->config->progress)
		return true;
	struct cqrs_setup *setup = command_bus_setup(bus, &module);
	if (setup) {
		cqrs_setup_topic(setup, bus->config->progress, handle);
		struct cqrs_statement *note =
		    cqrs_setup_statement(setup, "SELECT cqrs.note_progress($1)", types, 1);
		if (command_bus_add(bus, setup, note, &error))
			return true;
	}
	log_error("kafka.progress: %s", error);
	return false;
}

void progress_register_sql(const struct command_bus *bus, struct buf *sql)
{
	/* The view is still fed by its own group. */
	for (int i = 0; !bus->config->shadow_of && i < bus->n_modules; i++) {
		const char *comma = "";
		buf_puts(sql, "CALL cqrs.register_view(");
		pg_add_literal(sql, bus->modules[i].module->name);
		buf_puts(sql, ", ARRAY[");
		for (int t = 0; t < bus->n_topics; t++) {
			if (bus->topics[t].module != i)
				continue;
			buf_puts(sql, comma);
			pg_add_literal(sql, bus->topic_names[t]);
			comma = ", ";
		}
		buf_puts(sql, "]::text[], ");
		pg_add_literal(sql, bus->config->group);
		buf_printf(sql, ", %s);", bus->modules[i].publishes ? "true" : "false");
	}
}
