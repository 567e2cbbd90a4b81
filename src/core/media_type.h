/* SPDX-License-Identifier: MIT */
/*
 * Which of the formats that we can write a client would like best
 * (content negotiation, RFC 9110, 12.5.1).
 */
#ifndef MEDIA_TYPE_H
#define MEDIA_TYPE_H

enum media_type {
	MEDIA_JSON, /* what who does not say gets */
	MEDIA_NDJSON,
	MEDIA_CSV,
	MEDIA_NONE, /* nothing that we have is acceptable */
};

#define MEDIA_TYPES 3

/* By an Accept header, or NULL; the most specific range decides, then the quality, then our order.
 */
enum media_type media_type_choose(const char *accept);

/* "application/json", … without parameters. */
const char *media_type_name(enum media_type type);
/* What stands in Content-Type. */
const char *media_type_content_type(enum media_type type);

#endif
