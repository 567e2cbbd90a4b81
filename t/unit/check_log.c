/* SPDX-License-Identifier: MIT */
/* Where the log goes when it cannot go anywhere. */
#include "log.h"

#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char text[1 << 20];
static int reader = -1;

/* Stderr becomes a pipe; each test has a process of its own. */
static void redirect(void)
{
	int ends[2];
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	close(ends[1]);
	reader = ends[0];
	fcntl(reader, F_SETFL, O_NONBLOCK);
}

/* All that was written since. */
static const char *written(void)
{
	size_t n = 0;
	ssize_t got;
	while ((got = read(reader, text + n, sizeof text - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	return text;
}

static int lines(void)
{
	int n = 0;
	for (const char *at = text; (at = strchr(at, '\n')); at++)
		n++;
	return n;
}

START_TEST(writes_one_line_for_each_event)
{
	redirect();
	log_info("one\ntwo %d", 3);
	log_debug("not worth a line");
	ck_assert_ptr_nonnull(strstr(written(), " info    one two 3\n"));
	ck_assert_int_eq(lines(), 1);
}
END_TEST

START_TEST(does_not_wait_for_a_reader_that_does_not_read)
{
	redirect();
	for (int i = 0; i < 10000; i++)
		log_info("line %d", i);
	int kept = (written(), lines());
	ck_assert_int_lt(kept, 10000);
	log_info("after");
	char expected[100];
	snprintf(expected, sizeof expected,
	         "warning log: %d lines could not be written before this one\n", 10000 - kept);
	ck_assert_msg(strstr(written(), expected) != NULL, "%d kept, then: %s", kept, text);
	ck_assert_ptr_nonnull(strstr(text, " info    after\n"));
	log_info("again");
	ck_assert_ptr_null(strstr(written(), "could not be written"));
}
END_TEST

/* Otherwise poll() could say that there is room, and write() wait all the same. */
START_TEST(writes_no_line_longer_than_a_pipe_takes_at_once)
{
	static char long_text[10000];
	redirect();
	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	memset(long_text, '"', sizeof long_text - 1);
	log_info("%s", long_text);
	ck_assert_uint_le(strlen(written()), PIPE_BUF);
	ck_assert_uint_gt(strlen(text), PIPE_BUF - 200);
	memset(long_text, 0xff, sizeof long_text - 1);
	log_info("%s", long_text);
	ck_assert_uint_le(strlen(written()), PIPE_BUF);
	ck_assert_int_eq(lines(), 1);
}
END_TEST

START_TEST(survives_a_full_disk)
{
	int full = open("/dev/full", O_WRONLY);
	ck_assert_int_eq(dup2(full, STDERR_FILENO), STDERR_FILENO);
	log_info("nowhere to go");
	log_info("nowhere to go");
	redirect();
	log_info("here");
	ck_assert_ptr_nonnull(
	    strstr(written(), "log: 2 lines could not be written before this one\n"));
}
END_TEST

START_TEST(survives_a_closed_stderr)
{
	close(STDERR_FILENO);
	log_info("nowhere to go");
	ck_assert_int_eq(open("/dev/null", O_WRONLY), STDERR_FILENO);
	redirect();
	log_info("here");
	ck_assert_ptr_nonnull(strstr(written(), "log: 1 lines could not"));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("log");
	TCase *tc = tcase_create("log");
	tcase_add_test(tc, writes_one_line_for_each_event);
	tcase_add_test(tc, does_not_wait_for_a_reader_that_does_not_read);
	tcase_add_test(tc, writes_no_line_longer_than_a_pipe_takes_at_once);
	tcase_add_test(tc, survives_a_full_disk);
	tcase_add_test(tc, survives_a_closed_stderr);
	tcase_set_timeout(tc, 30);
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
