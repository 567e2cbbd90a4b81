/* SPDX-License-Identifier: MIT */
/* One option: its text read into the owner's struct, and written back. */
#include "option.h"

#include "config_expand.h"
#include "dsn.h"
#include "suggest.h"
#include "timestamp.h"
#include "utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CHOICES_MAX 16

struct unit {
	const char *name;
	int64_t size;
};

/* The largest first: a number is written in the first that divides it. */
static const struct unit sizes[] = {
    {"GiB", INT64_C(1) << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}};
static const struct unit durations[] = {{"d", INT64_C(86400000000)},
                                        {"h", INT64_C(3600000000)},
                                        {"m", 60000000},
                                        {"s", 1000000},
                                        {"ms", 1000},
                                        {"us", 1}};
static const struct cqrs_option_pair no_pairs[] = {{.name = NULL}};

static void *member(const struct cqrs_option *option, void *values)
{
	return (char *)values + option->offset;
}

static const void *const_member(const struct cqrs_option *option, const void *values)
{
	return (const char *)values + option->offset;
}

/* ---- numbers ---- */

/* Decimal digits, with a sign if it may be negative; `end` is what follows. */
static bool parse_number(const char *text, bool negative, int64_t *n, const char **end)
{
	const char *digits = text + (negative && *text == '-');
	if (*digits < '0' || *digits > '9')
		return false;
	char *stop;
	errno = 0;
	*n = strtoll(text, &stop, 10);
	*end = stop;
	return errno == 0;
}

static bool parse_integer(const char *text, int64_t *n)
{
	const char *end;
	return parse_number(text, true, n, &end) && *end == '\0';
}

static bool parse_size(const char *text, int64_t *bytes)
{
	const char *unit;
	int64_t n;
	if (!parse_number(text, false, &n, &unit))
		return false;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		if (strcmp(unit, sizes[i].name) == 0)
			return !__builtin_mul_overflow(n, sizes[i].size, bytes);
	return false;
}

static void print_units(const struct unit *unit, const char *zero, int64_t n, struct buf *out)
{
	if (n == 0) {
		buf_puts(out, zero);
		return;
	}
	while (n % unit->size)
		unit++;
	buf_printf(out, "%" PRId64 "%s", n / unit->size, unit->name);
}

static void print_number(const struct cqrs_option *option, int64_t n, struct buf *out)
{
	if (option->type == CQRS_OPTION_DURATION)
		print_units(durations, "0s", n, out);
	else if (option->type == CQRS_OPTION_SIZE)
		print_units(sizes, "0B", n, out);
	else
		buf_printf(out, "%" PRId64, n);
}

static bool is_number(const struct cqrs_option *option)
{
	return option->type == CQRS_OPTION_INTEGER || option->type == CQRS_OPTION_DURATION ||
	       option->type == CQRS_OPTION_SIZE;
}

static bool in_range(const struct cqrs_option *option, int64_t n)
{
	return (option->min == 0 && option->max == 0) || (n >= option->min && n <= option->max);
}

/* ---- choices ---- */

/* Splits "a|b|c" into `storage`; how many. */
static size_t split_choices(const char *choices, char storage[256], const char *list[CHOICES_MAX])
{
	size_t n = 0;
	char *save = NULL;
	*stpncpy(storage, choices, 255) = '\0';
	for (char *name = strtok_r(storage, "|", &save); name && n < CHOICES_MAX;
	     name = strtok_r(NULL, "|", &save))
		list[n++] = name;
	return n;
}

static void print_choices(const struct cqrs_option *option, struct buf *out)
{
	char storage[256];
	const char *list[CHOICES_MAX];
	size_t n = split_choices(option->choices, storage, list);
	for (size_t i = 0; i < n; i++) {
		buf_puts(out, i == 0 ? "" : i + 1 < n ? ", " : " or ");
		buf_puts(out, list[i]);
	}
}

static bool parse_choice(const struct cqrs_option *option, const char *text, int *index)
{
	char storage[256];
	const char *list[CHOICES_MAX];
	size_t n = split_choices(option->choices, storage, list);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(list[i], text) == 0) {
			*index = (int)i;
			return true;
		}
	}
	return false;
}

static void print_suggestion(const struct cqrs_option *option, const char *text, struct buf *out)
{
	char storage[256];
	const char *list[CHOICES_MAX];
	size_t n = split_choices(option->choices, storage, list);
	const char *near = suggest(text, list, n);
	if (near)
		buf_printf(out, ", did you mean \"%s\"?", near);
}

/* ---- reading ---- */

static void explain(const struct cqrs_option *option, const char *text, bool hide, struct buf *why)
{
	static const char *const expected[] = {
	    [CQRS_OPTION_STRING] = "a text",
	    [CQRS_OPTION_INTEGER] = "a whole number",
	    [CQRS_OPTION_BOOLEAN] = "true or false",
	    [CQRS_OPTION_DURATION] = "a duration such as 20ms, 5s or 12h",
	    [CQRS_OPTION_SIZE] = "a size such as 512B, 64KiB or 1GiB",
	    [CQRS_OPTION_MAP] = "a mapping of names to values",
	};
	buf_printf(why, "%s must be ", option->name);
	if (option->type == CQRS_OPTION_CHOICE)
		print_choices(option, why);
	else
		buf_puts(why, expected[option->type]);
	if (hide || option->secret)
		return;
	buf_printf(why, ", not \"%.100s\"", text);
	if (option->type == CQRS_OPTION_CHOICE)
		print_suggestion(option, text, why);
}

