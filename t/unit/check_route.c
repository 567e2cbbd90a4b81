/* SPDX-License-Identifier: MIT */
/* Patterns, which one wins, and what is not accepted. */
#include "query_route.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct route_table table;
static struct cqrs_routes routes = {.module = "test", .table = &table};
static struct param_text values[PARAM_PATH_MAX];

static void query(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	(void)req;
	cqrs_sql(ans, "SELECT 1");
}

static const struct cqrs_param params[] = {{.name = "day", .type = CQRS_PARAM_TEXT},
                                           {.name = "id", .type = CQRS_PARAM_TEXT},
                                           {.name = NULL}};

static struct cqrs_route defs[ROUTE_TABLE_MAX + 1];
static char paths[ROUTE_TABLE_MAX + 1][80];
static size_t n_defs;

/* What the table says about one more route; "" if it took it. */
static const char *add(const char *path)
{
	struct cqrs_route *def = &defs[n_defs];
	snprintf(paths[n_defs], sizeof *paths, "%s", path);
	*def = (struct cqrs_route){.path = paths[n_defs++], .summary = "s", .query = query};
	if (strstr(path, "{id}"))
		def->params = strstr(path, "{day}") ? params : params + 1;
	buf_clear(&routes.error);
	cqrs_routes_add(&routes, def);
	return buf_str(&routes.error);
}

static const char *find(const char *path)
{
	struct route *route = route_find(&table, path, values);
	return route ? route->pattern : "none";
}

START_TEST(finds_literals_before_parameters)
{
	ck_assert_str_eq(add("/sensors/{id}"), "");
	ck_assert_str_eq(add("/sensors"), "");
	ck_assert_str_eq(add("/sensors/latest"), "");
	ck_assert_str_eq(add("/sensors/{id}/latest"), "");
	ck_assert_str_eq(add("/sensor-data"), "");
	ck_assert_str_eq(find("/api/v1/sensors"), "/api/v1/sensors");
	ck_assert_str_eq(find("/api/v1/sensors/latest"), "/api/v1/sensors/latest");
	ck_assert_str_eq(find("/api/v1/sensors/lates"), "/api/v1/sensors/{id}");
	ck_assert_str_eq(find("/api/v1/sensors/latest/latest"), "/api/v1/sensors/{id}/latest");
	ck_assert_uint_eq(values[0].len, 6);
	ck_assert_str_eq(find("/api/v1/sensors/17"), "/api/v1/sensors/{id}");
	ck_assert(!memcmp(values[0].text, "17", 2) && values[0].len == 2);
}
END_TEST

START_TEST(falls_back_to_a_parameter_when_the_literal_leads_nowhere)
{
	ck_assert_str_eq(add("/a/b/c"), "");
	ck_assert_str_eq(add("/a/{id}/d"), "");
	ck_assert_str_eq(add("/{id}/b/{day}"), "");
	ck_assert_str_eq(find("/api/v1/a/b/c"), "/api/v1/a/b/c");
	ck_assert_str_eq(find("/api/v1/a/b/d"), "/api/v1/a/{id}/d");
	ck_assert_str_eq(find("/api/v1/a/b/e"), "/api/v1/{id}/b/{day}");
	ck_assert(!memcmp(values[0].text, "a", 1) && !memcmp(values[1].text, "e", 1));
}
END_TEST

START_TEST(finds_nothing_for_other_paths)
{
	ck_assert_str_eq(add("/sensors/{id}"), "");
	static const char *const others[] = {"/",
	                                     "",
	                                     "/api/v1",
	                                     "/api/v1/",
	                                     "/api/v1/sensors",
	                                     "/api/v1/sensors/",
	                                     "/api/v1//1",
	                                     "/sensors/1",
	                                     "x",
	                                     "/api/v1/sensors/1/",
	                                     "/api/v1/sensor/1",
	                                     "/api/v1/sensors/1/2",
	                                     "/api/v1/Sensors/1",
	                                     "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18"};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		ck_assert_msg(!strcmp(find(others[i]), "none"), "%s", others[i]);
}
END_TEST

START_TEST(refuses_two_routes_that_mean_the_same)
{
	ck_assert_str_eq(add("/a/{id}"), "");
	ck_assert_ptr_nonnull(strstr(add("/a/{id}"), "has that path already"));
	ck_assert_uint_eq(table.n, 1);
}
END_TEST

/* One method more of a path, of another module. */
static const char *add_method(enum http_method method, const char *path)
{
	static struct buf why;
	struct route *route = calloc(1, sizeof *route);
	*route = (struct route){.method = method, .module = "other", .summary = "s"};
	buf_clear(&why);
	if (!route_compile(route, path, params, 0, &why) || !route_add(&table, route, &why))
		route_free(route);
	return buf_str(&why);
}

