/* SPDX-License-Identifier: MIT */
/* A client of the HTTP server that a scenario runs, in the same loop. */
#ifndef CLIENT_H
#define CLIENT_H

#include "injection.h"
#include "turn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENT_MAX 160000

struct client {
	int fd;
	size_t len;
	bool is_over; /* the server has closed */
	char answer[CLIENT_MAX];
};

/* `address` ends in ":PORT", of 127.0.0.1. */
static inline void client_dial(struct client *c, const char *address)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	in.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(connect(c->fd, (struct sockaddr *)&in, sizeof in) == 0);
	c->len = 0;
	c->is_over = false;
}

static inline void client_hang_up(struct client *c)
{
	close(c->fd);
	c->fd = -1;
}

static inline void client_say(struct client *c, const char *request)
{
	size_t len = strlen(request);
	MUST(send(c->fd, request, len, MSG_NOSIGNAL) == (ssize_t)len);
}

static inline void client_hear(struct client *c)
{
	ssize_t n;
	while ((n = recv(c->fd, c->answer + c->len, sizeof c->answer - 1 - c->len, MSG_DONTWAIT)) >
	       0)
		c->len += (size_t)n;
	c->answer[c->len] = '\0';
	if (n == 0 || (n < 0 && errno != EAGAIN))
		c->is_over = true;
}

static inline bool client_has_all(const struct client *c)
{
	const char *body = strstr(c->answer, "\r\n\r\n");
	const char *length = strcasestr(c->answer, "Content-Length: ");
	if (!body)
		return false;
	if (length && length < body)
		return c->len >= (size_t)(body + 4 - c->answer) + strtoul(length + 16, NULL, 10);
	return strstr(body, "\r\n0\r\n\r\n");
}

/* The answer is complete, or there will be none. */
static inline bool client_is_answered(void *client)
{
	struct client *c = client;
	client_hear(c);
	return c->is_over || client_has_all(c);
}

/* Asks, on a connection of its own; true: there is an answer, and it is complete. */
static inline bool client_ask(struct client *c, struct loop *loop, const char *address,
                              const char *request)
{
	client_dial(c, address);
	client_say(c, request);
	must_happen(loop, client_is_answered, c);
	client_hang_up(c);
	return client_has_all(c);
}

/* Who is not answered as it should be is told that it is our fault, if anything. */
static inline void client_must_be_refused(const struct client *c)
{
	if (c->is_over || !c->len || !strncmp(c->answer, "HTTP/1.1 5", 10) ||
	    strstr(c->answer, "Content-Length: 0\r\n"))
		return;
	fprintf(stderr, "%.1000s\n", c->answer);
	MUST(!"answered as it should be, or refused because of us");
}

/* The body of a complete answer, for once: chunks are put together in place. */
static inline char *client_body(struct client *c)
{
	char *body = strstr(c->answer, "\r\n\r\n") + 4, *from = body, *to = body;
	char *chunked = strcasestr(c->answer, "Transfer-Encoding: chunked");
	if (!chunked || chunked > body)
		return body;
	for (;;) {
		size_t len = strtoul(from, &from, 16);
		if (!len)
			break;
		memmove(to, from + 2, len);
		to += len;
		from += len + 4;
	}
	*to = '\0';
	return body;
}

#endif
