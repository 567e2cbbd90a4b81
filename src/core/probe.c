/* SPDX-License-Identifier: MIT */
/* Is everything there that the daemon would need? */
#include "probe.h"

#include "container.h"
#include "kafka_sink.h"
#include "pg_conn.h"
#include "schema.h"

#include <stdlib.h>
#include <string.h>

#define PATIENCE_US 5000000
#define QUEUE_BYTES 1048576

struct probe {
	const struct config *config;
	const struct probe_plan *plan;
	struct buf *found, *problems;
	struct loop *loop;
	struct schema_outcome schema;
	/* the tables */
	struct pg_request request;
	struct timer *timer;
	struct buf sql;
	bool is_asked;
	int missing;
};

/* ---- Kafka ---- */

static void probe_kafka(struct probe *probe)
{
	const struct core_options *core = &probe->config->core;
	const struct kafka_sink_config config = {.brokers = core->kafka.brokers,
	                                         .queue_bytes = QUEUE_BYTES,
	                                         .delivery_timeout_us = PATIENCE_US,
	                                         .properties = core->kafka.properties};
	if (!strcmp(core->kafka.brokers, "embedded"))
		buf_puts(probe->found, "kafka: embedded, nothing to reach\n");
	else if (kafka_sink_probe(&config, probe->plan->topics, probe->plan->n_topics, PATIENCE_US,
	                          probe->problems))
		buf_printf(probe->found, "kafka: %s can be reached, %d topics are there\n",
		           core->kafka.brokers, probe->plan->n_topics);
}

/* ---- the schema ---- */

static void on_checked(void *owner, const struct schema_outcome *outcome)
{
	struct probe *probe = owner;
	probe->schema = *outcome;
	loop_stop(probe->loop);
}

static bool probe_schema(struct probe *probe, const char *what, const char *dsn)
{
	struct schema *schema =
	    schema_new(probe->loop, dsn, PATIENCE_US, schema_files, PATIENCE_US);
	if (!schema) {
		buf_puts(probe->problems, "out of memory\n");
		return false;
	}
	schema_check(schema, on_checked, probe);
	loop_run(probe->loop);
	schema_free(schema);
	bool fine = probe->schema.state == SCHEMA_CURRENT;
	buf_printf(fine ? probe->found : probe->problems, "%s: %s\n", what, probe->schema.message);
	return fine;
}

/* ---- tables and rights ---- */

static void add_need(struct buf *sql, const char *table, const char *column, const char *right)
{
	char *identifier = pg_quote_identifier(table);
	char *quoted = identifier ? pg_quote_literal(identifier) : NULL;
	char *name = pg_quote_literal(table);
	char *part = pg_quote_literal(column);
	if (name && part && quoted)
		buf_printf(sql, "%s(%s, to_regclass(%s), %s, '%s')", sql->len ? ", " : "", name,
		           quoted, part, right);
	else
		sql->failed = true;
	free(identifier);
	free(quoted);
	free(name);
	free(part);
}

static void add_table(struct buf *needs, const struct cqrs_table_def *table)
{
	for (const struct cqrs_column *column = table->columns; column->name; column++)
		add_need(needs, table->name, column->name, "INSERT");
	if (table->on_duplicate == CQRS_DUPLICATE_UPDATE)
		add_need(needs, table->name, "", "UPDATE");
}

/* What is needed, as VALUES, and which of it is not there. */
static void write_sql(struct probe *probe)
{
	static const char *const core[][2] = {
	    {"cqrs.offsets", "SELECT"},      {"cqrs.offsets", "INSERT"}, {"cqrs.offsets", "UPDATE"},
	    {"cqrs.dead_letters", "INSERT"}, {"cqrs.outbox", "SELECT"},  {"cqrs.outbox", "INSERT"},
	    {"cqrs.outbox", "DELETE"},
	};
	struct buf needs = BUF_INIT;
	for (size_t i = 0; i < sizeof core / sizeof core[0]; i++)
		add_need(&needs, core[i][0], "", core[i][1]);
	for (int i = 0; i < probe->plan->n_tables; i++)
		add_table(&needs, probe->plan->tables[i]);
	/* CASE, because only it promises that the right is not asked of what is not there. */
	buf_printf(
	    &probe->sql,
	    "SELECT DISTINCT name, problem FROM (SELECT name, CASE"
	    " WHEN class IS NULL THEN 'does not exist: run `cqrsd migrate`, or "
	    "make it if it is your own'"
	    " WHEN part <> '' AND NOT EXISTS (SELECT FROM pg_attribute"
	    " WHERE attrelid = class AND attname = part AND NOT attisdropped)"
	    " THEN 'has no column ' || part"
	    " WHEN NOT has_table_privilege(class, needed)"
	    " THEN 'may not be used by ' || current_user || ': GRANT ' || needed || ' ON ' || "
	    "class || ' TO ' || quote_ident(current_user)"
	    " END AS problem FROM (VALUES %s) AS need(name, class, part, needed)) AS checked"
	    " WHERE problem IS NOT NULL ORDER BY 1, 2",
	    buf_str(&needs));
	probe->sql.failed |= needs.failed;
	buf_release(&needs);
}

