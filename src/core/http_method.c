/* SPDX-License-Identifier: MIT */
/* The methods of HTTP that we know. */
#include "http_method.h"

#include <string.h>

static const char *const method_names[] = {"GET",   "HEAD",   "POST",    "PUT",
                                           "PATCH", "DELETE", "OPTIONS", "OTHER"};

enum http_method http_method_named(const char *name, size_t len)
{
	for (int i = 0; i < HTTP_OTHER; i++)
		if (strlen(method_names[i]) == len && memcmp(method_names[i], name, len) == 0)
			return (enum http_method)i;
	return HTTP_OTHER;
}

const char *http_method_label(enum http_method method)
{
	return method_names[method];
}
