/* SPDX-License-Identifier: MIT */
/* The admin listener, asked over a real socket. */
#include "admin.h"

#include "process_metrics.h"

#include <arpa/inet.h>
#include <check.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_US 3000000

static struct loop *loop;
static struct metrics *metrics;
static struct health *health;
static struct health_check *check;
static struct process_metrics *process;
static struct admin *admin;

static void setup(void)
{
	loop = loop_new();
	metrics = metrics_new();
	health = health_new(loop);
	check = health_add(health, "kafka");
	process = process_metrics_new(loop, metrics);
	admin = admin_new(loop, "127.0.0.1:0", metrics, health, "1.2.3");
	ck_assert(process && admin);
}

static void teardown(void)
{
	admin_free(admin);
	process_metrics_free(process);
	health_free(health);
	metrics_free(metrics);
	loop_free(loop);
}

static char answer[1 << 16];

static const char *body(void)
{
	const char *end = strstr(answer, "\r\n\r\n");
	ck_assert_ptr_nonnull(end);
	return end + 4;
}

/* The whole answer is in `answer`; returns the status. */
static int ask(const char *method, const char *path)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char text[200];
	size_t len = 0;
	ssize_t n = -1;
	in.sin_port = htons((uint16_t)atoi(strrchr(admin_address(admin), ':') + 1));
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	int size = snprintf(text, sizeof text,
	                    "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", method, path);
	ck_assert_int_eq(send(fd, text, (size_t)size, 0), size);
	int64_t until = loop_now(loop) + PATIENCE_US;
	while (n != 0 && loop_now(loop) < until) {
		event_base_loop(loop_base(loop), EVLOOP_NONBLOCK);
		n = recv(fd, answer + len, sizeof answer - 1 - len, 0);
		len += n > 0 ? (size_t)n : 0;
	}
	ck_assert_int_eq(n, 0);
	answer[len] = '\0';
	close(fd);
	ck_assert_uint_gt(len, 12);
	return atoi(answer + 9);
}

static json_t *json_body(void)
{
	json_error_t error;
	json_t *json = json_loads(body(), JSON_REJECT_DUPLICATES, &error);
	ck_assert_msg(json != NULL, "%s in %s", error.text, body());
	return json;
}

START_TEST(is_alive_whatever_is_away)
{
	ck_assert_int_eq(ask("GET", "/livez"), 200);
	ck_assert_ptr_nonnull(strstr(answer, "Cache-Control: no-store\r\n"));
}
END_TEST

START_TEST(is_ready_when_nothing_is_away_and_says_what_is)
{
	ck_assert_int_eq(ask("GET", "/readyz"), 503);
	health_fail(check, "no broker at %s", "127.0.0.1:9092");
	ck_assert_int_eq(ask("GET", "/readyz"), 503);
	ck_assert_ptr_nonnull(strstr(body(), "no broker at 127.0.0.1:9092"));
	json_t *json = json_body();
	ck_assert(json_is_false(json_object_get(json, "ready")));
	json_decref(json);
	health_ok(check);
	ck_assert_int_eq(ask("GET", "/readyz"), 200);
	json = json_body();
	ck_assert(json_is_true(json_object_get(json, "ready")));
	json_decref(json);
}
END_TEST

START_TEST(tells_its_version)
{
	ck_assert_int_eq(ask("GET", "/version"), 200);
	json_t *json = json_body();
	ck_assert_str_eq(json_string_value(json_object_get(json, "version")), "1.2.3");
	json_decref(json);
}
END_TEST

/* NULL: there is no memory for it. */
static json_t *part(void *arg)
{
	return arg ? json_pack("{s:s}", "state", (const char *)arg) : NULL;
}

START_TEST(puts_together_what_its_parts_say)
{
	static char state[] = "reading";
	admin_status_add(admin, "kafka", part, state);
	admin_status_add(admin, "postgres", part, state);
	ck_assert_int_eq(ask("GET", "/status"), 200);
	json_t *json = json_body(), *kafka = json_object_get(json, "kafka");
	ck_assert_str_eq(json_string_value(json_object_get(kafka, "state")), "reading");
	ck_assert_ptr_nonnull(json_object_get(json, "postgres"));
	ck_assert_ptr_nonnull(json_object_get(json, "health"));
	ck_assert_int_eq(json_integer_value(json_object_get(json, "pid")), getpid());
	ck_assert_int_gt(json_integer_value(json_object_get(json, "resident_memory_bytes")),
	                 100000);
	json_decref(json);
	admin_status_remove(admin, "kafka");
	ck_assert_int_eq(ask("GET", "/status"), 200);
	json = json_body();
	ck_assert_ptr_null(json_object_get(json, "kafka"));
	ck_assert_ptr_nonnull(json_object_get(json, "postgres"));
	json_decref(json);
}
END_TEST

START_TEST(leaves_nothing_out_for_lack_of_memory)
{
	admin_status_add(admin, "kafka", part, NULL);
	ck_assert_int_eq(ask("GET", "/status"), 503);
	admin_status_remove(admin, "kafka");
	ck_assert_int_eq(ask("GET", "/status"), 200);
}
END_TEST

/* The value of a metric in the exposition. */
static double exposed(const char *name)
{
	char line[100];
	snprintf(line, sizeof line, "\n%s ", name);
	const char *at = strstr(body(), line);
	ck_assert_msg(at != NULL, "no %s in\n%s", name, body());
	return strtod(at + strlen(line), NULL);
}

