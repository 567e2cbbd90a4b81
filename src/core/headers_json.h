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

#include <cqrs/command.h>

/* malloced; NULL: there are none, or no memory. */
char *headers_json_write(const struct cqrs_header *headers, size_t n);

/*
 * The headers that `json` (may be NULL) says, in one piece of memory for
 * free(); NULL when there are none, when it is none of ours, or without memory.
 */
struct cqrs_header *headers_json_read(const char *json, size_t *n);

#endif
