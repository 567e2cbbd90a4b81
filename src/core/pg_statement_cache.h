/* SPDX-License-Identifier: MIT */
/*
 * The statements that one connection has prepared, found by their SQL text.
 *
 * Only pg_conn and pg_pipeline use it.  A statement is counted: the cache has
 * one reference, and so has each request that runs it, so that one which left
 * the cache lives until the last answer has come.
 */
#ifndef PG_STATEMENT_CACHE_H
#define PG_STATEMENT_CACHE_H

#include "pg_conn.h"
#include <stdint.h>

struct pg_statement {
	char name[24];       /* on the server; never used twice on a connection */
	char deallocate[40]; /* the SQL that forgets it */
	bool parsed;         /* the server has confirmed it */
	bool cached;         /* false: has left the cache */
	uint64_t group;      /* until then: which group of the pipeline parses it */
	struct pg_request close;
	/* the cache's own */
	int refs;
	uint32_t hash;
	LIST_ENTRY(pg_statement) bucket;
	TAILQ_ENTRY(pg_statement) age;
	char sql[];
};

LIST_HEAD(pg_statement_bucket, pg_statement);
TAILQ_HEAD(pg_statement_ages, pg_statement);

struct pg_statement_cache {
	struct pg_statement_bucket *buckets;
	uint32_t mask;
	struct pg_statement_ages ages; /* the least recently used first */
	size_t n, max;
	uint64_t serial;
};

/* False when memory is out.  `max` 0: nothing is ever kept. */
bool pg_statement_cache_init(struct pg_statement_cache *cache, size_t max);
void pg_statement_cache_release(struct pg_statement_cache *cache);
/* All statements leave: the connection that knew them is gone. */
void pg_statement_cache_clear(struct pg_statement_cache *cache);

/* Borrowed, and now the most recently used one; NULL if there is none. */
struct pg_statement *pg_statement_cache_find(struct pg_statement_cache *cache, const char *sql);
/* A new, unparsed one, borrowed; NULL when memory is out. */
struct pg_statement *pg_statement_cache_add(struct pg_statement_cache *cache, const char *sql);
bool pg_statement_cache_is_full(const struct pg_statement_cache *cache);
/* The least recently used parsed one, or NULL. */
struct pg_statement *pg_statement_cache_oldest(struct pg_statement_cache *cache);
/* Takes it out; the cache's reference is now the caller's. */
void pg_statement_cache_take(struct pg_statement_cache *cache, struct pg_statement *statement);

struct pg_statement *pg_statement_ref(struct pg_statement *statement);
void pg_statement_unref(struct pg_statement *statement); /* NULL is fine */

#endif
