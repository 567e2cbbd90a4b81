/* SPDX-License-Identifier: MIT */
/*
 * The rows of a batch in order of their keys.
 *
 * A radix sort, byte by byte from the last to the first: rows come from many
 * senders, so that they are in no order of their own, and comparing them would cost
 * several times as much.  Most bytes are the same in all keys, and are passed over.
 */
#include "batch.h"

#include <stdlib.h>

#define KEY_BYTES 16

static unsigned byte_of(const struct batch_row *row, int i)
{
	return row->key[i / 8] >> (56 - i % 8 * 8) & 0xff;
}

/* The bits that are not the same in all keys; false: the rows are in order. */
static bool differ(const struct batch_rows *rows, uint64_t bits[2])
{
	bool sorted = true;
	for (size_t i = 1; i < rows->n; i++) {
		const uint64_t *last = rows->rows[i - 1].key, *key = rows->rows[i].key;
		sorted = sorted && (last[0] < key[0] || (last[0] == key[0] && last[1] <= key[1]));
		bits[0] |= last[0] ^ key[0];
		bits[1] |= last[1] ^ key[1];
	}
	return !sorted;
}

/* Puts them in order of one byte, and otherwise leaves them as they are. */
static void sort_by(const struct batch_row *rows, size_t n, int byte, struct batch_row *sorted)
{
	size_t ends[257] = {0}; /* [b]: where the rows with b begin, in the end where they end */
	for (size_t i = 0; i < n; i++)
		ends[byte_of(&rows[i], byte) + 1]++;
	for (int b = 0; b < 256; b++)
		ends[b + 1] += ends[b];
	for (size_t i = 0; i < n; i++)
		sorted[ends[byte_of(&rows[i], byte)]++] = rows[i];
}

static bool make_room(struct batch_rows *rows)
{
	if (rows->spare_cap == rows->cap)
		return true;
	free(rows->spare);
	rows->spare = malloc(rows->cap * sizeof *rows->spare);
	rows->spare_cap = rows->spare ? rows->cap : 0;
	return rows->spare != NULL;
}

bool batch_sort(struct batch_rows *rows)
{
	uint64_t bits[2] = {0, 0};
	if (!differ(rows, bits))
		return true;
	if (!make_room(rows))
		return false;
	for (int i = KEY_BYTES - 1; i >= 0; i--) {
		if (!(bits[i / 8] >> (56 - i % 8 * 8) & 0xff))
			continue;
		sort_by(rows->rows, rows->n, i, rows->spare);
		struct batch_row *unsorted = rows->rows;
		rows->rows = rows->spare;
		rows->spare = unsorted;
	}
	return true;
}
