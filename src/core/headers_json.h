/* SPDX-License-Identifier: MIT */
/*
 * The headers of a message as the JSON of a dead letter, and back.
 *
 *   {"name": "text", "other": null, "repeated": ["a", "b"], "bytes": "\\x00ff"}
 *
 * What is no text, or begins like such bytes, is written in hexadecimal behind
 * "\x", be it a value or a name.  The order of different names is not kept.
 */
#ifndef HEADERS_JSON_H
#define HEADERS_JSON_H

#include "buf.h"
#include <cqrs/command.h>
#include <stdbool.h>

/* Appends them. */
void headers_json_write(struct buf *out, const struct cqrs_header *headers, size_t n);

/*
 * The headers that `json` (may be NULL) says, in one piece of memory for
 * free(), or NULL if there are none.  False when it cannot be read, which for
 * what headers_json_write() wrote means that memory is out.
 */
bool headers_json_read(const char *json, struct cqrs_header **headers, size_t *n);

#endif
