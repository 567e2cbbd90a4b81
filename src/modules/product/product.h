/* SPDX-License-Identifier: MIT */
/*
 * A product as a client, a command or an event describes it, and the rules for
 * it: for HTTP and for messages the same, here alone.  The database has them
 * once more as its domains products.name, .description and .price.
 *
 *   name          1 to 250 characters
 *   description   1 to 5000 characters
 *   price         a decimal number, 0 <= price < 10^15, of at most two places
 *
 * Whoever reads one fills in what is there.  False: it is not right, and
 * `mistake` says why; what was read of the product is then not to be used.
 */
#ifndef PRODUCT_H
#define PRODUCT_H

#include <cqrs/command.h>

#define PRODUCT_NAME_MAX        250
#define PRODUCT_DESCRIPTION_MAX 5000
#define PRODUCT_PRICE_DIGITS    15 /* before the point */

/* Text is "" and a number 0 where nothing was said, which no rule allows otherwise. */
struct product {
	char id[37];    /* in small letters */
	char price[20]; /* decimal text: 12.99, without needless zeros */
	char name[4 * PRODUCT_NAME_MAX + 1];
	char description[4 * PRODUCT_DESCRIPTION_MAX + 1];
	/* of events */
	int64_t created_us, updated_us;
	int64_t version;
};

struct product_mistake {
	const char *member; /* that is at fault, a constant; NULL: none, it cannot be read at all */
	char text[200];
	bool no_memory; /* it may be right */
};

/* For return: notes a mistake, and is false. */
bool product_wrong(struct product_mistake *mistake, const char *member, const char *fmt, ...)
    CQRS_PRINTF(3, 4);

void product_clear(struct product *p);

/* `text` has `len` bytes; the price is a number of JSON. */
bool product_set_id(struct product *p, const char *text, size_t len,
                    struct product_mistake *mistake);
bool product_set_name(struct product *p, const char *text, size_t len,
                      struct product_mistake *mistake);
bool product_set_description(struct product *p, const char *text, size_t len,
                             struct product_mistake *mistake);
bool product_set_price(struct product *p, const char *text, size_t len,
                       struct product_mistake *mistake);
/* A double stands for the decimal of two places that reads back as it, if there is one. */
bool product_set_price_real(struct product *p, double price, struct product_mistake *mistake);

/* Whether all of name, description and price are there, or any. */
bool product_is_whole(const struct product *p, struct product_mistake *mistake);
bool product_is_any(const struct product *p, struct product_mistake *mistake);

#endif
