/* SPDX-License-Identifier: MIT */
/* libpq, failing as its manual says of each function. */
#include "injection.h"

#include <libpq-fe.h>

INJECT(PGconn *, PQconnectStartParams,
       (const char *const *names, const char *const *values, int expand_dbname),
       (names, values, expand_dbname), NULL)
INJECT(PostgresPollingStatusType, PQconnectPoll, (PGconn * conn), (conn), PGRES_POLLING_FAILED)
INJECT(int, PQsocket, (const PGconn *conn), (conn), -1)
INJECT(int, PQsetnonblocking, (PGconn * conn, int nonblocking), (conn, nonblocking), -1)
INJECT(int, PQconsumeInput, (PGconn * conn), (conn), 0)
INJECT(int, PQflush, (PGconn * conn), (conn), -1)

/* "If errmsg is not NULL … set to NULL" says: no memory even for the message. */
PQconninfoOption *injected_PQconninfoParse(const char *conninfo, char **error);
PQconninfoOption *injected_PQconninfoParse(const char *conninfo, char **error)
{
	if (!injection_fails("PQconninfoParse"))
		return PQconninfoParse(conninfo, error);
	if (error)
		*error = NULL;
	return NULL;
}

/* ---- asking ---- */

INJECT(int, PQsendQuery, (PGconn * conn, const char *sql), (conn, sql), 0)
INJECT(int, PQsendPrepare,
       (PGconn * conn, const char *name, const char *sql, int n, const Oid *types),
       (conn, name, sql, n, types), 0)
INJECT(int, PQsendQueryParams,
       (PGconn * conn, const char *sql, int n, const Oid *types, const char *const *values,
        const int *lengths, const int *formats, int format),
       (conn, sql, n, types, values, lengths, formats, format), 0)
INJECT(int, PQsendQueryPrepared,
       (PGconn * conn, const char *name, int n, const char *const *values, const int *lengths,
        const int *formats, int format),
       (conn, name, n, values, lengths, formats, format), 0)
INJECT(int, PQsetSingleRowMode, (PGconn * conn), (conn), 0)
INJECT(int, PQenterPipelineMode, (PGconn * conn), (conn), 0)
INJECT(int, PQexitPipelineMode, (PGconn * conn), (conn), 0)
INJECT(int, PQpipelineSync, (PGconn * conn), (conn), 0)
INJECT(int, PQputCopyData, (PGconn * conn, const char *data, int len), (conn, data, len), -1)
INJECT(int, PQputCopyEnd, (PGconn * conn, const char *error), (conn, error), -1)
INJECT(int, PQgetCopyData, (PGconn * conn, char **data, int async), (conn, data, async), -2)

/* ---- answers ---- */

/*
 * Without memory for an answer libpq reads over it and gives one that says so.  The end of a COPY's
 * beginning, of a pipeline's part and of all answers are no answers.
 */
PGresult *injected_PQgetResult(PGconn *conn);
PGresult *injected_PQgetResult(PGconn *conn)
{
	PGresult *result = PQgetResult(conn);
	ExecStatusType status = PQresultStatus(result);
	bool can_fail = result && status != PGRES_PIPELINE_SYNC && status != PGRES_COPY_IN &&
	                status != PGRES_COPY_OUT;
	if (!injection_decides("PQgetResult", __builtin_return_address(0), can_fail))
		return result;
	PQclear(result);
	return PQmakeEmptyPGresult(conn, PGRES_FATAL_ERROR);
}

INJECT(PGresult *, PQcopyResult, (const PGresult *result, int flags), (result, flags), NULL)
