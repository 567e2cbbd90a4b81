/* SPDX-License-Identifier: MIT */
/* A listening socket, from the way people write addresses. */
#include "http_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define UNIX_PREFIX "unix:"

static int give_up(int fd, const char *where, char *error, size_t size)
{
	snprintf(error, size, "cannot listen on %s: %s", where, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* A file that a killed process left behind is removed; one that somebody serves is not. */
static bool remove_stale(const struct sockaddr_un *sun)
{
	struct stat st;
	if (lstat(sun->sun_path, &st) != 0)
		return true;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return false;
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool served = fd >= 0 && (connect(fd, (const struct sockaddr *)sun, sizeof *sun) == 0 ||
	                          errno == EAGAIN);
	if (fd >= 0)
		close(fd);
	errno = EADDRINUSE;
	return !served && unlink(sun->sun_path) == 0;
}

static int listen_unix(const char *where, char *error, size_t size)
{
	const char *path = where + strlen(UNIX_PREFIX);
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	if (!*path || strlen(path) >= sizeof sun.sun_path) {
		errno = *path ? ENAMETOOLONG : ENOENT;
		return give_up(-1, where, error, size);
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	if (!remove_stale(&sun))
		return give_up(-1, where, error, size);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof sun) != 0 ||
	    listen(fd, SOMAXCONN) != 0)
		return give_up(fd, where, error, size);
	return fd;
}

/* Splits "HOST:PORT" and "[HOST]:PORT"; false: it is neither. */
static bool split(const char *where, char *host, size_t size, const char **port)
{
	const char *colon = strrchr(where, ':');
	if (!colon || !colon[1] || strlen(colon + 1) != strspn(colon + 1, "0123456789"))
		return false;
	size_t len = (size_t)(colon - where);
	bool brackets = len >= 2 && where[0] == '[' && where[len - 1] == ']';
	if (brackets) {
		where++;
		len -= 2;
	}
	if (!len || len >= size || (!brackets && memchr(where, ':', len)))
		return false;
	memcpy(host, where, len);
	host[len] = '\0';
	*port = colon + 1;
	return true;
}

static int listen_on(const struct addrinfo *ai, const char *where, char *error, size_t size)
{
	int on = 1;
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
		return give_up(fd, where, error, size);
	/* [::] means IPv6: a second listener for IPv4 may be wanted elsewhere. */
	if (ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0)
		return give_up(fd, where, error, size);
	return fd;
}

static int listen_inet(const char *where, char *error, size_t size)
{
	char host[128];
	const char *port;
	if (!split(where, host, sizeof host, &port)) {
		snprintf(error, size,
		         "cannot listen on %s: write HOST:PORT, [IPV6]:PORT or unix:PATH", where);
		return -1;
	}
	struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	                         .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	bool any = strcmp(host, "*") == 0;
	if (any)
		hints.ai_family = AF_INET;
	int rc = getaddrinfo(any ? NULL : host, port, &hints, &list);
	if (rc != 0) {
		snprintf(error, size, "cannot listen on %s: %s", where, gai_strerror(rc));
		return -1;
	}
	int fd = listen_on(list, where, error, size);
	freeaddrinfo(list);
	return fd;
}

static void describe(int fd, char address[HTTP_ADDRESS_MAX])
{
	struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof ss;
	char host[INET6_ADDRSTRLEN] = "?", port[8] = "?";
	if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
		getnameinfo((struct sockaddr *)&ss, len, host, sizeof host, port, sizeof port,
		            NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(address, HTTP_ADDRESS_MAX, ss.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
	         port);
}

int http_listen(const char *where, char address[HTTP_ADDRESS_MAX], char *error, size_t error_size)
{
	bool is_unix = strncmp(where, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0;
	int fd =
	    is_unix ? listen_unix(where, error, error_size) : listen_inet(where, error, error_size);
	if (fd >= 0 && is_unix)
		snprintf(address, HTTP_ADDRESS_MAX, "%s", where);
	else if (fd >= 0)
		describe(fd, address);
	return fd;
}

void http_unlisten(int fd, const char *address)
{
	if (fd < 0)
		return;
	if (strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
		unlink(address + strlen(UNIX_PREFIX));
	close(fd);
}