START_TEST(exposes_metrics_of_the_process)
{
	ck_assert_int_eq(ask("GET", "/metrics"), 200);
	ck_assert_ptr_nonnull(strstr(answer, "Content-Type: text/plain; version=0.0.4"));
	ck_assert_double_gt(exposed("process_resident_memory_bytes"), 1e5);
	ck_assert_double_lt(exposed("process_resident_memory_bytes"), 1e11);
	ck_assert_double_ge(exposed("process_open_fds"), 4);
	ck_assert_double_gt(exposed("process_cpu_seconds_total"), 0);
	ck_assert_double_lt(exposed("process_cpu_seconds_total"), 1000);
	double age = (double)time(NULL) - exposed("process_start_time_seconds");
	ck_assert_msg(age > -2 && age < 1000, "started %g s ago", age);
}
END_TEST

START_TEST(counts_descriptors_and_processor_time)
{
	ask("GET", "/metrics");
	double fds = exposed("process_open_fds"), cpu = exposed("process_cpu_seconds_total");
	int more[3] = {dup(0), dup(0), dup(0)};
	for (clock_t began = clock(); clock() - began < CLOCKS_PER_SEC / 20;)
		;
	ask("GET", "/metrics");
	ck_assert_double_eq(exposed("process_open_fds"), fds + 3);
	ck_assert_double_ge(exposed("process_cpu_seconds_total"), cpu + 0.05);
	for (int i = 0; i < 3; i++)
		close(more[i]);
}
END_TEST

START_TEST(measures_how_late_the_loop_is)
{
	double n = 0;
	while (n < 3) {
		event_base_loop(loop_base(loop), EVLOOP_ONCE);
		ask("GET", "/metrics");
		n = exposed("cqrsd_loop_delay_seconds_count");
	}
	double before = exposed("cqrsd_loop_delay_seconds_sum");
	usleep(300000);
	event_base_loop(loop_base(loop), EVLOOP_NONBLOCK);
	ask("GET", "/metrics");
	ck_assert_double_gt(exposed("cqrsd_loop_delay_seconds_count"), n);
	double late = exposed("cqrsd_loop_delay_seconds_sum") - before;
	ck_assert_msg(late > 0.15, "%g s late", late);
}
END_TEST

START_TEST(has_nothing_else)
{
	ck_assert_int_eq(ask("GET", "/"), 404);
	ck_assert_int_eq(ask("GET", "/livez/"), 404);
	ck_assert_ptr_nonnull(strstr(answer, "Content-Type: application/problem+json\r\n"));
	json_t *json = json_body();
	ck_assert_str_eq(json_string_value(json_object_get(json, "code")), "not_found");
	json_decref(json);
}
END_TEST

START_TEST(can_only_be_read)
{
	ck_assert_int_eq(ask("POST", "/livez"), 405);
	ck_assert_ptr_nonnull(strstr(answer, "Allow: GET, HEAD\r\n"));
	ck_assert_ptr_nonnull(strstr(answer, "Content-Type: application/problem+json\r\n"));
	ck_assert_int_eq(ask("HEAD", "/livez"), 200);
	ck_assert_str_eq(body(), "");
}
END_TEST

static void echo(void *arg, struct http_request *req, const char *below)
{
	admin_respond(req, 200, json_pack("{s:s, s:s}", "arg", (const char *)arg, "below", below));
}

static void expect_echo(const char *method, const char *path, const char *arg, const char *below)
{
	ck_assert_int_eq(ask(method, path), 200);
	json_t *json = json_body();
	ck_assert_str_eq(json_string_value(json_object_get(json, "arg")), arg);
	ck_assert_str_eq(json_string_value(json_object_get(json, "below")), below);
	json_decref(json);
}

START_TEST(answers_what_others_add_until_they_take_it_out)
{
	static char all[] = "all", one[] = "one";
	admin_route_add(admin, HTTP_GET, "/things", echo, all);
	admin_route_add(admin, HTTP_GET, "/things/", echo, one);
	admin_route_add(admin, HTTP_POST, "/things/mend", echo, one);
	expect_echo("GET", "/things", "all", "");
	expect_echo("GET", "/things/17", "one", "17");
	ck_assert_int_eq(ask("GET", "/things/"), 404);
	ck_assert_int_eq(ask("GET", "/things/17/18"), 404);
	ck_assert_ptr_nonnull(strstr(answer, "/things/{id}"));
	ck_assert_int_eq(ask("GET", "/things/mend"), 405);
	ck_assert_ptr_nonnull(strstr(answer, "Allow: POST\r\n"));
	ck_assert_int_eq(ask("POST", "/things/mend"), 415);
	admin_route_remove(admin, one);
	ck_assert_int_eq(ask("GET", "/things/17"), 404);
	expect_echo("GET", "/things", "all", "");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("admin");
	TCase *tc = tcase_create("admin");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, is_alive_whatever_is_away);
	tcase_add_test(tc, is_ready_when_nothing_is_away_and_says_what_is);
	tcase_add_test(tc, tells_its_version);
	tcase_add_test(tc, puts_together_what_its_parts_say);
	tcase_add_test(tc, leaves_nothing_out_for_lack_of_memory);
	tcase_add_test(tc, exposes_metrics_of_the_process);
	tcase_add_test(tc, counts_descriptors_and_processor_time);
	tcase_add_test(tc, measures_how_late_the_loop_is);
	tcase_add_test(tc, has_nothing_else);
	tcase_add_test(tc, can_only_be_read);
	tcase_add_test(tc, answers_what_others_add_until_they_take_it_out);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
