/* SPDX-License-Identifier: MIT */
/* Pages by key and by number, and the link to the next. */
#include "page.h"

#include <check.h>
#include <stdlib.h>

static struct param_table table;
static struct cqrs_request req;
static struct param_error error;
static struct page page;

static void setup(void)
{
	struct buf why = BUF_INIT;
	ck_assert(param_table_init(&table, NULL, NULL, 0, PARAM_N_CORE, &why));
}

static bool init(const char *query, enum media_type media)
{
	ck_assert_msg(param_parse(&table, &req, NULL, query, 0, &error), "%s", error.text);
	return page_init(&page, &req, true, media, &error);
}

static const char *next(const char *path, const char *query)
{
	static struct buf link;
	buf_clear(&link);
	page_link(&page, &link, path, query, "CURSOR");
	return buf_str(&link);
}

START_TEST(pages_by_key_unless_told_otherwise)
{
	ck_assert(init("", MEDIA_JSON));
	ck_assert(page.limit == 100 && page.offset == 0 && !page.number && !page.stream);
	ck_assert(init("page=3", MEDIA_JSON));
	ck_assert(page.limit == 100 && page.offset == 200 && page.number == 3);
	ck_assert(init("page_size=7", MEDIA_JSON));
	ck_assert(page.limit == 7 && page.offset == 0 && page.number == 1);
	ck_assert(init("count=exact", MEDIA_JSON) && page.counted);
	ck_assert(page_init(&page, &req, false, MEDIA_CSV, &error) && !page.limit && !page.stream);
}
END_TEST

START_TEST(streams_csv_and_ndjson_unless_a_page_is_wanted)
{
	ck_assert(init("", MEDIA_CSV) && page.stream && !page.limit);
	ck_assert(init("", MEDIA_NDJSON) && page.stream);
	ck_assert(init("limit=5", MEDIA_CSV) && !page.stream && page.limit == 5);
	ck_assert(init("page=1", MEDIA_CSV) && !page.stream);
	ck_assert(init("cursor=x", MEDIA_CSV) && !page.stream);
}
END_TEST

START_TEST(refuses_two_ways_at_once)
{
	ck_assert(!init("page=2&cursor=x", MEDIA_JSON));
	ck_assert_str_eq(error.param, "cursor");
	ck_assert(!init("page=2&limit=5", MEDIA_JSON));
	ck_assert_str_eq(error.text, "pages have page_size instead of limit");
}
END_TEST

START_TEST(links_to_the_next_page_with_all_that_was_asked)
{
	ck_assert(init("", MEDIA_JSON));
	ck_assert_str_eq(next("/api/v1/s", ""), "</api/v1/s?cursor=CURSOR>; rel=\"next\"");
	ck_assert_str_eq(next("/api/v1/s", "location=a%20b&cursor=old&&limit=2"),
	                 "</api/v1/s?location=a%20b&limit=2&cursor=CURSOR>; rel=\"next\"");
	ck_assert_str_eq(next("/s t", "%63ursor=old&x=1>;"),
	                 "</s%20t?x=1%3E;&cursor=CURSOR>; rel=\"next\"");
	ck_assert(init("page=2&page_size=5", MEDIA_JSON));
	ck_assert_str_eq(next("/s", "page=2&page_size=5"), "</s?page_size=5&page=3>; rel=\"next\"");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("page");
	TCase *tc = tcase_create("page");
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, pages_by_key_unless_told_otherwise);
	tcase_add_test(tc, streams_csv_and_ndjson_unless_a_page_is_wanted);
	tcase_add_test(tc, refuses_two_ways_at_once);
	tcase_add_test(tc, links_to_the_next_page_with_all_that_was_asked);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
