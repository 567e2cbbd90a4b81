/* SPDX-License-Identifier: MIT */
/*
 * The routes described: as an OpenAPI 3.1 document and as a page for people.
 *
 * Both are made from the tables that requests are validated with.
 */
#ifndef OPENAPI_H
#define OPENAPI_H

#include "route.h"

void openapi_write(const struct route_table *routes, struct buf *out);

/* The page at "/": every route with a link that can be tried. */
void openapi_write_page(const struct route_table *routes, struct buf *out);

#endif
