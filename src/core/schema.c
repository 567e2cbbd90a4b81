/* SPDX-License-Identifier: MIT */
/* Compares the database's schema with the built-in files, and applies what is missing. */
#include "schema.h"

#include "buf.h"
#include "container.h"
#include "log.h"
#include "pg_conn.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Any two numbers would do; these are "cqrs" in ASCII, and the first lock of it. */
#define LOCK_SQL "SELECT pg_advisory_lock(1668379251, 1)"
#define LIST_SQL "SELECT version, name, checksum FROM cqrs.schema_migrations ORDER BY version"
#define CREATE_SQL                                            \
	"CREATE SCHEMA IF NOT EXISTS cqrs;"                   \
	"CREATE TABLE IF NOT EXISTS cqrs.schema_migrations (" \
	"	version int PRIMARY KEY,"                           \
	"	name text NOT NULL,"                                \
	"	checksum text NOT NULL,"                            \
	"	applied_at timestamptz NOT NULL DEFAULT now())"
/* An index on a large table takes its time: no timeout of a role may cut it short. */
#define SETUP_SQL "SET client_min_messages = warning; SET statement_timeout = 0"

#define ANSWER_US 30000000 /* to what needs neither a lock nor time */

enum step { CONNECTING, LOCKING, LISTING, CREATING, APPLYING, DONE };

struct schema {
	struct loop *loop;
	const struct schema_file *files;
	int n_files;
	int64_t patience_us;
	struct pg_conn_config config;
	struct pg_conn *conn;
	struct pg_request request;
	struct timer *timer; /* patience; then the call of done() */
	enum step step;
	bool migrate;
	bool *is_applied; /* one for each file */
	int next;         /* the file being applied */
	bool has_table;
	struct buf sql;
	struct schema_outcome outcome;
	schema_done_fn *done;
	void *owner;
};

static void continue_with(struct schema *schema, enum step step);

/* FNV-1a: it has to notice an edit, not an attack. */
static void checksum(const char *text, char sum[17])
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	snprintf(sum, 17, "%016" PRIx64, hash);
}

__attribute__((format(printf, 3, 4))) static void conclude(struct schema *schema,
                                                           enum schema_state state, const char *fmt,
                                                           ...)
{
	va_list ap;
	if (schema->step == DONE)
		return;
	schema->step = DONE;
	schema->outcome.state = state;
	va_start(ap, fmt);
	vsnprintf(schema->outcome.message, sizeof schema->outcome.message, fmt, ap);
	va_end(ap);
	/* In a turn of its own: done() may free us, and the connection is calling us. */
	timer_arm(schema->timer, 0);
}

static int find_file(const struct schema *schema, int number)
{
	for (int i = 0; i < schema->n_files; i++)
		if (schema->files[i].number == number)
			return i;
	return -1;
}

static void on_listed_row(struct schema *schema, int version, const char *name, const char *sum)
{
	char ours[17];
	int i = find_file(schema, version);
	schema->outcome.version = version;
	if (i < 0) {
		conclude(schema, SCHEMA_TOO_NEW,
		         "the schema has migration %03d-%s, which this cqrsd does not know (its "
		         "last is %03d): install the cqrsd that the database was migrated with",
		         version, name,
		         schema->n_files ? schema->files[schema->n_files - 1].number : 0);
		return;
	}
	checksum(schema->files[i].text, ours);
	if (strcmp(sum, ours) != 0) {
		conclude(schema, SCHEMA_CHANGED,
		         "migration %03d-%s was changed after it was applied (checksum %s, here "
		         "%s): restore sql/%03d-%s.sql, a change of the schema is a new file",
		         version, name, sum, ours, version, schema->files[i].name);
		return;
	}
	schema->is_applied[i] = true;
}

static void on_result(struct pg_request *request, const PGresult *result)
{
	struct schema *schema = container_of(request, struct schema, request);
	if (schema->step != LISTING)
		return;
	for (int row = 0; row < PQntuples(result); row++)
		on_listed_row(schema, atoi(PQgetvalue(result, row, 0)), PQgetvalue(result, row, 1),
		              PQgetvalue(result, row, 2));
}

