/* SPDX-License-Identifier: MIT */
/* Asking the admin listener, against a server of one answer. */
#include "admin_client.h"

#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listener;
static char address[128], request[1024];
static const char *answer;
static struct buf why;
static pthread_t thread;

/* One connection: reads the request, gives the answer, closes. */
static void *serve(void *arg)
{
	int fd = accept(listener, NULL, NULL);
	ssize_t n = read(fd, request, sizeof request - 1);
	request[n > 0 ? n : 0] = '\0';
	if (write(fd, answer, strlen(answer)) < 0)
		perror("write");
	close(fd);
	return arg;
}

static void serve_tcp(const char *text)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof in;
	listener = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&in, size), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	getsockname(listener, (struct sockaddr *)&in, &size);
	snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(in.sin_port));
	answer = text;
	pthread_create(&thread, NULL, serve, NULL);
}

static void serve_unix(const char *text)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	snprintf(un.sun_path, sizeof un.sun_path, "/tmp/cqrsd-admin-%d", (int)getpid());
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&un, sizeof un), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	snprintf(address, sizeof address, "unix:%s", un.sun_path);
	answer = text;
	pthread_create(&thread, NULL, serve, NULL);
}

static json_t *get(void)
{
	buf_clear(&why);
	json_t *json = admin_client_get(address, "/status", &why);
	pthread_join(thread, NULL);
	close(listener);
	return json;
}

static void fails_with(const char *text, const char *reason)
{
	serve_tcp(text);
	ck_assert_ptr_null(get());
	ck_assert_msg(strstr(buf_str(&why), reason) != NULL, "%s", buf_str(&why));
}

START_TEST(gets_json_over_tcp)
{
	serve_tcp("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\": 1}\n");
	json_t *json = get();
	ck_assert_msg(json != NULL, "%s", buf_str(&why));
	ck_assert_int_eq((int)json_integer_value(json_object_get(json, "a")), 1);
	ck_assert_ptr_nonnull(strstr(request, "GET /status HTTP/1.0\r\nHost: "));
	json_decref(json);
}
END_TEST

START_TEST(gets_json_over_a_unix_socket)
{
	serve_unix("HTTP/1.1 200 OK\r\n\r\n[]");
	json_t *json = get();
	ck_assert_msg(json != NULL, "%s", buf_str(&why));
	json_decref(json);
	unlink(address + 5);
}
END_TEST

START_TEST(says_what_is_wrong_with_an_answer)
{
	fails_with("HTTP/1.1 503 Service Unavailable\r\n\r\n{}", "the answer is 503");
	fails_with("HTTP/1.1 200 OK\r\n\r\n{", "the answer is not JSON");
	fails_with("SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP");
	fails_with("", "the answer is not HTTP");
}
END_TEST

START_TEST(says_why_nobody_answers)
{
	static const struct {
		const char *listen, *reason;
	} wrong[] = {
	    {"127.0.0.1:1", "Connection refused"},
	    {"[::1]:1", ""},
	    {"nonsense", "is no address:port"},
	    {"unix:/nonexistent/socket", "No such file"},
	    {"unix:/a/path/that/is/longer/than/what/fits/into/the/address/of/a/unix/domain/socket/"
	     "which/"
	     "and/elsewhere/is/108/bytes/on/linux",
	     "name too long"},
	};
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		buf_clear(&why);
		ck_assert_ptr_null(admin_client_get(wrong[i].listen, "/", &why));
		ck_assert_int_gt((int)why.len, 0);
		ck_assert_msg(strstr(buf_str(&why), wrong[i].reason) != NULL, "%s", buf_str(&why));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("admin_client");
	TCase *cases = tcase_create("admin_client");
	tcase_set_timeout(cases, 60);
	tcase_add_test(cases, gets_json_over_tcp);
	tcase_add_test(cases, gets_json_over_a_unix_socket);
	tcase_add_test(cases, says_what_is_wrong_with_an_answer);
	tcase_add_test(cases, says_why_nobody_answers);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int bad = srunner_ntests_failed(runner);
	srunner_free(runner);
	return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
