/* SPDX-License-Identifier: MIT */
/* Query strings, paths and cursors as clients send them; what is written reads back the same. */
#include "url.h"

#include "utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
	if (!truth)
		abort();
}

static void is_clean(const char *text)
{
	for (const char *end = text + strlen(text); text < end;) {
		size_t n = utf8_length(text, end);
		must(n > 0);
		text += n;
	}
}

static void read_query(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1), *rest = copy;
	const char *name, *value;
	size_t pairs = 0;
	enum url_pair kind;
	must(copy != NULL);
	memcpy(copy, data, size);
	copy[size] = '\0';
	while ((kind = url_query_next(&rest, &name, &value)) != URL_PAIR_END) {
		must(name >= copy && name <= copy + size && value >= name && value <= copy + size);
		must(rest <= copy + size && ++pairs <= size);
		if (kind != URL_PAIR)
			continue;
		is_clean(name);
		is_clean(value);
	}
	must(!*rest);
	free(copy);
}

static void read_path(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1);
	size_t len = size;
	must(copy != NULL);
	memcpy(copy, data, size);
	if (url_decode(copy, &len) && !memchr(copy, 0, len)) {
		struct buf again = BUF_INIT;
		must(len <= size);
		copy[len] = '\0';
		is_clean(copy);
		url_encode_path(&again, copy);
		size_t back = again.len;
		must(!back || (url_decode(again.data, &back) && back == len &&
		               memcmp(again.data, copy, len) == 0));
		buf_release(&again);
	}
	free(copy);
}

static void read_base64url(const uint8_t *data, size_t size)
{
	char *text = malloc(BASE64URL_SIZE(size));
	unsigned char *back = malloc(size + 1);
	size_t len = base64url_encode(text, data, size), back_len;
	must(text && back && len < BASE64URL_SIZE(size));
	must(base64url_decode(back, &back_len, text, len) && back_len == size &&
	     memcmp(back, data, size) == 0);
	/* One text for one value: what decodes is what would be written. */
	if (base64url_decode(back, &back_len, (const char *)data, size)) {
		len = base64url_encode(text, back, back_len);
		must(len == size && memcmp(text, data, size) == 0);
	}
	free(text);
	free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_query(data, size);
	read_path(data, size);
	read_base64url(data, size);
	return 0;
}
