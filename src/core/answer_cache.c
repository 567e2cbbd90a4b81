/* SPDX-License-Identifier: MIT */
/* Answers about one object that are kept until the object changes. */
#include "answer_cache.h"

#include "container.h"
#include "log.h"
#include "pg_conn.h"

#include <stdlib.h>
#include <string.h>

#define LISTEN_SQL "LISTEN cqrs_changed"
#define AGAIN_US   60000000 /* to try to listen once more: a replica does not let us */
#define TIMEOUT_US 30000000
#define MARKS      4096 /* of changes; a power of two */
#define BUCKETS    8192 /* a power of two */

struct entry {
	struct cached_answer answer; /* first: what others see of it */
	uint64_t hash;
	int64_t until; /* loop_now() */
	size_t bytes;
	struct entry *next; /* of the bucket */
	TAILQ_ENTRY(entry) age;
	size_t id_len;
	char id[]; /* "view:key", and behind it the body */
};

TAILQ_HEAD(entries, entry);

struct answer_cache {
	struct loop *loop;
	const struct answer_cache_config *config;
	struct pg_conn_config conn_config;
	struct pg_conn *conn;
	struct pg_request listen;
	struct timer *again;
	bool is_started, is_listening;
	uint64_t clock;        /* one more with each change */
	uint64_t marks[MARKS]; /* by hash: the clock when one of them changed last */
	uint64_t all_changed;  /* the clock when nobody listened last */
	struct entry *buckets[BUCKETS];
	struct entries by_age; /* the least recently used first */
	size_t bytes;
	struct metric *hits, *misses, *size;
};

/* FNV-1a of "view:key". */
static uint64_t hash_of(const char *view, const char *key, size_t len)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	for (const char *p = view; *p; p++)
		hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
	hash = (hash ^ ':') * UINT64_C(0x100000001b3);
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)key[i]) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 29;
}

static bool is_named(const struct entry *entry, const char *view, const char *key, size_t len)
{
	size_t view_len = strlen(view);
	return entry->id_len == view_len + 1 + len && !memcmp(entry->id, view, view_len) &&
	       entry->id[view_len] == ':' && !memcmp(entry->id + view_len + 1, key, len);
}

static struct entry **place_of(struct answer_cache *cache, uint64_t hash)
{
	return &cache->buckets[hash % BUCKETS];
}

static struct entry *find(struct answer_cache *cache, uint64_t hash, const char *view,
                          const char *key, size_t len)
{
	struct entry *entry = *place_of(cache, hash);
	while (entry && (entry->hash != hash || !is_named(entry, view, key, len)))
		entry = entry->next;
	return entry;
}

static void forget(struct answer_cache *cache, struct entry *entry)
{
	struct entry **at = place_of(cache, entry->hash);
	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	TAILQ_REMOVE(&cache->by_age, entry, age);
	cache->bytes -= entry->bytes;
	metric_set(cache->size, (double)cache->bytes);
	free(entry);
}

static void forget_all(struct answer_cache *cache)
{
	struct entry *entry;
	while ((entry = TAILQ_FIRST(&cache->by_age)))
		forget(cache, entry);
	cache->all_changed = ++cache->clock;
}

/* ---- changes ---- */

static void on_notify(void *owner, struct pg_conn *conn, const char *payload)
{
	struct answer_cache *cache = owner;
	const char *colon = strchr(payload, ':');
	(void)conn;
	if (!colon) {
		forget_all(cache);
		return;
	}
	char view[64];
	size_t view_len = (size_t)(colon - payload);
	if (view_len >= sizeof view)
		return;
	*(char *)mempcpy(view, payload, view_len) = '\0';
	uint64_t hash = hash_of(view, colon + 1, strlen(colon + 1));
	struct entry *entry = find(cache, hash, view, colon + 1, strlen(colon + 1));
	cache->marks[hash % MARKS] = ++cache->clock;
	if (entry)
		forget(cache, entry);
}

static void on_listening(struct pg_request *request, enum pg_outcome outcome,
                         const struct pg_error *error);

static void listen_now(struct answer_cache *cache)
{
	cache->listen =
	    (struct pg_request){.sql = LISTEN_SQL, .n_params = -1, .done = on_listening};
	pg_conn_send(cache->conn, &cache->listen);
}

static void on_listening(struct pg_request *request, enum pg_outcome outcome,
                         const struct pg_error *error)
{
	struct answer_cache *cache = container_of(request, struct answer_cache, listen);
	if (outcome == PG_REFUSED) {
		log_warning("cache: nothing is kept: %s", error->message);
		timer_arm(cache->again, AGAIN_US);
	}
	forget_all(cache);
	cache->is_listening = outcome == PG_DONE;
}

