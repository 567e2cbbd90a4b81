/* SPDX-License-Identifier: MIT */
/*
 * The values of options: what is accepted is what the text says, and is written
 * as text that reads back the same; what is refused says why.
 *
 * The first byte says which option.
 */
#include "arena.h"
#include "config_file.h"
#include "option.h"
#include "pg_value.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct values {
	const char *text;
	int64_t number;
	bool boolean;
	int choice;
	const struct cqrs_option_pair *map;
};

#define AT(member) offsetof(struct values, member)

static const struct cqrs_option options[] = {
    {.name = "a.text", .type = CQRS_OPTION_STRING, .offset = AT(text)},
    {.name = "an.integer", .type = CQRS_OPTION_INTEGER, .offset = AT(number)},
    {.name = "few", .type = CQRS_OPTION_INTEGER, .offset = AT(number), .min = -5, .max = 64},
    {.name = "a.size", .type = CQRS_OPTION_SIZE, .offset = AT(number)},
    {.name = "memory", .type = CQRS_OPTION_SIZE, .offset = AT(number), .min = 1, .max = INT64_MAX},
    {.name = "a.time", .type = CQRS_OPTION_DURATION, .offset = AT(number)},
    {.name = "wait", .type = CQRS_OPTION_DURATION, .offset = AT(number), .min = 1, .max = 90000000},
    {.name = "is.so", .type = CQRS_OPTION_BOOLEAN, .offset = AT(boolean)},
    {.name = "level", .type = CQRS_OPTION_CHOICE, .offset = AT(choice), .choices = "debug|info|no"},
    {.name = "a.map", .type = CQRS_OPTION_MAP, .offset = AT(map)},
};

static const struct unit {
	const char *name;
	enum cqrs_option_type type;
	int64_t size;
} units[] = {
    {"", CQRS_OPTION_INTEGER, 1},
    {"B", CQRS_OPTION_SIZE, 1},
    {"KiB", CQRS_OPTION_SIZE, 1 << 10},
    {"MiB", CQRS_OPTION_SIZE, 1 << 20},
    {"GiB", CQRS_OPTION_SIZE, 1 << 30},
    {"us", CQRS_OPTION_DURATION, 1},
    {"ms", CQRS_OPTION_DURATION, 1000},
    {"s", CQRS_OPTION_DURATION, 1000000},
    {"m", CQRS_OPTION_DURATION, 60000000},
    {"h", CQRS_OPTION_DURATION, 3600000000},
    {"d", CQRS_OPTION_DURATION, 86400000000},
};

/* What the text says, in numbers that do not overflow; false: no number of that type. */
static bool reference(enum cqrs_option_type type, const char *text, int64_t *n)
{
	bool negative = type == CQRS_OPTION_INTEGER && *text == '-';
	size_t digits = strspn(text + negative, "0123456789");
	__int128 sum = 0;
	for (size_t i = 0; i < digits && sum < INT64_MAX; i++)
		sum = sum * 10 + (text[negative + i] - '0');
	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		if (units[i].type != type || strcmp(units[i].name, text + negative + digits) != 0)
			continue;
		sum *= negative ? -units[i].size : units[i].size;
		*n = (int64_t)sum;
		return digits && *n == sum;
	}
	return false;
}

static void check_number(const struct cqrs_option *option, const char *text, bool ok, int64_t n)
{
	int64_t expected;
	bool valid = reference(option->type, text, &expected);
	if (valid && (option->min || option->max))
		valid = expected >= option->min && expected <= option->max;
	assert(ok == valid && (!ok || n == expected));
}

/* A text between quotes is, for YAML, that text again. */
static void check_text(const char *text)
{
	struct buf yaml = BUF_INIT;
	struct arena *arena = arena_new();
	struct mistakes *mistakes = mistakes_new("x");
	buf_puts(&yaml, "key: ");
	option_print_text(text, &yaml);
	const struct config_node *root =
	    config_file_parse(arena, "x", yaml.data, yaml.len, mistakes);
	const struct config_node *node = config_node_child(root, "key");
	assert(mistakes_count(mistakes) == 0 && node && node->kind == CONFIG_SCALAR);
	assert(!pg_value_is_text(text, strlen(text)) || strcmp(node->text, text) == 0);
	mistakes_free(mistakes);
	arena_free(arena);
	buf_release(&yaml);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	const struct cqrs_option *option = &options[data[0] % (sizeof options / sizeof *options)];
	char *text = strndup((const char *)data + 1, size - 1);
	struct values values = {.text = NULL}, again = {.text = NULL};
	struct buf why = BUF_INIT, hidden = BUF_INIT, line = BUF_INIT;
	bool ok = option_set(option, text, false, &values, &why);
	assert(option_set(option, text, true, &again, &hidden) == ok && ok == (why.len == 0));
	assert(ok || strncmp(buf_str(&hidden), option->name, strlen(option->name)) == 0);
	assert(hidden.len <= why.len);
	if (option->type == CQRS_OPTION_INTEGER || option->type == CQRS_OPTION_DURATION ||
	    option->type == CQRS_OPTION_SIZE)
		check_number(option, text, ok, values.number);
	if (option->type == CQRS_OPTION_STRING) {
		check_text(text);
	} else if (ok && option->type != CQRS_OPTION_MAP) {
		option_print(option, &values, &line);
		assert(option_set(option, buf_str(&line), false, &again, &why));
		assert(memcmp(&values, &again, sizeof values) == 0);
	}
	buf_release(&why);
	buf_release(&hidden);
	buf_release(&line);
	free(text);
	return 0;
}
