/* SPDX-License-Identifier: MIT */
/* The statements that one connection has prepared, found by their SQL text. */
#include "pg_statement_cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool pg_statement_cache_init(struct pg_statement_cache *cache, size_t max)
{
	size_t n = 16;
	while (n < max && n < 65536)
		n *= 2;
	*cache = (struct pg_statement_cache){.max = max, .mask = (uint32_t)n - 1};
	TAILQ_INIT(&cache->ages);
	cache->buckets = calloc(n, sizeof *cache->buckets);
	return cache->buckets;
}

void pg_statement_cache_release(struct pg_statement_cache *cache)
{
	if (cache->buckets)
		pg_statement_cache_clear(cache);
	free(cache->buckets);
	cache->buckets = NULL;
}

void pg_statement_cache_clear(struct pg_statement_cache *cache)
{
	struct pg_statement *statement;
	while ((statement = TAILQ_FIRST(&cache->ages))) {
		pg_statement_cache_take(cache, statement);
		pg_statement_unref(statement);
	}
}

static uint64_t mix(uint64_t hash, const char *text, size_t len)
{
	uint64_t word = 0;
	memcpy(&word, text, len);
	hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
	return hash ^ hash >> 32;
}

/* Eight bytes at a time; the texts come from modules, not from clients. */
static uint32_t hash_text(const char *text)
{
	uint64_t hash = 0;
	size_t len = strlen(text);
	for (; len >= 8; text += 8, len -= 8)
		hash = mix(hash, text, 8);
	return (uint32_t)mix(hash, text, len);
}

struct pg_statement *pg_statement_cache_find(struct pg_statement_cache *cache, const char *sql)
{
	struct pg_statement *statement;
	uint32_t hash = hash_text(sql);
	LIST_FOREACH (statement, &cache->buckets[hash & cache->mask], bucket) {
		if (statement->hash != hash || strcmp(statement->sql, sql) != 0)
			continue;
		TAILQ_REMOVE(&cache->ages, statement, age);
		TAILQ_INSERT_TAIL(&cache->ages, statement, age);
		return statement;
	}
	return NULL;
}

struct pg_statement *pg_statement_cache_add(struct pg_statement_cache *cache, const char *sql)
{
	size_t len = strlen(sql) + 1;
	struct pg_statement *statement = calloc(1, sizeof *statement + len);
	if (!statement)
		return NULL;
	memcpy(statement->sql, sql, len);
	statement->hash = hash_text(sql);
	statement->refs = 1;
	statement->cached = true;
	snprintf(statement->name, sizeof statement->name, "s%" PRIu64, ++cache->serial);
	snprintf(statement->deallocate, sizeof statement->deallocate, "DEALLOCATE %s",
	         statement->name);
	LIST_INSERT_HEAD(&cache->buckets[statement->hash & cache->mask], statement, bucket);
	TAILQ_INSERT_TAIL(&cache->ages, statement, age);
	cache->n++;
	return statement;
}

bool pg_statement_cache_is_full(const struct pg_statement_cache *cache)
{
	return cache->n >= cache->max;
}

struct pg_statement *pg_statement_cache_oldest(struct pg_statement_cache *cache)
{
	struct pg_statement *statement;
	TAILQ_FOREACH (statement, &cache->ages, age) {
		if (statement->parsed)
			return statement;
	}
	return NULL;
}

void pg_statement_cache_take(struct pg_statement_cache *cache, struct pg_statement *statement)
{
	LIST_REMOVE(statement, bucket);
	TAILQ_REMOVE(&cache->ages, statement, age);
	statement->cached = false;
	cache->n--;
}

struct pg_statement *pg_statement_ref(struct pg_statement *statement)
{
	statement->refs++;
	return statement;
}

void pg_statement_unref(struct pg_statement *statement)
{
	if (statement && --statement->refs == 0)
		free(statement);
}
