/* SPDX-License-Identifier: MIT */
/* A table of options as text: its values as YAML, its rows as help. */
#include "section.h"

#include "dsn.h"
#include "option.h"

#include <string.h>

static void indent_by(int columns, struct buf *out)
{
	buf_printf(out, "%*s", columns, "");
}

int section_shared(const char *name, const char *before)
{
	int dots = 0;
	for (size_t i = 0; before && name[i] && name[i] == before[i]; i++)
		dots += name[i] == '.';
	return dots;
}

/* "a:" and "b:" on lines of their own, for the name a.b.c, unless they stand there already. */
static const char *print_sections(const char *name, const char *before, int *indent,
                                  struct buf *out)
{
	int shared = section_shared(name, before);
	for (const char *dot; (dot = strchr(name, '.')); name = dot + 1, *indent += 2) {
		if (shared-- > 0)
			continue;
		indent_by(*indent, out);
		buf_printf(out, "%.*s:\n", (int)(dot - name), name);
	}
	return name;
}

/* Properties of librdkafka that are nobody else's business. */
static bool is_secret(const char *name)
{
	static const char *const parts[] = {"password", "secret", "key.pem", "ssl_key",
	                                    "oauthbearer.config"};
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		if (strcasestr(name, parts[i]))
			return true;
	return false;
}

static void print_map(const struct cqrs_option *option, const void *values, int indent,
                      struct buf *out)
{
	const struct cqrs_option_pair *pair = option_map(option, values);
	buf_puts(out, pair->name ? "\n" : " {}\n");
	for (; pair->name; pair++) {
		struct buf shown = BUF_INIT;
		indent_by(indent + 2, out);
		buf_printf(out, "%s: ", pair->name);
		if (option->secret || is_secret(pair->name))
			buf_puts(&shown, DSN_HIDDEN);
		else
			dsn_mask(pair->value, &shown);
		option_print_text(buf_str(&shown), out);
		out->failed |= shown.failed;
		buf_putc(out, '\n');
		buf_release(&shown);
	}
}

void section_print(const struct cqrs_option *options, const void *values, int indent,
                   struct buf *out)
{
	const char *before = NULL;
	for (const struct cqrs_option *o = options; o->name; o++) {
		int column = indent;
		const char *name = print_sections(o->name, before, &column, out);
		indent_by(column, out);
		buf_printf(out, "%s:", name);
		if (o->type == CQRS_OPTION_MAP) {
			print_map(o, values, column, out);
		} else {
			buf_putc(out, ' ');
			option_print(o, values, out);
			buf_putc(out, '\n');
		}
		before = o->name;
	}
}

void section_help(const struct cqrs_option *options, struct buf *out)
{
	int name_width = 0, value_width = 0;
	for (const struct cqrs_option *o = options; o->name; o++) {
		int name = (int)strlen(o->name), value = (int)strlen(o->initial ? o->initial : "");
		name_width = name > name_width ? name : name_width;
		/* One long default must not push the help of all others out of the window. */
		value_width = value > value_width && value <= 20 ? value : value_width;
	}
	for (const struct cqrs_option *o = options; o->name; o++) {
		struct buf range = BUF_INIT;
		const char *initial = !o->initial ? "" : *o->initial ? o->initial : "\"\"";
		option_print_range(o, &range);
		buf_printf(out, "  %-*s  %-*s  %s", name_width, o->name, value_width, initial,
		           o->help);
		if (range.len)
			buf_printf(out, " (%s)", buf_str(&range));
		out->failed |= range.failed;
		buf_puts(out, o->initial ? "\n" : ", required\n");
		buf_release(&range);
	}
}
