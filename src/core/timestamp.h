/* SPDX-License-Identifier: MIT */
/*
 * Points in time and spans of time as people and URLs write them.
 *
 * Points are microseconds since 1970-01-01T00:00:00Z, as in <cqrs/time.h>.
 */
#ifndef TIMESTAMP_H
#define TIMESTAMP_H

#include <cqrs/time.h>

/*
 * A point in time of a request: RFC 3339; epoch digits, told apart by
 * magnitude as CQRS_TIME_AUTO does; "now", "now-6h", "now+15m".  A '+' that a
 * form decoder made a space is still understood.  False: none of these, or
 * outside of CQRS_TIME_MIN..CQRS_TIME_END; then `us` is untouched.
 */
bool timestamp_parse(const char *text, size_t len, int64_t now_us, int64_t *us);

/*
 * RFC 3339 in UTC with no, three or six digits of fraction, whichever is the
 * shortest that is exact: "2022-03-04T16:08:27Z", terminated; its length.
 * Any int64_t: years outside of 0000..9999, which RFC 3339 does not have, are
 * written with sign and six digits as in ISO 8601.
 */
size_t timestamp_format(char out[40], int64_t us);

/* "500us 20ms 5s 30m 12h 1d": a whole number and a unit.  False: it is none, or beyond int64_t. */
bool duration_parse(const char *text, size_t len, int64_t *us);

#endif
