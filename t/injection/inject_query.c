/* SPDX-License-Identifier: MIT */
/* The read path as a whole: an answer of 200 that is complete is the right one. */
#include "injection.h"

#include "../unit/pg_server.h"
#include "answer_cache.h"
#include "api.h"
#include "client.h"
#include "http_server.h"
#include "query_bus.h"
#include "schema.h"

#include <arpa/inet.h>
#include <string.h>

#define TIMEOUT_US  3000000
#define MAX_WAIT_US 100000
#define TRIES       30 /* until all that was lost is connected again */

/* ---- a module ---- */

static const struct cqrs_param n_params[] = {
    {.name = "n", .type = CQRS_PARAM_INTEGER, .initial = "5", .min = 0, .max = 10000000},
    {.name = "text", .type = CQRS_PARAM_TEXT, .repeatable = true},
    {.name = "ids", .type = CQRS_PARAM_INTEGER, .repeatable = true, .max = 100},
    {.name = "from", .type = CQRS_PARAM_TIME},
    {.name = "step", .type = CQRS_PARAM_DURATION, .initial = "30m"},
    {.name = "order", .type = CQRS_PARAM_CHOICE, .choices = "n|-n", .initial = "n"},
    {.name = NULL}};
static const struct cqrs_param id_params[] = {
    {.name = "n", .type = CQRS_PARAM_INTEGER, .min = 0, .max = INT32_MAX}, {.name = NULL}};
static const char *const key[] = {"n", "t", NULL};

static void numbers(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	const struct cqrs_value *after = cqrs_cursor(req);
	(void)self;
	cqrs_sql_bind(ans,
	              "SELECT n, 'text ' || n AS t, $? AS text, $? AS ids, $? AS since FROM "
	              "generate_series(1, $?) n",
	              (struct cqrs_value[]){*cqrs_param(req, "text"), *cqrs_param(req, "ids"),
	                                    *cqrs_param(req, "from"), *cqrs_param(req, "n")},
	              4);
	if (after)
		cqrs_sql_bind(ans, " WHERE (n, 'text ' || n) > ($?, $?)", after, 2);
	if (cqrs_row_limit(req) != CQRS_ROWS_COUNTED)
		cqrs_sql(ans, " ORDER BY n, t");
}

static void types(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	cqrs_sql_bind(
	    ans,
	    "SELECT true AS b, '\\x0102'::bytea AS bytes, 12.5::numeric AS numeric,"
	    " 0.1::float8 AS real, 'a \"quoted\", text' AS text, '{\"a\": [1]}'::jsonb AS json,"
	    " '2022-03-04 15:55:00'::timestamp AS time, '2022-03-04'::date AS date,"
	    " ARRAY[1, NULL, 3] AS list, ARRAY['x', 'y'] AS texts,"
	    " 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'::uuid AS uuid, NULL::text AS nothing"
	    " FROM generate_series(1, 3) n WHERE n = $?",
	    cqrs_param(req, "n"), 1);
}

static void several(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	cqrs_sql_bind(ans,
	              "SELECT n, n * n AS square FROM generate_series(1, 9) n WHERE n = ANY ($?)",
	              cqrs_param(req, "n"), 1);
}

static void put_square(void *self, const struct cqrs_request *req, const PGresult *rows, int row,
                       struct cqrs_json *out)
{
	(void)self;
	(void)req;
	int n = (int)ntohl(*(const uint32_t *)(const void *)PQgetvalue(rows, row, 0));
	cqrs_json_open_object(out);
	cqrs_json_name(out, "square");
	cqrs_json_integer(out, n * n);
	cqrs_json_close_object(out);
}

static void refuses(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	(void)req;
	cqrs_answer_refuse(ans, "n", "n is %d", 7);
}

static void no_table(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	(void)req;
	cqrs_sql(ans, "SELECT * FROM no_such_table");
}

static void thing(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	cqrs_sql_bind(ans, "SELECT n, seen FROM thing WHERE n = $?", cqrs_param(req, "n"), 1);
}

static const struct cqrs_route routes[] = {
    {.path = "/numbers", .summary = "s", .params = n_params, .query = numbers, .key = key},
    {.path = "/squares", .summary = "s", .params = n_params, .query = numbers, .row = put_square},
    {.path = "/types/{n}", .summary = "s", .params = id_params, .query = types, .one = true},
    {.path = "/several/{n}",
     .summary = "s",
     .params = id_params,
     .query = several,
     .one = true,
     .lookup = "n"},
    {.path = "/things/{n}",
     .summary = "s",
     .params = id_params,
     .query = thing,
     .one = true,
     .view = "things",
     .cached = true},
    {.path = "/refuses", .summary = "s", .query = refuses},
    {.path = "/no-table", .summary = "s", .query = no_table},
};

