/* SPDX-License-Identifier: MIT */
/* The system, libevent and libyaml, where they can say no. */
#include "injection.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <pwd.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#define FAILS(code, value) (errno = (code), (value))

/* ---- descriptors ---- */

INJECT(int, socket, (int domain, int type, int protocol), (domain, type, protocol),
       FAILS(EMFILE, -1))
INJECT(int, accept4, (int fd, struct sockaddr *address, socklen_t *len, int flags),
       (fd, address, len, flags), FAILS(EMFILE, -1))
INJECT(int, bind, (int fd, const struct sockaddr *address, socklen_t len), (fd, address, len),
       FAILS(EADDRINUSE, -1))
INJECT(int, listen, (int fd, int backlog), (fd, backlog), FAILS(EADDRINUSE, -1))
INJECT(int, connect, (int fd, const struct sockaddr *address, socklen_t len), (fd, address, len),
       FAILS(ECONNREFUSED, -1))
INJECT(int, getsockname, (int fd, struct sockaddr *address, socklen_t *len), (fd, address, len),
       FAILS(ENOBUFS, -1))
INJECT(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t len),
       (fd, level, name, value, len), FAILS(ENOBUFS, -1))
INJECT(int, eventfd, (unsigned count, int flags), (count, flags), FAILS(EMFILE, -1))
INJECT(ssize_t, recv, (int fd, void *data, size_t len, int flags), (fd, data, len, flags),
       FAILS(ECONNRESET, -1))
INJECT(ssize_t, read, (int fd, void *data, size_t len), (fd, data, len), FAILS(EIO, -1))
INJECT(ssize_t, write, (int fd, const void *data, size_t len), (fd, data, len), FAILS(EPIPE, -1))
INJECT(ssize_t, send, (int fd, const void *data, size_t len, int flags), (fd, data, len, flags),
       FAILS(EPIPE, -1))
INJECT(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags),
       FAILS(EPIPE, -1))

/* ---- files ---- */

int injected_open(const char *path, int flags, ...);
int injected_open(const char *path, int flags, ...)
{
	va_list more;
	va_start(more, flags);
	mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
	va_end(more);
	return injection_fails("open") ? FAILS(EMFILE, -1) : open(path, flags, mode);
}

INJECT(FILE *, fopen, (const char *path, const char *mode), (path, mode), FAILS(EMFILE, NULL))
INJECT(DIR *, opendir, (const char *path), (path), FAILS(EMFILE, NULL))
INJECT(int, stat, (const char *path, struct stat *out), (path, out), FAILS(EACCES, -1))
INJECT(int, lstat, (const char *path, struct stat *out), (path, out), FAILS(EACCES, -1))
INJECT(int, fstat, (int fd, struct stat *out), (fd, out), FAILS(EIO, -1))
INJECT(char *, realpath, (const char *path, char *out), (path, out), FAILS(EACCES, NULL))

/* ---- names and threads ---- */

INJECT(int, getaddrinfo,
       (const char *node, const char *service, const struct addrinfo *hints,
        struct addrinfo **found),
       (node, service, hints, found), EAI_MEMORY)
INJECT(int, getnameinfo,
       (const struct sockaddr *address, socklen_t len, char *host, socklen_t host_len,
        char *service, socklen_t service_len, int flags),
       (address, len, host, host_len, service, service_len, flags), EAI_MEMORY)
INJECT(int, pthread_create,
       (pthread_t * thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg),
       (thread, attr, run, arg), EAGAIN)

/* ---- the process ---- */

INJECT(int, getrlimit, (__rlimit_resource_t what, struct rlimit *out), (what, out),
       FAILS(EINVAL, -1))
INJECT(int, setrlimit, (__rlimit_resource_t what, const struct rlimit *limit), (what, limit),
       FAILS(EPERM, -1))
INJECT(ssize_t, getrandom, (void *out, size_t len, unsigned flags), (out, len, flags),
       FAILS(EAGAIN, -1))
INJECT(int, gethostname, (char *name, size_t size), (name, size), FAILS(ENAMETOOLONG, -1))
INJECT(struct passwd *, getpwuid, (uid_t user), (user), FAILS(EIO, NULL))

/* ---- libevent ---- */

INJECT(struct event_base *, event_base_new_with_config, (const struct event_config *config),
       (config), NULL)
INJECT(struct event *, event_new,
       (struct event_base * base, evutil_socket_t fd, short what, event_callback_fn fn, void *arg),
       (base, fd, what, fn, arg), NULL)
/* A timer's room in the heap was reserved when its loop was made: it fails with memory alone. */
int injected_event_add(struct event *event, const struct timeval *timeout);
int injected_event_add(struct event *event, const struct timeval *timeout)
{
	bool can_fail = event_get_fd(event) >= 0;
	if (injection_decides("event_add", __builtin_return_address(0), can_fail))
		return -1;
	return event_add(event, timeout);
}

/* ---- libyaml ---- */

INJECT(int, yaml_parser_initialize, (yaml_parser_t * parser), (parser), 0)

int injected_yaml_parser_parse(yaml_parser_t *parser, yaml_event_t *event);
int injected_yaml_parser_parse(yaml_parser_t *parser, yaml_event_t *event)
{
	if (!injection_fails("yaml_parser_parse"))
		return yaml_parser_parse(parser, event);
	parser->error = YAML_MEMORY_ERROR;
	*event = (yaml_event_t){.type = YAML_NO_EVENT};
	return 0;
}
