/* SPDX-License-Identifier: MIT */
/* Migrations: in the end the schema is current, each file applied once; or it is said why not. */
#include "injection.h"

#include "../unit/pg_server.h"
#include "schema.h"
#include "turn.h"

#include <string.h>

static const struct schema_file files[] = {
    {1, "first", "CREATE TABLE one (i int); INSERT INTO one VALUES (1);"},
    {2, "second", "CREATE TABLE two (i int) -- no semicolon"},
    {0, NULL, NULL},
};

struct migration {
	struct loop *loop;
	struct schema *schema;
	enum schema_state state;
	int applied;
	bool is_done;
};

static void on_done(void *owner, const struct schema_outcome *outcome)
{
	struct migration *m = owner;
	MUST(*outcome->message);
	m->state = outcome->state;
	m->applied = outcome->applied;
	m->is_done = true;
}

static bool is_done(void *arg)
{
	return ((struct migration *)arg)->is_done;
}

/* False: it was not begun, or said to have failed. */
static bool run(bool migrate, int *applied)
{
	struct migration m = {.loop = loop_new()};
	if (m.loop)
		m.schema = schema_new(m.loop, pg_server_dsn, 3000000, files, 10000000);
	if (m.schema) {
		if (migrate)
			schema_migrate(m.schema, on_done, &m);
		else
			schema_check(m.schema, on_done, &m);
		must_happen(m.loop, is_done, &m);
	}
	schema_free(m.schema);
	loop_free(m.loop);
	*applied += m.applied;
	return m.is_done && m.state == SCHEMA_CURRENT;
}

static void must_be(const char *sql, long expected)
{
	MUST(pg_server_number(sql) == expected);
}

static bool migrates(void)
{
	int applied = 0;
	pg_server_exec("SET client_min_messages = error; DROP SCHEMA IF EXISTS cqrs CASCADE;"
	               "DROP TABLE IF EXISTS one, two");
	bool ok = run(true, &applied);
	ok = run(false, &applied) && ok;
	injection_end();
	MUST(run(true, &applied) && run(false, &applied));
	/* Of one whose COMMIT was not heard of it is not known that it was we who applied it. */
	MUST(applied <= 2);
	must_be("SELECT count(*) FROM one", 1);
	must_be("SELECT count(*) FROM two", 0);
	must_be("SELECT count(*) FROM cqrs.schema_migrations", 2);
	return ok;
}

static void start(void)
{
	pg_server_start("inject_schema");
}

static const struct injection_scenario scenarios[] = {
    {.name = "migrates", .run = migrates, .every = 7},
    {.name = NULL},
};

const struct injection injection = {
    .name = "schema", .scenarios = scenarios, .start = start, .stop = pg_server_stop};
