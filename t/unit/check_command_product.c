/* SPDX-License-Identifier: MIT */
/* command/product: what it asks the database about messages, against a batch. */
#define COMMAND_MODULE cqrs_command_product
#include "command_module.h"
#include "pg_value.h"

#define ID "0f8fad5b-d9cb-469f-a165-70867728950e"

enum { COMMANDS, CREATE, UPDATE, DELETE };
enum {
	COMMAND,
	PRODUCT_ID,
	NAME,
	DESCRIPTION,
	PRICE,
	EXPECTED,
	TOPIC,
	HEADERS,
	WAIT,
	MOST,
	SENT,
	FROM,
	PARTITION,
	OFFSET,
	KEY,
	KEPT,
	PAYLOAD
};

static const char whole[] =
    "{\"productId\":\"" ID "\",\"name\":\"n\",\"description\":\"d\",\"price\":12.99}";

/* With these headers: name, value, …, NULL. */
static void decide_with(int topic, const char *value, const char *const *headers)
{
	static struct cqrs_header list[8];
	batch_clear(batch);
	begin_message(batch, 0, value, ID);
	struct cqrs_message *msg = &batch->messages[batch->n_messages - 1].kafka.message;
	msg->headers = list;
	for (msg->n_headers = 0; *headers; headers += 2)
		list[msg->n_headers++] =
		    (struct cqrs_header){headers[0], headers[1], strlen(headers[1])};
	bus->topics[topic].handle(self, msg, batch);
	msg->headers = NULL;
	msg->n_headers = 0;
	end_message(batch);
}

#define WITH(...) ((const char *const[]){__VA_ARGS__, NULL})

static bool is_null(uint32_t p)
{
	int32_t len;
	param(0, p, &len);
	return len < 0;
}

static void ck_text(uint32_t p, const char *text)
{
	int32_t len;
	const char *data = param(0, p, &len);
	ck_assert_msg(len == (int)strlen(text) && !memcmp(data, text, strlen(text)),
	              "%.*s is not %s", len, data, text);
}

/* Behind the byte that says which jsonb it is. */
static void ck_json(uint32_t p, const char *text)
{
	int32_t len;
	const char *data = param(0, p, &len);
	ck_assert_msg(len == (int)strlen(text) + 1 && !memcmp(data + 1, text, strlen(text)),
	              "%.*s is not %s", len, data, text);
}

static int64_t number(uint32_t p)
{
	int32_t len;
	const char *data = param(0, p, &len);
	return len == 4 ? (int32_t)pg_get32(data) : (int64_t)pg_get64(data);
}

START_TEST(asks_about_a_command)
{
	start();
	decide_with(COMMANDS, whole, WITH("command", "update", "if-match", "7"));
	ck_assert_str_eq(refusals(), "");
	ck_assert_uint_eq(batch->n_statements, 1);
	ck_assert_ptr_nonnull(strstr(statement_sql(0), "\"products\".\"decide\"("));
	ck_text(COMMAND, "update");
	ck_text(NAME, "n");
	ck_text(DESCRIPTION, "d");
	ck_assert_int_eq(number(EXPECTED), 7);
	ck_text(TOPIC, "product_updated");
	ck_json(HEADERS, "{\"content-type\":\"application/json\"}");
}
END_TEST

START_TEST(knows_each_command_and_its_event)
{
	static const char *const events[][2] = {{"create", "product_created"},
	                                        {"patch", "product_updated"},
	                                        {"delete", "product_deleted"}};
	start();
	for (size_t i = 0; i < 3; i++) {
		decide_with(COMMANDS, whole, WITH("command", events[i][0]));
		ck_text(COMMAND, events[i][0]);
		ck_text(TOPIC, events[i][1]);
		ck_assert(is_null(EXPECTED));
	}
	ck_assert(is_null(NAME) && is_null(DESCRIPTION) && is_null(PRICE));
	decide_with(COMMANDS, "{\"price\":1}", WITH("command", "patch", "if-match", "*"));
	ck_assert(is_null(NAME) && is_null(DESCRIPTION) && is_null(EXPECTED));
	ck_assert(!is_null(PRICE));
}
END_TEST

