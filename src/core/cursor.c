/* SPDX-License-Identifier: MIT */
/* Where a page ended, as text that only we understand. */
#include "cursor.h"

#include "buf.h"
#include "pg_value.h"
#include "url.h"

#define VERSION     1
#define HEAD        9 /* version and hash */
#define PART_HEAD   6
#define BYTES_MAX   ((CURSOR_TEXT_MAX - 1) / 4 * 3)
#define LENGTH_NULL UINT16_MAX

_Static_assert(BASE64URL_SIZE(BYTES_MAX) <= CURSOR_TEXT_MAX, "a cursor fits its text");

/* FNV-1a: each byte changed changes the hash. */
static uint64_t hash_bytes(uint64_t hash, const char *bytes, size_t len)
{
	hash ^= 0xcbf29ce484222325u;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3u;
	return hash;
}

static void put_part(struct buf *b, const PGresult *rows, int row, int column)
{
	if (column < 0 || PQgetisnull(rows, row, column)) {
		buf_put32(b, column < 0 ? PG_OID_TEXT : PQftype(rows, column));
		buf_put16(b, LENGTH_NULL);
		return;
	}
	int len = PQgetlength(rows, row, column);
	buf_put32(b, PQftype(rows, column));
	buf_put16(b, (uint16_t)(len < BYTES_MAX ? len : BYTES_MAX));
	buf_add(b, PQgetvalue(rows, row, column), (size_t)len);
}

const char *cursor_encode(char text[CURSOR_TEXT_MAX], uint64_t bound_to, const PGresult *rows,
                          int row, const int *columns, size_t n)
{
	char bytes[BYTES_MAX], uuid[40];
	struct cqrs_value value;
	struct buf b = {.data = bytes, .cap = sizeof bytes, .max = sizeof bytes};
	buf_putc(&b, VERSION);
	buf_put64(&b, 0);
	for (size_t i = 0; i < n; i++) {
		int c = columns[i];
		put_part(&b, rows, row, c);
		/* What could not be read back must not be given out. */
		if (c >= 0 && !PQgetisnull(rows, row, c) &&
		    !pg_value_decode(PQftype(rows, c), PQgetvalue(rows, row, c),
		                     (size_t)PQgetlength(rows, row, c), uuid, &value))
			return "a column of the key has a type that a cursor cannot hold";
	}
	if (b.failed)
		return "the key of a row is too long for a cursor";
	uint64_t hash = __builtin_bswap64(hash_bytes(bound_to, bytes + HEAD, b.len - HEAD));
	memcpy(bytes + 1, &hash, sizeof hash);
	base64url_encode(text, bytes, b.len);
	return NULL;
}

static bool get_part(struct cursor *cursor, size_t i, const char **at, const char *end)
{
	if (end - *at < PART_HEAD)
		return false;
	Oid oid = pg_get32(*at);
	size_t len = pg_get16(*at + 4);
	*at += PART_HEAD;
	if (len == LENGTH_NULL) {
		cursor->values[i] = cqrs_null(CQRS_TEXT);
		return true;
	}
	if ((size_t)(end - *at) < len ||
	    !pg_value_decode(oid, *at, len, cursor->uuids[i], &cursor->values[i]))
		return false;
	*at += len;
	return true;
}

bool cursor_decode(struct cursor *cursor, uint64_t bound_to, size_t n, const char *text, size_t len)
{
	size_t size;
	if (len >= CURSOR_TEXT_MAX || !base64url_decode(cursor->bytes, &size, text, len) ||
	    size < HEAD || cursor->bytes[0] != VERSION)
		return false;
	const char *at = cursor->bytes + HEAD, *end = cursor->bytes + size;
	if (pg_get64(cursor->bytes + 1) != hash_bytes(bound_to, at, size - HEAD))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!get_part(cursor, i, &at, end))
			return false;
	}
	return at == end;
}
