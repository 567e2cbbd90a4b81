/* SPDX-License-Identifier: MIT */
/*
 * Is everything there that the daemon would need?  For `cqrsd -t --probe`:
 * Kafka and its topics, the database, its schema, the tables and the rights on
 * them.  Changes nothing, and blocks for some seconds at most.
 */
#ifndef PROBE_H
#define PROBE_H

#include "buf.h"
#include "config.h"
#include "exit_code.h"
#include <cqrs/command.h>

/* What the configured modules declared. */
struct probe_plan {
	const char *const *topics;
	int n_topics;
	const struct cqrs_table_def *const *tables;
	int n_tables;
};

/*
 * Appends a line to `found` for each thing that is there and to `problems` for
 * each that is not, which says what to do.  Returns an enum exit_code.
 */
int probe_run(const struct config *config, const struct probe_plan *plan, struct buf *found,
              struct buf *problems);

#endif
