/* SPDX-License-Identifier: MIT */
/*
 * What has been found out about rows of PostgreSQL tables, two bits for each,
 * by where the row is stored (tableoid and ctid, PostgreSQL manual, chapter 5.5).
 *
 * About 70 bytes for a page of rows.  When the memory is used up, rows of
 * further pages are not marked, and `is_full` says so.
 */
#ifndef ROW_MARKS_H
#define ROW_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum row_mark {
	ROW_UNSEEN,
	ROW_SAME,  /* a message asked for just this row */
	ROW_OTHER, /* messages asked for its key, with other values */
	ROW_EXTRA, /* its key stands in another row too */
};

struct row_marks {
	struct row_page *pages; /* hashed, open addressing */
	size_t n, cap, bytes_max;
	bool is_full;
};

void row_marks_init(struct row_marks *marks, size_t bytes_max);
void row_marks_release(struct row_marks *marks);

/* ROW_UNSEEN also for what was not marked because the memory is used up. */
enum row_mark row_marks_get(const struct row_marks *marks, uint32_t table, uint32_t block,
                            uint16_t slot);
void row_marks_set(struct row_marks *marks, uint32_t table, uint32_t block, uint16_t slot,
                   enum row_mark mark);
/* How many rows have a mark. */
int64_t row_marks_count(const struct row_marks *marks, enum row_mark mark);

#endif