static struct probe *of_request(struct pg_request *request)
{
	return container_of(request, struct probe, request);
}

static void on_problems(struct pg_request *request, const PGresult *result)
{
	struct probe *probe = of_request(request);
	for (int i = 0; i < PQntuples(result); i++)
		buf_printf(probe->problems, "postgres: table %s %s\n", PQgetvalue(result, i, 0),
		           PQgetvalue(result, i, 1));
	probe->missing += PQntuples(result);
}

static void on_asked(struct pg_request *request, enum pg_outcome outcome,
                     const struct pg_error *error)
{
	struct probe *probe = of_request(request);
	if (outcome != PG_DONE)
		buf_printf(probe->problems, "postgres: the tables cannot be looked at: %s\n",
		           error->message);
	else if (!probe->missing)
		buf_puts(probe->found, "postgres: the tables and the rights on them are there\n");
	probe->is_asked = true;
	loop_stop(probe->loop);
}

static void on_ready(void *owner, struct pg_conn *conn)
{
	struct probe *probe = owner;
	if (probe->is_asked)
		return;
	probe->request = (struct pg_request){.sql = buf_str(&probe->sql),
	                                     .n_params = -1,
	                                     .on_result = on_problems,
	                                     .done = on_asked};
	if (!probe->sql.failed) {
		pg_conn_send(conn, &probe->request);
		return;
	}
	buf_puts(probe->problems, "postgres: no memory to look at the tables\n");
	probe->is_asked = true;
	loop_stop(probe->loop);
}

static void on_late(void *arg)
{
	struct probe *probe = arg;
	buf_puts(probe->problems, "postgres: no answer in time\n");
	probe->is_asked = true;
	loop_stop(probe->loop);
}

static void probe_tables(struct probe *probe)
{
	static const struct pg_conn_events events = {.on_ready = on_ready};
	const struct pg_conn_config config = {.name = "postgres probe",
	                                      .dsn = probe->config->core.postgres.dsn,
	                                      .network_timeout_us = PATIENCE_US,
	                                      .max_statements = 1};
	struct pg_conn *conn = pg_conn_new(probe->loop, &config, &events, probe);
	probe->timer = timer_new(probe->loop, on_late, probe);
	write_sql(probe);
	if (conn && probe->timer && !probe->sql.failed) {
		timer_arm(probe->timer, PATIENCE_US);
		pg_conn_start(conn);
		loop_run(probe->loop);
	} else {
		buf_puts(probe->problems, "out of memory\n");
	}
	pg_conn_free(conn);
	timer_free(probe->timer);
	buf_release(&probe->sql);
}

/* What writes: Kafka, the schema, the tables and the rights on them. */
static enum schema_state probe_writer(struct probe *probe)
{
	probe_kafka(probe);
	if (probe_schema(probe, "postgres", probe->config->core.postgres.dsn))
		probe_tables(probe);
	return probe->schema.state;
}

int probe_run(const struct config *config, const struct probe_plan *plan, struct buf *found,
              struct buf *problems)
{
	struct probe probe = {.config = config, .plan = plan, .found = found, .problems = problems};
	const char *dsn = config->core.postgres.dsn, *read_dsn = config->core.postgres.read.dsn;
	size_t before = problems->len;
	enum schema_state state = SCHEMA_CURRENT;
	probe.loop = loop_new();
	if (!probe.loop) {
		buf_puts(problems, "out of memory\n");
		return EXIT_CODE_FAILED;
	}
	/* A reader needs neither Kafka nor the primary. */
	if (config->n_commands)
		state = probe_writer(&probe);
	if (!config->n_commands || (*read_dsn && strcmp(read_dsn, dsn) != 0))
		probe_schema(&probe, "postgres read", *read_dsn ? read_dsn : dsn);
	if (state == SCHEMA_CURRENT)
		state = probe.schema.state;
	loop_free(probe.loop);
	if (state == SCHEMA_TOO_OLD || state == SCHEMA_TOO_NEW || state == SCHEMA_CHANGED)
		return EXIT_CODE_SCHEMA;
	return problems->len == before ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}
