/* SPDX-License-Identifier: MIT */
/* The admin listener: is it alive, is it ready, what does it do. */
#include "admin.h"

#include "buf.h"
#include "json_text.h"
#include "json_tree.h"
#include "log.h"
#include "process_metrics.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define STATUS_MAX 32
#define ROUTES_MAX 32
#define BODY_MAX   65536
#define JSON_TYPE  "application/json"

struct status {
	const char *name;
	admin_status_fn *fn;
	void *arg;
};

struct route {
	enum http_method method;
	const char *path; /* ends in '/': of what is one segment below it */
	admin_route_fn *fn;
	void *arg;
};

struct admin {
	struct http_server_config config;
	struct loop *loop;
	struct http_server *server;
	struct metrics *metrics;
	struct health *health;
	const char *version;
	int64_t started; /* loop_now() */
	struct status status[STATUS_MAX];
	int n_status;
	struct route routes[ROUTES_MAX];
	int n_routes;
};

void admin_respond(struct http_request *req, int status, json_t *json)
{
	struct buf body = BUF_INIT;
	json_text(&body, json, JSON_INDENT(2));
	buf_putc(&body, '\n');
	json_decref(json);
	if (!body.failed)
		http_respond(req, status, JSON_TYPE, body.data, body.len);
	else
		http_respond_no_memory(req);
	buf_release(&body);
}

static void live(void *arg, struct http_request *req, const char *below)
{
	(void)arg;
	(void)below;
	admin_respond(req, 200, json_pack("{s:b}", "live", 1));
}

static void ready(void *arg, struct http_request *req, const char *below)
{
	struct admin *admin = arg;
	(void)below;
	bool is_ready = health_is_ready(admin->health);
	admin_respond(req, is_ready ? 200 : 503, health_json(admin->health));
}

static void metrics(void *arg, struct http_request *req, const char *below)
{
	struct admin *admin = arg;
	(void)below;
	struct buf text = BUF_INIT;
	metrics_write(admin->metrics, &text);
	if (text.failed)
		http_respond_no_memory(req);
	else
		http_respond(req, 200, "text/plain; version=0.0.4; charset=utf-8", text.data,
		             text.len);
	buf_release(&text);
}

static void status(void *arg, struct http_request *req, const char *below)
{
	struct admin *admin = arg;
	(void)below;
	json_t *json = json_pack("{s:s, s:i, s:I, s:I, s:o}", "version", admin->version, "pid",
	                         (int)getpid(), "uptime_seconds",
	                         (json_int_t)((loop_now(admin->loop) - admin->started) / 1000000),
	                         "resident_memory_bytes", (json_int_t)process_resident_memory(),
	                         "health", health_json(admin->health));
	for (int i = 0; i < admin->n_status; i++)
		json_tree_set(&json, admin->status[i].name,
		              admin->status[i].fn(admin->status[i].arg));
	admin_respond(req, 200, json);
}

static void version(void *arg, struct http_request *req, const char *below)
{
	struct admin *admin = arg;
	(void)below;
	admin_respond(req, 200,
	              json_pack("{s:s, s:s}", "name", "cqrsd", "version", admin->version));
}

/* ---- routes ---- */

void admin_route_add(struct admin *admin, enum http_method method, const char *path,
                     admin_route_fn *fn, void *arg)
{
	if (admin->n_routes == ROUTES_MAX) {
		log_warning("admin: there is no room for %s", path);
		return;
	}
	admin->routes[admin->n_routes++] =
	    (struct route){.method = method, .path = path, .fn = fn, .arg = arg};
}

void admin_route_remove(struct admin *admin, const void *arg)
{
	int kept = 0;
	for (int i = 0; i < admin->n_routes; i++)
		if (admin->routes[i].arg != arg)
			admin->routes[kept++] = admin->routes[i];
	admin->n_routes = kept;
}

/* What of `path` follows the route's; NULL: the route is not meant. */
static const char *match(const struct route *route, const char *path)
{
	size_t len = strlen(route->path);
	if (route->path[len - 1] != '/')
		return strcmp(route->path, path) == 0 ? "" : NULL;
	bool is_below = !strncmp(route->path, path, len) && path[len] && !strchr(path + len, '/');
	return is_below ? path + len : NULL;
}

/* An exact path comes before one that has it below. */
static const struct route *find_route(const struct admin *admin, const char *path)
{
	const struct route *found = NULL;
	for (int i = 0; i < admin->n_routes; i++)
		if (match(&admin->routes[i], path) &&
		    (!found || strlen(admin->routes[i].path) > strlen(found->path)))
			found = &admin->routes[i];
	return found;
}

