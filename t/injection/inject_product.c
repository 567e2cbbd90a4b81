/* SPDX-License-Identifier: MIT */
/* Products in both formats: what there is no memory for is not called wrong.  Their modules start.
 */
#include "../../src/modules/product/product_message.h"
#include "command_bus_internal.h"
#include "injection.h"

#include <string.h>

extern const struct cqrs_command_module cqrs_command_product, cqrs_command_product_view;

static const char text[] = "{\"productId\": \"0f8fad5b-d9cb-469f-a165-70867728950e\","
                           " \"name\": \"K\\u00e4yboard\", \"description\": \"d\\n\","
                           " \"price\": 99.5}";

static struct product product;
static struct product_mistake mistake;

static bool reads(const void *value, size_t len, enum product_shape shape)
{
	struct cqrs_message msg = {.value = value, .value_len = len};
	bool ok = product_read_message(&product, &msg, shape, &mistake);
	MUST(ok || mistake.no_memory);
	return ok;
}

static bool writes_and_reads_json(void)
{
	char *json =
	    reads(text, strlen(text), PRODUCT_COMMAND) ? product_write_json(&product) : NULL;
	bool ok = json && reads(json, strlen(json), PRODUCT_COMMAND);
	MUST(!ok || !strcmp(product.price, "99.5"));
	free(json);
	return ok;
}

static bool writes_and_reads_protobuf(void)
{
	size_t len;
	bool ok = true;
	for (enum product_shape shape = PRODUCT_COMMAND; shape <= PRODUCT_EVENT; shape++) {
		product_clear(&product);
		strcpy(product.id, "0f8fad5b-d9cb-469f-a165-70867728950e");
		strcpy(product.name, "Keyboard");
		strcpy(product.price, "99.5");
		product.created_us = product.updated_us = 1;
		void *data = product_write_protobuf(&product, shape, &len);
		ok = data && reads(data, len, shape) && ok;
		free(data);
	}
	return ok;
}

/* With the names of topics that are its defaults. */
static bool start(struct command_bus *bus, const struct cqrs_command_module *module)
{
	static char options[256];
	const char *error;
	MUST(module->options_size <= sizeof options);
	for (const struct cqrs_option *o = module->options; o->name; o++)
		if (o->type == CQRS_OPTION_STRING)
			memcpy(options + o->offset, &o->initial, sizeof o->initial);
	struct cqrs_setup *setup = command_bus_setup(bus, module);
	if (!setup)
		return false;
	void *self = module->start(setup, options);
	bool ok = command_bus_add(bus, setup, self, &error);
	MUST(ok || error);
	if (self)
		module->stop(self);
	return ok;
}

static bool starts_modules(void)
{
	static const struct command_bus_config config = {.brokers = "",
	                                                 .group = "g",
	                                                 .start = "earliest",
	                                                 .dsn = "",
	                                                 .writers = 1,
	                                                 .memory = 16777216};
	struct loop *loop = loop_new();
	struct metrics *metrics = loop ? metrics_new() : NULL;
	struct health *health = metrics ? health_new(loop) : NULL;
	struct command_bus *bus = health ? command_bus_new(loop, &config, metrics, health) : NULL;
	bool ok =
	    bus && start(bus, &cqrs_command_product) && start(bus, &cqrs_command_product_view);
	command_bus_free(bus);
	health_free(health);
	metrics_free(metrics);
	loop_free(loop);
	return ok;
}

static const struct injection_scenario scenarios[] = {
    {.name = "starts modules", .run = starts_modules},
    {.name = "writes and reads JSON", .run = writes_and_reads_json},
    {.name = "writes and reads protobuf", .run = writes_and_reads_protobuf},
    {.name = NULL},
};

const struct injection injection = {.name = "product", .scenarios = scenarios};
