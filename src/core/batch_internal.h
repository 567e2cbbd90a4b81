/* SPDX-License-Identifier: MIT */
/*
 * What batch.c and batch_effects.c share, and nobody else.
 */
#ifndef BATCH_INTERNAL_H
#define BATCH_INTERNAL_H

#include "batch.h"

bool batch_enlarge(void **items, size_t *cap, size_t size);

/* Makes room for one more item; false when memory is out. */
static inline bool batch_grow(void **items, size_t n, size_t *cap, size_t size)
{
	return n < *cap || batch_enlarge(items, cap, size);
}

/* Drops the effects of the message at hand, but not the message. */
void batch_drop_effects(struct cqrs_batch *batch);
/* Returns its index; UINT32_MAX, and the batch has failed, when memory is out. */
uint32_t batch_add_element(struct cqrs_batch *batch, struct batch_element element);

#endif