static void not_found(const struct admin *admin, struct http_request *req)
{
	struct buf paths = BUF_INIT;
	for (int i = 0; i < admin->n_routes; i++) {
		const char *path = admin->routes[i].path;
		const char *comma = !i ? "" : i + 1 < admin->n_routes ? ", " : " and ";
		buf_printf(&paths, "%s%s%s", comma, path,
		           path[strlen(path) - 1] == '/' ? "{id}" : "");
	}
	http_respond_problem(req, 404, "not_found", NULL, "There are %s.", buf_str(&paths));
	buf_release(&paths);
}

static bool is_json(const char *content_type)
{
	size_t len = sizeof JSON_TYPE - 1;
	return content_type && !strncasecmp(content_type, JSON_TYPE, len) &&
	       (!content_type[len] || strchr("; \t", content_type[len]));
}

/* Whether the method is the route's; otherwise the request is answered. */
static bool is_allowed(const struct route *route, struct http_request *req)
{
	enum http_method method = http_request_method(req);
	bool reads = route->method == HTTP_GET;
	if (method == route->method || (reads && method == HTTP_HEAD)) {
		if (reads || is_json(http_request_header(req, "Content-Type")))
			return true;
		http_respond_problem(req, 415, "unsupported_media_type", NULL,
		                     "Send the body as " JSON_TYPE ".");
		return false;
	}
	http_respond_header(req, "Allow", reads ? "GET, HEAD" : "POST");
	http_respond_problem(req, 405, "method_not_allowed", NULL,
	                     reads ? "%s can only be read: use GET."
	                           : "%s changes something: use POST.",
	                     route->path);
	return false;
}

static void on_request(void *owner, struct http_request *req)
{
	struct admin *admin = owner;
	const char *path = http_request_path(req);
	const struct route *route = find_route(admin, path);
	if (!route) {
		not_found(admin, req);
		return;
	}
	http_request_set_route(req, route->path);
	if (!is_allowed(route, req))
		return;
	/* Yesterday's answer says nothing about today. */
	http_respond_header(req, "Cache-Control", "no-store");
	route->fn(route->arg, req, match(route, path));
}

static void add_own_routes(struct admin *admin)
{
	admin_route_add(admin, HTTP_GET, "/livez", live, admin);
	admin_route_add(admin, HTTP_GET, "/readyz", ready, admin);
	admin_route_add(admin, HTTP_GET, "/metrics", metrics, admin);
	admin_route_add(admin, HTTP_GET, "/status", status, admin);
	admin_route_add(admin, HTTP_GET, "/version", version, admin);
}

struct admin *admin_new(struct loop *loop, const char *listen, struct metrics *registry,
                        struct health *health, const char *version_text)
{
	struct admin *admin = calloc(1, sizeof *admin);
	if (!admin) {
		log_error("admin: out of memory");
		return NULL;
	}
	admin->config = (struct http_server_config){
	    .name = "admin",
	    .listen = listen,
	    .header_timeout_us = 5000000,
	    .body_timeout_us = 5000000,
	    .idle_timeout_us = 60000000,
	    .write_timeout_us = 20000000,
	    .max_body = BODY_MAX,
	    .max_connections = 64,
	};
	admin->loop = loop;
	admin->metrics = registry;
	admin->health = health;
	admin->version = version_text;
	admin->started = loop_now(loop);
	add_own_routes(admin);
	admin->server = http_server_new(loop, &admin->config, registry, on_request, admin);
	if (!admin->server) {
		free(admin);
		return NULL;
	}
	return admin;
}

void admin_free(struct admin *admin)
{
	if (!admin)
		return;
	http_server_free(admin->server);
	free(admin);
}

const char *admin_address(const struct admin *admin)
{
	return http_server_address(admin->server);
}

void admin_status_add(struct admin *admin, const char *name, admin_status_fn *fn, void *arg)
{
	if (admin->n_status == STATUS_MAX) {
		log_warning("admin: /status has no room for \"%s\"", name);
		return;
	}
	admin->status[admin->n_status++] = (struct status){.name = name, .fn = fn, .arg = arg};
}

void admin_status_remove(struct admin *admin, const char *name)
{
	for (int i = 0; i < admin->n_status; i++) {
		if (strcmp(admin->status[i].name, name) != 0)
			continue;
		memmove(&admin->status[i], &admin->status[i + 1],
		        sizeof *admin->status * (size_t)(admin->n_status - i - 1));
		admin->n_status--;
		return;
	}
}