static void on_again(void *arg)
{
	struct answer_cache *cache = arg;
	if (pg_conn_state(cache->conn) == PG_CONN_READY)
		listen_now(cache);
}

static void on_ready(void *owner, struct pg_conn *conn)
{
	(void)conn;
	listen_now(owner);
}

static void on_lost(void *owner, struct pg_conn *conn, const struct pg_error *error)
{
	struct answer_cache *cache = owner;
	(void)conn;
	(void)error;
	cache->is_listening = false;
	timer_disarm(cache->again);
	forget_all(cache);
}

/* ---- answers ---- */

const struct cached_answer *answer_cache_find(struct answer_cache *cache, const char *view,
                                              const char *key, size_t len)
{
	struct entry *entry = find(cache, hash_of(view, key, len), view, key, len);
	if (entry && loop_now(cache->loop) >= entry->until) {
		forget(cache, entry);
		entry = NULL;
	}
	metric_add(entry ? cache->hits : cache->misses, 1);
	if (!entry)
		return NULL;
	TAILQ_REMOVE(&cache->by_age, entry, age);
	TAILQ_INSERT_TAIL(&cache->by_age, entry, age);
	return &entry->answer;
}

uint64_t answer_cache_now(struct answer_cache *cache)
{
	if (!cache->is_started)
		pg_conn_start(cache->conn);
	cache->is_started = true;
	return cache->clock;
}

static struct entry *make(const char *view, const char *key, size_t key_len, const char *body,
                          size_t len)
{
	size_t view_len = strlen(view), id_len = view_len + 1 + key_len;
	struct entry *entry = malloc(sizeof *entry + id_len + len);
	if (!entry)
		return NULL;
	char *p = mempcpy(entry->id, view, view_len);
	*p++ = ':';
	p = mempcpy(p, key, key_len);
	memcpy(p, body, len);
	entry->id_len = id_len;
	entry->bytes = sizeof *entry + id_len + len;
	entry->answer = (struct cached_answer){.body = p, .len = len};
	return entry;
}

void answer_cache_keep(struct answer_cache *cache, uint64_t asked, const char *view,
                       const char *key, size_t key_len, const char *etag, const char *body,
                       size_t len)
{
	uint64_t hash = hash_of(view, key, key_len);
	struct entry *old = find(cache, hash, view, key, key_len);
	if (!cache->is_listening || cache->all_changed > asked ||
	    cache->marks[hash % MARKS] > asked || len > cache->config->max_bytes / 16)
		return;
	if (old)
		forget(cache, old);
	struct entry *entry = make(view, key, key_len, body, len);
	if (!entry)
		return;
	strcpy(entry->answer.etag, etag);
	entry->hash = hash;
	entry->until = loop_now(cache->loop) + cache->config->ttl_us;
	entry->next = *place_of(cache, hash);
	*place_of(cache, hash) = entry;
	TAILQ_INSERT_TAIL(&cache->by_age, entry, age);
	cache->bytes += entry->bytes;
	while (cache->bytes > cache->config->max_bytes)
		forget(cache, TAILQ_FIRST(&cache->by_age));
	metric_set(cache->size, (double)cache->bytes);
}

/* ---- life ---- */

struct answer_cache *answer_cache_new(struct loop *loop, const struct answer_cache_config *config,
                                      struct metrics *metrics)
{
	static const struct pg_conn_events events = {
	    .on_ready = on_ready, .on_lost = on_lost, .on_notify = on_notify};
	struct answer_cache *cache = calloc(1, sizeof *cache);
	if (!cache)
		return NULL;
	cache->loop = loop;
	cache->config = config;
	TAILQ_INIT(&cache->by_age);
	cache->conn_config = (struct pg_conn_config){
	    .name = "postgres changes",
	    .dsn = config->dsn,
	    .setup = "SET client_min_messages = warning; SET statement_timeout = '30s'",
	    .network_timeout_us = config->network_timeout_us,
	    .statement_timeout_us = TIMEOUT_US,
	    .max_statements = 1,
	};
	cache->hits = metrics_counter(metrics, "cqrsd_cache_hits_total", "",
	                              "Answers that were kept and given once more");
	cache->misses = metrics_counter(metrics, "cqrsd_cache_misses_total", "",
	                                "Answers that could have been kept and were not there");
	cache->size = metrics_gauge(metrics, "cqrsd_cache_bytes", "", "What is kept of answers");
	cache->again = timer_new(loop, on_again, cache);
	cache->conn = pg_conn_new(loop, &cache->conn_config, &events, cache);
	if (cache->again && cache->conn)
		return cache;
	answer_cache_free(cache);
	return NULL;
}

void answer_cache_free(struct answer_cache *cache)
{
	if (!cache)
		return;
	pg_conn_free(cache->conn);
	forget_all(cache);
	timer_free(cache->again);
	free(cache);
}
