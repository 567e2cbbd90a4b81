/* SPDX-License-Identifier: MIT */
/*
 * Consistency tokens: places of messages in Kafka, "topic:partition@offset",
 * several joined by commas.  Who has changed something is given one; who asks with it
 * sees the change.
 */
#ifndef TOKEN_H
#define TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_PLACES_MAX 16
#define TOKEN_TOPIC_MAX  249 /* bytes, as Kafka has it */

struct token_place {
	const char *topic; /* in the text, not terminated */
	size_t topic_len;
	int32_t partition;
	int64_t offset;
};

/* How many places `text` names; 0: it is no token, or has too many. */
size_t token_parse(const char *text, struct token_place places[TOKEN_PLACES_MAX]);

#endif
