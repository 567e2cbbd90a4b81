/* SPDX-License-Identifier: MIT */
/* Products in the original's protobuf. */
#include "product_message.h"

#include "product.pb-c.h"
#include <cqrs/time.h>
#include <stdlib.h>

#define SECOND_US INT64_C(1000000)

/* ---- reading ---- */

/* What protobuf-c cannot unpack is malformed, or there was no memory: this one knows. */
static void *allocate(void *failed, size_t size)
{
	void *memory = malloc(size);
	if (!memory)
		*(bool *)failed = true;
	return memory;
}

static void give_back(void *failed, void *memory)
{
	(void)failed;
	free(memory);
}

typedef bool set_fn(struct product *p, const char *text, size_t len,
                    struct product_mistake *mistake);

/* In proto3, what was not said is empty. */
static bool read_text(struct product *p, set_fn *set, const ProtobufCBinaryData *text,
                      struct product_mistake *mistake)
{
	return !text->len || set(p, (const char *)text->data, text->len, mistake);
}

/*
 * Nor can it be told that a price of 0 was not said.  Who has no name and no
 * description is asked to be deleted, and has no price either.
 */
static bool read_texts(struct product *p, const ProtobufCBinaryData *id,
                       const ProtobufCBinaryData *name, const ProtobufCBinaryData *description,
                       double price, struct product_mistake *mistake)
{
	bool is_described = name->len || description->len || price != 0;
	return read_text(p, product_set_id, id, mistake) &&
	       read_text(p, product_set_name, name, mistake) &&
	       read_text(p, product_set_description, description, mistake) &&
	       (!is_described || product_set_price_real(p, price, mistake));
}

static bool read_time(int64_t *us, const Product__Timestamp *time, const char *member,
                      struct product_mistake *mistake)
{
	if (!time)
		return true;
	if (time->nanos < 0 || time->nanos >= 1000000000 ||
	    !cqrs_time_from_epoch(time->seconds, CQRS_TIME_S, us))
		return product_wrong(mistake, member, "%s is outside of the years 1970 to 2200",
		                     member);
	*us += time->nanos / 1000;
	return true;
}

static bool read_product(struct product *p, const Product__Product *m,
                         struct product_mistake *mistake)
{
	return read_texts(p, &m->product_id, &m->name, &m->description, m->price, mistake) &&
	       read_time(&p->created_us, m->created_at, "createdAt", mistake) &&
	       read_time(&p->updated_us, m->updated_at, "updatedAt", mistake);
}

static bool not_protobuf(struct product_mistake *mistake, bool no_memory)
{
	product_wrong(mistake, NULL, "neither a JSON object nor the protobuf of a product");
	mistake->no_memory = no_memory;
	return false;
}

bool product_read_protobuf(struct product *p, const void *data, size_t len,
                           enum product_shape shape, struct product_mistake *mistake)
{
	bool ok, failed = false;
	ProtobufCAllocator memory = {allocate, give_back, &failed};
	if (shape == PRODUCT_COMMAND) {
		Product__Command *m = product__command__unpack(&memory, len, data);
		ok = m ? read_texts(p, &m->product_id, &m->name, &m->description, m->price, mistake)
		       : not_protobuf(mistake, failed);
		product__command__free_unpacked(m, &memory);
	} else {
		Product__Event *m = product__event__unpack(&memory, len, data);
		ok = m && m->product ? read_product(p, m->product, mistake)
		                     : not_protobuf(mistake, failed);
		product__event__free_unpacked(m, &memory);
	}
	return ok;
}

/* ---- writing ---- */

/* The text is only read. */
static ProtobufCBinaryData bytes(const char *text)
{
	return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
}

static void *pack(const ProtobufCMessage *m, size_t *len)
{
	*len = protobuf_c_message_get_packed_size(m);
	uint8_t *data = malloc(*len + 1); /* an empty message is no lack of memory */
	if (data)
		protobuf_c_message_pack(m, data);
	return data;
}

static Product__Timestamp time_of(int64_t us)
{
	Product__Timestamp time = PRODUCT__TIMESTAMP__INIT;
	time.seconds = us / SECOND_US;
	time.nanos = (int32_t)(us % SECOND_US * 1000);
	return time;
}

void *product_write_protobuf(const struct product *p, enum product_shape shape, size_t *len)
{
	Product__Command command = PRODUCT__COMMAND__INIT;
	Product__Event event = PRODUCT__EVENT__INIT;
	Product__Product product = PRODUCT__PRODUCT__INIT;
	Product__Timestamp created = time_of(p->created_us), updated = time_of(p->updated_us);
	command.product_id = product.product_id = bytes(p->id);
	command.name = product.name = bytes(p->name);
	command.description = product.description = bytes(p->description);
	command.price = product.price = strtod(p->price, NULL);
	product.created_at = p->created_us ? &created : NULL;
	product.updated_at = p->updated_us ? &updated : NULL;
	event.product = &product;
	return shape == PRODUCT_COMMAND ? pack(&command.base, len) : pack(&event.base, len);
}
