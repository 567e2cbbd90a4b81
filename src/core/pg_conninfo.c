/* SPDX-License-Identifier: MIT */
/* The parameters a connection is opened with: those of the dsn, and some of our own. */
#include "pg_conn_private.h"

#include <stdlib.h>
#include <string.h>

#define KEYWORDS_MAX 80

struct keywords {
	const char *names[KEYWORDS_MAX];
	const char *values[KEYWORDS_MAX];
	int n;
};

static void set(struct keywords *k, const char *name, const char *value)
{
	/* libpq lets the last one win. */
	if (k->n + 1 < KEYWORDS_MAX) {
		k->names[k->n] = name;
		k->values[k->n++] = value;
	}
}

static const char *dsn_value(const PQconninfoOption *dsn, const char *name, const char *environment)
{
	for (; dsn->keyword; dsn++)
		if (strcmp(dsn->keyword, name) == 0 && dsn->val && *dsn->val)
			return dsn->val;
	return getenv(environment);
}

/* A dead peer is noticed within a minute, even by a connection that only waits. */
static void set_defaults(struct keywords *k)
{
	set(k, "fallback_application_name", "cqrsd");
	set(k, "keepalives_idle", "30");
	set(k, "keepalives_interval", "10");
	set(k, "keepalives_count", "3");
	set(k, "tcp_user_timeout", "30000");
}

static PGconn *start(const PQconninfoOption *dsn, const struct pg_hosts *hosts)
{
	struct keywords k = {.n = 0};
	set_defaults(&k);
	for (; dsn->keyword; dsn++)
		if (dsn->val)
			set(&k, dsn->keyword, dsn->val);
	if (hosts) {
		set(&k, "host", hosts->host);
		set(&k, "hostaddr", hosts->hostaddr);
		set(&k, "port", hosts->port);
	}
	set(&k, "client_encoding", "UTF8");
	return PQconnectStartParams(k.names, k.values, 0);
}

/* libpq quotes what it does not understand, be it half of a password. */
static const char *why_malformed(const char *text, const char *why)
{
	if (strstr(text, "pass") || strstr(text, "://"))
		return "the dsn is malformed (where is not shown: it may hold a password)";
	return why ? why : "out of memory";
}

PGconn *pg_conninfo_open(const char *text, const struct pg_hosts *hosts, struct pg_error *error)
{
	char *why = NULL;
	PQconninfoOption *dsn = PQconninfoParse(text, &why);
	if (!dsn) {
		pg_error_from_text(error, "%s", why_malformed(text, why));
		PQfreemem(why);
		return NULL;
	}
	PGconn *pg = start(dsn, hosts);
	PQconninfoFree(dsn);
	if (pg && PQstatus(pg) != CONNECTION_BAD)
		return pg;
	pg_error_from_text(error, "%s", pg ? PQerrorMessage(pg) : "out of memory");
	PQfinish(pg);
	return NULL;
}

bool pg_conninfo_names(const char *text, char **host, char **port)
{
	PQconninfoOption *dsn = PQconninfoParse(text, NULL);
	if (!dsn)
		return false;
	const char *h = dsn_value(dsn, "host", "PGHOST"), *p = dsn_value(dsn, "port", "PGPORT");
	bool names = h && !dsn_value(dsn, "hostaddr", "PGHOSTADDR") && pg_hosts_need_lookup(h);
	if (names) {
		*host = strdup(h);
		*port = strdup(p ? p : "");
		names = *host && *port;
		if (!names) {
			free(*host);
			free(*port);
		}
	}
	PQconninfoFree(dsn);
	return names;
}
