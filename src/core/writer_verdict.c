/* SPDX-License-Identifier: MIT */
/* What an SQLSTATE means for the batch at hand (PostgreSQL manual, appendix A). */
#include "offsets.h"
#include "pg_writer_internal.h"

#include <string.h>

static const struct {
	const char *prefix; /* the longest that fits decides */
	enum verdict verdict;
} rules[] = {
    {OFFSETS_FENCE, VERDICT_FENCED},
    {"22", VERDICT_DATA},        /* data exception */
    {"23", VERDICT_DATA},        /* integrity constraint violation */
    {"23505", VERDICT_DUPLICATE},
    {"44", VERDICT_DATA},        /* WITH CHECK OPTION violation */
    {"P0001", VERDICT_DATA},     /* a trigger said no */
    {"53200", VERDICT_TOO_BIG},  /* out of memory, also of locks */
    {"54", VERDICT_TOO_BIG},     /* program limit exceeded */
    {"57014", VERDICT_TOO_BIG},  /* statement_timeout */
    {"0A", VERDICT_SCHEMA},      /* feature not supported */
    {"21", VERDICT_SCHEMA},      /* cardinality violation */
    {"25006", VERDICT_TRANSIENT}, /* read-only: after a failover */
    {"26", VERDICT_TRANSIENT},   /* invalid SQL statement name: prepared again next time */
    {"3", VERDICT_SCHEMA},       /* invalid catalog or schema name */
    {"42", VERDICT_SCHEMA},      /* syntax error or access rule violation */
    {"P0", VERDICT_SCHEMA},
};

enum verdict writer_verdict(const char *sqlstate)
{
	enum verdict verdict = VERDICT_TRANSIENT;
	size_t best = 0;
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		size_t len = strlen(rules[i].prefix);
		if (len > best && !strncmp(sqlstate, rules[i].prefix, len)) {
			best = len;
			verdict = rules[i].verdict;
		}
	}
	return verdict;
}
