/* SPDX-License-Identifier: MIT */
/*
 * The addresses behind the host names of a conninfo string, looked up in a
 * thread of its own because getaddrinfo() blocks.
 */
#ifndef PG_HOSTS_H
#define PG_HOSTS_H

#include "loop.h"

struct pg_hosts_lookup;

/*
 * Comma-separated lists of equal length for libpq's parameters of these names;
 * a host with several addresses stands there several times.  With `error` they
 * are NULL, and it says which name could not be resolved.
 */
struct pg_hosts {
	char *host, *hostaddr, *port;
	char *error;
};

/* Called once, from the event loop; `hosts` dies when it returns. */
typedef void pg_hosts_fn(void *arg, const struct pg_hosts *hosts);

/* Whether any of these is a name: no path, no address, not empty. */
bool pg_hosts_need_lookup(const char *host);

/*
 * `host` and `port` as in a conninfo string, with commas (port may be NULL).
 * NULL when there are no threads or memory to do it.
 */
struct pg_hosts_lookup *pg_hosts_lookup_new(struct loop *loop, const char *host, const char *port,
                                            pg_hosts_fn *done, void *arg);
/* Forgets the lookup, done or not; a thread that still waits for an answer ends by itself. */
void pg_hosts_lookup_free(struct pg_hosts_lookup *lookup);

#endif
