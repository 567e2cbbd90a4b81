/* SPDX-License-Identifier: MIT */
/* The addresses behind host names, looked up in a thread of its own. */
#include "pg_hosts.h"

#include "buf.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ADDRESSES_MAX 64
#define STACK_SIZE    (256 * 1024)

struct address {
	char *host, *port;
	char addr[NI_MAXHOST]; /* "": libpq takes the host as it is */
};

/* Shared by the loop and the thread; who lets go last frees it. */
struct pg_hosts_lookup {
	atomic_int refs;
	int fd; /* the thread writes when `answer` is there */
	struct event *event;
	pg_hosts_fn *done;
	void *arg;
	char *host, *port;
	struct pg_hosts answer;
	struct address list[ADDRESSES_MAX];
	size_t n;
};

static void let_go(struct pg_hosts_lookup *lookup)
{
	if (atomic_fetch_sub(&lookup->refs, 1) > 1)
		return;
	if (lookup->fd >= 0)
		close(lookup->fd);
	for (size_t i = 0; i < lookup->n; i++) {
		free(lookup->list[i].host);
		free(lookup->list[i].port);
	}
	free(lookup->host);
	free(lookup->port);
	free(lookup->answer.host);
	free(lookup->answer.hostaddr);
	free(lookup->answer.port);
	free(lookup->answer.error);
	free(lookup);
}

static bool is_name(const char *host)
{
	unsigned char ignored[sizeof(struct in6_addr)];
	return *host && *host != '/' && *host != '@' && inet_pton(AF_INET, host, ignored) != 1 &&
	       inet_pton(AF_INET6, host, ignored) != 1;
}

bool pg_hosts_need_lookup(const char *host)
{
	char *copy = strdup(host), *rest = copy, *one;
	bool need = false;
	while (!need && (one = strsep(&rest, ",")))
		need = is_name(one);
	free(copy);
	return need;
}

static void add(struct pg_hosts_lookup *lookup, const char *host, const char *port,
                const char *addr)
{
	struct address *a = &lookup->list[lookup->n];
	if (lookup->n == ADDRESSES_MAX)
		return;
	a->host = strdup(host);
	a->port = strdup(port);
	snprintf(a->addr, sizeof a->addr, "%s", addr);
	lookup->n++;
}

static void resolve(struct pg_hosts_lookup *lookup, const char *host, const char *port,
                    struct buf *errors)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	char addr[NI_MAXHOST];
	int rc = getaddrinfo(host, NULL, &hints, &found);
	if (rc != 0) {
		buf_printf(errors, "%scould not resolve host \"%s\": %s", errors->len ? "; " : "",
		           host, gai_strerror(rc));
		return;
	}
	for (struct addrinfo *a = found; a; a = a->ai_next) {
		if (getnameinfo(a->ai_addr, a->ai_addrlen, addr, sizeof addr, NULL, 0,
		                NI_NUMERICHOST) == 0)
			add(lookup, host, port, addr);
	}
	freeaddrinfo(found);
}

static char *take(struct buf *b)
{
	const char *all = buf_str(b);
	char *text = b->failed ? NULL : strdup(all);
	buf_release(b);
	return text;
}

static void join(struct pg_hosts_lookup *lookup, struct pg_hosts *answer)
{
	struct buf host = BUF_INIT, addr = BUF_INIT, port = BUF_INIT;
	for (size_t i = 0; i < lookup->n; i++) {
		const struct address *a = &lookup->list[i];
		const char *comma = i ? "," : "";
		buf_printf(&host, "%s%s", comma, a->host ? a->host : "");
		buf_printf(&addr, "%s%s", comma, a->addr);
		buf_printf(&port, "%s%s", comma, a->port ? a->port : "");
	}
	answer->host = take(&host);
	answer->hostaddr = take(&addr);
	answer->port = take(&port);
}

static void *run(void *arg)
{
	struct pg_hosts_lookup *lookup = arg;
	struct buf errors = BUF_INIT;
	char *hosts = lookup->host, *ports = lookup->port, *host;
	const char *port = "";
	while ((host = strsep(&hosts, ","))) {
		/* One port serves all the hosts; otherwise each has its own. */
		const char *own = strsep(&ports, ",");
		port = own ? own : port;
		if (is_name(host))
			resolve(lookup, host, port, &errors);
		else
			add(lookup, host, port, "");
	}
	if (lookup->n)
		join(lookup, &lookup->answer);
	else
		lookup->answer.error = take(&errors);
	buf_release(&errors);
	eventfd_write(lookup->fd, 1);
	let_go(lookup);
	return NULL;
}

static void on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct pg_hosts_lookup *lookup = arg;
	eventfd_t count;
	(void)what;
	if (eventfd_read(fd, &count) == 0)
		lookup->done(lookup->arg, &lookup->answer);
}

/* Signals are for the loop's thread. */
static bool start_thread(struct pg_hosts_lookup *lookup)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;
	if (pthread_attr_init(&attr) != 0)
		return false;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	atomic_fetch_add(&lookup->refs, 1);
	int rc = pthread_create(&thread, &attr, run, lookup);
	if (rc != 0)
		atomic_fetch_sub(&lookup->refs, 1);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return rc == 0;
}

struct pg_hosts_lookup *pg_hosts_lookup_new(struct loop *loop, const char *host, const char *port,
                                            pg_hosts_fn *done, void *arg)
{
	struct pg_hosts_lookup *lookup = calloc(1, sizeof *lookup);
	if (!lookup)
		return NULL;
	atomic_init(&lookup->refs, 1);
	lookup->done = done;
	lookup->arg = arg;
	lookup->host = strdup(host);
	lookup->port = strdup(port ? port : "");
	lookup->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!lookup->host || !lookup->port || lookup->fd < 0)
		goto fail;
	lookup->event = event_new(loop_base(loop), lookup->fd, EV_READ, on_answer, lookup);
	if (!lookup->event || event_add(lookup->event, NULL) != 0 || !start_thread(lookup))
		goto fail;
	return lookup;
fail:
	pg_hosts_lookup_free(lookup);
	return NULL;
}

void pg_hosts_lookup_free(struct pg_hosts_lookup *lookup)
{
	if (!lookup)
		return;
	if (lookup->event)
		event_free(lookup->event);
	lookup->event = NULL;
	let_go(lookup);
}
