/* SPDX-License-Identifier: MIT */
/*
 * Entity tags (RFC 9110, 8.8.3): what a value of a row is as one, and whether a
 * client has it already.
 */
#ifndef ETAG_H
#define ETAG_H

#include "buf.h"
#include <libpq-fe.h>
#include <stdbool.h>

#define ETAG_MAX 80 /* with its quotes and a NUL */

/*
 * The tag "7" of a field in binary format; false: the field is null, has a type that is not
 * written as a word, or its text does not fit.  `scratch` is as long as before; when memory is out
 * it has failed, and there is no tag.
 */
bool etag_from_value(char tag[ETAG_MAX], const PGresult *rows, int row, int column,
                     struct buf *scratch);

/* Whether If-None-Match (13.1.2) names the tag, or anything: weakly compared. */
bool etag_is_named(const char *if_none_match, const char *tag);

#endif
