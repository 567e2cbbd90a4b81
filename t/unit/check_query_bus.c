/* SPDX-License-Identifier: MIT */
/* The read path as a whole: a real HTTP server, a real pool, a real PostgreSQL. */
#include "query_bus.h"

#include "api.h"

#include "pg_server.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define TIMEOUT_US 3000000

static struct loop *loop;
static struct metrics *metrics;
static struct health *health;
static struct pg_pool *pool;
static struct api *api;
static struct query_bus *bus;
static struct http_server *server;
static struct timer *timer;
static struct pg_pool_config pool_config = {
    .connections = 1, .streams = 1, .timeout_us = TIMEOUT_US, .max_waiting = 2};
static struct http_server_config http_config = {.name = "http",
                                                .listen = "127.0.0.1:0",
                                                .header_timeout_us = 10000000,
                                                .body_timeout_us = 10000000,
                                                .idle_timeout_us = 10000000,
                                                .write_timeout_us = 10000000,
                                                .max_body = 1000,
                                                .max_connections = 200};

/* ---- a module ---- */

static const struct cqrs_param n_params[] = {
    {.name = "n", .type = CQRS_PARAM_INTEGER, .initial = "5", .min = 0, .max = 10000000},
    {.name = NULL}};
static const char *const n_key[] = {"n", NULL};

static void numbers(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	ck_assert_ptr_eq(self, &loop);
	cqrs_sql_bind(ans, "SELECT n FROM generate_series(1, $?) n", cqrs_param(req, "n"), 1);
	if (cqrs_cursor(req))
		cqrs_sql_bind(ans, " WHERE n > $?", cqrs_cursor(req), 1);
	if (cqrs_row_limit(req) != CQRS_ROWS_COUNTED)
		cqrs_sql(ans, " ORDER BY n");
}

static void one(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	cqrs_sql_bind(ans, "SELECT n, 'x' AS t FROM generate_series(1, 3) n WHERE n = $?",
	              cqrs_param(req, "n"), 1);
}

static void put_square(void *self, const struct cqrs_request *req, const PGresult *rows, int row,
                       struct cqrs_json *out)
{
	ck_assert_ptr_eq(self, &loop);
	(void)req;
	int n = (int)ntohl(*(const uint32_t *)(const void *)PQgetvalue(rows, row, 0));
	cqrs_json_open_object(out);
	cqrs_json_name(out, "square");
	cqrs_json_integer(out, n * n);
	cqrs_json_close_object(out);
}

/* Fails in the middle, long after its head was sent. */
static void breaks(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	(void)req;
	cqrs_sql(ans, "SELECT n, 1 / (100000 - n) AS q FROM generate_series(1, 200000) n");
}

static void sleeps(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	(void)req;
	cqrs_sql(ans, "SELECT 1 AS one FROM pg_sleep(30)");
}

static void unknown_type(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	(void)req;
	cqrs_sql(ans, "SELECT point(1, 2) AS p");
}

static void no_table(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	(void)req;
	cqrs_sql(ans, "SELECT * FROM no_such_table");
}

static void refuses(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	(void)req;
	cqrs_answer_refuse(ans, "n", "n is %d", 7);
}

/* ---- looked up by a key ---- */

static const struct cqrs_param id_params[] = {
    {.name = "id", .type = CQRS_PARAM_INTEGER, .min = 0, .max = 1000}, {.name = NULL}};
static const struct cqrs_param name_params[] = {{.name = "name", .type = CQRS_PARAM_TEXT},
                                                {.name = NULL}};

static void items(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	cqrs_sql_bind(ans,
	              "SELECT 'x' || n AS t, n AS id FROM generate_series(1, 300) n"
	              " WHERE n = ANY ($?)",
	              cqrs_param(req, "id"), 1);
}

static void names(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	cqrs_sql_bind(ans,
	              "SELECT n::text AS name FROM generate_series(1, 3) n WHERE n = ANY "
	              "($?::int[])",
	              cqrs_param(req, "name"), 1);
}

static void nameless(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	cqrs_sql_bind(ans, "SELECT 7 AS other WHERE 7 = ANY ($?)", cqrs_param(req, "id"), 1);
}

static void slow_items(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	items(self, req, ans);
	cqrs_sql(ans, " AND pg_sleep(30) IS NOT NULL");
}

