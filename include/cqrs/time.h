/* SPDX-License-Identifier: MIT */
/*
 * Points in time as microseconds since 1970-01-01T00:00:00Z.
 */
#ifndef CQRS_TIME_H
#define CQRS_TIME_H

#include <cqrs/abi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 1970-01-01T00:00:00Z and the first microsecond after the year 2200. */
#define CQRS_TIME_MIN INT64_C(0)
#define CQRS_TIME_END INT64_C(7289654400000000)

enum cqrs_time_unit {
	CQRS_TIME_AUTO, /* told apart by magnitude */
	CQRS_TIME_S,
	CQRS_TIME_MS,
	CQRS_TIME_US,
	CQRS_TIME_NS,
};

/* An epoch number; false outside of CQRS_TIME_MIN..CQRS_TIME_END. */
CQRS_EXPORT bool cqrs_time_from_epoch(int64_t n, enum cqrs_time_unit unit, int64_t *us);

/* A date-time of RFC 3339, section 5.6; false if it is none or out of the range. */
CQRS_EXPORT bool cqrs_time_from_rfc3339(const char *text, size_t len, int64_t *us);

#endif
