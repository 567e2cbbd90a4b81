/* SPDX-License-Identifier: MIT */
/* query/product alone: which statement and which values it makes of a request. */
#include "answer.h"
#include "query_route.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

extern const struct cqrs_query_module cqrs_query_product;

static struct route_table table;
static struct cqrs_routes routes = {.module = "product", .table = &table};
static struct cqrs_request req;
static struct cqrs_answer ans;
static struct param_error error;

static void setup(void)
{
	routes.self = cqrs_query_product.start(&routes, NULL);
	ck_assert_msg(!routes.error.len, "%s", buf_str(&routes.error));
}

static void teardown(void)
{
	cqrs_query_product.stop(routes.self);
	route_table_release(&table);
	param_release(&req);
	answer_release(&ans);
}

/* The statement for a request, or why there is none. */
static const char *ask(const char *path, const char *query)
{
	struct param_text values[PARAM_PATH_MAX];
	struct query_route *route = (struct query_route *)route_find(&table, path, values);
	ck_assert_ptr_nonnull(route);
	if (!param_parse(&route->base.params, &req, values, query, 0, &error))
		return error.text;
	answer_clear(&ans);
	route->def->query(routes.self, &req, &ans);
	ck_assert(answer_finish(&ans));
	return ans.refused ? ans.error.text : ans.sql.data;
}

START_TEST(finds_a_product_by_its_id)
{
	const char *sql = ask("/api/v1/products/0F8FAD5B-d9cb-469f-a165-70867728950e", "");
	ck_assert_ptr_nonnull(strstr(sql, "WHERE id = $1 AND name IS NOT NULL"));
	ck_assert_int_eq(ans.n, 1);
	ck_assert_int_eq(ans.lengths[0], 16);
	ck_assert_ptr_null(strstr(ask("/api/v1/products/7", ""), "SELECT"));
}
END_TEST

START_TEST(searches_with_what_is_given)
{
	const char *sql =
	    ask("/api/v1/products/search", "search=50%25&page=2&size=7&order_by=-price");
	ck_assert_ptr_nonnull(strstr(sql, "product_view.search($5, $6, $7, $8)"));
	ck_assert_int_eq(ans.n, 8);
	ck_assert_mem_eq(ans.values[4], "50%", 3);
	ck_assert_int_eq(ans.values[5][3], 2);
	ck_assert_int_eq(ans.values[6][3], 7);
	ck_assert_mem_eq(ans.values[7], "-price", 6);
	ask("/api/v1/products/search", "");
	ck_assert_ptr_null(ans.values[4]);
	ck_assert_int_eq(ans.values[5][3], 1);
	ck_assert_int_eq(ans.values[6][3], 10);
}
END_TEST

START_TEST(refuses_pages_behind_what_is_counted)
{
	static const char why[] = "pages end after 10000 products: search for something rarer";
	ck_assert_str_ne(ask("/api/v1/products/search", "page=100&size=100"), why);
	ck_assert_str_eq(ask("/api/v1/products/search", "page=101&size=100"), why);
	ck_assert_str_eq(ans.error.param, "page");
	ck_assert_str_ne(ask("/api/v1/products/search", "page=10000&size=1"), why);
	ck_assert_ptr_null(strstr(ask("/api/v1/products/search", "size=101"), "SELECT"));
	ck_assert_ptr_null(strstr(ask("/api/v1/products/search", "page=0"), "SELECT"));
	ck_assert_ptr_null(strstr(ask("/api/v1/products/search", "order_by=id"), "SELECT"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("query_product");
	TCase *tcase = tcase_create("query_product");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, finds_a_product_by_its_id);
	tcase_add_test(tcase, searches_with_what_is_given);
	tcase_add_test(tcase, refuses_pages_behind_what_is_counted);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
