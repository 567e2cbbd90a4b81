/* SPDX-License-Identifier: MIT */
/* A row of cqrs.dead_letters: read, shown, moved. */
#include "dead_letter.h"

#include "json_tree.h"
#include "offsets.h"
#include "pg_conn.h"
#include "pg_value.h"
#include "timestamp.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- a row ---- */

static const char *field(const PGresult *rows, int row, int column)
{
	return PQgetisnull(rows, row, column) ? NULL : PQgetvalue(rows, row, column);
}

static int64_t integer(const PGresult *rows, int row, int column)
{
	const char *bytes = field(rows, row, column);
	if (!bytes)
		return 0;
	return PQgetlength(rows, row, column) == 4 ? (int32_t)pg_get32(bytes)
	                                           : (int64_t)pg_get64(bytes);
}

static int64_t time_us(const PGresult *rows, int row, int column)
{
	return field(rows, row, column) ? integer(rows, row, column) + PG_EPOCH_US : 0;
}

void dead_letter_read(struct dead_letter *letter, const PGresult *rows, int row)
{
	*letter = (struct dead_letter){
	    .id = integer(rows, row, 0),
	    .topic = field(rows, row, 1),
	    .partition = (int32_t)integer(rows, row, 2),
	    .offset = integer(rows, row, 3),
	    .part_index = (int32_t)integer(rows, row, 4),
	    .is_whole = *PQgetvalue(rows, row, 5),
	    .key = field(rows, row, 6),
	    .key_len = (size_t)PQgetlength(rows, row, 6),
	    .payload = field(rows, row, 7),
	    .payload_len = (size_t)PQgetlength(rows, row, 7),
	    .headers = field(rows, row, 8),
	    .reason = field(rows, row, 9),
	    .sqlstate = field(rows, row, 10),
	    .created_us = time_us(rows, row, 11),
	    .redrive_of = integer(rows, row, 12),
	    .resolution = field(rows, row, 13),
	    .resolved_us = time_us(rows, row, 14),
	    .resolved_by = field(rows, row, 15),
	};
}

int64_t dead_letter_number(const PGresult *rows)
{
	return integer(rows, 0, 0);
}

/* ---- for people and programs ---- */

static void set_text(json_t **object, const char *name, const char *text)
{
	json_tree_set(object, name, text ? json_string(text) : json_null());
}

static void set_time(json_t **object, const char *name, int64_t us)
{
	char text[40];
	if (us)
		timestamp_format(text, us);
	set_text(object, name, us ? text : NULL);
}

/* "payload": text, or "payload_hex" if it is none. */
static void set_bytes(json_t **object, const char *name, const void *bytes, size_t len)
{
	struct buf hex = BUF_INIT;
	if (!bytes || pg_value_is_text(bytes, len)) {
		json_tree_set(object, name, bytes ? json_stringn(bytes, len) : json_null());
		return;
	}
	for (size_t i = 0; i < len; i++)
		buf_printf(&hex, "%02x", ((const unsigned char *)bytes)[i]);
	size_t name_len = strlen(name);
	char hex_name[32];
	memcpy(hex_name, name, name_len);
	memcpy(hex_name + name_len, "_hex", sizeof "_hex");
	json_tree_set(object, hex_name, hex.failed ? NULL : json_string(buf_str(&hex)));
	buf_release(&hex);
}

json_t *dead_letter_json(const struct dead_letter *letter, bool with_contents)
{
	json_t *object =
	    json_pack("{s:I, s:s, s:i, s:I}", "id", (json_int_t)letter->id, "topic", letter->topic,
	              "partition", (int)letter->partition, "offset", (json_int_t)letter->offset);
	json_tree_set(&object, "part_index",
	              letter->part_index < 0 ? json_null() : json_integer(letter->part_index));
	set_text(&object, "reason", letter->reason);
	set_text(&object, "sqlstate", *letter->sqlstate ? letter->sqlstate : NULL);
	set_time(&object, "created_at", letter->created_us);
	json_tree_set(&object, "redrive_of",
	              letter->redrive_of ? json_integer(letter->redrive_of) : json_null());
	set_text(&object, "resolution", letter->resolution);
	set_time(&object, "resolved_at", letter->resolved_us);
	set_text(&object, "resolved_by", letter->resolved_by);
	json_tree_set(&object, "payload_bytes", json_integer((json_int_t)letter->payload_len));
	if (!with_contents)
		return object;
	set_bytes(&object, "key", letter->key, letter->key_len);
	json_tree_set(&object, "headers",
	              letter->headers
	                  ? json_tree_load(letter->headers, strlen(letter->headers), NULL)
	                  : json_null());
	json_tree_set(&object, "payload_is_whole", json_boolean(letter->is_whole));
	set_bytes(&object, "payload", letter->payload, letter->payload_len);
	return object;
}

/* ---- the fence ---- */

static void add_ids(struct buf *sql, const int64_t *ids, size_t n)
{
	buf_puts(sql, "ARRAY[");
	for (size_t i = 0; i < n; i++)
		buf_printf(sql, "%s%" PRId64, i ? ", " : "", ids[i]);
	buf_puts(sql, "]::bigint[]");
}

void dead_letter_redrive_sql(struct buf *sql, const char *group, const int64_t *ids, size_t n,
                             const char *by)
{
	buf_puts(sql, "SELECT cqrs.redrive(");
	pg_add_literal(sql, group);
	buf_puts(sql, ", ");
	add_ids(sql, ids, n);
	buf_puts(sql, ", ");
	pg_add_literal(sql, by);
	buf_putc(sql, ')');
}

#define OPEN     "cqrs_open"
#define REDRIVEN "cqrs_redriven"

void dead_letter_stand_sql(struct buf *sql, const int64_t *ids, size_t n, const char *by)
{
	buf_puts(sql, "SELECT count(*) FILTER (WHERE resolution IS NULL) AS " OPEN
	              ", count(*) FILTER (WHERE resolution = 'redriven' AND resolved_by = ");
	pg_add_literal(sql, by);
	buf_puts(sql, ") AS " REDRIVEN " FROM cqrs.dead_letters WHERE id = ANY (");
	add_ids(sql, ids, n);
	buf_putc(sql, ')');
}

bool dead_letter_read_stand(const PGresult *answer, size_t *open, size_t *redriven)
{
	if (PQnfields(answer) != 2 || strcmp(PQfname(answer, 0), OPEN) != 0)
		return false;
	*open = strtoull(PQgetvalue(answer, 0, 0), NULL, 10);
	*redriven = strtoull(PQgetvalue(answer, 0, 1), NULL, 10);
	return true;
}
