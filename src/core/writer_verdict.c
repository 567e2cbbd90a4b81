/* SPDX-License-Identifier: MIT */
/* What an SQLSTATE means for the batch at hand (PostgreSQL manual, appendix A). */
#include "pg_writer_internal.h"

#include <string.h>

static const struct {
	const char *prefix; /* the longest that fits decides */
	enum verdict verdict;
} rules[] = {
    {"", VERDICT_DATA}, /* none of PostgreSQL's own classes: a trigger raised it */
    {FENCE_LOST, VERDICT_FENCED},
    {"0", VERDICT_SCHEMA},     /* feature not supported, and other mistakes of a statement */
    {"08", VERDICT_TRANSIENT}, /* connection exception */
    {"08P01", VERDICT_FORMAT}, /* protocol violation: a value has too few bytes for its column */
    {"2", VERDICT_SCHEMA},     /* cardinality, cursors, roles, routines */
    {"22", VERDICT_DATA},      /* data exception */
    {"22P03", VERDICT_FORMAT}, /* invalid binary representation: or too many */
    {"23", VERDICT_DATA},      /* integrity constraint violation */
    {"23505", VERDICT_DUPLICATE},
    {"25", VERDICT_TRANSIENT},    /* transaction state */
    {"25006", VERDICT_ELSEWHERE}, /* read-only: after a failover */
    {"26", VERDICT_TRANSIENT},    /* invalid statement name: prepared again next time */
    {"28", VERDICT_TRANSIENT},    /* authorization: a password being changed */
    {"2D", VERDICT_TRANSIENT},    /* transaction termination */
    {"3", VERDICT_SCHEMA},        /* invalid catalog or schema name, routines */
    {"40", VERDICT_TRANSIENT},    /* serialization failure, deadlock */
    {"42", VERDICT_SCHEMA},       /* syntax error or access rule violation */
    {"44", VERDICT_DATA},         /* WITH CHECK OPTION violation */
    {"5", VERDICT_TRANSIENT},     /* resources, object state, intervention, system */
    {"53200", VERDICT_TOO_BIG},   /* out of memory, also of locks */
    {"54", VERDICT_TOO_BIG},      /* program limit exceeded */
    {"57014", VERDICT_TOO_BIG},   /* statement_timeout */
    {"7", VERDICT_TRANSIENT},     /* snapshot too old */
    {"F0", VERDICT_TRANSIENT},    /* configuration file */
    {"HV", VERDICT_SCHEMA},       /* foreign data */
    {"P0", VERDICT_SCHEMA},       /* PL/pgSQL */
    {"P0001", VERDICT_DATA},      /* RAISE: a trigger said no */
    {"XX", VERDICT_TRANSIENT},    /* internal error */
};

enum verdict writer_verdict(const char *sqlstate)
{
	enum verdict verdict = VERDICT_TRANSIENT;
	size_t best = 0;
	/* Nothing was said: the connection has a problem, not the data. */
	if (!*sqlstate)
		return verdict;
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		size_t len = strlen(rules[i].prefix);
		if (len >= best && !strncmp(sqlstate, rules[i].prefix, len)) {
			best = len;
			verdict = rules[i].verdict;
		}
	}
	return verdict;
}
