/* SPDX-License-Identifier: MIT */
/*
 * Products in JSON and in the original's protobuf.
 *
 *   {"productId": "…", "name": "…", "description": "…", "price": 12.99}
 *
 * and in events also createdAt, updatedAt (RFC 3339) and version.
 */
#ifndef PRODUCT_MESSAGE_H
#define PRODUCT_MESSAGE_H

#include "product.h"

/* The messages of product.proto. */
enum product_shape { PRODUCT_COMMAND, PRODUCT_EVENT };

/*
 * Fills in what a message of Kafka says, in either format: protobuf is told by the header
 * content-type or by the first byte.  The key is the product's id where the value has none, and a
 * product without id is a mistake.
 */
bool product_read_message(struct product *p, const struct cqrs_message *msg,
                          enum product_shape shape, struct product_mistake *mistake);

/* The header `name` of a message; NULL: there is none, or without value. */
const struct cqrs_header *product_header(const struct cqrs_message *msg, const char *name);

/* `closed`: members that nobody knows are a mistake. */
bool product_read_json(struct product *p, const void *text, size_t len, bool closed,
                       struct product_mistake *mistake);
/* What is there, for free(); NULL: no memory. */
char *product_write_json(const struct product *p);

bool product_read_protobuf(struct product *p, const void *data, size_t len,
                           enum product_shape shape, struct product_mistake *mistake);
/* For free(); NULL: no memory. */
void *product_write_protobuf(const struct product *p, enum product_shape shape, size_t *len);

#endif
