/* SPDX-License-Identifier: MIT */
/* What subcommands print: all of it, or that there is no memory for it. */
#include "cmd.h"
#include "json_text.h"

#include <stdio.h>

int cmd_no_memory(void)
{
	fputs("cqrsd: out of memory\n", stderr);
	return EXIT_CODE_FAILED;
}

int cmd_write(FILE *to, struct buf *text)
{
	const char *all = buf_str(text);
	if (text->failed)
		return cmd_no_memory();
	return fputs(all, to) >= 0 && fflush(to) == 0 ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

int cmd_write_json(const json_t *json)
{
	struct buf text = BUF_INIT;
	json_text(&text, json, JSON_INDENT(2));
	buf_putc(&text, '\n');
	int code = cmd_write(stdout, &text);
	buf_release(&text);
	return code;
}
