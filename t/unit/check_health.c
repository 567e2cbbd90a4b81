/* SPDX-License-Identifier: MIT */
/* Health: what /readyz says, and which changes are worth a line in the log. */
#include "health.h"

#include "log.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static struct loop *loop;
static struct health *health;
static int log_fd, saved_stderr;

/* From here on stderr goes to a file without a name. */
static void begin(void)
{
	loop = loop_new();
	health = health_new(loop);
	log_fd = memfd_create("log", 0);
	ck_assert_int_ge(log_fd, 0);
	saved_stderr = dup(STDERR_FILENO);
	dup2(log_fd, STDERR_FILENO);
	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
}

static void end(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(log_fd);
	health_free(health);
	loop_free(loop);
}

/* What was logged since the last call, without the times: "info x: ready|". */
static const char *logged(void)
{
	static char lines[4000];
	char text[4000] = "", *rest = NULL;
	ssize_t n = pread(log_fd, text, sizeof text - 1, 0);
	ck_assert_int_ge(n, 0);
	ck_assert_int_eq(ftruncate(log_fd, 0), 0);
	lseek(log_fd, 0, SEEK_SET);
	lines[0] = '\0';
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char level[16], message[1000];
		ck_assert_int_eq(sscanf(line, "%*s %15s %999[^\n]", level, message), 2);
		snprintf(lines + strlen(lines), sizeof lines - strlen(lines), "%s %s|", level,
		         message);
	}
	return lines;
}

/* The reason of the check at `i`; NULL: there are fewer. */
static const char *reason_of(json_t *json, size_t i)
{
	return json_string_value(
	    json_object_get(json_array_get(json_object_get(json, "reasons"), i), "reason"));
}

START_TEST(is_ready_when_nothing_can_be_away)
{
	ck_assert(health_is_ready(health));
}
END_TEST

START_TEST(is_ready_when_all_checks_are_fine)
{
	struct health_check *kafka = health_add(health, "kafka");
	struct health_check *postgres = health_add(health, "postgres write");
	ck_assert(!health_is_ready(health));
	health_ok(kafka);
	ck_assert(!health_is_ready(health));
	health_ok(postgres);
	ck_assert(health_is_ready(health));
	health_fail(kafka, "no broker answers");
	ck_assert(!health_is_ready(health));
}
END_TEST

START_TEST(lists_the_reasons)
{
	char name[] = "kafka";
	struct health_check *kafka = health_add(health, name);
	name[0] = 'x';
	struct health_check *postgres = health_add(health, "postgres");
	health_ok(postgres);
	json_t *json = health_json(health);
	ck_assert(json_is_false(json_object_get(json, "ready")));
	ck_assert_str_eq(reason_of(json, 0), "starting");
	ck_assert_ptr_null(reason_of(json, 1));
	json_t *first = json_array_get(json_object_get(json, "reasons"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(first, "check")), "kafka");
	json_decref(json);

	health_ok(kafka);
	json = health_json(health);
	ck_assert(json_is_true(json_object_get(json, "ready")));
	ck_assert_uint_eq(json_array_size(json_object_get(json, "reasons")), 0);
	json_decref(json);
}
END_TEST

START_TEST(says_since_when_and_keeps_to_it)
{
	struct health_check *check = health_add(health, "kafka");
	health_ok(check);
	time_t before = time(NULL);
	health_fail(check, "first reason");
	usleep(5000);
	json_t *first = health_json(health);
	health_fail(check, "second reason");
	json_t *second = health_json(health);
	const char *path = "{s:[{s:s}]}", *since, *still;
	ck_assert_int_eq(json_unpack(first, path, "reasons", "since", &since), 0);
	ck_assert_int_eq(json_unpack(second, path, "reasons", "since", &still), 0);
	ck_assert_str_eq(since, still);
	ck_assert_str_eq(reason_of(second, 0), "second reason");
	struct tm tm = {0};
	ck_assert_ptr_nonnull(strptime(since, "%Y-%m-%dT%H:%M:%S", &tm));
	ck_assert_int_ge(timegm(&tm), before);
	ck_assert_int_le(timegm(&tm), time(NULL));
	json_decref(first);
	json_decref(second);
}
END_TEST

START_TEST(logs_changes_and_nothing_else)
{
	struct health_check *check = health_add(health, "kafka");
	ck_assert_str_eq(logged(), "");
	health_ok(check);
	ck_assert_str_eq(logged(), "info kafka: ready|");
	health_ok(check);
	ck_assert_str_eq(logged(), "");
	health_fail(check, "broker %d is away", 7);
	ck_assert_str_eq(logged(), "warning kafka: broker 7 is away|");
	health_fail(check, "broker %d is away", 7);
	ck_assert_str_eq(logged(), "");
	health_fail(check, "broker %d is away", 8);
	ck_assert_str_eq(logged(), "warning kafka: broker 8 is away|");
	usleep(300000);
	health_ok(check);
	double seconds;
	ck_assert_int_eq(sscanf(logged(), "info kafka: fine again after %lf s|", &seconds), 1);
	ck_assert(seconds >= 0.3 && seconds < 5);
}
END_TEST

START_TEST(cleans_reasons_so_that_they_fit_into_json)
{
	char text[3000];
	struct health_check *check = health_add(health, "postgres");
	health_fail(check, "connection refused\n\tIs it running?\xff\n");
	ck_assert_str_eq(logged(), "warning postgres: connection refused  Is it running??|");
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	/* Cut in the middle of a character, wherever that is. */
	for (int shift = 0; shift < 4; shift++) {
		for (size_t i = (size_t)shift; i + 3 < sizeof text; i += 3)
			memcpy(text + i, "\u20ac", 3);
		health_fail(check, "%s", text);
		json_t *json = health_json(health);
		ck_assert_uint_gt(strlen(reason_of(json, 0)), 400);
		json_decref(json);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("health");
	TCase *tcase = tcase_create("health");
	tcase_add_checked_fixture(tcase, begin, end);
	tcase_add_test(tcase, is_ready_when_nothing_can_be_away);
	tcase_add_test(tcase, is_ready_when_all_checks_are_fine);
	tcase_add_test(tcase, lists_the_reasons);
	tcase_add_test(tcase, says_since_when_and_keeps_to_it);
	tcase_add_test(tcase, logs_changes_and_nothing_else);
	tcase_add_test(tcase, cleans_reasons_so_that_they_fit_into_json);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
