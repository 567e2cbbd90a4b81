/* SPDX-License-Identifier: MIT */
/* cqrsd -t: is the configuration right, and (--probe) is everything there that it names? */
#include "cmd.h"

#include "log.h"
#include "probe.h"

#include <stdio.h>

static int probe(struct cmd *cmd)
{
	struct buf found = BUF_INIT, problems = BUF_INIT;
	struct probe_plan plan = {.n_topics = 0};
	/* Only the answers: why a connection failed is among them. */
	log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	int code = probe_run(cmd->config, &plan, &found, &problems);
	fputs(buf_str(&found), stdout);
	fputs(buf_str(&problems), stderr);
	buf_release(&found);
	buf_release(&problems);
	return code;
}

int cmd_check(struct cmd *cmd)
{
	int code = cmd_load(cmd, true);
	if (code)
		return code;
	printf("%s: the configuration is fine\n", cmd->config_path);
	return cmd->probe ? probe(cmd) : EXIT_CODE_OK;
}
