/* SPDX-License-Identifier: MIT */
/*
 * Cursors: whatever a client sends is decoded or refused, and what is decoded
 * can be bound to a statement.
 *
 * The first byte says how many columns the key has.  A text that is no cursor
 * is tried once more as the bytes of one, with the right hash put in, so that
 * what lies behind the hash is reached, too.
 */
#include "cursor.h"
#include "pg_value.h"
#include "url.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct cursor *cursor, size_t n)
{
	struct buf b = BUF_INIT;
	for (size_t i = 0; i < n; i++) {
		if (!cursor->values[i].is_null)
			pg_value_encode(&b, &cursor->values[i]);
	}
	buf_release(&b);
}

/* The same FNV-1a that cursor.c computes, for `bound_to` 0. */
static uint64_t hash(const uint8_t *bytes, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < len; i++)
		h = (h ^ bytes[i]) * 0x100000001b3u;
	return h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct cursor cursor;
	if (!size)
		return 0;
	size_t n = data[0] % (CQRS_KEY_MAX + 1);
	data++;
	size--;
	if (cursor_decode(&cursor, 0, n, (const char *)data, size))
		use(&cursor, n);
	if (size > 700)
		return 0;
	char bytes[9 + 700], text[BASE64URL_SIZE(sizeof bytes)];
	uint64_t h = __builtin_bswap64(hash(data, size));
	bytes[0] = 1;
	memcpy(bytes + 1, &h, sizeof h);
	memcpy(bytes + 9, data, size);
	size_t len = base64url_encode(text, bytes, 9 + size);
	if (cursor_decode(&cursor, 0, n, text, len))
		use(&cursor, n);
	assert(!cursor_decode(&cursor, 1, n, text, len));
	return 0;
}
