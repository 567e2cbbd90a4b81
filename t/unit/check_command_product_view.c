/* SPDX-License-Identifier: MIT */
/* command/product_view: what it makes of events, against a batch. */
#define COMMAND_MODULE cqrs_command_product_view
#include "command_module.h"
#include "pg_value.h"

#define ID "0f8fad5b-d9cb-469f-a165-70867728950e"

enum { CREATED, UPDATED, DELETED };
enum {
	PARAM_ID,
	PARAM_NAME,
	PARAM_DESCRIPTION,
	PARAM_PRICE,
	PARAM_CREATED,
	PARAM_UPDATED,
	PARAM_VERSION
};

static const char event[] = "{\"productId\":\"" ID "\",\"name\":\"n\",\"description\":\"d\","
                            "\"price\":12.99,\"createdAt\":\"2022-03-04T15:55:07Z\","
                            "\"updatedAt\":\"2022-03-04T15:55:08Z\",\"version\":7}";

static bool is_null(uint32_t p)
{
	int32_t len;
	param(0, p, &len);
	return len < 0;
}

static int64_t number(uint32_t p)
{
	int32_t len;
	const char *data = param(0, p, &len);
	ck_assert_int_eq(len, 8);
	return (int64_t)pg_get64(data);
}

static void ck_text(uint32_t p, const char *text)
{
	int32_t len;
	const char *data = param(0, p, &len);
	ck_assert_int_eq(len, (int)strlen(text));
	ck_assert_mem_eq(data, text, strlen(text));
}

START_TEST(projects_what_an_event_says)
{
	start();
	for (int topic = CREATED; topic <= UPDATED; topic++) {
		decide_new(topic, event);
		ck_assert_str_eq(refusals(), "");
		ck_assert_uint_eq(batch->n_statements, 1);
		ck_assert_ptr_nonnull(strstr(statement_sql(0), "product_view.project"));
		ck_text(PARAM_NAME, "n");
		ck_text(PARAM_DESCRIPTION, "d");
		ck_assert_int_eq(number(PARAM_CREATED) + PG_EPOCH_US, INT64_C(1646409307000000));
		ck_assert_int_eq(number(PARAM_UPDATED) + PG_EPOCH_US, INT64_C(1646409308000000));
		ck_assert_int_eq(number(PARAM_VERSION), 7);
	}
}
END_TEST

START_TEST(leaves_nothing_of_what_was_deleted)
{
	start();
	decide_new(DELETED, event);
	ck_assert_uint_eq(batch->n_statements, 1);
	for (uint32_t p = PARAM_NAME; p <= PARAM_CREATED; p++)
		ck_assert(is_null(p));
	ck_assert_int_eq(number(PARAM_VERSION), 7);
}
END_TEST

/* The original's: its time is that of the message. */
START_TEST(takes_the_time_of_the_message_if_the_event_has_none)
{
	start();
	decide_new(DELETED, "\n$" ID);
	ck_assert_str_eq(refusals(), "");
	ck_assert_int_eq(number(PARAM_UPDATED) + PG_EPOCH_US, INT64_C(1700000000000000));
	ck_assert(is_null(PARAM_VERSION));
}
END_TEST

START_TEST(refuses_what_is_no_event)
{
	start();
	decide_new(CREATED, "{\"productId\":\"" ID "\",\"name\":\"n\",\"description\":\"d\"}");
	ck_assert_str_eq(refusals(), "-1: price is missing");
	decide_new(UPDATED, "{");
	ck_assert_str_eq(refusals(), "-1: not JSON: a name in quotes was expected at byte 1");
	decide_new(DELETED, "{}");
	ck_assert_str_eq(refusals(), "-1: productId is missing");
	ck_assert_uint_eq(batch->n_statements, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command_product_view");
	TCase *cases = tcase_create("command_product_view");
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, projects_what_an_event_says);
	tcase_add_test(cases, leaves_nothing_of_what_was_deleted);
	tcase_add_test(cases, takes_the_time_of_the_message_if_the_event_has_none);
	tcase_add_test(cases, refuses_what_is_no_event);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
