/* SPDX-License-Identifier: MIT */
/* Products in both formats: what there is no memory for is not called wrong. */
#include "../../src/modules/product/product_message.h"
#include "injection.h"

#include <string.h>

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

static const struct injection_scenario scenarios[] = {
    {.name = "writes and reads JSON", .run = writes_and_reads_json},
    {.name = "writes and reads protobuf", .run = writes_and_reads_protobuf},
    {.name = NULL},
};

const struct injection injection = {.name = "product", .scenarios = scenarios};