static void odd_items(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	const struct cqrs_value *ids = cqrs_param(req, "id");
	for (size_t i = 0; i < ids->a.n; i++)
		if (ids->a.items[i].i % 2 == 0)
			cqrs_answer_refuse(ans, "id", "even");
	items(self, req, ans);
}

static const struct cqrs_route routes[] = {
    {.path = "/items/{id}",
     .summary = "s",
     .params = id_params,
     .query = items,
     .one = true,
     .lookup = "id",
     .etag = "t"},
    {.path = "/names/{name}",
     .summary = "s",
     .params = name_params,
     .query = names,
     .one = true,
     .lookup = "name"},
    {.path = "/nameless/{id}",
     .summary = "s",
     .params = id_params,
     .query = nameless,
     .one = true,
     .lookup = "id"},
    {.path = "/slow/{id}",
     .summary = "s",
     .params = id_params,
     .query = slow_items,
     .one = true,
     .lookup = "id"},
    {.path = "/odd/{id}",
     .summary = "s",
     .params = id_params,
     .query = odd_items,
     .one = true,
     .lookup = "id"},
    {.path = "/numbers", .summary = "s", .params = n_params, .query = numbers, .key = n_key},
    {.path = "/all", .summary = "s", .params = n_params, .query = numbers},
    {.path = "/squares", .summary = "s", .params = n_params, .query = numbers, .row = put_square},
    {.path = "/numbers/{n}",
     .summary = "s",
     .params = n_params,
     .query = one,
     .one = true,
     .etag = "n"},
    {.path = "/untagged/{n}",
     .summary = "s",
     .params = n_params,
     .query = one,
     .one = true,
     .etag = "other"},
    {.path = "/breaks", .summary = "s", .query = breaks, .key = n_key},
    {.path = "/sleeps", .summary = "s", .query = sleeps},
    {.path = "/unknown-type", .summary = "s", .query = unknown_type},
    {.path = "/no-table", .summary = "s", .query = no_table},
    {.path = "/refuses", .summary = "s", .query = refuses},
};

/* ---- a client, in a thread of its own ---- */

#define CLIENTS_MAX 120

struct client {
	char request[1000];
	size_t want; /* bytes after which it hangs up; 0: reads to the end */
	bool leaves; /* as soon as it has asked */
	char *answer;
	size_t len;
	pthread_t thread;
	atomic_bool asked, done;
};

static struct client clients[CLIENTS_MAX];
static size_t n_clients;

static void *run_client(void *arg)
{
	struct client *c = arg;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	to.sin_port = htons((uint16_t)atoi(strrchr(http_server_address(server), ':') + 1));
	const struct linger reset = {.l_onoff = 1};
	size_t cap = 1 << 25;
	ssize_t n;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	c->answer = calloc(1, cap);
	if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 &&
	    write(fd, c->request, strlen(c->request)) > 0) {
		atomic_store(&c->asked, true);
		if (c->leaves)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
		while (!c->leaves && (!c->want || c->len < c->want) && c->len < cap - 1 &&
		       (n = read(fd, c->answer + c->len, cap - 1 - c->len)) > 0)
			c->len += (size_t)n;
	}
	close(fd);
	atomic_store(&c->done, true);
	return NULL;
}

static void on_limit(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

static void on_timer(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < n_clients; i++) {
		if (!atomic_load(&clients[i].done)) {
			timer_arm(timer, 1000);
			return;
		}
	}
	loop_stop(loop);
}

static void run_for(int64_t us)
{
	struct timer *pause = timer_new(loop, on_limit, NULL);
	timer_arm(pause, us);
	loop_run(loop);
	timer_free(pause);
}

/* Another one, that has asked; it is answered by finish(). */
static struct client *ask(const char *method, const char *target, const char *headers)
{
	struct client *c = &clients[n_clients++];
	ck_assert_uint_le(n_clients, CLIENTS_MAX);
	snprintf(c->request, sizeof c->request,
	         "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", method, target,
	         headers);
	return c;
}

