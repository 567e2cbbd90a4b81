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
static const struct cqrs_route one = {.path = "/thing",
                                      .summary = "One thing",
                                      .query = query,
                                      .one = true,
                                      .etag = "version",
                                      .object = "{\"title\":\"thing\"}"};
static const struct cqrs_route others = {.path = "/other-things",
                                         .summary = "Other things",
                                         .query = query,
                                         .key = key,
                                         .object = "{\"title\":\"other\"}"};

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
	cqrs_routes_add(&routes, &others);
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
	         "\"pattern\":\"^[0-9]+(us|ms|s|m|h|d)$\",\"default\":\"30m\"}}");
	ck_assert_uint_eq(json_array_size(json_object_get(get, "parameters")), 13);
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
	/* What stands in a path may be missing there. */
	ck_assert_ptr_nonnull(json_object_get(responses, "404"));
	get = operation(doc, "/api/v1/other-things");
	responses = json_object_get(get, "responses");
	ck_assert_ptr_null(json_object_get(responses, "404"));
	ck_assert_ptr_null(json_object_get(responses, "304"));
	ck_assert_ptr_null(json_object_get(responses, "415"));
	ck_assert_ptr_nonnull(json_object_get(responses, "431"));
	get = operation(doc, "/api/v1/thing");
	responses = json_object_get(get, "responses");
	ck_assert_ptr_nonnull(json_object_get(responses, "404"));
	ok = json_object_get(json_object_get(responses, "304"), "headers");
	ck_assert_ptr_nonnull(json_object_get(ok, "ETag"));
	ck_assert_str_eq(json_string_value(json_object_get(get, "operationId")), "get_thing");
	ck_assert_str_eq(json_string_value(json_object_get(doc, "openapi")), "3.1.0");
	json_decref(doc);
}
END_TEST

/* The schema of what a route answers as JSON. */
static json_t *answer_schema(json_t *doc, const char *path)
{
	json_t *responses = json_object_get(operation(doc, path), "responses");
	json_t *content = json_object_get(json_object_get(responses, "200"), "content");
	return json_object_get(json_object_get(content, "application/json"), "schema");
}

START_TEST(says_what_the_module_says_of_its_objects)
{
	json_t *doc = document(), *schema = answer_schema(doc, "/api/v1/thing");
	ck_assert_str_eq(json_string_value(json_object_get(schema, "title")), "thing");
	schema = answer_schema(doc, "/api/v1/other-things");
	ck_assert_str_eq(json_string_value(json_object_get(schema, "type")), "array");
	schema = json_object_get(schema, "items");
	ck_assert_str_eq(json_string_value(json_object_get(schema, "title")), "other");
	schema = json_object_get(answer_schema(doc, "/api/v1/things/{id}/parts"), "items");
	ck_assert_str_eq(json_string_value(json_object_get(schema, "type")), "object");
	json_decref(doc);
}
END_TEST

START_TEST(refuses_a_schema_that_is_none)
{
	struct cqrs_route wrong = one;
	struct cqrs_routes more = {.module = "test", .table = &table};
	wrong.path = "/wrong";
	wrong.object = "[]";
	cqrs_routes_add(&more, &wrong);
	ck_assert_str_eq(buf_str(&more.error),
	                 "route /wrong: the schema of its object is no JSON object");
	buf_release(&more.error);
}
END_TEST

START_TEST(describes_headers_of_requests)
{
	json_t *doc = document(), *get = operation(doc, "/api/v1/thing");
	ck_assert_uint_eq(json_array_size(json_object_get(get, "parameters")), 4);
	ck_param(
	    get, 1,
	    "{\"name\":\"If-None-Match\",\"in\":\"header\",\"required\":false,\"description\":"
	    "\"the ETag of an "
	    "earlier answer as JSON: 304 if it still has it\",\"schema\":{\"type\":\"string\"}}");
	get = operation(doc, "/api/v1/other-things");
	ck_assert_uint_eq(json_array_size(json_object_get(get, "parameters")), 8);
	json_decref(doc);
}
END_TEST

/* Looks at all that `json` has. */
static void ck_references(json_t *doc, json_t *json)
{
	static const char base[] = "#/components/";
	const char *name, *target = json_string_value(json_object_get(json, "$ref"));
	json_t *member, *components = json_object_get(doc, "components");
	size_t i;
	if (target) {
		char kind[20], which[40];
		ck_assert_msg(!strncmp(target, base, strlen(base)), "%s", target);
		ck_assert_int_eq(sscanf(target + strlen(base), "%19[^/]/%39s", kind, which), 2);
		ck_assert_msg(json_object_get(json_object_get(components, kind), which), "%s",
		              target);
	}
	json_object_foreach(json, name, member) ck_references(doc, member);
	json_array_foreach(json, i, member) ck_references(doc, member);
}

START_TEST(points_at_nothing_that_is_not_there)
{
	json_t *doc = document(), *get = operation(doc, "/api/v1/thing");
	json_t *busy = json_object_get(json_object_get(get, "responses"), "503");
	ck_assert_str_eq(json_string_value(json_object_get(busy, "$ref")),
	                 "#/components/responses/Problem503");
	ck_references(doc, doc);
	busy = json_object_get(json_object_get(json_object_get(doc, "components"), "responses"),
	                       "Problem503");
	ck_assert_ptr_nonnull(
	    json_object_get(json_object_get(busy, "content"), "application/problem+json"));
	ck_assert_ptr_nonnull(json_object_get(json_object_get(busy, "headers"), "Retry-After"));
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
	tcase_add_test(tc, says_what_the_module_says_of_its_objects);
	tcase_add_test(tc, refuses_a_schema_that_is_none);
	tcase_add_test(tc, describes_headers_of_requests);
	tcase_add_test(tc, points_at_nothing_that_is_not_there);
	tcase_add_test(tc, shows_people_a_link_to_try);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
