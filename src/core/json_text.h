/* SPDX-License-Identifier: MIT */
/*
 * A tree of jansson as text.
 *
 * json_dumps() of jansson 2.14 leaves the name of a member out when memory runs
 * out at it, and gives the rest as if nothing had happened.
 */
#ifndef JSON_TEXT_H
#define JSON_TEXT_H

#include "buf.h"
#include <jansson.h>

/* Appends it, with the flags of json_dumps(); NULL, or without memory: the buffer fails. */
void json_text(struct buf *out, const json_t *json, size_t flags);

#endif
