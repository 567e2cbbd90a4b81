/* SPDX-License-Identifier: MIT */
/*
 * The header Prefer (RFC 7240): how a client would like to be answered.
 *
 * What is malformed or unknown is passed over, as the RFC demands; of a
 * preference that is named twice the first counts.
 */
#ifndef PREFER_H
#define PREFER_H

#include <stdbool.h>
#include <stdint.h>

struct prefer {
	bool respond_async;   /* 4.1 */
	int64_t wait_s;       /* 4.3, in seconds; 0: not given, or not 1 to 999999 */
	bool strict, lenient; /* 4.4: handling=…, one of them at most */
};

/* `text` is the header's value; NULL: it was not sent. */
struct prefer prefer_parse(const char *text);

#endif
