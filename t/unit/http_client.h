/* SPDX-License-Identifier: MIT */
/* One client of a server in the same process: the loop is turned by hand until it has its answer.
 */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include "http_server.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HTTP_CLIENT_PATIENCE 5000 /* turns of a millisecond */

static const struct http_server_config http_client_config = {.name = "http",
                                                             .listen = "127.0.0.1:0",
                                                             .header_timeout_us = 10000000,
                                                             .body_timeout_us = 10000000,
                                                             .idle_timeout_us = 10000000,
                                                             .write_timeout_us = 10000000,
                                                             .max_body = 10000,
                                                             .max_connections = 20};

static char http_client_answer[200000];

static inline int http_client_dial(const struct http_server *server)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	in.sin_port = htons((uint16_t)atoi(strrchr(http_server_address(server), ':') + 1));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
	return fd;
}

/* Reads to the end of the connection; the status. */
static inline int http_client_hear(struct loop *loop, int fd)
{
	size_t len = 0;
	ssize_t n = -1;
	for (int turn = 0; turn < HTTP_CLIENT_PATIENCE && n; turn++) {
		event_base_loop(loop_base(loop), EVLOOP_NONBLOCK);
		n = recv(fd, http_client_answer + len, sizeof http_client_answer - 1 - len,
		         MSG_DONTWAIT);
		if (n > 0)
			len += (size_t)n;
		else
			usleep(1000);
	}
	http_client_answer[len] = '\0';
	ck_assert_msg(n == 0, "no end after: %s", http_client_answer);
	close(fd);
	return len > 12 ? atoi(http_client_answer + 9) : 0;
}

static inline void http_client_say(int fd, const char *method, const char *target,
                                   const char *headers, const char *content)
{
	char request[16384];
	int len = snprintf(request, sizeof request,
	                   "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s"
	                   "Content-Length: %zu\r\n\r\n%s",
	                   method, target, headers, strlen(content), content);
	ck_assert_int_lt(len, (int)sizeof request);
	ck_assert_int_eq(send(fd, request, (size_t)len, MSG_NOSIGNAL), len);
}

/* The status; the answer is in http_client_answer. */
static inline int http_client_ask(struct loop *loop, const struct http_server *server,
                                  const char *method, const char *target, const char *headers,
                                  const char *content)
{
	int fd = http_client_dial(server);
	http_client_say(fd, method, target, headers, content);
	return http_client_hear(loop, fd);
}

static inline void ck_answer_has(const char *part)
{
	ck_assert_msg(strstr(http_client_answer, part) != NULL, "%s is not in: %.2000s", part,
	              http_client_answer);
}

static inline void ck_answer_lacks(const char *part)
{
	ck_assert_msg(strstr(http_client_answer, part) == NULL, "%s is in: %.2000s", part,
	              http_client_answer);
}

static inline const char *http_client_body(void)
{
	const char *end = strstr(http_client_answer, "\r\n\r\n");
	return end ? end + 4 : "";
}

#endif