/* ---- the service ---- */

struct service {
	struct loop *loop;
	struct metrics *metrics;
	struct health *health;
	struct pg_pool *pool;
	struct api *api;
	struct answer_cache *cache;
	struct query_bus *bus;
	struct http_server *server;
};

static struct client client;

static bool add_routes(struct service *s)
{
	struct buf errors = BUF_INIT;
	struct cqrs_routes *list = query_bus_routes(s->bus, "test");
	for (size_t i = 0; list && i < sizeof routes / sizeof *routes; i++)
		cqrs_routes_add(list, &routes[i]);
	bool ok = list && query_bus_started(list, s, &errors);
	buf_release(&errors);
	return ok;
}

static bool begin(struct service *s)
{
	static struct pg_pool_config pool = {
	    .connections = 1, .streams = 1, .timeout_us = TIMEOUT_US, .max_waiting = 10};
	static const struct http_server_config http = {.name = "http",
	                                               .listen = "127.0.0.1:0",
	                                               .header_timeout_us = 60000000,
	                                               .body_timeout_us = 60000000,
	                                               .idle_timeout_us = 60000000,
	                                               .write_timeout_us = 60000000,
	                                               .max_body = 1000,
	                                               .max_connections = 10};
	static struct answer_cache_config cache = {
	    .network_timeout_us = TIMEOUT_US, .max_bytes = 10000, .ttl_us = INT64_C(3600000000)};
	pool.dsn = cache.dsn = pg_server_dsn;
	s->loop = loop_new();
	s->metrics = s->loop ? metrics_new() : NULL;
	s->health = s->metrics ? health_new(s->loop) : NULL;
	s->pool = s->health ? pg_pool_new(s->loop, &pool, s->metrics, s->health) : NULL;
	s->api = s->pool ? api_new() : NULL;
	s->bus = s->api ? query_bus_new(s->loop, s->pool, api_routes(s->api), s->metrics, 100000,
	                                TIMEOUT_US, MAX_WAIT_US)
	                : NULL;
	s->cache = s->bus ? answer_cache_new(s->loop, &cache, s->metrics) : NULL;
	if (!s->cache)
		return false;
	query_bus_use_cache(s->bus, s->cache);
	if (add_routes(s))
		s->server = http_server_new(s->loop, &http, s->metrics, api_handle, s->api);
	/* A listener that does not know its own address says "?", and listens. */
	return s->server && !strchr(http_server_address(s->server), '?');
}

static void end(struct service *s)
{
	http_server_free(s->server);
	pg_pool_free(s->pool);
	query_bus_free(s->bus);
	answer_cache_free(s->cache);
	api_free(s->api);
	health_free(s->health);
	metrics_free(s->metrics);
	loop_free(s->loop);
}

/* True: answered with this status, in client.answer.  `headers` each end a line. */
static bool is_answered(struct service *s, const char *status, const char *target,
                        const char *headers)
{
	char request[500];
	snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", target, headers);
	if (client_ask(&client, s->loop, http_server_address(s->server), request) &&
	    strncmp(client.answer + 9, status, 3) == 0)
		return true;
	client_must_be_refused(&client);
	return false;
}

/* What is answered with 200 is the same each time. */
static bool ask(struct service *s, int which, const char *status, const char *target,
                const char *accept)
{
	char header[100];
	snprintf(header, sizeof header, "Accept: %s\r\n", accept);
	if (!is_answered(s, status, target, header))
		return false;
	const char *body = client_body(&client);
	MUST(*status != '2' || injection_is_same(which, body, strlen(body)));
	return true;
}

/* Where the link of the last answer leads. */
static bool ask_next(struct service *s, int which)
{
	char target[300];
	const char *link = strstr(client.answer, "Link: <");
	return link && sscanf(link, "Link: <%299[^>]>", target) == 1 &&
	       ask(s, which, "200", target, "application/json");
}

static bool ask_all(struct service *s)
{
	static const char all[] =
	    "/api/v1/numbers?n=40&text=a%20b&text=c&ids=1&ids=2&from=2022-03-04T15:55:00Z";
	bool ok = ask(s, 0, "200", "/api/v1/numbers?n=7&limit=3&count=exact", "*/*");
	MUST(!ok ||
	     (strstr(client.answer, "\nLink: <") && strstr(client.answer, "\nTotal-Count: 7\r")));
	ok = ok && ask_next(s, 1);
	ok &= ask(s, 2, "200", all, "text/csv");
	ok &= ask(s, 3, "200", "/api/v1/squares?n=3", "application/x-ndjson");
	ok &= ask(s, 4, "200", "/api/v1/squares?n=3", "application/json");
	ok &= ask(s, 5, "200", "/api/v1/types/2", "application/json");
	ok &= ask(s, 6, "200", "/api/v1/types/2", "text/csv");
	ok &= ask(s, 7, "404", "/api/v1/types/4", "application/json");
	ok &= ask(s, 8, "400", "/api/v1/refuses", "*/*");
	ok &= ask(s, 9, "400", "/api/v1/numbers?m=7", "*/*");
	ok &= ask(s, 10, "404", "/api/v1/number", "*/*");
	ok &= ask(s, 11, "406", "/api/v1/numbers", "image/png");
	ok &= ask(s, 13, "200", "/api/v1/several/3", "*/*");
	ok &= ask(s, 12, "500", "/api/v1/no-table", "*/*");
	return ok;
}

