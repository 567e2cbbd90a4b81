/* SPDX-License-Identifier: MIT */
/* Commands over HTTP: a real server, a module, the embedded broker. */
#include "command_http_internal.h"

#include "api.h"
#include "http_client.h"
#include "kafka_embedded.h"

#define LONG_US 20000000

static struct loop *loop;
static struct metrics *metrics;
static struct health *health;
static struct kafka_embedded *broker;
static struct command_bus_config bus_config;
static struct command_bus *bus;
static struct command_http_config config;
static struct command_http *commands;
static struct api *api;
static struct http_server *server;
static int module; /* what its start() returned */

/* ---- a module ---- */

/* The body says what becomes of the request. */
static void accept_thing(void *self, const struct cqrs_request *req, struct cqrs_forward *out)
{
	size_t len;
	const char *body = cqrs_request_body(req, &len);
	char word[20], location[100];
	ck_assert_ptr_eq(self, &module);
	snprintf(word, sizeof word, "%.*s", (int)len, body);
	snprintf(location, sizeof location, "/things/%s", cqrs_request_id(req));
	if (!strcmp(word, "refuse"))
		cqrs_forward_refuse(out, 409, "thing_taken", "name", "%s is taken", "x");
	else if (!strcmp(word, "no memory"))
		cqrs_forward_no_memory(out);
	else if (!strcmp(word, "nothing"))
		return;
	else
		cqrs_forward(out, "things", "k", 1, body, len);
	if (!strcmp(word, "twice"))
		cqrs_forward(out, "things", "k", 1, body, len);
	cqrs_forward_header(out, "command", "create");
	if (strcmp(word, "bare") != 0)
		cqrs_forward_answer(out, location, "{\"made\":1}");
}

static void handle_nothing(void *self, const struct cqrs_message *msg, struct cqrs_batch *batch)
{
	(void)self;
	(void)msg;
	(void)batch;
}

static const struct cqrs_command_route route = {
    .method = "POST", .path = "/things", .summary = "s", .status = 201, .accept = accept_thing};
static const struct cqrs_command_route later = {
    .method = "POST", .path = "/later", .summary = "s", .status = 202, .accept = accept_thing};
static const struct cqrs_command_module module_def = {.abi = CQRS_ABI, .name = "things"};

/* ---- the rest ---- */

static void add_routes(void)
{
	const char *error;
	struct buf errors = BUF_INIT;
	struct cqrs_setup *setup = command_bus_setup(bus, &module_def);
	cqrs_setup_topic(setup, "things", handle_nothing);
	cqrs_setup_route(setup, &route);
	cqrs_setup_route(setup, &later);
	ck_assert_msg(command_bus_add(bus, setup, &module, &error), "%s", error);
	ck_assert_msg(command_http_add_routes(commands, bus, api_routes(api), &errors), "%s",
	              buf_str(&errors));
	buf_release(&errors);
}

static void start(int64_t timeout_us, int64_t memory)
{
	loop = loop_new();
	metrics = metrics_new();
	health = health_new(loop);
	bus_config = (struct command_bus_config){.brokers = "",
	                                         .group = "g",
	                                         .start = "earliest",
	                                         .dsn = "",
	                                         .writers = 1,
	                                         .memory = 16777216};
	bus = command_bus_new(loop, &bus_config, metrics, health);
	config = (struct command_http_config){.brokers = broker ? kafka_embedded_brokers(broker)
	                                                        : "127.0.0.1:1",
	                                      .timeout_us = timeout_us,
	                                      .memory = memory};
	commands = command_http_new(loop, &config, metrics, health);
	api = api_new();
	add_routes();
	server = http_server_new(loop, &http_client_config, metrics, api_handle, api);
	ck_assert_ptr_nonnull(server);
}

static void setup_broker(void)
{
	broker = kafka_embedded_new();
	ck_assert(kafka_embedded_add_topic(broker, "things"));
	start(LONG_US, 16777216);
}

static void setup_away(void)
{
	broker = NULL;
	start(300000, 4 * 16384); /* room for four */
}

static void teardown(void)
{
	http_server_free(server);
	command_http_free(commands);
	api_free(api);
	command_bus_free(bus);
	kafka_embedded_free(broker);
	health_free(health);
	metrics_free(metrics);
	loop_free(loop);
}

static int post(const char *headers, const char *body)
{
	return http_client_ask(loop, server, "POST", "/api/v1/things", headers, body);
}

/* A header of the answer; "" if it has none. */
static const char *header(const char *name)
{
	static char value[400];
	char line[100];
	snprintf(line, sizeof line, "\r\n%s: ", name);
	const char *found = strstr(http_client_answer, line);
	value[0] = '\0';
	if (found)
		snprintf(value, sizeof value, "%.*s", (int)strcspn(found + strlen(line), "\r"),
		         found + strlen(line));
	return value;
}

