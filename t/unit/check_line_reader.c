/* SPDX-License-Identifier: MIT */
/* The lines of a descriptor, in bounded memory. */
#include "line_reader.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct line_reader reader;
static int ends[2];
static const char *line;
static size_t len;

static void setup(void)
{
	ck_assert_int_eq(pipe(ends), 0);
	line_reader_init(&reader, ends[0], 200000);
}

static void teardown(void)
{
	line_reader_release(&reader);
	close(ends[0]);
}

static void feed(const void *bytes, size_t n)
{
	ck_assert_int_eq((int)write(ends[1], bytes, n), (int)n);
}

static void expect_line(const char *text)
{
	ck_assert_int_eq(line_reader_next(&reader, &line, &len), LINE_OK);
	ck_assert_int_eq((int)len, (int)strlen(text));
	ck_assert_mem_eq(line, text, len);
}

START_TEST(gives_one_line_after_the_other)
{
	feed("one\n\nthree\n", 11);
	close(ends[1]);
	expect_line("one");
	expect_line("");
	expect_line("three");
	ck_assert_int_eq((int)reader.number, 3);
	ck_assert_int_eq(line_reader_next(&reader, &line, &len), LINE_END);
	ck_assert_int_eq(line_reader_next(&reader, &line, &len), LINE_END);
}
END_TEST

START_TEST(the_last_line_needs_no_newline)
{
	feed("one\ntwo", 7);
	close(ends[1]);
	expect_line("one");
	expect_line("two");
	ck_assert_int_eq(line_reader_next(&reader, &line, &len), LINE_END);
}
END_TEST

START_TEST(nothing_has_no_lines)
{
	close(ends[1]);
	ck_assert_int_eq(line_reader_next(&reader, &line, &len), LINE_END);
	ck_assert_int_eq((int)reader.number, 0);
}
END_TEST

START_TEST(does_not_wait_for_a_pipe)
{
	ck_assert_int_eq(line_reader_next(&reader, &line, &len), LINE_LATER);
	feed("ha", 2);
	ck_assert_int_eq(line_reader_next(&reader, &line, &len), LINE_LATER);
	feed("lf\nnext", 7);
	expect_line("half");
	ck_assert_int_eq(line_reader_next(&reader, &line, &len), LINE_LATER);
	close(ends[1]);
	expect_line("next");
}
END_TEST

START_TEST(a_line_may_have_any_bytes)
{
	feed("a\0b\r\n", 5);
	close(ends[1]);
	ck_assert_int_eq(line_reader_next(&reader, &line, &len), LINE_OK);
	ck_assert_int_eq((int)len, 4);
	ck_assert_mem_eq(line, "a\0b\r", 4);
}
END_TEST

/* A file that no pipe could hold. */
static FILE *many_lines(int lines, int width)
{
	FILE *file = tmpfile();
	for (int i = 0; i < lines; i++)
		fprintf(file, "%0*d\n", width, i);
	rewind(file);
	return file;
}

START_TEST(reads_a_large_file_in_bounded_memory)
{
	FILE *file = many_lines(100000, 50);
	struct line_reader large;
	line_reader_init(&large, fileno(file), 1000);
	for (int i = 0; i < 100000; i++) {
		ck_assert_int_eq(line_reader_next(&large, &line, &len), LINE_OK);
		ck_assert_int_eq((int)len, 50);
		ck_assert_int_eq(atoi(line), i);
	}
	ck_assert_int_eq(line_reader_next(&large, &line, &len), LINE_END);
	ck_assert_int_le((int)large.buf.cap, 300000);
	line_reader_release(&large);
	fclose(file);
}
END_TEST

START_TEST(reads_a_line_of_many_pieces)
{
	FILE *file = many_lines(2, 190000);
	struct line_reader large;
	line_reader_init(&large, fileno(file), 200000);
	ck_assert_int_eq(line_reader_next(&large, &line, &len), LINE_OK);
	ck_assert_int_eq((int)len, 190000);
	ck_assert_int_eq(line[len - 1], '0');
	ck_assert_int_eq(line_reader_next(&large, &line, &len), LINE_OK);
	ck_assert_int_eq(line[len - 1], '1');
	line_reader_release(&large);
	fclose(file);
}
END_TEST

START_TEST(refuses_a_line_that_is_too_long)
{
	FILE *file = many_lines(1, 400000);
	struct line_reader large;
	line_reader_init(&large, fileno(file), 200000);
	ck_assert_int_eq(line_reader_next(&large, &line, &len), LINE_TOO_LONG);
	ck_assert_int_le((int)large.buf.cap, 600000);
	line_reader_release(&large);
	fclose(file);
}
END_TEST

START_TEST(tells_that_reading_fails)
{
	struct line_reader closed;
	close(ends[1]);
	line_reader_init(&closed, ends[1], 100);
	ck_assert_int_eq(line_reader_next(&closed, &line, &len), LINE_FAILED);
	ck_assert_int_eq(errno, EBADF);
	line_reader_release(&closed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("line_reader");
	TCase *cases = tcase_create("line_reader");
	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, gives_one_line_after_the_other);
	tcase_add_test(cases, the_last_line_needs_no_newline);
	tcase_add_test(cases, nothing_has_no_lines);
	tcase_add_test(cases, does_not_wait_for_a_pipe);
	tcase_add_test(cases, a_line_may_have_any_bytes);
	tcase_add_test(cases, reads_a_large_file_in_bounded_memory);
	tcase_add_test(cases, reads_a_line_of_many_pieces);
	tcase_add_test(cases, refuses_a_line_that_is_too_long);
	tcase_add_test(cases, tells_that_reading_fails);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int bad = srunner_ntests_failed(runner);
	srunner_free(runner);
	return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
