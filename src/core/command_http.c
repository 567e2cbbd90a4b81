/* SPDX-License-Identifier: MIT */
/* Commands over HTTP: who is let in, and for how long. */
#include "command_http_internal.h"

#include <stdlib.h>

#define COMMAND_BYTES 16384 /* of memory for each that may be under way */
#define BYTES_SHARE   16    /* of memory for the messages of all of them */
#define IDLE_MAX      64    /* kept for the next requests */
#define IDLE_BYTES    (64 * 1024)
#define SWEEP_US      50000

/* ---- the memory of a command ---- */

static void destroy(struct command *c)
{
	forward_release(&c->forward);
	free(c);
}

static bool is_full(const struct command_http *commands)
{
	return commands->n_busy >= commands->max_busy ||
	       (commands->n_busy && commands->bytes >= commands->max_bytes);
}

struct command *command_take(struct command_http *commands, struct http_request *http,
                             const struct command_route *route)
{
	struct command *c = LIST_FIRST(&commands->idle);
	if (is_full(commands)) {
		command_answer_overloaded(http);
		return NULL;
	}
	if (c) {
		LIST_REMOVE(c, link);
		commands->n_idle--;
	} else if (!(c = calloc(1, sizeof *c))) {
		http_respond_no_memory(http);
		return NULL;
	}
	c->bus = commands;
	c->http = http;
	c->route = route;
	c->is_sending = c->is_claiming = false;
	forward_clear(&c->forward);
	if (!commands->n_busy++)
		timer_arm(commands->sweep, SWEEP_US);
	LIST_INSERT_HEAD(&commands->busy, c, link);
	metric_set(commands->in_flight, (double)commands->n_busy);
	return c;
}

void command_let_go(struct command *c)
{
	struct command_http *commands = c->bus;
	if (c->http || c->is_sending || c->is_claiming)
		return;
	LIST_REMOVE(c, link);
	commands->bytes -= c->forward.data.len;
	metric_set(commands->in_flight, (double)--commands->n_busy);
	if (commands->n_idle == IDLE_MAX || c->forward.data.cap > IDLE_BYTES) {
		destroy(c);
		return;
	}
	LIST_INSERT_HEAD(&commands->idle, c, link);
	commands->n_idle++;
}

/* A route_handle_fn. */
static void handle(const struct route *base, struct http_request *http,
                   const struct param_text *path)
{
	const struct command_route *route = (const struct command_route *)base;
	struct command_http *commands = route->http;
	struct command_request *req = &commands->request;
	if (!command_request_read(req, route, http, path, loop_wall_clock(commands->loop)))
		return;
	struct command *c = command_take(commands, http, route);
	if (c)
		command_begin(c, req, path);
}

/* ---- what takes too long ---- */

/* One walk now and then instead of a timer for each. */
static void on_sweep(void *arg)
{
	struct command_http *commands = arg;
	struct command *c = LIST_FIRST(&commands->busy), *next;
	int64_t now = loop_now(commands->loop);
	for (; c; c = next) {
		next = LIST_NEXT(c, link);
		if (c->http && now >= c->deadline)
			command_is_late(c);
	}
	if (commands->n_busy)
		timer_arm(commands->sweep, SWEEP_US);
}

/* ---- life ---- */

struct command_http *command_http_new(struct loop *loop, const struct command_http_config *config,
                                      struct metrics *metrics, struct health *health)
{
	struct command_http *commands = calloc(1, sizeof *commands);
	if (!commands)
		return NULL;
	commands->loop = loop;
	commands->config = config;
	commands->health = health;
	commands->max_busy = (size_t)config->memory / COMMAND_BYTES;
	commands->max_bytes = (size_t)config->memory / BYTES_SHARE;
	commands->sink_config = (struct kafka_sink_config){
	    .brokers = config->brokers,
	    .queue_bytes = config->memory / BYTES_SHARE,
	    .delivery_timeout_us = config->timeout_us,
	    .properties = config->properties,
	};
	LIST_INIT(&commands->busy);
	LIST_INIT(&commands->idle);
	commands->in_flight = metrics_gauge(metrics, "cqrsd_http_commands_in_flight", "",
	                                    "Commands over HTTP that are not answered, or that "
	                                    "Kafka has not answered");
	commands->seconds =
	    metrics_histogram(metrics, "cqrsd_http_command_seconds", "",
	                      "Time from a request with a command until Kafka has it",
	                      metrics_seconds, metrics_n_seconds);
	commands->db_config = (struct command_db_config){
	    .dsn = config->dsn,
	    .network_timeout_us = config->network_timeout_us,
	    .timeout_us = config->timeout_us,
	};
	commands->db = command_db_new(loop, &commands->db_config, health);
	commands->sweep = timer_new(loop, on_sweep, commands);
	if (commands->db && commands->sweep)
		return commands;
	command_http_free(commands);
	return NULL;
}

void command_http_free(struct command_http *commands)
{
	struct command *c;
	if (!commands)
		return;
	kafka_sink_free(commands->sink);
	command_db_free(commands->db);
	while ((c = LIST_FIRST(&commands->busy))) {
		LIST_REMOVE(c, link);
		destroy(c);
	}
	while ((c = LIST_FIRST(&commands->idle))) {
		LIST_REMOVE(c, link);
		destroy(c);
	}
	command_request_release(&commands->request);
	timer_free(commands->sweep);
	free(commands);
}

bool command_http_add_routes(struct command_http *commands, struct command_bus *bus,
                             struct route_table *routes, struct buf *errors)
{
	struct command_route *route;
	struct buf why = BUF_INIT;
	bool fine = true, any = false;
	while ((route = command_bus_take_route(bus))) {
		route->http = commands;
		route->base.handle = handle;
		any = true;
		buf_clear(&why);
		if (route_add(routes, &route->base, &why))
			continue;
		buf_printf(errors, "module %s: route %s %s: %s\n", route->base.module,
		           route->def->method, route->def->path, buf_str(&why));
		route_free(&route->base);
		fine = false;
	}
	buf_release(&why);
	return fine && (!any || command_outcome_add_route(commands, routes, errors));
}
