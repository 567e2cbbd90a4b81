/* SPDX-License-Identifier: MIT */
/*
 * UUIDs that sort by the time they were made (version 7; RFC 9562, 5.7).
 */
#ifndef UUID_H
#define UUID_H

#include <stdbool.h>
#include <stdint.h>

#define UUID_TEXT 37 /* 36 characters and a NUL */

/* `wall_us` is wall-clock time; false: the system has no random bytes. */
bool uuid_v7(char out[UUID_TEXT], int64_t wall_us);

#endif
