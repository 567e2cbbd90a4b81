/* SPDX-License-Identifier: MIT */
/* What is read of a request with a command, and which are refused before their module sees them. */
#include "command_request.h"

#include "http_client.h"

#include <jansson.h>

static struct loop *loop;
static struct metrics *metrics;
static struct http_server *server;
static struct command_route *route;
static struct command_request req;
static struct cqrs_forward out;

static const struct cqrs_param params[] = {
    {.name = "n", .type = CQRS_PARAM_INTEGER, .min = 1, .max = 9}, {.name = NULL}};

static void accept_nothing(void *self, const struct cqrs_request *request, struct cqrs_forward *f)
{
	(void)self;
	(void)request;
	(void)f;
}

static const struct cqrs_command_route def = {.method = "POST",
                                              .path = "/things",
                                              .summary = "s",
                                              .params = params,
                                              .status = 200,
                                              .accept = accept_nothing};

static const char *or_none(const char *text)
{
	return text ? text : "none";
}

/* Says what was read, as a module and as the core see it. */
static void handle(void *owner, struct http_request *http)
{
	char text[1000];
	size_t len;
	(void)owner;
	if (!command_request_read(&req, route, http, NULL, 0))
		return;
	forward_clear(&out);
	req.id = "the id";
	const char *body = cqrs_request_body(&req.params, &len);
	json_t *json = cqrs_request_json(&req.params, &out);
	int n =
	    snprintf(text, sizeof text,
	             "[n %d|body %.*s|json %d|problem %s|id %s|match %s|key %s|wait %d|async %d]",
	             (int)cqrs_param(&req.params, "n")->i, (int)len, body,
	             json ? (int)json_typeof(json) : -1, out.why.text, cqrs_request_id(&req.params),
	             or_none(cqrs_request_if_match(&req.params)), req.key, (int)req.prefer.wait_s,
	             req.prefer.respond_async);
	json_decref(json);
	http_respond(http, 200, "text/plain", text, (size_t)n);
}

static void setup(void)
{
	struct buf why = BUF_INIT;
	loop = loop_new();
	metrics = metrics_new();
	route = command_route_new("m", &def, &why);
	ck_assert_msg(route != NULL, "%s", buf_str(&why));
	server = http_server_new(loop, &http_client_config, metrics, handle, NULL);
}

static void teardown(void)
{
	http_server_free(server);
	command_request_release(&req);
	forward_release(&out);
	route_free(&route->base);
	metrics_free(metrics);
	loop_free(loop);
}

static int post(const char *query, const char *headers, const char *body)
{
	char target[100];
	snprintf(target, sizeof target, "/api/v1/things%s", query);
	return http_client_ask(loop, server, "POST", target, headers, body);
}

START_TEST(reads_all_that_a_request_has)
{
	ck_assert_int_eq(post("?n=7",
	                      "Content-Type: application/json; charset=utf-8\r\n"
	                      "If-Match: \"12\"\r\nIdempotency-Key: \"a \\\"key\\\"\"\r\n"
	                      "Prefer: respond-async, wait=3\r\n",
	                      "{\"a\": 1}"),
	                 200);
	ck_answer_has("[n 7|body {\"a\": 1}|json 0|problem |id the id|match 12|key a \"key\"|wait "
	              "3|async 1]");
	/* Nothing of it is left for the next one. */
	ck_assert_int_eq(post("", "", "[]"), 200);
	ck_answer_has("[n 0|body []|json 1|problem |id the id|match none|key |wait 0|async 0]");
}
END_TEST

START_TEST(says_what_is_wrong_with_a_body)
{
	ck_assert_int_eq(post("", "", ""), 200);
	ck_answer_has("problem the body is missing: it is JSON");
	ck_assert_int_eq(post("", "", "{\"a\" 1}"), 200);
	ck_answer_has("problem the body is not JSON: ':' expected near '1' at byte 6");
}
END_TEST

