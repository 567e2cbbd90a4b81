/* SPDX-License-Identifier: MIT */
/*
 * A command module against a batch, without Kafka and PostgreSQL: define
 * COMMAND_MODULE as its descriptor, then include this.
 */
#ifndef COMMAND_MODULE_H
#define COMMAND_MODULE_H

#include "batches.h"
#include "command_bus_internal.h"
#include "option.h"

extern const struct cqrs_command_module COMMAND_MODULE;

static struct loop *loop;
static struct metrics *metrics;
static struct health *health;
static struct command_bus_config config;
static struct command_bus *bus;
static struct cqrs_batch *batch;
static void *options, *self;

static inline void set(const char *name, const char *text)
{
	struct buf why = BUF_INIT;
	for (const struct cqrs_option *o = COMMAND_MODULE.options; o->name; o++)
		if (!name || !strcmp(o->name, name))
			ck_assert_msg(option_set(o, name ? text : o->initial, false, options, &why),
			              "%s", buf_str(&why));
	buf_release(&why);
}

static inline void start(void)
{
	const char *error;
	struct cqrs_setup *begun = command_bus_setup(bus, &COMMAND_MODULE);
	self = COMMAND_MODULE.start(begun, options);
	ck_assert_msg(command_bus_add(bus, begun, self, &error), "%s", error);
	batch = command_bus_batch(bus);
}

static inline void setup(void)
{
	partitions_reset();
	loop = loop_new();
	metrics = metrics_new();
	health = health_new(loop);
	config = (struct command_bus_config){.brokers = "",
	                                     .group = "g",
	                                     .start = "earliest",
	                                     .dsn = "",
	                                     .writers = 1,
	                                     .memory = 16777216};
	bus = command_bus_new(loop, &config, metrics, health);
	options = calloc(1, COMMAND_MODULE.options_size);
	set(NULL, NULL);
}

static inline void teardown(void)
{
	batch_free(batch);
	COMMAND_MODULE.stop(self);
	command_bus_free(bus);
	free(options);
	health_free(health);
	metrics_free(metrics);
	loop_free(loop);
}

/* Decides a message of the nth topic that the module has declared; it must outlive the batch. */
static inline void decide(int topic, const char *value)
{
	begin_message(batch, 0, value, NULL);
	bus->topics[topic].handle(self, &batch->messages[batch->n_messages - 1].kafka.message,
	                          batch);
	end_message(batch);
}

static inline void decide_new(int topic, const char *value)
{
	batch_clear(batch);
	decide(topic, value);
}

/* "index: reason" of each refusal that costs something, joined by newlines. */
static inline const char *refusals(void)
{
	static char text[4096];
	size_t used = 0;
	text[0] = '\0';
	for (size_t i = 0; i < batch->n_refusals; i++) {
		const struct batch_element *e = &batch->elements[batch->refusals[i].element];
		if (e->index >= 0 && batch->messages[e->message].refused)
			continue;
		used += (size_t)snprintf(text + used, sizeof text - used, "%s%d: %s",
		                         used ? "\n" : "", e->index, batch->refusals[i].reason);
	}
	return text;
}

static inline const char *statement_sql(size_t n)
{
	ck_assert_uint_lt(n, batch->n_statements);
	return batch->statements[n].statement->sql;
}

/* Parameter `p` of the nth statement. */
static inline const char *param(size_t n, uint32_t p, int32_t *len)
{
	const struct batch_param *refs = (const void *)batch->param_refs.data;
	const struct batch_param *ref = &refs[batch->statements[n].params + p];
	*len = ref->len;
	return batch->params.data + ref->offset;
}

#endif