static void turn(int times)
{
	for (int i = 0; i < times; i++) {
		event_base_loop(loop_base(loop), EVLOOP_NONBLOCK);
		usleep(1000);
	}
}

static void turn_until_idle(void)
{
	for (int i = 0; i < HTTP_CLIENT_PATIENCE && commands->n_busy; i++)
		turn(1);
	ck_assert_uint_eq(commands->n_busy, 0);
	ck_assert_uint_eq(commands->bytes, 0);
}

/* ---- accepted ---- */

START_TEST(answers_when_kafka_has_it)
{
	char expected[100];
	int partition, offset;
	ck_assert_int_eq(post("", "value"), 201);
	ck_assert_str_eq(http_client_body(), "{\"made\":1}");
	ck_answer_has("Content-Type: application/json");
	ck_assert_uint_eq(strlen(header("Command-Id")), 36);
	snprintf(expected, sizeof expected, "/api/v1/things/%s", header("Command-Id"));
	ck_assert_str_eq(header("Location"), expected);
	ck_assert_int_eq(sscanf(header("Consistency-Token"), "things:%d@%d", &partition, &offset),
	                 2);
	ck_assert_int_eq(offset, 0);
	/* One key, one partition: the next is behind it. */
	snprintf(expected, sizeof expected, "things:%d@1", partition);
	ck_assert_int_eq(post("", "value"), 201);
	ck_assert_str_eq(header("Consistency-Token"), expected);
	turn_until_idle();
}
END_TEST

START_TEST(answers_without_a_body_if_the_module_gives_none)
{
	ck_assert_int_eq(post("", "bare"), 201);
	ck_assert_str_eq(http_client_body(), "");
	ck_assert_str_eq(header("Location"), "");
	ck_assert_str_eq(header("Content-Type"), "");
}
END_TEST

static void ck_answered_later(void)
{
	char expected[100];
	snprintf(expected, sizeof expected, "{\"commandId\":\"%s\"}\n", header("Command-Id"));
	ck_assert_str_eq(http_client_body(), expected);
	snprintf(expected, sizeof expected, "/api/v1/commands/%s", header("Command-Id"));
	ck_assert_str_eq(header("Location"), expected);
	ck_answer_has("Consistency-Token: things:");
}

START_TEST(says_where_the_outcome_will_be_to_who_does_not_wait)
{
	ck_assert_int_eq(post("Prefer: respond-async\r\n", "value"), 202);
	ck_answered_later();
	ck_assert_str_eq(header("Preference-Applied"), "respond-async");
}
END_TEST

START_TEST(says_so_of_what_is_only_accepted_too)
{
	ck_assert_int_eq(http_client_ask(loop, server, "POST", "/api/v1/later", "", "value"), 202);
	ck_answered_later();
	ck_assert_str_eq(header("Preference-Applied"), "");
}
END_TEST

/* ---- refused ---- */

START_TEST(tells_what_the_module_refuses)
{
	ck_assert_int_eq(post("", "refuse"), 409);
	ck_answer_has("\"detail\":\"x is taken\"");
	ck_answer_has("\"code\":\"thing_taken\"");
	ck_answer_has("\"param\":\"name\"");
	ck_assert_str_eq(header("Command-Id"), "");
	ck_assert_int_eq(post("", "no memory"), 503);
	ck_answer_has("\"code\":\"out_of_memory\"");
	ck_assert_uint_eq(commands->n_busy, 0);
}
END_TEST

START_TEST(a_mistake_of_the_module_is_ours)
{
	ck_assert_int_eq(post("", "twice"), 500);
	ck_assert_int_eq(post("", "nothing"), 500);
	ck_answer_has("\"code\":\"internal_error\"");
	ck_assert_uint_eq(commands->n_busy, 0);
}
END_TEST

START_TEST(has_no_producer_before_the_first_command)
{
	ck_assert_int_eq(post("", "refuse"), 409);
	ck_assert_ptr_null(commands->sink);
	ck_assert_int_eq(post("", "value"), 201);
	ck_assert_ptr_nonnull(commands->sink);
}
END_TEST

/* ---- who does not stay, and what does not come ---- */

START_TEST(a_client_that_leaves_changes_nothing)
{
	int fd = http_client_dial(server);
	http_client_say(fd, "POST", "/api/v1/things", "", "value");
	for (int i = 0; i < HTTP_CLIENT_PATIENCE && !commands->n_busy; i++)
		turn(1);
	ck_assert_uint_eq(commands->n_busy, 1);
	const struct linger now = {.l_onoff = 1};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(fd);
	turn_until_idle();
	/* Its message is there all the same. */
	ck_assert_int_eq(post("", "value"), 201);
	ck_assert_msg(strstr(header("Consistency-Token"), "@1") != NULL, "%s",
	              header("Consistency-Token"));
}
END_TEST

