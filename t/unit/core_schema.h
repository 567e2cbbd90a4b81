/* SPDX-License-Identifier: MIT */
/* The schema cqrs in the throw-away server, as all migrations of the core make it. */
#ifndef CORE_SCHEMA_H
#define CORE_SCHEMA_H

#include "pg_server.h"
#include "schema.h"

/* Into a schema cqrs that is there and empty. */
static inline void core_schema(PGconn *pg)
{
	for (const struct schema_file *file = schema_files; file->number; file++) {
		if (!strncmp(file->name, "sensors", 7) || !strncmp(file->name, "products", 8))
			continue;
		PGresult *made = PQexec(pg, file->text);
		if (PQresultStatus(made) != PGRES_COMMAND_OK &&
		    PQresultStatus(made) != PGRES_TUPLES_OK)
			pg_server_die(PQerrorMessage(pg));
		PQclear(made);
	}
}

#endif