/* Nobody is heard before all have asked. */
static void finish(void)
{
	timer = timer_new(loop, on_timer, NULL);
	timer_arm(timer, 1000);
	for (size_t i = 0; i < n_clients; i++)
		pthread_create(&clients[i].thread, NULL, run_client, &clients[i]);
	for (size_t i = 0; i < n_clients; i++)
		while (!atomic_load(&clients[i].asked))
			usleep(100);
	loop_run(loop);
	for (size_t i = 0; i < n_clients; i++)
		pthread_join(clients[i].thread, NULL);
	timer_free(timer);
}

/* Whoever has asked is forgotten, answer and all. */
static void begin(void)
{
	for (size_t i = 0; i < n_clients; i++)
		free(clients[i].answer);
	memset(clients, 0, sizeof clients);
	n_clients = 0;
}

static char *exchange(const char *method, const char *target, const char *headers, size_t want)
{
	begin();
	struct client *c = ask(method, target, headers);
	c->want = want;
	finish();
	return c->answer;
}

static char *get(const char *target)
{
	return exchange("GET", target, "", 0);
}

static int status(const char *answer)
{
	return strlen(answer) > 12 ? atoi(answer + 9) : 0;
}

static const char *body(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");
	return end ? end + 4 : "";
}

static void ck_has(const char *answer, const char *part)
{
	ck_assert_msg(strstr(answer, part) != NULL, "%s is not in: %.2000s", part, answer);
}

static void setup(void)
{
	struct buf errors = BUF_INIT;
	pool_config.dsn = pg_server_dsn;
	loop = loop_new();
	metrics = metrics_new();
	health = health_new(loop);
	pool = pg_pool_new(loop, &pool_config, metrics, health);
	api = api_new();
	bus = query_bus_new(loop, pool, api_routes(api), metrics, 10000, TIMEOUT_US, TIMEOUT_US);
	struct cqrs_routes *list = query_bus_routes(bus, "test");
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
		cqrs_routes_add(list, &routes[i]);
	ck_assert_msg(query_bus_started(list, &loop, &errors), "%s", buf_str(&errors));
	server = http_server_new(loop, &http_config, metrics, api_handle, api);
	ck_assert_ptr_nonnull(server);
	for (int i = 0; i < 100 && !health_is_ready(health); i++)
		run_for(50000);
	ck_assert(health_is_ready(health));
}

static void teardown(void)
{
	begin();
	http_server_free(server);
	pg_pool_free(pool);
	query_bus_free(bus);
	api_free(api);
	health_free(health);
	metrics_free(metrics);
	loop_free(loop);
}

/* ---- tests ---- */

START_TEST(answers_lists_and_single_objects)
{
	char *answer = get("/api/v1/all?n=3");
	ck_assert_int_eq(status(answer), 200);
	ck_assert_str_eq(body(answer), "[{\"n\":1},{\"n\":2},{\"n\":3}]\n");
	ck_has(answer, "Vary: Accept\r\n");
	ck_assert_str_eq(body(get("/api/v1/all?n=0")), "[]\n");
	ck_assert_str_eq(body(get("/api/v1/numbers/2")), "{\"n\":2,\"t\":\"x\"}\n");
	ck_assert_int_eq(status(get("/api/v1/numbers/4")), 404);
	ck_assert_str_eq(body(get("/api/v1/squares?n=3")),
	                 "[{\"square\":1},{\"square\":4},{\"square\":9}]\n");
}
END_TEST

START_TEST(tells_who_has_the_object_already)
{
	static const char *const paths[] = {"/api/v1/numbers/2", "/api/v1/items/2"};
	static const char *const tags[] = {"\"2\"", "\"x2\""};
	for (size_t i = 0; i < 2; i++) {
		char header[100];
		snprintf(header, sizeof header, "ETag: %s\r\n", tags[i]);
		ck_has(get(paths[i]), header);
		ck_assert_int_eq(status(exchange("GET", paths[i], "If-None-Match: \"1\"\r\n", 0)),
		                 200);
		char known[100];
		snprintf(known, sizeof known, "If-None-Match: \"1\", %s\r\n", tags[i]);
		char *answer = exchange("GET", paths[i], known, 0);
		ck_assert_int_eq(status(answer), 304);
		ck_has(answer, header);
		ck_has(answer, "Vary: Accept\r\n");
		ck_assert_str_eq(body(answer), "");
	}
	ck_assert_ptr_null(strstr(exchange("GET", paths[0], "Accept: text/csv\r\n", 0), "ETag"));
	ck_assert_int_eq(status(exchange("GET", "/api/v1/numbers/4", "If-None-Match: *\r\n", 0)),
	                 404);
	ck_assert_int_eq(status(get("/api/v1/untagged/2")), 500);
}
END_TEST

