/* SPDX-License-Identifier: MIT */
/*
 * Answers about one object that are kept until the object changes.
 *
 * Whoever changes a view tells the key of what has changed: pg_notify('cqrs_changed',
 * 'view:key'), in the transaction of the change; without a key all may have changed.  An answer is
 * kept only if nothing was told of its key since it was asked for, and not for long; nothing is
 * kept while nobody listens.  So what is kept is never older than the view by more than the
 * notification that is on its way.
 */
#ifndef ANSWER_CACHE_H
#define ANSWER_CACHE_H

#include "etag.h"
#include "loop.h"
#include "metrics.h"
#include <sys/queue.h>

struct answer_cache;

struct answer_cache_config {
	const char *dsn; /* the database that is asked */
	int64_t network_timeout_us;
	size_t max_bytes; /* of all answers, with what keeping them takes */
	int64_t ttl_us;   /* how long one is kept at most */
};

/* Borrows all for good; NULL: out of memory. */
struct answer_cache *answer_cache_new(struct loop *loop, const struct answer_cache_config *config,
                                      struct metrics *metrics);
void answer_cache_free(struct answer_cache *cache);

struct cached_answer {
	const char *body;
	size_t len;
	char etag[ETAG_MAX]; /* "": none */
};

/* What is kept for the key; valid until the loop turns.  NULL: nothing. */
const struct cached_answer *answer_cache_find(struct answer_cache *cache, const char *view,
                                              const char *key, size_t len);
/* Before a question is sent, for answer_cache_keep(). */
uint64_t answer_cache_now(struct answer_cache *cache);
/* Keeps the answer to a question that was sent at `asked`, if it is still true; both are copied. */
void answer_cache_keep(struct answer_cache *cache, uint64_t asked, const char *view,
                       const char *key, size_t key_len, const char *etag, const char *body,
                       size_t len);

#endif
