/* SPDX-License-Identifier: MIT */
/* The listener: who may connect, and how it begins and ends. */
#include "http_connection.h"
#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_MAX     64 /* connections in a turn of the loop */
#define OVERFLOW_MAX   64 /* connections above the limit that are told so */
#define MEMORY_DEFAULT (32 << 20)
#define CLIENTS_LATELY 1024     /* known besides those that are connected */
#define COMPLAIN_US    10000000 /* between two lines about that */
#define RESUME_US      100000   /* after the process ran out of descriptors */
#define SWEEP_MIN_US   5000
#define SWEEP_MAX_US   500000

static void admit(struct http_server *server, int fd, const struct sockaddr *from)
{
	static const struct http_refusal full = {
	    503, "too_many_connections",
	    "The server has all the connections it takes; try again soon."};
	static const struct http_refusal greedy = {
	    429, "too_many_connections_of_client",
	    "You have all the connections that one client may have; use them again."};
	size_t max = (size_t)server->config->max_connections;
	if (server->n_connections >= max + OVERFLOW_MAX) {
		http_metrics_refused(server->metrics, full.code);
		close(fd);
		return;
	}
	bool over = server->n_connections >= max;
	struct http_connection *c = http_connection_new(server, fd, from);
	if (c && over)
		http_connection_refuse(c, &full);
	else if (c && c->client && http_limit_is_exceeded(server->limit, c->client))
		http_connection_refuse(c, &greedy);
}

/*
 * Out of descriptors or memory: clients wait in the backlog until one of ours
 * goes, or for a while.
 */
static void pause_accepting(struct http_server *server, int error)
{
	int64_t now = loop_now(server->loop);
	if (!server->complained || now - server->complained > COMPLAIN_US) {
		server->complained = now;
		log_warning("%s: cannot accept connections now: %s", server->config->name,
		            strerror(error));
	}
	server->paused = true;
	event_del(server->accept);
	timer_arm(server->resume, RESUME_US);
}

static void on_accept(evutil_socket_t listener, short what, void *arg)
{
	struct http_server *server = arg;
	(void)what;
	for (int i = 0; i < ACCEPT_MAX; i++) {
		struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
		socklen_t len = sizeof from;
		int fd = accept4((int)listener, (struct sockaddr *)&from, &len,
		                 SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			admit(server, fd, (struct sockaddr *)&from);
			continue;
		}
		/* The client may have left before we came: that is no end. */
		if (errno == ECONNABORTED || errno == EINTR)
			continue;
		if (errno != EAGAIN)
			pause_accepting(server, errno);
		return;
	}
}

static void on_resume(void *arg)
{
	struct http_server *server = arg;
	server->paused = !server->draining && event_add(server->accept, NULL) != 0;
	if (server->paused)
		timer_arm(server->resume, RESUME_US);
}

/* Since when a client takes no more of its answers; those that wait for another answer are last. */
static int64_t waits_since(const struct http_connection *c)
{
	return c->write_since ? c->write_since : INT64_MAX;
}

static struct http_connection *slowest_reader(const struct http_server *server)
{
	struct http_connection *c, *slowest = NULL;
	TAILQ_FOREACH (c, &server->connections, link)
		if (c->owed && (!slowest || waits_since(c) < waits_since(slowest)))
			slowest = c;
	return slowest;
}

static void on_settle(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *server = arg;
	struct http_connection *c;
	(void)fd;
	(void)what;
	while ((c = TAILQ_FIRST(&server->unsettled))) {
		TAILQ_REMOVE(&server->unsettled, c, unsettled);
		c->is_unsettled = false;
		http_connection_settle(c);
	}
	while (server->output > server->max_output && (c = slowest_reader(server)))
		http_connection_expire(c, "slow_reader");
}

static int64_t sweep_interval(const struct http_server_config *config)
{
	const int64_t timeouts[] = {config->header_timeout_us, config->body_timeout_us,
	                            config->write_timeout_us};
	int64_t least = config->idle_timeout_us;
	for (size_t i = 0; i < sizeof timeouts / sizeof *timeouts; i++)
		least = timeouts[i] < least ? timeouts[i] : least;
	least /= 8;
	return least < SWEEP_MIN_US ? SWEEP_MIN_US : least > SWEEP_MAX_US ? SWEEP_MAX_US : least;
}

/* One walk now and then instead of a timer per connection, set anew with each request. */
static void on_sweep(void *arg)
{
	struct http_server *server = arg;
	struct http_connection *c = TAILQ_FIRST(&server->connections), *next;
	int64_t now = loop_now(server->loop);
	for (; c; c = next) {
		next = TAILQ_NEXT(c, link);
		http_connection_check(c, now);
	}
	timer_arm(server->sweep, sweep_interval(server->config));
}