START_TEST(writes_the_other_formats)
{
	ck_assert_str_eq(body(exchange("GET", "/api/v1/all?n=2", "Accept: text/csv\r\n", 0)),
	                 "n\r\n1\r\n2\r\n");
	ck_assert_str_eq(
	    body(exchange("GET", "/api/v1/squares?n=2", "Accept: application/x-ndjson\r\n", 0)),
	    "{\"square\":1}\n{\"square\":4}\n");
	ck_assert_int_eq(status(exchange("GET", "/api/v1/all", "Accept: image/png\r\n", 0)), 406);
}
END_TEST

START_TEST(pages_through_to_the_end)
{
	char target[300] = "/api/v1/numbers?n=7&limit=3";
	int pages = 0;
	struct buf all = BUF_INIT;
	while (*target) {
		char *answer = get(target);
		ck_assert_int_eq(status(answer), 200);
		buf_puts(&all, body(answer));
		char *link = strstr(answer, "Link: <");
		*target = '\0';
		if (link)
			sscanf(link, "Link: <%299[^>]>", target);
		pages++;
	}
	ck_assert_int_eq(pages, 3);
	ck_assert_str_eq(buf_str(&all), "[{\"n\":1},{\"n\":2},{\"n\":3}]\n"
	                                "[{\"n\":4},{\"n\":5},{\"n\":6}]\n[{\"n\":7}]\n");
	buf_release(&all);
	ck_assert_ptr_null(strstr(get("/api/v1/numbers?n=3&limit=3"), "Link:"));
	char *answer = get("/api/v1/numbers?n=7&page=2&page_size=3");
	ck_assert_str_eq(body(answer), "[{\"n\":4},{\"n\":5},{\"n\":6}]\n");
	ck_has(answer, "Link: </api/v1/numbers?n=7&page_size=3&page=3>; rel=\"next\"\r\n");
}
END_TEST

START_TEST(counts_all_rows_when_asked)
{
	char *answer = get("/api/v1/numbers?n=7&limit=2&count=exact");
	ck_has(answer, "Total-Count: 7\r\n");
	ck_assert_str_eq(body(answer), "[{\"n\":1},{\"n\":2}]\n");
	ck_assert_ptr_null(strstr(get("/api/v1/numbers?n=7"), "Total-Count"));
}
END_TEST

START_TEST(refuses_a_cursor_of_another_question)
{
	char target[300], other[400];
	char *link = strstr(get("/api/v1/numbers?n=7&limit=3"), "cursor=");
	ck_assert_ptr_nonnull(link);
	sscanf(link, "%299[^>]", target);
	snprintf(other, sizeof other, "/api/v1/numbers?n=8&%s", target);
	char *answer = get(other);
	ck_assert_int_eq(status(answer), 400);
	ck_has(answer, "\"code\":\"invalid_cursor\"");
	ck_assert_int_eq(status(get("/api/v1/numbers?cursor=AAAA")), 400);
}
END_TEST

START_TEST(refuses_with_reasons)
{
	char *answer = get("/api/v1/numbers?m=7");
	ck_assert_int_eq(status(answer), 400);
	ck_has(answer, "application/problem+json");
	ck_has(answer, "unknown parameter \\\"m\\\"");
	ck_has(get("/api/v1/refuses"), "\"detail\":\"n is 7\"");
	ck_has(get("/api/v1/number"), "did you mean /api/v1/numbers");
	ck_assert_int_eq(status(get("/api/v1/numbers/1/2")), 404);
	answer = exchange("DELETE", "/api/v1/numbers", "", 0);
	ck_assert_int_eq(status(answer), 405);
	ck_has(answer, "Allow: GET, HEAD, OPTIONS\r\n");
	answer = exchange("OPTIONS", "/api/v1/numbers", "", 0);
	ck_assert_int_eq(status(answer), 204);
	ck_has(answer, "Allow: GET, HEAD, OPTIONS\r\n");
	ck_assert_int_eq(status(exchange("POST", "/api/v1/openapi.json", "", 0)), 405);
}
END_TEST