static int count_missing(const struct schema *schema)
{
	int missing = 0;
	for (int i = 0; i < schema->n_files; i++)
		missing += !schema->is_applied[i];
	return missing;
}

static void judge(struct schema *schema)
{
	int missing = count_missing(schema);
	if (!missing)
		conclude(schema, SCHEMA_CURRENT, "the schema is current, at %03d",
		         schema->outcome.version);
	else if (!schema->has_table)
		conclude(schema, SCHEMA_TOO_OLD,
		         "the database has no schema yet: run `cqrsd migrate`, or set "
		         "postgres.migrate: auto");
	else
		conclude(schema, SCHEMA_TOO_OLD,
		         "the schema is too old (it is at %03d, %d of %d migrations are missing): "
		         "run `cqrsd migrate`, or set postgres.migrate: auto",
		         schema->outcome.version, missing, schema->n_files);
}

static void apply_next(struct schema *schema)
{
	while (schema->next < schema->n_files && schema->is_applied[schema->next])
		schema->next++;
	if (schema->next == schema->n_files)
		judge(schema);
	else
		continue_with(schema, APPLYING);
}

static void on_applied(struct schema *schema)
{
	const struct schema_file *file = &schema->files[schema->next];
	log_info("schema: migration %03d-%s applied", file->number, file->name);
	schema->is_applied[schema->next] = true;
	schema->outcome.applied++;
	if (file->number > schema->outcome.version)
		schema->outcome.version = file->number;
	apply_next(schema);
}

static void on_step_done(struct schema *schema)
{
	switch (schema->step) {
	case LOCKING:
		continue_with(schema, LISTING);
		break;
	case LISTING:
		schema->has_table = true;
		if (schema->migrate)
			apply_next(schema);
		else
			judge(schema);
		break;
	case CREATING:
		schema->has_table = true;
		apply_next(schema);
		break;
	case APPLYING:
		on_applied(schema);
		break;
	case CONNECTING:
	case DONE:
		break;
	}
}

static void on_refused(struct schema *schema, const struct pg_error *error)
{
	/* undefined_table, invalid_schema_name: a new database. */
	bool is_new = !strcmp(error->sqlstate, "42P01") || !strcmp(error->sqlstate, "3F000");
	if (schema->step == LISTING && is_new && schema->migrate)
		continue_with(schema, CREATING);
	else if (schema->step == LISTING && is_new)
		judge(schema);
	else if (schema->step == APPLYING)
		conclude(schema, SCHEMA_FAILED, "migration %03d-%s was refused: %s (SQLSTATE %s)",
		         schema->files[schema->next].number, schema->files[schema->next].name,
		         error->message, error->sqlstate);
	else
		conclude(
		    schema, SCHEMA_FAILED, "cqrs.schema_migrations cannot be %s: %s (SQLSTATE %s)",
		    schema->step == CREATING ? "made" : "read", error->message, error->sqlstate);
}

static void on_request_done(struct pg_request *request, enum pg_outcome outcome,
                            const struct pg_error *error)
{
	struct schema *schema = container_of(request, struct schema, request);
	if (schema->step == DONE)
		return;
	if (outcome == PG_DONE)
		on_step_done(schema);
	else if (outcome == PG_REFUSED)
		on_refused(schema, error);
	else
		schema->step = CONNECTING; /* on_ready() begins again */
}

/* A simple Query is one transaction, however many statements it has (manual, 55.2.2.1).  NULL: no
 * memory. */
static const char *apply_sql(struct schema *schema)
{
	const struct schema_file *file = &schema->files[schema->next];
	char sum[17];
	checksum(file->text, sum);
	buf_clear(&schema->sql);
	buf_printf(&schema->sql,
	           "%s\n;INSERT INTO cqrs.schema_migrations (version, name, checksum) "
	           "VALUES (%d, '%s', '%s')",
	           file->text, file->number, file->name, sum);
	const char *sql = buf_str(&schema->sql);
	return schema->sql.failed ? NULL : sql;
}

