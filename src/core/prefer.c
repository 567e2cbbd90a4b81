/* SPDX-License-Identifier: MIT */
/* The header Prefer: how a client would like to be answered. */
#include "prefer.h"

#include "http_syntax.h"

#include <string.h>

#define WAIT_DIGITS 6

/* A token, or a string in quotes, which is passed over as a whole. */
static size_t word_length(const char *text)
{
	size_t n = 1;
	if (*text != '"')
		return http_run(text, strlen(text), HTTP_TOKEN);
	while (text[n] && text[n] != '"')
		n += text[n] == '\\' && text[n + 1] ? 2 : 1;
	return n + (text[n] == '"');
}

static const char *skip_space(const char *text)
{
	return text + strspn(text, " \t");
}

static int64_t read_seconds(const char *text, size_t len)
{
	int64_t s = 0;
	if (len > WAIT_DIGITS || http_run(text, len, HTTP_DIGIT) < len)
		return 0;
	for (size_t i = 0; i < len; i++)
		s = s * 10 + (text[i] - '0');
	return s;
}

static void take(struct prefer *prefer, const char *name, size_t name_len, const char *value,
                 size_t len)
{
	if (len > 1 && *value == '"') { /* 2: "8" is 8 */
		value++;
		len -= 2;
	}
	if (http_is_word(name, name_len, "respond-async"))
		prefer->respond_async = true;
	else if (http_is_word(name, name_len, "wait") && !prefer->wait_s)
		prefer->wait_s = read_seconds(value, len);
	else if (!http_is_word(name, name_len, "handling") || prefer->strict || prefer->lenient)
		return;
	else if (http_is_word(value, len, "lenient"))
		prefer->lenient = true;
	else if (http_is_word(value, len, "strict"))
		prefer->strict = true;
}

struct prefer prefer_parse(const char *text)
{
	struct prefer prefer = {.wait_s = 0};
	while (text && *text) {
		const char *name = skip_space(text), *value = "";
		size_t name_len = word_length(name), len = 0;
		text = skip_space(name + name_len);
		if (*text == '=') {
			value = skip_space(text + 1);
			len = word_length(value);
			text = value + len;
		}
		take(&prefer, name, name_len, value, len);
		/* Parameters of a preference: none that we know. */
		while (*text && *text != ',')
			text += *text == '"' ? word_length(text) : 1;
		text += *text == ',';
	}
	return prefer;
}
