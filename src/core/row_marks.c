/* SPDX-License-Identifier: MIT */
/* What has been found out about rows of PostgreSQL tables, two bits for each. */
#include "row_marks.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS    292 /* MaxHeapTuplesPerPage of 8 KiB pages is 291; slots count from 1 */
#define PER_BYTE 4
#define FIRST    64

/* A page of a table; two bits for each slot. */
struct row_page {
	uint32_t table, block;
	bool used;
	unsigned char marks[SLOTS / PER_BYTE];
};

void row_marks_init(struct row_marks *marks, size_t bytes_max)
{
	*marks = (struct row_marks){.bytes_max = bytes_max};
}

void row_marks_release(struct row_marks *marks)
{
	free(marks->pages);
	*marks = (struct row_marks){.pages = NULL};
}

/* Where the page is, or where it belongs; the table is never full. */
static struct row_page *find(struct row_page *pages, size_t cap, uint32_t table, uint32_t block)
{
	uint64_t hash = ((uint64_t)table << 32 | block) * UINT64_C(0x9E3779B97F4A7C15);
	size_t at = (size_t)(hash >> 20) & (cap - 1);
	while (pages[at].used && (pages[at].table != table || pages[at].block != block))
		at = (at + 1) & (cap - 1);
	return &pages[at];
}

/* Twice as many pages, while the old ones are still there; false: no more memory. */
static bool grow(struct row_marks *marks)
{
	size_t cap = marks->cap ? marks->cap * 2 : FIRST;
	size_t bytes = (cap + marks->cap) * sizeof *marks->pages;
	struct row_page *pages = bytes <= marks->bytes_max ? calloc(cap, sizeof *pages) : NULL;
	if (!pages)
		return false;
	for (size_t i = 0; i < marks->cap; i++)
		if (marks->pages[i].used)
			*find(pages, cap, marks->pages[i].table, marks->pages[i].block) =
			    marks->pages[i];
	free(marks->pages);
	marks->pages = pages;
	marks->cap = cap;
	return true;
}

enum row_mark row_marks_get(const struct row_marks *marks, uint32_t table, uint32_t block,
                            uint16_t slot)
{
	if (!marks->cap || slot >= SLOTS)
		return ROW_UNSEEN;
	const struct row_page *page = find(marks->pages, marks->cap, table, block);
	if (!page->used)
		return ROW_UNSEEN;
	return (enum row_mark)(page->marks[slot / PER_BYTE] >> slot % PER_BYTE * 2 & 3);
}

void row_marks_set(struct row_marks *marks, uint32_t table, uint32_t block, uint16_t slot,
                   enum row_mark mark)
{
	struct row_page *page = marks->cap ? find(marks->pages, marks->cap, table, block) : NULL;
	if (slot >= SLOTS)
		return;
	if (!page || !page->used) {
		if (marks->n * 4 >= marks->cap * 3 && !grow(marks)) {
			marks->is_full = true;
			return;
		}
		page = find(marks->pages, marks->cap, table, block);
		*page = (struct row_page){.table = table, .block = block, .used = true};
		marks->n++;
	}
	unsigned shift = slot % PER_BYTE * 2;
	unsigned others = page->marks[slot / PER_BYTE] & ~(3u << shift);
	page->marks[slot / PER_BYTE] = (unsigned char)(others | (unsigned)mark << shift);
}

int64_t row_marks_count(const struct row_marks *marks, enum row_mark mark)
{
	int64_t n = 0;
	for (size_t i = 0; i < marks->cap; i++)
		for (unsigned slot = 0; marks->pages[i].used && slot < SLOTS; slot++)
			n += (marks->pages[i].marks[slot / PER_BYTE] >> slot % PER_BYTE * 2 & 3) ==
			     (int)mark;
	return n;
}