static void continue_with(struct schema *schema, enum step step)
{
	schema->step = step;
	schema->request = (struct pg_request){
	    .sql = step == LOCKING    ? LOCK_SQL
	           : step == LISTING  ? LIST_SQL
	           : step == CREATING ? CREATE_SQL
	                              : apply_sql(schema),
	    .n_params = -1,
	    .unhurried = step == LOCKING || step == APPLYING,
	    .on_result = on_result,
	    .done = on_request_done,
	};
	if (!schema->request.sql)
		conclude(schema, SCHEMA_FAILED, "out of memory for migration %03d",
		         schema->files[schema->next].number);
	else if (!pg_conn_send(schema->conn, &schema->request))
		schema->step = CONNECTING;
}

static void on_ready(void *owner, struct pg_conn *conn)
{
	struct schema *schema = owner;
	(void)conn;
	if (schema->step != CONNECTING)
		return;
	timer_disarm(schema->timer);
	schema->outcome.version = 0;
	schema->next = 0;
	schema->has_table = false;
	memset(schema->is_applied, 0, (size_t)schema->n_files * sizeof(bool));
	continue_with(schema, schema->migrate ? LOCKING : LISTING);
}

static void on_lost(void *owner, struct pg_conn *conn, const struct pg_error *error)
{
	struct schema *schema = owner;
	(void)conn;
	if (schema->step == DONE)
		return;
	if (error)
		snprintf(schema->outcome.message, sizeof schema->outcome.message, "%s",
		         error->message);
	if (schema->patience_us && !timer_is_armed(schema->timer))
		timer_arm(schema->timer, schema->patience_us);
}

static void on_timer(void *arg)
{
	struct schema *schema = arg;
	if (schema->step != DONE) {
		char why[256];
		snprintf(why, sizeof why, "%.255s", schema->outcome.message);
		conclude(schema, SCHEMA_AWAY, "postgres cannot be reached: %s",
		         *why ? why : "no answer in time");
		return;
	}
	/* Gives the lock back as well. */
	pg_conn_free(schema->conn);
	schema->conn = NULL;
	/* Ours may be freed from inside. */
	struct schema_outcome outcome = schema->outcome;
	schema->done(schema->owner, &outcome);
}

struct schema *schema_new(struct loop *loop, const char *dsn, int64_t network_timeout_us,
                          const struct schema_file *files, int64_t patience_us)
{
	static const struct pg_conn_events events = {.on_ready = on_ready, .on_lost = on_lost};
	struct schema *schema = calloc(1, sizeof *schema);
	if (!schema)
		return NULL;
	schema->loop = loop;
	schema->files = files;
	schema->patience_us = patience_us;
	schema->config = (struct pg_conn_config){.name = "postgres schema",
	                                         .dsn = dsn,
	                                         .setup = SETUP_SQL,
	                                         .network_timeout_us = network_timeout_us,
	                                         .statement_timeout_us = ANSWER_US,
	                                         .max_statements = 1};
	while (files[schema->n_files].number)
		schema->n_files++;
	schema->is_applied = calloc((size_t)schema->n_files + 1, sizeof(bool));
	schema->timer = timer_new(loop, on_timer, schema);
	schema->conn = pg_conn_new(loop, &schema->config, &events, schema);
	if (schema->is_applied && schema->timer && schema->conn)
		return schema;
	schema_free(schema);
	return NULL;
}

void schema_free(struct schema *schema)
{
	if (!schema)
		return;
	/* Open requests end inside pg_conn_free(): they must not go on from there. */
	schema->step = DONE;
	pg_conn_free(schema->conn);
	timer_free(schema->timer);
	buf_release(&schema->sql);
	free(schema->is_applied);
	free(schema);
}

static void begin(struct schema *schema, bool migrate, schema_done_fn *done, void *owner)
{
	schema->migrate = migrate;
	schema->config.writes = migrate;
	schema->done = done;
	schema->owner = owner;
	if (schema->patience_us)
		timer_arm(schema->timer, schema->patience_us);
	pg_conn_start(schema->conn);
}

void schema_check(struct schema *schema, schema_done_fn *done, void *owner)
{
	begin(schema, false, done, owner);
}

void schema_migrate(struct schema *schema, schema_done_fn *done, void *owner)
{
	begin(schema, true, done, owner);
}
