/* SPDX-License-Identifier: MIT */
/* Which route a request is handed to, and what is answered to those that are nobody's. */
#include "api.h"

#include "http_client.h"
#include "json_writer.h"
#include "openapi.h"

#include <jansson.h>

static struct loop *loop;
static struct metrics *metrics;
static struct api *api;
static struct http_server *server;

static const struct cqrs_param params[] = {{.name = "id", .type = CQRS_PARAM_TEXT}, {.name = NULL}};
static const struct route_header headers[] = {
    {.name = "If-Match", .help = "the version", .schema = "{\"type\":\"string\"}"}, {.name = NULL}};

/* Says which route it is and what stood in the path. */
static void handle(const struct route *route, struct http_request *http,
                   const struct param_text *path)
{
	char text[200];
	int len = snprintf(text, sizeof text, "%s of %s: %.*s", http_method_label(route->method),
	                   route->module, (int)path->len, path->text);
	http_respond(http, 200, "text/plain", text, (size_t)len);
}

static void describe(const struct route *route, struct cqrs_json *out)
{
	(void)route;
	static const struct openapi_problem none[] = {{0, NULL}};
	openapi_open(out, "responses");
	openapi_problems(out, none);
	cqrs_json_close_object(out);
}

static void add(enum http_method method, const char *path, const char *module)
{
	struct buf why = BUF_INIT;
	struct route *route = calloc(1, sizeof *route);
	*route = (struct route){.method = method,
	                        .module = module,
	                        .summary = "does <it>",
	                        .handle = handle,
	                        .describe = describe,
	                        .headers = headers};
	ck_assert_msg(route_compile(route, path, params, 0, &why) &&
	                  route_add(api_routes(api), route, &why),
	              "%s", buf_str(&why));
}

static void setup(void)
{
	loop = loop_new();
	metrics = metrics_new();
	api = api_new();
	add(HTTP_GET, "/things/{id}", "reader");
	add(HTTP_PUT, "/things/{id}", "writer");
	add(HTTP_POST, "/more/{id}", "writer");
	server = http_server_new(loop, &http_client_config, metrics, api_handle, api);
	ck_assert_ptr_nonnull(server);
}

static void teardown(void)
{
	http_server_free(server);
	api_free(api);
	metrics_free(metrics);
	loop_free(loop);
}

static int ask(const char *method, const char *target)
{
	return http_client_ask(loop, server, method, target, "", "");
}

START_TEST(hands_a_request_to_the_route_of_its_method)
{
	ck_assert_int_eq(ask("GET", "/api/v1/things/7"), 200);
	ck_answer_has("GET of reader: 7");
	ck_assert_int_eq(ask("HEAD", "/api/v1/things/7"), 200);
	ck_assert_int_eq(ask("PUT", "/api/v1/things/8"), 200);
	ck_answer_has("PUT of writer: 8");
	ck_assert_int_eq(ask("POST", "/api/v1/more/9"), 200);
	ck_answer_has("POST of writer: 9");
}
END_TEST

START_TEST(says_which_methods_a_path_has)
{
	ck_assert_int_eq(ask("DELETE", "/api/v1/things/7"), 405);
	ck_answer_has("Allow: GET, HEAD, PUT, OPTIONS\r\n");
	ck_answer_has("DELETE is not possible here, only GET, HEAD, PUT and OPTIONS");
	ck_assert_int_eq(ask("BREW", "/api/v1/things/7"), 405);
	ck_answer_has("BREW is not possible here");
	ck_assert_int_eq(ask("OPTIONS", "/api/v1/things/7"), 204);
	ck_answer_has("Allow: GET, HEAD, PUT, OPTIONS\r\n");
	ck_assert_int_eq(ask("GET", "/api/v1/more/7"), 405);
	ck_answer_has("Allow: POST, OPTIONS\r\n");
	ck_assert_int_eq(ask("HEAD", "/api/v1/more/7"), 405);
	ck_assert_int_eq(ask("POST", "/"), 405);
	ck_answer_has("Allow: GET, HEAD, OPTIONS\r\n");
	ck_assert_int_eq(ask("OPTIONS", "/api/v1/openapi.json"), 204);
}
END_TEST

START_TEST(suggests_a_path_that_is_there)
{
	ck_assert_int_eq(ask("GET", "/api/v1/thing/%7Bid%7D"), 404);
	ck_answer_has("there is nothing at /api/v1/thing/{id}, did you mean /api/v1/things/{id}");
}
END_TEST

START_TEST(describes_all_methods_of_a_path)
{
	ck_assert_int_eq(ask("GET", "/api/v1/openapi.json"), 200);
	json_t *doc = json_loads(http_client_body(), JSON_REJECT_DUPLICATES, NULL), *things, *put;
	ck_assert_ptr_nonnull(doc);
	things = json_object_get(json_object_get(doc, "paths"), "/api/v1/things/{id}");
	put = json_object_get(things, "put");
	ck_assert_uint_eq(json_object_size(things), 2);
	ck_assert_str_eq(json_string_value(json_object_get(put, "operationId")), "put_things_id");
	json_t *header = json_array_get(json_object_get(put, "parameters"), 1);
	ck_assert_str_eq(json_string_value(json_object_get(header, "in")), "header");
	ck_assert(json_is_false(json_object_get(header, "required")));
	json_decref(doc);
}
END_TEST

START_TEST(shows_people_all_routes)
{
	ck_assert_int_eq(ask("GET", "/"), 200);
	ck_answer_has("<a href=\"/api/v1/things/1\">/api/v1/things/{id}</a> – does &lt;it>");
	ck_answer_has("<li>PUT /api/v1/things/{id} – does");
	ck_answer_has("<li>POST /api/v1/more/{id} – does");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api");
	TCase *tc = tcase_create("api");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, hands_a_request_to_the_route_of_its_method);
	tcase_add_test(tc, says_which_methods_a_path_has);
	tcase_add_test(tc, suggests_a_path_that_is_there);
	tcase_add_test(tc, describes_all_methods_of_a_path);
	tcase_add_test(tc, shows_people_all_routes);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
