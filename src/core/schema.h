/* SPDX-License-Identifier: MIT */
/*
 * The schema of the database: is it the one that this program was built for,
 * and how it becomes so.
 *
 * The numbered files of sql/ are built into the program.  Each is applied in
 * one transaction together with its row in cqrs.schema_migrations(version,
 * name, checksum, applied_at), under an advisory lock: any number of processes
 * may migrate at the same time, and again.
 *
 *   check:    connecting ─► listing ─► done
 *   migrate:  connecting ─► locking ─► listing ─► (creating) ─► applying … ─► done
 *
 * A lost connection begins again: what was committed is then found listed.
 */
#ifndef SCHEMA_H
#define SCHEMA_H

#include "loop.h"
#include <stdbool.h>
#include <stdint.h>

/* A numbered file: sql/002-sensors.sql is {2, "sensors", "CREATE TABLE …"}. */
struct schema_file {
	int number;
	const char *name;
	const char *text;
};

/* What was built in, in ascending order; ends with number 0.  Made by t/support/embed-sql. */
extern const struct schema_file schema_files[];

enum schema_state {
	SCHEMA_CURRENT,
	SCHEMA_TOO_OLD, /* migrate */
	SCHEMA_TOO_NEW, /* the database was migrated by a later cqrsd */
	SCHEMA_CHANGED, /* a file was changed after it was applied */
	SCHEMA_FAILED,  /* PostgreSQL refused: rights, or a mistake in a file */
	SCHEMA_AWAY,    /* no connection within the time given */
};

struct schema_outcome {
	enum schema_state state;
	int version;       /* of the database; 0: it has none */
	int applied;       /* how many files were applied by this run */
	char message[768]; /* one sentence, with what to do unless it is current */
};

struct schema;

/* Called once, from the event loop; the schema may be freed from inside. */
typedef void schema_done_fn(void *owner, const struct schema_outcome *outcome);

/*
 * `dsn` and `files` (schema_files) are borrowed, `network_timeout_us` is as in
 * pg_conn_config.  `patience_us` is how long a
 * server may be away before the outcome is SCHEMA_AWAY; 0: for ever.
 */
struct schema *schema_new(struct loop *loop, const char *dsn, int64_t network_timeout_us,
                          const struct schema_file *files, int64_t patience_us);
/* Before done(): it is not called any more, and what is not committed is rolled back. */
void schema_free(struct schema *schema);

/* Looks, changes nothing. */
void schema_check(struct schema *schema, schema_done_fn *done, void *owner);
/* Applies what is missing. */
void schema_migrate(struct schema *schema, schema_done_fn *done, void *owner);

#endif
