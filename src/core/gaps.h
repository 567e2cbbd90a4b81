/* SPDX-License-Identifier: MIT */
/*
 * The SQL of the table cqrs.gaps, and its answers.
 */
#ifndef GAPS_H
#define GAPS_H

#include "buf.h"
#include "partition.h"
#include <libpq-fe.h>

/* As in cqrs.gaps.reason, and in metrics. */
const char *gaps_reason(enum gap_reason reason);

/* Appends "SELECT … cqrs.record_gap(…)": moves the offset to `to`, or (-1) leaves it. */
void gaps_record_sql(struct buf *sql, const char *group, const struct partition *partition,
                     int64_t to);
/* Its answer; `since` as RFC 3339 has it. */
void gaps_read(const PGresult *answer, char since[32], bool *is_new);
/* Appends a statement that closes those whose offset somebody has moved since, and a semicolon. */
void gaps_settle_sql(struct buf *sql, const char *group);

#endif
