/* SPDX-License-Identifier: MIT */
/* Consistency tokens: places of messages in Kafka. */
#include "token.h"

#include "http_syntax.h"

#include <string.h>

/* Decimal digits up to `max`; NULL: there are none. */
static const char *read_number(const char *text, int64_t max, int64_t *n)
{
	size_t digits = http_run(text, strlen(text), HTTP_DIGIT);
	*n = 0;
	for (size_t i = 0; i < digits; i++) {
		int digit = text[i] - '0';
		if (*n > (max - digit) / 10)
			return NULL;
		*n = *n * 10 + digit;
	}
	return digits ? text + digits : NULL;
}

static const char *read_place(const char *text, struct token_place *place)
{
	int64_t partition;
	*place = (struct token_place){
	    .topic = text,
	    .topic_len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                              "0123456789._-")};
	text += place->topic_len;
	if (!place->topic_len || place->topic_len > TOKEN_TOPIC_MAX || *text != ':')
		return NULL;
	text = read_number(text + 1, INT32_MAX, &partition);
	if (!text || *text != '@')
		return NULL;
	place->partition = (int32_t)partition;
	return read_number(text + 1, INT64_MAX - 1, &place->offset);
}

size_t token_parse(const char *text, struct token_place places[TOKEN_PLACES_MAX])
{
	for (size_t n = 0; n < TOKEN_PLACES_MAX;) {
		text += strspn(text, " \t");
		text = read_place(text, &places[n++]);
		if (!text)
			return 0;
		text += strspn(text, " \t");
		if (!*text)
			return n;
		if (*text++ != ',')
			return 0;
	}
	return 0;
}
