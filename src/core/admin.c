/* SPDX-License-Identifier: MIT */
/* The admin listener: is it alive, is it ready, what does it do. */
#include "admin.h"

#include "http_server.h"
#include "log.h"
#include "process_metrics.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATUS_MAX 32
#define JSON_TYPE  "application/json"

struct status {
	const char *name;
	admin_status_fn *fn;
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
};

/* Takes the reference. */
static void respond_json(struct http_request *req, int status, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	struct buf body = BUF_INIT;
	if (text)
		buf_printf(&body, "%s\n", text);
	json_decref(json);
	free(text);
	if (text && !body.failed)
		http_respond(req, status, JSON_TYPE, body.data, body.len);
	else
		http_respond_problem(req, 503, "out_of_memory", NULL,
		                     "There is no memory for the answer now; try again soon.");
	buf_release(&body);
}

static void live(struct admin *admin, struct http_request *req)
{
	(void)admin;
	respond_json(req, 200, json_pack("{s:b}", "live", 1));
}

static void ready(struct admin *admin, struct http_request *req)
{
	bool is_ready = health_is_ready(admin->health);
	respond_json(req, is_ready ? 200 : 503, health_json(admin->health));
}

static void metrics(struct admin *admin, struct http_request *req)
{
	struct buf text = BUF_INIT;
	metrics_write(admin->metrics, &text);
	if (text.failed)
		http_respond_problem(req, 503, "out_of_memory", NULL,
		                     "There is no memory for the answer now; try again soon.");
	else
		http_respond(req, 200, "text/plain; version=0.0.4; charset=utf-8", text.data,
		             text.len);
	buf_release(&text);
}

static void status(struct admin *admin, struct http_request *req)
{
	json_t *json = json_pack("{s:s, s:i, s:I, s:I, s:o}", "version", admin->version, "pid",
	                         (int)getpid(), "uptime_seconds",
	                         (json_int_t)((loop_now(admin->loop) - admin->started) / 1000000),
	                         "resident_memory_bytes", (json_int_t)process_resident_memory(),
	                         "health", health_json(admin->health));
	for (int i = 0; json && i < admin->n_status; i++) {
		json_t *part = admin->status[i].fn(admin->status[i].arg);
		if (part)
			json_object_set_new(json, admin->status[i].name, part);
	}
	respond_json(req, 200, json);
}

static void version(struct admin *admin, struct http_request *req)
{
	respond_json(req, 200, json_pack("{s:s, s:s}", "name", "cqrsd", "version", admin->version));
}

static const struct route {
	const char *path;
	void (*answer)(struct admin *admin, struct http_request *req);
} routes[] = {
    {"/livez", live},    {"/readyz", ready},    {"/metrics", metrics},
    {"/status", status}, {"/version", version},
};

static const struct route *find_route(const char *path)
{
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
		if (strcmp(routes[i].path, path) == 0)
			return &routes[i];
	return NULL;
}

static void on_request(void *owner, struct http_request *req)
{
	struct admin *admin = owner;
	enum http_method method = http_request_method(req);
	const struct route *route = find_route(http_request_path(req));
	if (!route) {
		http_respond_problem(req, 404, "not_found", NULL,
		                     "There are /livez, /readyz, /metrics, /status and /version.");
		return;
	}
	http_request_set_route(req, route->path);
	if (method != HTTP_GET && method != HTTP_HEAD) {
		http_respond_header(req, "Allow", "GET, HEAD");
		http_respond_problem(req, 405, "method_not_allowed", NULL,
		                     "%s can only be read: use GET.", route->path);
		return;
	}
	/* Yesterday's answer says nothing about today. */
	http_respond_header(req, "Cache-Control", "no-store");
	route->answer(admin, req);
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
	    .max_body = 0,
	    .max_connections = 64,
	};
	admin->loop = loop;
	admin->metrics = registry;
	admin->health = health;
	admin->version = version_text;
	admin->started = loop_now(loop);
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