START_TEST(tells_events_where_they_come_from)
{
	start();
	decide_with(COMMANDS, whole,
	            WITH("command", "create", "traceparent", "00-ab-cd-01", "command-id", ID));
	ck_json(HEADERS, "{\"content-type\":\"application/json\",\"traceparent\":\"00-ab-cd-01\","
	                 "\"causation-id\":\"" ID "\"}");
	decide_with(COMMANDS, whole, WITH("command", "create", "traceparent", "\"}"));
	ck_json(HEADERS, "{\"content-type\":\"application/json\"}");
}
END_TEST

START_TEST(takes_a_version_that_cannot_be_for_one_that_is_not)
{
	static const char *const versions[] = {"0", "-1", "x", "99999999999999999999", ""};
	start();
	for (size_t i = 0; i < 5; i++) {
		decide_with(COMMANDS, whole, WITH("command", "update", "if-match", versions[i]));
		ck_assert_int_eq(number(EXPECTED), 0);
	}
	decide_with(COMMANDS, whole, WITH("command", "update", "if-match", "9000000000000000000"));
	ck_assert_int_eq(number(EXPECTED), INT64_C(9000000000000000000));
}
END_TEST

START_TEST(lets_a_message_of_its_own_topic_wait)
{
	static const char *const verbs[] = {"create", "update", "delete"};
	set("reorder_wait", "7s");
	start();
	for (int topic = CREATE; topic <= DELETE; topic++) {
		decide_with(topic, whole, WITH("content-type", "application/json", "x", "y"));
		ck_assert_str_eq(refusals(), "");
		ck_assert_ptr_nonnull(strstr(statement_sql(0), "\"apply_or_wait\"("));
		ck_text(COMMAND, verbs[topic - CREATE]);
		ck_assert_int_eq(number(WAIT), 7000000);
		ck_assert_int_eq(number(MOST), 10000);
		ck_assert_int_eq(number(SENT) + PG_EPOCH_US, INT64_C(1700000000000000));
		ck_assert_int_eq(number(OFFSET), next_offsets[0] - 1);
		ck_text(KEY, ID);
		ck_json(KEPT, "{\"content-type\":\"application/json\"}");
		ck_text(PAYLOAD, whole);
	}
}
END_TEST

static void refuses(int topic, const char *value, const char *command, const char *reason)
{
	char expected[300];
	decide_with(topic, value, WITH("command", command));
	snprintf(expected, sizeof expected, "-1: %s", reason);
	ck_assert_str_eq(refusals(), expected);
	ck_assert_uint_eq(batch->n_statements, 0);
}

START_TEST(refuses_what_is_no_command)
{
	static const char none[] = "the header \"command\" must be create, update, patch or delete";
	start();
	refuses(COMMANDS, whole, "drop", none);
	refuses(COMMANDS, whole, "", none);
	refuses(COMMANDS, "{\"name\":\"n\"}", "create", "description is missing");
	refuses(COMMANDS, "{\"name\":\"n\"}", "update", "description is missing");
	refuses(COMMANDS, "{}", "patch", "one of name, description and price must be there");
	refuses(COMMANDS, "{\"price\":1.999}", "patch",
	        "price must have at most two decimal places");
	refuses(UPDATE, "{\"name\":\"n\"}", "patch", "description is missing");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command_product");
	TCase *cases = tcase_create("command_product");
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, asks_about_a_command);
	tcase_add_test(cases, knows_each_command_and_its_event);
	tcase_add_test(cases, tells_events_where_they_come_from);
	tcase_add_test(cases, takes_a_version_that_cannot_be_for_one_that_is_not);
	tcase_add_test(cases, lets_a_message_of_its_own_topic_wait);
	tcase_add_test(cases, refuses_what_is_no_command);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