START_TEST(has_several_methods_of_one_path)
{
	ck_assert_str_eq(add("/a/{id}"), "");
	ck_assert_str_eq(add_method(HTTP_PUT, "/a/{id}"), "");
	ck_assert_str_eq(add_method(HTTP_DELETE, "/a/{id}"), "");
	ck_assert_str_eq(add_method(HTTP_POST, "/a"), "");
	ck_assert_uint_eq(table.n, 2);
	struct route *first = route_find(&table, "/api/v1/a/7", values);
	ck_assert_str_eq(route_for(first, HTTP_GET)->module, "test");
	ck_assert_ptr_eq(route_for(first, HTTP_HEAD), route_for(first, HTTP_GET));
	ck_assert_str_eq(route_for(first, HTTP_PUT)->module, "other");
	ck_assert_int_eq(route_for(first, HTTP_DELETE)->method, HTTP_DELETE);
	ck_assert_ptr_null(route_for(first, HTTP_POST));
	ck_assert_ptr_null(route_for(route_find(&table, "/api/v1/a", values), HTTP_GET));
	ck_assert_ptr_nonnull(strstr(add_method(HTTP_PUT, "/a/{id}"), "module other has that"));
	ck_assert_ptr_nonnull(strstr(add_method(HTTP_PATCH, "/a/{day}"), "calls it /a/{id}: give"));
	route_table_release(&table);
}
END_TEST

START_TEST(refuses_malformed_patterns)
{
	static const char *const bad[] = {"",
	                                  "a",
	                                  "/",
	                                  "//a",
	                                  "/a/",
	                                  "/a b",
	                                  "/{id",
	                                  "/{}",
	                                  "/a{id}",
	                                  "/{id}x",
	                                  "/{unknown}",
	                                  "/ä",
	                                  "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(*add(bad[i]), "%s", bad[i]);
	ck_assert_uint_eq(table.n, 0);
}
END_TEST

START_TEST(only_one_object_is_looked_up_by_its_only_parameter)
{
	static const struct cqrs_param wide[] = {
	    {.name = "id", .type = CQRS_PARAM_INTEGER, .max = INT64_MAX}, {.name = NULL}};
	struct cqrs_route def = {.path = "/{id}", .query = query, .params = params + 1};
	def.lookup = "id"; /* a list */
	cqrs_routes_add(&routes, &def);
	def.one = true;
	def.params = wide;
	cqrs_routes_add(&routes, &def);
	def.params = params; /* two */
	cqrs_routes_add(&routes, &def);
	def.params = params + 1;
	def.lookup = "day";
	cqrs_routes_add(&routes, &def);
	ck_assert_uint_eq(table.n, 0);
	ck_assert_ptr_nonnull(strstr(buf_str(&routes.error), "looked up by \"day\""));
	def.lookup = "id";
	cqrs_routes_add(&routes, &def);
	ck_assert_uint_eq(table.n, 1);
	route_table_release(&table);
}
END_TEST

START_TEST(is_bounded)
{
	char path[32];
	for (int i = 0; i < ROUTE_TABLE_MAX; i++) {
		snprintf(path, sizeof path, "/r%d", i);
		ck_assert_str_eq(add(path), "");
	}
	ck_assert_ptr_nonnull(strstr(add("/more"), "more than 256 paths"));
	ck_assert_str_eq(find("/api/v1/r77"), "/api/v1/r77");
	route_table_release(&table);
	ck_assert_uint_eq(table.n, 0);
}
END_TEST

START_TEST(collects_what_the_module_says_went_wrong)
{
	cqrs_routes_fail(&routes, "no %s", "luck");
	cqrs_routes_fail(&routes, "none");
	ck_assert_str_eq(buf_str(&routes.error), "no luck; none");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("route");
	TCase *tc = tcase_create("route");
	tcase_add_test(tc, finds_literals_before_parameters);
	tcase_add_test(tc, falls_back_to_a_parameter_when_the_literal_leads_nowhere);
	tcase_add_test(tc, finds_nothing_for_other_paths);
	tcase_add_test(tc, refuses_two_routes_that_mean_the_same);
	tcase_add_test(tc, has_several_methods_of_one_path);
	tcase_add_test(tc, refuses_malformed_patterns);
	tcase_add_test(tc, only_one_object_is_looked_up_by_its_only_parameter);
	tcase_add_test(tc, is_bounded);
	tcase_add_test(tc, collects_what_the_module_says_went_wrong);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
