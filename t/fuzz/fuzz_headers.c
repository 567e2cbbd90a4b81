/* SPDX-License-Identifier: MIT */
/*
 * The headers of a message, whatever bytes they have, to JSON and back; and any
 * text as such JSON.
 *
 * A header of the input is the length of its name, the name, the length of its
 * value, the value; 255 stands for no value.
 */
#include "headers_json.h"

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADERS_MAX 32

static bool same(const struct cqrs_header *a, const struct cqrs_header *b)
{
	return strcmp(a->name, b->name) == 0 && !a->value == !b->value &&
	       a->value_len == b->value_len &&
	       (!a->value_len || memcmp(a->value, b->value, a->value_len) == 0);
}

/* Those of one name in their order, the names in any. */
static void check_same(const struct cqrs_header *a, size_t n, const struct cqrs_header *b, size_t m)
{
	assert(n == m);
	for (size_t i = 0; i < n; i++) {
		size_t before = 0, at = 0;
		for (size_t j = 0; j < i; j++)
			before += strcmp(a[j].name, a[i].name) == 0;
		while (at < m && (strcmp(b[at].name, a[i].name) != 0 || before--))
			at++;
		assert(at < m && same(&a[i], &b[at]));
	}
}

static void there_and_back(const struct cqrs_header *headers, size_t n)
{
	struct buf json = BUF_INIT;
	headers_json_write(&json, headers, n);
	json_t *value = json_loads(buf_str(&json), JSON_REJECT_DUPLICATES, NULL);
	assert(json_is_object(value)); /* and without \u0000, which is not read so */
	struct cqrs_header *again;
	size_t m;
	bool ok = headers_json_read(buf_str(&json), &again, &m);
	assert(ok);
	check_same(headers, n, again, m);
	json_decref(value);
	free(again);
	buf_release(&json);
}

/* The next `len` bytes in memory of their own, and a NUL behind them. */
static char *take(const uint8_t **p, const uint8_t *end, size_t len)
{
	size_t left = (size_t)(end - *p), n = len < left ? len : left;
	char *copy = calloc(1, len + 1);
	if (n)
		memcpy(copy, *p, n);
	*p += n;
	return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cqrs_header headers[HEADERS_MAX];
	const uint8_t *p = data, *end = data + size;
	char *kept[2 * HEADERS_MAX];
	size_t n = 0, m;
	for (; n < HEADERS_MAX && end - p >= 2; n++) {
		size_t len = *p++;
		headers[n].name = kept[2 * n] = take(&p, end, len);
		size_t value_len = p < end ? *p++ : 255;
		bool none = value_len == 255;
		headers[n].value_len = none ? 0 : value_len;
		kept[2 * n + 1] = none ? NULL : take(&p, end, value_len);
		headers[n].value = kept[2 * n + 1];
	}
	there_and_back(headers, n);
	for (size_t i = 0; i < 2 * n; i++)
		free(kept[i]);

	char *text = strndup((const char *)data, size);
	struct cqrs_header *read;
	headers_json_read(text, &read, &m);
	assert(!read == !m);
	if (m)
		there_and_back(read, m);
	free(read);
	free(text);
	return 0;
}