static const struct {
	const char *headers, *body, *code;
	int status;
} refused[] = {
    {"Content-Type: text/csv\r\n", "1", "unsupported_media_type", 415},
    {"Content-Type: json\r\n", "1", "unsupported_media_type", 415},
    {"Content-Type: +json\r\n", "1", "unsupported_media_type", 415},
    {"If-Match: 7\r\n", "{}", "precondition_failed", 412},
    {"If-Match: \"\"\r\n", "{}", "precondition_failed", 412},
    {"If-Match: \"\r\n", "{}", "precondition_failed", 412},
    {"If-Match: W/\"7\"\r\n", "{}", "precondition_failed", 412},
    {"If-Match: \"-7\"\r\n", "{}", "precondition_failed", 412},
    {"If-Match: \"1234567890123456789\"\r\n", "{}", "precondition_failed", 412},
    {"If-Match: \"1\", \"2\"\r\n", "{}", "invalid_header", 400},
    {"If-Match: \"1\"\r\nIf-Match: \"2\"\r\n", "{}", "invalid_header", 400},
    {"Idempotency-Key: \"\"\r\n", "{}", "invalid_header", 400},
    {"Idempotency-Key: \"\r\n", "{}", "invalid_header", 400},
    {"Idempotency-Key: \"a\r\n", "{}", "invalid_header", 400},
    {"Idempotency-Key: \"a\"b\"\r\n", "{}", "invalid_header", 400},
    {"Idempotency-Key: \"a\\b\"\r\n", "{}", "invalid_header", 400},
    {"Idempotency-Key: \"a\\\"\r\n", "{}", "invalid_header", 400},
    {"Idempotency-Key: a b\r\n", "{}", "invalid_header", 400},
    {"Idempotency-Key: a\r\nIdempotency-Key: b\r\n", "{}", "invalid_header", 400},
    {"Idempotency-Key: \"a\";b=1\r\n", "{}", "invalid_header", 400},
    {"Idempotency-Key: \xc3\xa4\r\n", "{}", "invalid_header", 400},
};

START_TEST(refuses_headers_that_cannot_be_obeyed)
{
	char code[100];
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		int status = post("", refused[i].headers, refused[i].body);
		ck_assert_msg(status == refused[i].status, "%s: %d", refused[i].headers, status);
		snprintf(code, sizeof code, "\"code\":\"%s\"", refused[i].code);
		ck_answer_has(code);
	}
}
END_TEST

static const struct {
	const char *headers, *body, *part;
} taken[] = {
    {"Content-Type: APPLICATION/JSON\r\n", "{}", "json 0"},
    {"Content-Type: application/merge-patch+json\r\n", "{}", "json 0"},
    /* What has no body may call it what it likes. */
    {"Content-Type: text/plain\r\n", "", "json -1"},
    {"If-Match: *\r\n", "{}", "match *"},
    {"If-Match: \"0\"\r\n", "{}", "match 0"},
    {"If-Match: \"123456789012345678\"\r\n", "{}", "match 123456789012345678"},
    {"Idempotency-Key: 8e03978e-40d5-43e8-bc93-6894a57f9324\r\n", "{}",
     "key 8e03978e-40d5-43e8-bc93-6894a57f9324|"},
    {"Idempotency-Key: \"a\\\\b, c;\"\r\n", "{}", "key a\\b, c;|"},
};

START_TEST(takes_headers_in_each_of_their_forms)
{
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
		ck_assert_msg(post("", taken[i].headers, taken[i].body) == 200, "%s",
		              taken[i].headers);
		ck_answer_has(taken[i].part);
	}
}
END_TEST

START_TEST(takes_keys_of_255_characters)
{
	char header[400];
	int len = snprintf(header, sizeof header, "Idempotency-Key: \"%0255d\"\r\n", 7);
	ck_assert_int_eq(post("", header, "{}"), 200);
	memcpy(header + len - 3, "0\"\r\n", 5);
	ck_assert_int_eq(post("", header, "{}"), 400);
}
END_TEST

START_TEST(refuses_parameters_that_the_route_does_not_have)
{
	ck_assert_int_eq(post("?n=10", "", "{}"), 400);
	ck_answer_has("\"param\":\"n\"");
	ck_assert_int_eq(post("?m=1", "", "{}"), 400);
	ck_answer_has("\"code\":\"invalid_parameter\"");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command_request");
	TCase *tc = tcase_create("command_request");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, reads_all_that_a_request_has);
	tcase_add_test(tc, says_what_is_wrong_with_a_body);
	tcase_add_test(tc, refuses_headers_that_cannot_be_obeyed);
	tcase_add_test(tc, takes_headers_in_each_of_their_forms);
	tcase_add_test(tc, takes_keys_of_255_characters);
	tcase_add_test(tc, refuses_parameters_that_the_route_does_not_have);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
