/* SPDX-License-Identifier: MIT */
/* What one client may have: so many connections, so many requests a second. */
#include "http_limit.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define WINDOW_US 1000000 /* in which a client may send all that it may send in a second */

struct http_client {
	LIST_ENTRY(http_client) chain;
	TAILQ_ENTRY(http_client) idle; /* when it has no connection */
	uint64_t key;                  /* 0: unused */
	int64_t connections;
	int64_t used_until; /* loop_now() when its requests so far will be forgotten */
};

LIST_HEAD(chain, http_client);
TAILQ_HEAD(idle_clients, http_client);

struct http_limit {
	struct http_limit_config config;
	int64_t interval_us;
	struct chain *chains; /* as many as clients */
	struct http_client *clients;
	struct idle_clients idle; /* who left first, first */
};

void http_limit_free(struct http_limit *limit)
{
	if (!limit)
		return;
	free(limit->chains);
	free(limit->clients);
	free(limit);
}

struct http_limit *http_limit_new(const struct http_limit_config *config)
{
	struct http_limit *limit = calloc(1, sizeof *limit);
	if (!limit)
		return NULL;
	limit->config = *config;
	limit->interval_us = config->per_second ? WINDOW_US / config->per_second : 0;
	limit->chains = calloc(config->clients, sizeof *limit->chains);
	limit->clients = calloc(config->clients, sizeof *limit->clients);
	if (!limit->chains || !limit->clients) {
		http_limit_free(limit);
		return NULL;
	}
	TAILQ_INIT(&limit->idle);
	for (size_t i = 0; i < config->clients; i++)
		TAILQ_INSERT_TAIL(&limit->idle, &limit->clients[i], idle);
	return limit;
}

/* Never 0 for an address; an IPv4 address in IPv6 (::ffff:a.b.c.d) is itself. */
static uint64_t key_of(const struct sockaddr *from)
{
	uint32_t v4;
	uint64_t v6;
	if (from->sa_family == AF_INET) {
		v4 = ((const struct sockaddr_in *)(const void *)from)->sin_addr.s_addr;
		return UINT64_C(1) << 32 | v4;
	}
	if (from->sa_family != AF_INET6)
		return 0;
	const struct in6_addr *address =
	    &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
	if (IN6_IS_ADDR_V4MAPPED(address)) {
		memcpy(&v4, &address->s6_addr[12], sizeof v4);
		return UINT64_C(1) << 32 | v4;
	}
	memcpy(&v6, address->s6_addr, sizeof v6);
	/* ::1 has a /64 of zeros. */
	return v6 ? v6 : UINT64_C(1);
}

/* The finalizer of MurmurHash3: each bit of the key moves half of the others. */
static struct chain *chain_of(struct http_limit *limit, uint64_t key)
{
	uint64_t h = key ^ limit->config.seed;
	h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
	h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return &limit->chains[(h ^ h >> 33) % limit->config.clients];
}

static struct http_client *find(struct http_limit *limit, struct chain *chain, uint64_t key)
{
	struct http_client *client;
	LIST_FOREACH (client, chain, chain)
		if (client->key == key)
			return client;
	/* The one that left first knows the least that is still true. */
	client = TAILQ_FIRST(&limit->idle);
	if (!client)
		return NULL;
	if (client->key)
		LIST_REMOVE(client, chain);
	client->key = key;
	client->used_until = 0;
	LIST_INSERT_HEAD(chain, client, chain);
	return client;
}

struct http_client *http_limit_join(struct http_limit *limit, const struct sockaddr *from)
{
	uint64_t key = key_of(from);
	struct http_client *client = key ? find(limit, chain_of(limit, key), key) : NULL;
	if (client && client->connections++ == 0)
		TAILQ_REMOVE(&limit->idle, client, idle);
	return client;
}

void http_limit_leave(struct http_limit *limit, struct http_client *client)
{
	assert(client->connections > 0);
	if (--client->connections == 0)
		TAILQ_INSERT_TAIL(&limit->idle, client, idle);
}

bool http_limit_is_exceeded(const struct http_limit *limit, const struct http_client *client)
{
	return limit->config.connections && client->connections > limit->config.connections;
}

/*
 * A bucket of tokens, seen from the other side (GCRA, ITU-T I.371): each request
 * uses an interval, and what is used may reach a window into the future.
 */
struct http_quota http_limit_take(const struct http_limit *limit, struct http_client *client,
                                  int64_t now)
{
	const int64_t interval = limit->interval_us, window = interval * limit->config.per_second;
	if (client->used_until < now)
		client->used_until = now;
	int64_t used = client->used_until - now;
	if (used + interval > window)
		return (struct http_quota){.refused = true, .wait_us = used + interval - window};
	client->used_until += interval;
	used += interval;
	return (struct http_quota){.remaining = (window - used) / interval, .wait_us = used};
}