static bool answers(void)
{
	struct service s = {.loop = NULL};
	bool ok = begin(&s);
	if (ok) {
		ok = ask_all(&s);
		injection_end();
		MUST(ask_all(&s));
	}
	end(&s);
	return ok;
}

static bool shows_its_documents(void)
{
	struct service s = {.loop = NULL};
	bool ok = begin(&s);
	if (ok) {
		ok = ask(&s, 0, "200", "/api/v1/openapi.json", "*/*");
		ok &= ask(&s, 1, "200", "/", "text/html");
		injection_end();
		MUST(ask(&s, 0, "200", "/api/v1/openapi.json", "*/*"));
	}
	end(&s);
	return ok;
}

/* ---- what is kept, and what has to be waited for ---- */

static bool is_answered_about_thing(struct service *s, const char *status, const char *headers)
{
	char target[60];
	snprintf(target, sizeof target, "/api/v1/things/%d", (int)getpid());
	return is_answered(s, status, target, headers);
}

/* Each process has one of its own, which becomes what it never was before. */
static void change_thing(char is[20])
{
	static int number;
	char sql[300];
	snprintf(is, 20, ":%d}", ++number);
	snprintf(sql, sizeof sql,
	         "INSERT INTO thing VALUES (%d, %d) ON CONFLICT (n) DO UPDATE SET seen = %d;"
	         "SELECT pg_notify('cqrs_changed', 'things:%d')",
	         (int)getpid(), number, number, (int)getpid());
	pg_server_exec(sql);
}

static bool is_over(void *arg)
{
	(void)arg;
	return false;
}

/* What is kept goes when the notification comes, and does not come back. */
static bool keeps_no_old_one(struct service *s)
{
	char is[20];
	change_thing(is);
	bool ok = is_answered_about_thing(s, "200", "");
	change_thing(is);
	for (int i = 0; ok && i < TRIES; i++) {
		ok = is_answered_about_thing(s, "200", "");
		if (ok && strstr(client_body(&client), is))
			return is_answered_about_thing(s, "200", "") &&
			       strstr(client_body(&client), is);
		turn_until(s->loop, is_over, NULL, 20000);
	}
	return false;
}

static bool waits_for_its_token(struct service *s)
{
	char is[20];
	change_thing(is);
	if (!is_answered_about_thing(s, "200", "Consistency-Token: things:0@9\r\n"))
		return false;
	MUST(strstr(client_body(&client), is));
	return is_answered_about_thing(s, "503", "Consistency-Token: things:0@10\r\n") &&
	       is_answered_about_thing(
	           s, "200", "Consistency-Token: things:0@10\r\nPrefer: handling=lenient\r\n");
}

static bool is_true_to_the_view(void)
{
	struct service s = {.loop = NULL};
	bool ok = begin(&s);
	if (ok) {
		keeps_no_old_one(&s);
		waits_for_its_token(&s);
		injection_end();
		for (int tries = 0; !keeps_no_old_one(&s) || !waits_for_its_token(&s); tries++)
			MUST(tries < TRIES);
	}
	end(&s);
	return ok;
}

/* ---- the server ---- */

static void start(void)
{
	pg_server_start("inject_query");
	pg_server_exec("CREATE SCHEMA cqrs");
	for (const struct schema_file *file = schema_files; file->number; file++)
		pg_server_exec(file->text);
	pg_server_exec("CREATE TABLE thing (n integer PRIMARY KEY, seen integer);"
	               "INSERT INTO cqrs.views VALUES ('things', 'things', 'g', false);"
	               "INSERT INTO cqrs.offsets (consumer_group, topic, partition, next_offset) "
	               "VALUES ('g', 'things', 0, 10)");
}

static const struct injection_scenario scenarios[] = {
    {.name = "answers", .run = answers, .jobs = 4, .every = 23},
    {.name = "is true to the view", .run = is_true_to_the_view, .jobs = 4, .every = 7},
    {.name = "shows its documents", .run = shows_its_documents, .jobs = 4, .every = 3},
    {.name = NULL},
};

const struct injection injection = {
    .name = "query", .scenarios = scenarios, .start = start, .stop = pg_server_stop};