START_TEST(says_503_in_time_and_where_to_look)
{
	char expected[100];
	int64_t begin = loop_now(loop);
	ck_assert_int_eq(post("", "value"), 503);
	ck_assert_int_ge(loop_now(loop) - begin, 300000);
	ck_answer_has("\"code\":\"kafka_away\"");
	ck_assert_str_eq(header("Retry-After"), "1");
	snprintf(expected, sizeof expected, "/api/v1/commands/%s", header("Command-Id"));
	ck_assert_str_eq(header("Location"), expected);
	/* librdkafka gives it up then, too: nobody sends it an hour later. */
	turn_until_idle();
	ck_assert_int_eq(kafka_sink_in_flight(commands->sink), 0);
}
END_TEST

START_TEST(refuses_more_than_there_is_room_for)
{
	int fds[4];
	for (int i = 0; i < 4; i++) {
		fds[i] = http_client_dial(server);
		http_client_say(fds[i], "POST", "/api/v1/things", "", "v");
	}
	for (int i = 0; i < HTTP_CLIENT_PATIENCE && commands->n_busy < 4; i++)
		turn(1);
	ck_assert_uint_eq(commands->n_busy, 4);
	ck_assert_int_eq(post("", "v"), 503);
	ck_answer_has("\"code\":\"overloaded\"");
	ck_assert_str_eq(header("Location"), ""); /* there is nothing to look for */
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(http_client_hear(loop, fds[i]), 503);
	turn_until_idle();
	ck_assert_int_eq(post("", "v"), 503);
	ck_answer_has("\"code\":\"kafka_away\"");
}
END_TEST

START_TEST(refuses_more_bytes_than_there_is_room_for)
{
	static char body[5000]; /* of 4096 that all may have: the first may be larger */
	memset(body, 'a', sizeof body - 1);
	int fd = http_client_dial(server);
	http_client_say(fd, "POST", "/api/v1/things", "", body);
	for (int i = 0; i < HTTP_CLIENT_PATIENCE && !commands->n_busy; i++)
		turn(1);
	ck_assert_int_eq(post("", "v"), 503);
	ck_answer_has("\"code\":\"overloaded\"");
	ck_assert_int_eq(http_client_hear(loop, fd), 503);
	turn_until_idle();
}
END_TEST

START_TEST(stops_with_commands_on_their_way)
{
	int fd = http_client_dial(server);
	http_client_say(fd, "POST", "/api/v1/things", "", "v");
	for (int i = 0; i < HTTP_CLIENT_PATIENCE && !commands->n_busy; i++)
		turn(1);
	ck_assert_uint_eq(commands->n_busy, 1);
	close(fd);
}
END_TEST

START_TEST(refuses_a_route_that_somebody_has)
{
	const char *error;
	struct buf errors = BUF_INIT;
	struct cqrs_setup *setup = command_bus_setup(bus, &module_def);
	cqrs_setup_route(setup, &route);
	ck_assert(command_bus_add(bus, setup, &module, &error));
	ck_assert(!command_http_add_routes(commands, bus, api_routes(api), &errors));
	ck_assert_str_eq(buf_str(&errors), "module things: route POST /things: module things has "
	                                   "that path already\n");
	buf_release(&errors);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command_http");
	TCase *tc = tcase_create("broker");
	tcase_add_checked_fixture(tc, setup_broker, teardown);
	tcase_add_test(tc, answers_when_kafka_has_it);
	tcase_add_test(tc, answers_without_a_body_if_the_module_gives_none);
	tcase_add_test(tc, says_where_the_outcome_will_be_to_who_does_not_wait);
	tcase_add_test(tc, says_so_of_what_is_only_accepted_too);
	tcase_add_test(tc, tells_what_the_module_refuses);
	tcase_add_test(tc, a_mistake_of_the_module_is_ours);
	tcase_add_test(tc, has_no_producer_before_the_first_command);
	tcase_add_test(tc, a_client_that_leaves_changes_nothing);
	tcase_add_test(tc, refuses_a_route_that_somebody_has);
	suite_add_tcase(suite, tc);
	tc = tcase_create("away");
	tcase_add_checked_fixture(tc, setup_away, teardown);
	tcase_add_test(tc, says_503_in_time_and_where_to_look);
	tcase_add_test(tc, refuses_more_than_there_is_room_for);
	tcase_add_test(tc, refuses_more_bytes_than_there_is_room_for);
	tcase_add_test(tc, stops_with_commands_on_their_way);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
