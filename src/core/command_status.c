/* SPDX-License-Identifier: MIT */
/* How the write path is doing: lag for the metrics, a document for people. */
#include "command_bus_internal.h"
#include "gaps.h"
#include "json_tree.h"

#include <inttypes.h>

/* What is still to be read of a partition; -1: not known. */
static int64_t partition_lag(const struct command_bus *bus, const struct partition *partition)
{
	int64_t position = partition->position.offset;
	int64_t end = bus->started ? kafka_source_end(bus->source, &partition->position) : -1;
	if (end < 0 || position < 0)
		return -1;
	/* Transaction markers and compacted messages at the end are not for us to store. */
	if (position >= partition->taken && partition->end > position)
		position = partition->end;
	return end > position ? end - position : 0;
}

static void on_scrape(void *arg)
{
	struct command_bus *bus = arg;
	size_t bytes = 0;
	for (size_t i = 0; i < bus->n_partitions; i++) {
		struct partition *partition = &bus->partitions[i];
		int64_t lag = partition_lag(bus, partition);
		if (lag >= 0)
			metric_set(partition->lag, (double)lag);
		if (partition->position.offset >= 0)
			metric_set(partition->stored, (double)partition->position.offset);
	}
	for (size_t i = 0; i < bus->batches.n; i++)
		bytes += bus->batches.list[i]->bytes;
	metric_set(metrics_gauge(bus->metrics, "cqrsd_batch_bytes", "",
	                         "Memory of the messages and rows that are not stored yet"),
	           (double)bytes);
}

void status_init(struct command_bus *bus)
{
	metrics_on_scrape(bus->metrics, on_scrape, bus);
}

static const char *state_name(const struct partition *partition)
{
	static const char *const names[] = {
	    [PARTITION_LOCATING] = "locating", [PARTITION_CHECKING] = "checking",
	    [PARTITION_ACTIVE] = "active",     [PARTITION_DOUBTED] = "doubted",
	    [PARTITION_GAP] = "gap",           [PARTITION_HALTED] = "halted",
	};
	return names[partition->state];
}

static json_t *partition_status(const struct command_bus *bus, const struct partition *partition)
{
	int64_t lag = partition_lag(bus, partition);
	json_t *status =
	    json_pack("{s:s, s:i, s:s, s:o}", "topic", partition->topic, "partition",
	              (int)partition->position.partition, "state", state_name(partition), "lag",
	              lag < 0 ? json_null() : json_integer(lag));
	if (partition->position.offset >= 0)
		json_tree_set(&status, "next_offset", json_integer(partition->position.offset));
	if (partition->state == PARTITION_HALTED)
		json_tree_set(&status, "gap",
		              json_pack("{s:I, s:I, s:s, s:s}", "from",
		                        (json_int_t)partition->position.offset, "to",
		                        (json_int_t)partition->resume, "reason",
		                        gaps_reason(partition->reason), "since", partition->since));
	return status;
}

json_t *command_bus_status(void *arg)
{
	struct command_bus *bus = arg;
	json_t *partitions = json_array(), *writers = json_array(), *modules = json_array();
	for (size_t i = 0; bus->owned && i < bus->n_partitions; i++)
		json_tree_append(&partitions, partition_status(bus, &bus->partitions[i]));
	for (int i = 0; bus->source && i < bus->config->writers; i++)
		json_tree_append(
		    &writers, json_pack("{s:s, s:s, s:I, s:I}", "name", bus->lanes[i].name, "state",
		                        pg_writer_state(bus->lanes[i].writer), "rows_open",
		                        (json_int_t)bus->lanes[i].open->n_rows, "rows_storing",
		                        (json_int_t)bus->lanes[i].storing->n_rows));
	for (int i = 0; i < bus->n_modules; i++)
		json_tree_append(&modules, json_string(bus->modules[i].module->name));
	return json_pack("{s:s, s:s, s:o, s:o, s:o}", "group", bus->config->group, "brokers",
	                 bus->source_config.brokers, "modules", modules, "partitions", partitions,
	                 "writers", writers);
}
