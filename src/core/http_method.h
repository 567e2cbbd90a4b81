/* SPDX-License-Identifier: MIT */
/*
 * The methods of HTTP that we know (RFC 9110, 9; RFC 5789).
 */
#ifndef HTTP_METHOD_H
#define HTTP_METHOD_H

#include <stddef.h>

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_PATCH,
	HTTP_DELETE,
	HTTP_OPTIONS,
	HTTP_OTHER, /* a token that we do not know */
};

/* "GET"; what the metrics call it, too: HTTP_OTHER is "OTHER". */
const char *http_method_label(enum http_method method);
/* HTTP_OTHER: we know none of that name. */
enum http_method http_method_named(const char *name, size_t len);

#endif
