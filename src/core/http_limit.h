/* SPDX-License-Identifier: MIT */
/*
 * What one client may have: so many connections, so many requests a second.
 *
 * A client is an IPv4 address or the /64 of an IPv6 address, which is what one
 * customer gets.  Clients are kept in a table of fixed size: those that have
 * connections, and of the others the latest.  Forgetting one is no gift, for
 * who stayed away for a second may have everything again.
 */
#ifndef HTTP_LIMIT_H
#define HTTP_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct http_limit;
struct http_client;

struct http_limit_config {
	int64_t connections; /* of a client at a time; 0: any number */
	int64_t per_second;  /* requests of a client, up to a million; 0: any number */
	size_t clients;      /* more than can be connected at a time */
	uint64_t seed;       /* so that nobody can choose addresses that collide */
};

/* NULL: out of memory. */
struct http_limit *http_limit_new(const struct http_limit_config *config);
void http_limit_free(struct http_limit *limit);

/*
 * Who connects.  NULL: is not limited, as clients of a unix socket are not.
 * What is not NULL is given back with http_limit_leave().
 */
struct http_client *http_limit_join(struct http_limit *limit, const struct sockaddr *from);
void http_limit_leave(struct http_limit *limit, struct http_client *client);
/* With the connection that has just joined, it has more than it may. */
bool http_limit_is_exceeded(const struct http_limit *limit, const struct http_client *client);

/* What a client learns about its requests. */
struct http_quota {
	bool refused;
	int64_t remaining; /* requests that it may send at once */
	int64_t wait_us;   /* refused: until it may send one; else until it may send all again */
};

/* One request at `now` (loop_now()). */
struct http_quota http_limit_take(const struct http_limit *limit, struct http_client *client,
                                  int64_t now);

#endif
