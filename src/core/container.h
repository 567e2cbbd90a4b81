/* SPDX-License-Identifier: MIT */
/*
 * From an embedded request back to the struct that it is embedded in.
 */
#ifndef CONTAINER_H
#define CONTAINER_H

#include <stddef.h>

/* The `type` whose `member` is at `pointer`. */
#define container_of(pointer, type, member) \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
