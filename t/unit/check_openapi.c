/* SPDX-License-Identifier: MIT */
/* The document is JSON and says what the tables say. */
#include "openapi.h"

#include "query_route.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>

static struct route_table table;
static struct cqrs_routes routes = {.module = "test", .table = &table};

static void query(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	(void)req;
	cqrs_sql(ans, "SELECT 1");
}

static const struct cqrs_param params[] = {
    {.name = "id", .type = CQRS_PARAM_INTEGER, .min = 5, .max = 9, .help = "<the> \"number\""},
    {.name = "tag", .type = CQRS_PARAM_TEXT, .repeatable = true, .max = 50},
    {.name = "order", .type = CQRS_PARAM_CHOICE, .initial = "up", .choices = "up|down"},
    {.name = "from", .type = CQRS_PARAM_TIME, .help = "the first"},
    {.name = "width",
     .type = CQRS_PARAM_DURATION,
     .initial = "30m",
     .min = 1000,
     .max = INT64_C(86400000000)},
    {.name = NULL},
};
static const char *const key[] = {"id", NULL};
static const struct cqrs_route list = {.path = "/things/{id}/parts",
                                       .summary = "Parts & more",
                                       .params = params,
                                       .query = query,
                                       .key = key};
static const struct cqrs_route one = {
    .path = "/thing", .summary = "One thing", .query = query, .one = true};

static json_t *document(void)
{
	struct buf out = BUF_INIT;
	json_error_t error;
	openapi_write(&table, &out);
	ck_assert(!out.failed);
	json_t *doc = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, &error);
	ck_assert_msg(doc != NULL, "%s at %d", error.text, error.position);
	buf_release(&out);
	return doc;
}

static void setup(void)
{
	cqrs_routes_add(&routes, &list);
	cqrs_routes_add(&routes, &one);
	ck_assert_msg(!routes.error.len, "%s", buf_str(&routes.error));
}

static json_t *operation(json_t *doc, const char *path)
{
	json_t *get = json_object_get(json_object_get(json_object_get(doc, "paths"), path), "get");
	ck_assert_ptr_nonnull(get);
	return get;
}

static void ck_param(json_t *get, size_t i, const char *expected)
{
	json_t *want = json_loads(expected, 0, NULL);
	json_t *have = json_array_get(json_object_get(get, "parameters"), i);
	ck_assert_ptr_nonnull(want);
	char *text = json_dumps(have, JSON_SORT_KEYS);
	ck_assert_msg(json_equal(have, want), "%s", text);
	free(text);
	json_decref(want);
}

START_TEST(describes_every_parameter)
{
	json_t *doc = document(), *get = operation(doc, "/api/v1/things/{id}/parts");
	ck_param(get, 0,
	         "{\"name\":\"id\",\"in\":\"path\",\"required\":true,"
	         "\"description\":\"<the> \\\"number\\\"\",\"schema\":{\"type\":\"integer\","
	         "\"format\":\"int32\",\"minimum\":5,\"maximum\":9}}");
	ck_param(get, 1,
	         "{\"name\":\"tag\",\"in\":\"query\",\"required\":false,\"description\":\"\","
	         "\"schema\":{\"type\":\"array\",\"maxItems\":100,\"items\":{\"type\":"
	         "\"string\",\"minLength\":0,\"maxLength\":50}}}");
	ck_param(get, 2,
	         "{\"name\":\"order\",\"in\":\"query\",\"required\":false,\"description\":"
	         "\"\",\"schema\":{\"type\":\"string\",\"enum\":[\"up\",\"down\"],"
	         "\"default\":\"up\"}}");
	ck_param(get, 4,
	         "{\"name\":\"width\",\"in\":\"query\",\"required\":false,\"description\":"
	         "\"a duration from 1ms to 1d, as in 30m\",\"schema\":{\"type\":\"string\","
	         "\"default\":\"30m\"}}");
	ck_assert_uint_eq(json_array_size(json_object_get(get, "parameters")), 13);
	get = operation(doc, "/api/v1/thing");
	ck_assert_uint_eq(json_array_size(json_object_get(get, "parameters")), 3);
	json_decref(doc);
}
END_TEST

START_TEST(describes_responses_and_formats)
{
	json_t *doc = document(), *get = operation(doc, "/api/v1/things/{id}/parts");
	json_t *responses = json_object_get(get, "responses");
	json_t *ok = json_object_get(responses, "200");
	ck_assert_uint_eq(json_object_size(json_object_get(ok, "content")), 3);
	ck_assert_ptr_nonnull(json_object_get(json_object_get(ok, "headers"), "Link"));
	ck_assert_ptr_null(json_object_get(responses, "404"));
	get = operation(doc, "/api/v1/thing");
	ck_assert_ptr_nonnull(json_object_get(json_object_get(get, "responses"), "404"));
	ck_assert_str_eq(json_string_value(json_object_get(get, "operationId")), "get_thing");
	ck_assert_str_eq(json_string_value(json_object_get(doc, "openapi")), "3.1.0");
	json_decref(doc);
}
END_TEST

START_TEST(points_at_nothing_that_is_not_there)
{
	json_t *doc = document(), *components = json_object_get(doc, "components");
	ck_assert_ptr_nonnull(json_object_get(json_object_get(components, "schemas"), "Problem"));
	json_t *problem = json_object_get(json_object_get(components, "responses"), "Problem");
	ck_assert_ptr_nonnull(
	    json_object_get(json_object_get(problem, "content"), "application/problem+json"));
	json_decref(doc);
}
END_TEST

START_TEST(shows_people_a_link_to_try)
{
	struct buf out = BUF_INIT;
	openapi_write_page(&table, &out);
	const char *page = buf_str(&out);
	ck_assert_ptr_nonnull(
	    strstr(page, "<a href=\"/api/v1/things/5/parts\">/api/v1/things/{id}/parts</a>"));
	ck_assert_ptr_nonnull(strstr(page, "Parts &amp; more"));
	ck_assert_ptr_nonnull(strstr(page, "title=\"&lt;the> &quot;number&quot;\""));
	buf_release(&out);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("openapi");
	TCase *tc = tcase_create("openapi");
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, describes_every_parameter);
	tcase_add_test(tc, describes_responses_and_formats);
	tcase_add_test(tc, points_at_nothing_that_is_not_there);
	tcase_add_test(tc, shows_people_a_link_to_try);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
