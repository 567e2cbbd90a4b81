/* SPDX-License-Identifier: MIT */
/* Where Kafka is, for a subcommand: the configured brokers, or those of a running cqrsd. */
#include "cmd.h"

#include "admin_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The embedded broker has another port in each life: the running cqrsd knows. */
char *cmd_brokers(const struct core_options *core)
{
	struct buf why = BUF_INIT;
	char *brokers = NULL;
	if (strcmp(core->kafka.brokers, "embedded") != 0) {
		brokers = strdup(core->kafka.brokers);
		if (!brokers)
			cmd_no_memory();
		return brokers;
	}
	json_t *status = admin_client_get(core->admin.listen, "/status", &why);
	const char *text =
	    json_string_value(json_object_get(json_object_get(status, "kafka"), "brokers"));
	if (text)
		brokers = strdup(text);
	else if (status)
		buf_puts(&why, "the status has no kafka.brokers");
	if (!brokers)
		fprintf(stderr,
		        "cqrsd: the brokers are embedded in a running cqrsd, which should answer "
		        "on admin.listen (%s): %s\n",
		        core->admin.listen, buf_str(&why));
	json_decref(status);
	buf_release(&why);
	return brokers;
}