START_TEST(says_nothing_of_the_inside_when_a_module_is_broken)
{
	char *answer = get("/api/v1/unknown-type");
	ck_assert_int_eq(status(answer), 500);
	ck_assert_ptr_null(strstr(answer, "oid"));
	answer = get("/api/v1/no-table");
	ck_assert_int_eq(status(answer), 500);
	ck_assert_ptr_null(strstr(answer, "no_such_table"));
	ck_assert_int_eq(status(get("/api/v1/numbers/1")), 200);
}
END_TEST

START_TEST(refuses_what_does_not_fit_into_memory)
{
	char *answer = get("/api/v1/all?n=100000");
	ck_assert_int_eq(status(answer), 400);
	ck_has(answer, "answer_too_large");
	ck_assert_int_eq(status(get("/api/v1/all?n=5")), 200);
}
END_TEST

START_TEST(streams_any_number_of_rows)
{
	char *answer =
	    exchange("GET", "/api/v1/numbers?n=300000", "Accept: application/x-ndjson\r\n", 0);
	ck_assert_int_eq(status(answer), 200);
	ck_has(answer, "Transfer-Encoding: chunked\r\n");
	ck_has(answer, "{\"n\":1}\n");
	ck_has(answer, "{\"n\":300000}\n");
	ck_assert_str_eq(answer + strlen(answer) - 7, "\r\n0\r\n\r\n");
	/* The head of a CSV file is there even if no row is. */
	ck_has(exchange("GET", "/api/v1/numbers?n=0", "Accept: text/csv\r\n", 0), "\r\nn\r\n");
}
END_TEST

START_TEST(cuts_a_stream_short_when_it_fails)
{
	char *answer = exchange("GET", "/api/v1/breaks", "Accept: text/csv\r\n", 0);
	ck_assert_int_eq(status(answer), 200);
	ck_has(answer, "\r\nn,q\r\n1,0\r\n");
	ck_assert_str_ne(answer + strlen(answer) - 7, "\r\n0\r\n\r\n");
	ck_assert_int_eq(status(get("/api/v1/all")), 200);
}
END_TEST

START_TEST(gives_up_at_the_deadline)
{
	char *answer = get("/api/v1/sleeps");
	ck_assert_int_eq(status(answer), 504);
	ck_has(answer, "\"code\":\"timeout\"");
	ck_assert_int_eq(status(get("/api/v1/all")), 200);
}
END_TEST

START_TEST(forgets_a_client_that_is_gone)
{
	for (int i = 0; i < 5; i++) {
		exchange("GET", "/api/v1/numbers?n=5000000", "Accept: text/csv\r\n", 20);
		run_for(50000);
	}
	ck_assert_int_eq(status(get("/api/v1/all")), 200);
	char *answer = exchange("GET", "/api/v1/numbers?n=2", "Accept: text/csv\r\n", 0);
	ck_has(answer, "1\r\n2\r\n");
}
END_TEST

START_TEST(answers_head_without_a_body)
{
	char *answer = exchange("HEAD", "/api/v1/all?n=3", "", 0);
	ck_assert_int_eq(status(answer), 200);
	ck_has(answer, "Content-Length: 26\r\n");
	ck_assert_str_eq(body(answer), "");
	answer = exchange("HEAD", "/api/v1/numbers?n=9000000", "Accept: text/csv\r\n", 0);
	ck_assert_int_eq(status(answer), 200);
	ck_has(answer, "Content-Type: text/csv");
	ck_assert_str_eq(body(answer), "");
}
END_TEST

/* ---- several at once ---- */

static double shared(void)
{
	return metric_value(metrics_counter(metrics, "cqrsd_query_shared_total", "", ""));
}

