/* SPDX-License-Identifier: MIT */
/* Asks the admin listener of a running cqrsd. */
#include "admin_client.h"

#include "json_tree.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX 1048576
#define TIMEOUT_S  5

/* Waits for the answer of each system call, not of all of them: enough for a neighbour. */
static int new_socket(int family)
{
	const struct timeval timeout = {.tv_sec = TIMEOUT_S};
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
	return fd;
}

static int connect_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof address.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	int fd = new_socket(AF_UNIX);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static int connect_first(const struct addrinfo *list)
{
	for (; list; list = list->ai_next) {
		int fd = new_socket(list->ai_family);
		if (fd >= 0 && connect(fd, list->ai_addr, list->ai_addrlen) == 0)
			return fd;
		if (fd >= 0)
			close(fd);
	}
	return -1;
}

static int connect_tcp(const char *listen, struct buf *why)
{
	char host[256];
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
	const char *colon = strrchr(listen, ':');
	const char *end = colon;
	if (!colon || colon - listen >= (long)sizeof host) {
		buf_printf(why, "\"%s\" is no address:port", listen);
		return -1;
	}
	if (*listen == '[' && colon > listen && colon[-1] == ']') {
		listen++;
		end--;
	}
	snprintf(host, sizeof host, "%.*s", (int)(end - listen), listen);
	/* No host: the loopback address. */
	int error = getaddrinfo(*host ? host : NULL, colon + 1, &hints, &list);
	if (error) {
		buf_printf(why, "%s: %s", host, gai_strerror(error));
		return -1;
	}
	int fd = connect_first(list);
	freeaddrinfo(list);
	return fd;
}

static bool exchange(int fd, const char *path, struct buf *answer)
{
	char request[512];
	/* Version 1.0: the answer is not in chunks and ends with the connection. */
	int len =
	    snprintf(request, sizeof request, "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", path);
	if (send(fd, request, (size_t)len, MSG_NOSIGNAL) != len)
		return false;
	for (;;) {
		char *room = buf_reserve(answer, 16384);
		if (!room) {
			errno = EMSGSIZE;
			return false;
		}
		ssize_t n = recv(fd, room, 16384, 0);
		if (n <= 0)
			return n == 0;
		answer->len += (size_t)n;
	}
}

static json_t *parse(struct buf *answer, struct buf *why)
{
	json_error_t error;
	int status = 0;
	const char *text = buf_str(answer);
	const char *body = strstr(text, "\r\n\r\n");
	if (sscanf(text, "HTTP/1.%*1d %3d", &status) != 1 || !body) {
		buf_puts(why, "the answer is not HTTP");
		return NULL;
	}
	if (status != 200) {
		buf_printf(why, "the answer is %d", status);
		return NULL;
	}
	json_t *json = json_tree_load(body, strlen(body), &error);
	if (!json)
		buf_puts(why, *error.text ? "the answer is not JSON" : "out of memory");
	return json;
}

json_t *admin_client_get(const char *listen, const char *path, struct buf *why)
{
	struct buf answer = {.max = ANSWER_MAX};
	json_t *json = NULL;
	size_t before = why->len;
	errno = 0;
	int fd = strncmp(listen, "unix:", 5) ? connect_tcp(listen, why) : connect_unix(listen + 5);
	if (fd >= 0 && exchange(fd, path, &answer))
		json = parse(&answer, why);
	else if (why->len == before)
		buf_puts(why, errno == EAGAIN || errno == EINPROGRESS ? "no answer in time"
		                                                      : strerror(errno));
	if (fd >= 0)
		close(fd);
	buf_release(&answer);
	return json;
}
