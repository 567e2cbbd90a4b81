/* SPDX-License-Identifier: MIT */
/*
 * A PostgreSQL of a few tables, which speaks as much SQL as the write path does.
 *
 *   pg_conn (of a member) ─► packets ─► session ─► statements ─► transaction
 *        ▲                                 │
 *        └────────────── answers ◄─────────┘
 *
 * A session goes on when its client is gone: with what had arrived, and as
 * long as it takes the server to notice.  A statement that no table of
 * sim_sql.c knows ends the run, so that a change of the SQL is noticed.
 */
#ifndef SIM_PG_H
#define SIM_PG_H

#include "pg_conn.h"
#include "sim.h"

/* The tables with columns (k bigint, element bigint, bad integer); CHECK (bad = 0). */
enum sim_table {
	SIM_FACTS,     /* no key */
	SIM_KEYED,     /* key k, the first stands */
	SIM_LATEST,    /* key k, the last stands */
	SIM_SINGLE,    /* key k, the second is refused */
	SIM_CHILDREN,  /* k is a foreign key of parents(id) */
	SIM_REFERRING, /* the same, and the module has declared it */
	SIM_TABLES
};
extern const char *const sim_table_names[SIM_TABLES];

/* The modules' statements, with bound parameters. */
extern const char sim_sql_ensure[], sim_sql_insert[], sim_sql_count[];
/* How the statement begins that asks for decisions. */
#define SIM_SQL_DECIDE "SELECT (r).status, (r).reason, (r).body FROM ("

void sim_server_init(struct sim *sim);
void sim_server_free(struct sim *sim);
/* All sessions end, and nobody may connect for a while. */
void sim_server_restart(struct sim *sim);
/* The element whose row has this key; 0: there is none. */
int64_t sim_server_find(struct sim *sim, enum sim_table table, int64_t key);
/* Sessions that there are: none in the end. */
int sim_server_sessions(const struct sim *sim);

#endif