START_TEST(who_comes_together_is_asked_for_together)
{
	char target[40];
	begin();
	for (int i = 0; i < CLIENTS_MAX; i++) {
		snprintf(target, sizeof target, "/api/v1/items/%d", 3 * (i % 110));
		ask("GET", target, "");
	}
	finish();
	for (int i = 0; i < CLIENTS_MAX; i++) {
		int id = 3 * (i % 110);
		char expected[60];
		snprintf(expected, sizeof expected, "{\"t\":\"x%d\",\"id\":%d}\n", id, id);
		if (id && id <= 300)
			ck_assert_str_eq(body(clients[i].answer), expected);
		else
			ck_assert_int_eq(status(clients[i].answer), 404);
	}
	ck_assert(shared() > CLIENTS_MAX / 2);
	ck_assert_str_eq(body(exchange("GET", "/api/v1/items/7", "Accept: text/csv\r\n", 0)),
	                 "t,id\r\nx7,7\r\n");
	ck_assert_str_eq(body(exchange("HEAD", "/api/v1/items/7", "", 0)), "");
	ck_assert_int_eq(status(get("/api/v1/items/1001")), 400);
}
END_TEST

START_TEST(a_bad_key_is_not_the_others_fault)
{
	begin();
	ask("GET", "/api/v1/names/2", "");
	ask("GET", "/api/v1/names/two", "");
	ask("GET", "/api/v1/names/3", "");
	ask("GET", "/api/v1/names/4", "");
	finish();
	ck_assert_str_eq(body(clients[0].answer), "{\"name\":\"2\"}\n");
	ck_assert_int_eq(status(clients[1].answer), 400);
	ck_has(clients[1].answer, "two");
	ck_assert_str_eq(body(clients[2].answer), "{\"name\":\"3\"}\n");
	ck_assert_int_eq(status(clients[3].answer), 404);
}
END_TEST

START_TEST(who_leaves_is_not_waited_for)
{
	for (int i = 0; i < 5; i++) {
		begin();
		for (int k = 0; k < 9; k++)
			ask("GET", "/api/v1/items/7", "")->leaves = k % 4 != 2;
		finish();
		ck_assert_str_eq(body(clients[2].answer), "{\"t\":\"x7\",\"id\":7}\n");
	}
	begin();
	for (int k = 0; k < 3; k++)
		ask("GET", "/api/v1/slow/7", "")->leaves = k == 0;
	finish();
	ck_assert_int_eq(status(clients[1].answer), 504);
	ck_assert_int_eq(status(clients[2].answer), 504);
}
END_TEST

START_TEST(all_are_told_what_is_wrong)
{
	static const char *const targets[] = {"/api/v1/nameless/7", "/api/v1/odd/2"};
	static const int expected[] = {500, 400};
	for (int i = 0; i < 2; i++) {
		begin();
		ask("GET", targets[i], "");
		ask("GET", targets[i], "");
		finish();
		ck_assert_int_eq(status(clients[0].answer), expected[i]);
		ck_assert_int_eq(status(clients[1].answer), expected[i]);
	}
}
END_TEST

START_TEST(shows_its_documents)
{
	ck_has(get("/api/v1/openapi.json"), "\"/api/v1/numbers/{n}\"");
	ck_has(get("/"), "<a href=\"/api/v1/numbers\">");
}
END_TEST
int main(void)
{
	pg_server_start("check_query_bus");
	Suite *suite = suite_create("query_bus");
	TCase *tc = tcase_create("query_bus");
	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, answers_lists_and_single_objects);
	tcase_add_test(tc, tells_who_has_the_object_already);
	tcase_add_test(tc, writes_the_other_formats);
	tcase_add_test(tc, pages_through_to_the_end);
	tcase_add_test(tc, counts_all_rows_when_asked);
	tcase_add_test(tc, refuses_a_cursor_of_another_question);
	tcase_add_test(tc, refuses_with_reasons);
	tcase_add_test(tc, says_nothing_of_the_inside_when_a_module_is_broken);
	tcase_add_test(tc, refuses_what_does_not_fit_into_memory);
	tcase_add_test(tc, streams_any_number_of_rows);
	tcase_add_test(tc, cuts_a_stream_short_when_it_fails);
	tcase_add_test(tc, gives_up_at_the_deadline);
	tcase_add_test(tc, forgets_a_client_that_is_gone);
	tcase_add_test(tc, answers_head_without_a_body);
	tcase_add_test(tc, who_comes_together_is_asked_for_together);
	tcase_add_test(tc, a_bad_key_is_not_the_others_fault);
	tcase_add_test(tc, who_leaves_is_not_waited_for);
	tcase_add_test(tc, all_are_told_what_is_wrong);
	tcase_add_test(tc, shows_its_documents);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	pg_server_stop();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
