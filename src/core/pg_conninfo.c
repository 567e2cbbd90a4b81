/* SPDX-License-Identifier: MIT */
/* The parameters a connection is opened with: those of the dsn, and some of our own. */
#include "pg_conn_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYWORDS_MAX 80
#define OWN_MAX      8

struct keywords {
	const char *names[KEYWORDS_MAX];
	const char *values[KEYWORDS_MAX];
	int n;
	char *own[OWN_MAX]; /* values that were made here */
	int n_own;
	bool failed; /* memory was out */
};

static void set(struct keywords *k, const char *name, const char *value)
{
	/* libpq lets the last one win. */
	if (k->n + 1 < KEYWORDS_MAX) {
		k->names[k->n] = name;
		k->values[k->n++] = value;
	}
}

static void set_own(struct keywords *k, const char *name, char *value)
{
	set(k, name, value);
	k->own[k->n_own++] = value;
	k->failed |= !value;
}

static void set_number(struct keywords *k, const char *name, int64_t n)
{
	char *text;
	set_own(k, name, asprintf(&text, "%lld", (long long)n) < 0 ? NULL : text);
}

/* "a,b,c" from number `first` on: "b,c,a". */
static void set_list(struct keywords *k, const char *name, const char *list, unsigned first)
{
	const char *head = list;
	char *text;
	unsigned n = 1;
	for (const char *p = list; *p; p++)
		n += *p == ',';
	for (unsigned i = 0; i < first % n; i++)
		head = strchr(head, ',') + 1;
	if (head == list)
		set(k, name, list);
	else
		set_own(k, name,
		        asprintf(&text, "%s,%.*s", head, (int)(head - list - 1), list) < 0 ? NULL
		                                                                           : text);
}

static const char *dsn_value(const PQconninfoOption *dsn, const char *name, const char *environment)
{
	for (; dsn->keyword; dsn++)
		if (strcmp(dsn->keyword, name) == 0 && dsn->val && *dsn->val)
			return dsn->val;
	return getenv(environment);
}

/*
 * A dead network is noticed in time, by a connection that has sent something
 * (tcp_user_timeout) and by one that only waits (keepalives: half of the time
 * idle, then three probes).
 */
static void set_defaults(struct keywords *k, const struct pg_conn_config *config)
{
	int64_t ms = pg_conn_network_timeout_us(config) / 1000;
	int64_t idle = ms / 2000 ? ms / 2000 : 1, interval = (ms / 1000 - idle) / 3;
	set(k, "fallback_application_name", "cqrsd");
	set_number(k, "tcp_user_timeout", ms);
	set_number(k, "keepalives_idle", idle);
	set_number(k, "keepalives_interval", interval > 0 ? interval : 1);
	set(k, "keepalives_count", "3");
	if (config->writes)
		set(k, "target_session_attrs", "read-write");
}

static PGconn *start(const struct pg_conn_config *config, const PQconninfoOption *dsn,
                     const struct pg_hosts *hosts, unsigned first)
{
	struct keywords k = {.n = 0};
	set_defaults(&k, config);
	for (; dsn->keyword; dsn++) {
		bool is_list = !strcmp(dsn->keyword, "host") || !strcmp(dsn->keyword, "hostaddr") ||
		               !strcmp(dsn->keyword, "port");
		if (dsn->val && !(is_list && hosts))
			set_list(&k, dsn->keyword, dsn->val, is_list ? first : 0);
	}
	if (hosts) {
		set_list(&k, "host", hosts->host, first);
		set_list(&k, "hostaddr", hosts->hostaddr, first);
		set_list(&k, "port", hosts->port, first);
	}
	set(&k, "client_encoding", "UTF8");
	PGconn *pg = k.failed ? NULL : PQconnectStartParams(k.names, k.values, 0);
	for (int i = 0; i < k.n_own; i++)
		free(k.own[i]);
	return pg;
}

/* libpq quotes what it does not understand, be it half of a password. */
static const char *why_malformed(const char *text, const char *why)
{
	if (strstr(text, "pass") || strstr(text, "://"))
		return "the dsn is malformed (where is not shown: it may hold a password)";
	return why ? why : "out of memory";
}

PGconn *pg_conninfo_open(const struct pg_conn_config *config, const struct pg_hosts *hosts,
                         unsigned first, struct pg_error *error)
{
	const char *text = config->dsn;
	char *why = NULL;
	PQconninfoOption *dsn = PQconninfoParse(text, &why);
	if (!dsn) {
		pg_error_from_text(error, "%s", why_malformed(text, why));
		PQfreemem(why);
		return NULL;
	}
	PGconn *pg = start(config, dsn, hosts, first);
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
