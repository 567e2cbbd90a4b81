/* SPDX-License-Identifier: MIT */
/* What a route of a command module must be like, and what OpenAPI says of it. */
#include "command_route.h"

#include "json_writer.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>

static void accept_nothing(void *self, const struct cqrs_request *req, struct cqrs_forward *out)
{
	(void)self;
	(void)req;
	(void)out;
}

static const struct cqrs_param params[] = {{.name = "id", .type = CQRS_PARAM_UUID}, {.name = NULL}};

static const struct cqrs_command_route fine = {.method = "PUT",
                                               .path = "/things/{id}",
                                               .summary = "Changes a thing",
                                               .params = params,
                                               .body = "{\"type\":\"object\"}",
                                               .answer = "{\"type\":\"array\"}",
                                               .status = 201,
                                               .accept = accept_nothing};

static json_t *described(const struct cqrs_command_route *def)
{
	struct buf text = BUF_INIT, why = BUF_INIT;
	struct cqrs_json out;
	struct command_route *route = command_route_new("m", def, &why);
	ck_assert_msg(route != NULL, "%s", buf_str(&why));
	json_writer_init(&out, &text);
	cqrs_json_open_object(&out);
	route->base.describe(&route->base, &out);
	cqrs_json_close_object(&out);
	json_t *json = json_loads(buf_str(&text), JSON_REJECT_DUPLICATES, NULL);
	ck_assert_msg(json != NULL, "%s", buf_str(&text));
	route_free(&route->base);
	buf_release(&text);
	return json;
}

static const char *at(const json_t *json, const char *a, const char *b, const char *c)
{
	const json_t *found = json_object_get(json_object_get(json_object_get(json, a), b), c);
	return json_is_string(found) ? json_string_value(found) : "?";
}

static const json_t *content(const json_t *json)
{
	return json_object_get(json_object_get(json, "content"), "application/json");
}

static const char *reference(const json_t *answer)
{
	const json_t *schema = json_object_get(content(answer), "schema");
	const char *target = json_string_value(json_object_get(schema, "$ref"));
	return target ? target : "?";
}

START_TEST(says_what_it_takes_and_answers)
{
	json_t *json = described(&fine), *responses = json_object_get(json, "responses");
	json_t *body = json_object_get(json, "requestBody");
	ck_assert(json_is_true(json_object_get(body, "required")));
	ck_assert_str_eq(
	    json_string_value(json_object_get(json_object_get(content(body), "schema"), "type")),
	    "object");
	ck_assert_str_eq(at(json, "responses", "201", "description"), "Changes a thing");
	ck_assert_str_eq(
	    json_string_value(json_object_get(
	        json_object_get(content(json_object_get(responses, "201")), "schema"), "type")),
	    "array");
	ck_assert_str_eq(reference(json_object_get(responses, "202")),
	                 "#/components/schemas/Command");
	ck_assert_str_eq(at(json, "responses", "415", "$ref"), "#/components/responses/Problem415");
	/* It may have come to Kafka all the same. */
	json_t *away = json_object_get(json_object_get(responses, "503"), "headers");
	ck_assert_ptr_nonnull(json_object_get(away, "Retry-After"));
	ck_assert_ptr_nonnull(json_object_get(away, "Location"));
	json_decref(json);
}
END_TEST

/* What is always accepted only is applied when somebody waits for that. */
START_TEST(says_200_for_what_is_202_when_nobody_waits)
{
	struct cqrs_command_route def = fine;
	def.status = 202;
	def.body = def.answer = NULL;
	json_t *json = described(&def);
	ck_assert_ptr_null(json_object_get(json, "requestBody"));
	ck_assert_str_eq(at(json, "responses", "200", "description"), "Applied, with Prefer: wait");
	ck_assert_str_eq(at(json, "responses", "202", "description"),
	                 "Accepted, and not applied yet");
	json_t *responses = json_object_get(json, "responses");
	ck_assert_ptr_null(json_object_get(responses, "201"));
	ck_assert_str_eq(reference(json_object_get(responses, "200")),
	                 "#/components/schemas/Outcome");
	json_decref(json);
}
END_TEST

static void ck_refused(struct cqrs_command_route def, const char *why)
{
	struct buf error = BUF_INIT;
	ck_assert_ptr_null(command_route_new("m", &def, &error));
	ck_assert_msg(strstr(buf_str(&error), why) != NULL, "%s", buf_str(&error));
	buf_release(&error);
}

START_TEST(refuses_what_is_no_command)
{
	struct cqrs_command_route def = fine;
	for (const char *const *method =
	         (const char *const[]){"GET", "HEAD", "OPTIONS", "put", "", "TRACE", NULL};
	     *method; method++) {
		def.method = *method;
		ck_refused(def, "method is POST, PUT, PATCH or DELETE");
	}
	def = fine;
	def.accept = NULL;
	ck_refused(def, "has an accept function");
	def = fine;
	def.status = 204;
	ck_refused(def, "status 200, 201 or 202");
	def = fine;
	def.path = "things";
	ck_refused(def, "a path is");
	def = fine;
	def.params = NULL;
	ck_refused(def, "id");
}
END_TEST

START_TEST(refuses_schemas_that_are_none)
{
	struct cqrs_command_route def = fine;
	def.body = "{\"type\":";
	ck_refused(def, "the schema of its body is no JSON object: ");
	def.body = "[]";
	ck_refused(def, "the schema of its body is no JSON object");
	def = fine;
	def.answer = "";
	ck_refused(def, "the schema of its answer is no JSON object: ");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command_route");
	TCase *tc = tcase_create("command_route");
	tcase_add_test(tc, says_what_it_takes_and_answers);
	tcase_add_test(tc, says_200_for_what_is_202_when_nobody_waits);
	tcase_add_test(tc, refuses_what_is_no_command);
	tcase_add_test(tc, refuses_schemas_that_are_none);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
