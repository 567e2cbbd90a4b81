/* SPDX-License-Identifier: MIT */
/*
 * A row of cqrs.dead_letters: what was refused, and what has become of it.
 *
 *   (refused) ─► open ─┬─► redriven: put through its module again; what of it is
 *                      │             refused then is a new letter, `redrive_of` this one
 *                      └─► discarded
 */
#ifndef DEAD_LETTER_H
#define DEAD_LETTER_H

#include "buf.h"
#include <jansson.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dead_letter {
	int64_t id;
	const char *topic;
	int32_t partition;
	int64_t offset;
	int32_t part_index; /* -1: the message as a whole */
	bool is_whole;      /* `payload` is all of the message, also if only a part was refused */
	const void *key, *payload; /* NULL: there was none */
	size_t key_len, payload_len;
	const char *headers; /* JSON, see headers_json.h; NULL: none */
	const char *reason;
	const char *sqlstate;                 /* "": the module refused */
	int64_t created_us;                   /* wall clock */
	int64_t redrive_of;                   /* 0: of none */
	const char *resolution, *resolved_by; /* NULL: it is open */
	int64_t resolved_us;
};

/* What to SELECT for dead_letter_read(), whose fields borrow from `rows` (binary format). */
#define DEAD_LETTER_COLUMNS                                                                   \
	"id, topic, partition, \"offset\", coalesce(part_index, -1), payload_is_whole, key, " \
	"payload, headers::text, reason, coalesce(sqlstate, ''), created_at, "                \
	"coalesce(redrive_of, 0), resolution, resolved_at, resolved_by"
void dead_letter_read(struct dead_letter *letter, const PGresult *rows, int row);
/* For people and programs, a new reference; `with_contents`: key, headers and payload too. */
json_t *dead_letter_json(const struct dead_letter *letter, bool with_contents);

/* The only number of an answer in binary format. */
int64_t dead_letter_number(const PGresult *rows);

/* Appends "SELECT cqrs.redrive(…)": they are redriven, or it raises OFFSETS_FENCE. */
void dead_letter_redrive_sql(struct buf *sql, const char *group, const int64_t *ids, size_t n,
                             const char *by);
/* Appends a statement that asks how many of them are open, and redriven by this one. */
void dead_letter_stand_sql(struct buf *sql, const int64_t *ids, size_t n, const char *by);
/* False: this is the answer of another statement. */
bool dead_letter_read_stand(const PGresult *answer, size_t *open, size_t *redriven);

#endif
