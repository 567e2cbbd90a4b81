/* SPDX-License-Identifier: MIT */
/*
 * How many descriptors the process may have open, and how many of them clients get.
 */
#ifndef DESCRIPTORS_H
#define DESCRIPTORS_H

#include <stdint.h>

/*
 * Raises the limit (RLIMIT_NOFILE) to what so many clients need besides
 * PostgreSQL, Kafka and the log.  Returns how many clients there can be:
 * fewer, after a warning, when the limit cannot be raised far enough.
 */
int64_t descriptors_for_clients(int64_t clients);

#endif