static void on_drained(void *arg)
{
	struct http_server *server = arg;
	if (!server->drained || server->n_connections)
		return;
	loop_fn *drained = server->drained;
	server->drained = NULL;
	drained(server->drained_arg);
}

static bool open_listener(struct http_server *server)
{
	char error[320];
	server->fd = http_listen(server->config->listen, server->address, error, sizeof error);
	if (server->fd >= 0)
		return true;
	log_error("%s: %s", server->config->name, error);
	return false;
}

static bool make_limit(struct http_server *server)
{
	const struct http_server_config *config = server->config;
	if (!config->max_connections_per_client && !config->rate_limit)
		return true;
	server->limit = http_limit_new(&(struct http_limit_config){
	    .connections = config->max_connections_per_client,
	    .per_second = config->rate_limit,
	    .clients = (size_t)config->max_connections + OVERFLOW_MAX + CLIENTS_LATELY,
	    .seed = (uint64_t)loop_random(server->loop, UINT32_MAX) << 32 |
	            loop_random(server->loop, UINT32_MAX),
	});
	return server->limit != NULL;
}

static bool make_parts(struct http_server *server, struct metrics *metrics)
{
	struct event_base *base = loop_base(server->loop);
	server->metrics = http_metrics_new(metrics, server->config->name);
	server->settle = event_new(base, -1, 0, on_settle, server);
	server->accept = event_new(base, server->fd, EV_READ | EV_PERSIST, on_accept, server);
	server->sweep = timer_new(server->loop, on_sweep, server);
	server->resume = timer_new(server->loop, on_resume, server);
	server->drain = timer_new(server->loop, on_drained, server);
	return server->metrics && server->settle && server->accept && server->sweep &&
	       server->resume && server->drain && make_limit(server) &&
	       event_add(server->accept, NULL) == 0;
}

struct http_server *http_server_new(struct loop *loop, const struct http_server_config *config,
                                    struct metrics *metrics, http_handler_fn *handler, void *owner)
{
	struct http_server *server = calloc(1, sizeof *server);
	if (!server) {
		log_error("%s: out of memory", config->name);
		return NULL;
	}
	server->loop = loop;
	server->config = config;
	server->handler = handler;
	server->owner = owner;
	server->fd = -1;
	TAILQ_INIT(&server->connections);
	TAILQ_INIT(&server->unsettled);
	TAILQ_INIT(&server->idle);
	server->max_memory = config->max_memory ? (size_t)config->max_memory : MEMORY_DEFAULT;
	server->max_output = config->max_output ? (size_t)config->max_output : MEMORY_DEFAULT;
	/* The largest request that is allowed must have a chance. */
	if (server->max_memory < 4 * (size_t)config->max_body)
		server->max_memory = 4 * (size_t)config->max_body;
	if (!open_listener(server))
		goto fail;
	if (!make_parts(server, metrics)) {
		log_error("%s: out of memory", config->name);
		goto fail;
	}
	timer_arm(server->sweep, sweep_interval(config));
	return server;
fail:
	http_server_free(server);
	return NULL;
}

static void stop_listening(struct http_server *server)
{
	if (server->accept)
		event_free(server->accept);
	server->accept = NULL;
	http_unlisten(server->fd, server->address);
	server->fd = -1;
}

void http_server_free(struct http_server *server)
{
	struct http_connection *c;
	if (!server)
		return;
	server->draining = false;
	while ((c = TAILQ_FIRST(&server->connections)))
		http_connection_free(c);
	timer_free(server->resume);
	stop_listening(server);
	timer_free(server->sweep);
	timer_free(server->drain);
	if (server->settle)
		event_free(server->settle);
	if (server->spare)
		buf_release(&server->spare->bytes);
	free(server->spare);
	buf_release(&server->spare_out);
	http_requests_release(server);
	http_limit_free(server->limit);
	http_metrics_free(server->metrics);
	free(server);
}

void http_server_drain(struct http_server *server, loop_fn *drained, void *arg)
{
	struct http_connection *c;
	server->draining = true;
	server->drained = drained;
	server->drained_arg = arg;
	timer_disarm(server->resume);
	stop_listening(server);
	/* Idle ones close when they are settled; what was sent meanwhile is still answered. */
	TAILQ_FOREACH (c, &server->connections, link)
		http_connection_touch(c);
	timer_arm(server->drain, 0);
}

const char *http_server_address(const struct http_server *server)
{
	return server->address;
}