static bool check_range(const struct cqrs_option *option, int64_t n, bool hide, struct buf *why)
{
	if (in_range(option, n))
		return true;
	buf_printf(why, "%s must be ", option->name);
	option_print_range(option, why);
	if (!hide && !option->secret) {
		buf_puts(why, ", not ");
		print_number(option, n, why);
	}
	return false;
}

static bool parse_boolean(const char *text, bool *value)
{
	*value = strcmp(text, "true") == 0;
	return *value || strcmp(text, "false") == 0;
}

bool option_set(const struct cqrs_option *option, const char *text, bool hide, void *values,
                struct buf *why)
{
	void *at = member(option, values);
	int64_t n = 0;
	bool ok = true;
	switch (option->type) {
	case CQRS_OPTION_STRING:
		*(const char **)at = text;
		break;
	case CQRS_OPTION_BOOLEAN:
		ok = parse_boolean(text, at);
		break;
	case CQRS_OPTION_CHOICE:
		ok = parse_choice(option, text, at);
		break;
	case CQRS_OPTION_INTEGER:
		ok = parse_integer(text, &n);
		break;
	case CQRS_OPTION_DURATION:
		ok = duration_parse(text, strlen(text), &n);
		break;
	case CQRS_OPTION_SIZE:
		ok = parse_size(text, &n);
		break;
	case CQRS_OPTION_MAP:
		ok = strcmp(text, "{}") == 0;
		option_set_map(option, no_pairs, values);
		break;
	}
	if (!ok) {
		explain(option, text, hide, why);
		return false;
	}
	if (is_number(option)) {
		*(int64_t *)at = n;
		return check_range(option, n, hide, why);
	}
	return true;
}

void option_set_map(const struct cqrs_option *option, const struct cqrs_option_pair *pairs,
                    void *values)
{
	*(const struct cqrs_option_pair **)member(option, values) = pairs;
}

/* ---- writing ---- */

const struct cqrs_option_pair *option_map(const struct cqrs_option *option, const void *values)
{
	const struct cqrs_option_pair *const *pairs = const_member(option, values);
	return *pairs ? *pairs : no_pairs;
}

/* The rest is refused by YAML (1.1, chapter 5.1), or read as the end of a line. */
static bool is_printable(uint32_t c)
{
	return c >= 0x20 && (c < 0x7f || c >= 0xa0) && c != 0x2028 && c != 0x2029 && c != 0xfeff &&
	       c != 0xfffe && c != 0xffff;
}

void option_print_text(const char *text, struct buf *out)
{
	struct buf literal = BUF_INIT;
	config_unexpand(text, &literal);
	buf_putc(out, '"');
	const char *p = buf_str(&literal), *end = p + literal.len;
	while (p < end) {
		size_t n = utf8_length(p, end);
		uint32_t c = n ? utf8_decode(p, n) : 0xfffd;
		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", *p);
		else if (n && is_printable(c))
			buf_add(out, p, n);
		else
			buf_printf(out, "\\u%04x", (unsigned)c);
		p += n ? n : 1;
	}
	buf_putc(out, '"');
	out->failed |= literal.failed;
	buf_release(&literal);
}

static void print_string(const char *text, struct buf *out)
{
	struct buf shown = BUF_INIT;
	dsn_mask(text ? text : "", &shown);
	option_print_text(buf_str(&shown), out);
	out->failed |= shown.failed;
	buf_release(&shown);
}

void option_print(const struct cqrs_option *option, const void *values, struct buf *out)
{
	const void *at = const_member(option, values);
	char storage[256];
	const char *list[CHOICES_MAX];
	if (option->secret) {
		option_print_text(DSN_HIDDEN, out);
	} else if (option->type == CQRS_OPTION_STRING) {
		print_string(*(const char *const *)at, out);
	} else if (option->type == CQRS_OPTION_BOOLEAN) {
		buf_puts(out, *(const bool *)at ? "true" : "false");
	} else if (option->type == CQRS_OPTION_CHOICE) {
		split_choices(option->choices, storage, list);
		buf_puts(out, list[*(const int *)at]);
	} else if (is_number(option)) {
		print_number(option, *(const int64_t *)at, out);
	}
}

void option_print_range(const struct cqrs_option *option, struct buf *out)
{
	if (option->type == CQRS_OPTION_CHOICE)
		print_choices(option, out);
	if (!is_number(option) || (option->min == 0 && option->max == 0))
		return;
	if (option->max == INT64_MAX) {
		buf_puts(out, "at least ");
		print_number(option, option->min, out);
		return;
	}
	print_number(option, option->min, out);
	buf_puts(out, " to ");
	print_number(option, option->max, out);
}
