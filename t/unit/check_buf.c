/* SPDX-License-Identifier: MIT */
/* The buffer: growing, failing once and for all, dropping from the front. */
#include "buf.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(starts_empty_and_without_memory)
{
	struct buf b = BUF_INIT;
	ck_assert_uint_eq(b.len, 0);
	ck_assert_ptr_null(b.data);
	ck_assert_str_eq(buf_str(&b), "");
	ck_assert_uint_eq(b.len, 0);
	buf_release(&b);
}
END_TEST

START_TEST(grows_and_keeps_what_it_has)
{
	struct buf b = BUF_INIT;
	for (int i = 0; i < 100000; i++)
		buf_putc(&b, (char)i);
	ck_assert_uint_eq(b.len, 100000);
	for (int i = 0; i < 100000; i++)
		ck_assert(b.data[i] == (char)i);
	buf_release(&b);
	ck_assert_ptr_null(b.data);
	ck_assert_uint_eq(b.len, 0);
}
END_TEST

START_TEST(appends_text_in_every_way)
{
	struct buf b = BUF_INIT;
	char long_text[500];
	memset(long_text, 'y', sizeof long_text - 1);
	long_text[sizeof long_text - 1] = '\0';
	buf_add(&b, "ab\0c", 4);
	buf_puts(&b, "de");
	buf_add(&b, NULL, 0);
	buf_printf(&b, "<%d %s>", -7, "x");
	ck_assert_uint_eq(b.len, 12);
	ck_assert_mem_eq(b.data, "ab\0cde<-7 x>", 12);
	buf_clear(&b);
	buf_printf(&b, "%s", long_text);
	ck_assert_str_eq(buf_str(&b), long_text);
	ck_assert_uint_eq(b.len, strlen(long_text));
	buf_release(&b);
}
END_TEST

START_TEST(stays_failed_once_the_limit_is_passed)
{
	struct buf b = {.max = 10};
	buf_puts(&b, "01234567");
	ck_assert(!b.failed);
	buf_puts(&b, "890");
	ck_assert(b.failed);
	/* This would have fitted, but then something would be missing in the middle. */
	buf_putc(&b, 'x');
	buf_printf(&b, "%d", 1);
	ck_assert_uint_eq(b.len, 8);
	ck_assert_ptr_null(buf_reserve(&b, 1));
	ck_assert_str_eq(buf_str(&b), "");
	buf_clear(&b);
	ck_assert(!b.failed);
	buf_puts(&b, "0123456789");
	ck_assert(!b.failed);
	ck_assert_uint_eq(b.len, 10);
	buf_release(&b);
	ck_assert_uint_eq(b.max, 10);
}
END_TEST

START_TEST(fails_on_sizes_that_cannot_be)
{
	struct buf b = BUF_INIT;
	buf_puts(&b, "x");
	ck_assert_ptr_null(buf_reserve(&b, SIZE_MAX));
	ck_assert(b.failed);
	buf_release(&b);
}
END_TEST

START_TEST(reserves_room_at_the_end)
{
	struct buf b = BUF_INIT;
	buf_puts(&b, "ab");
	char *at = buf_reserve(&b, 1000);
	ck_assert_ptr_eq(at, b.data + 2);
	ck_assert_uint_eq(b.len, 2);
	memset(at, 'c', 1000);
	b.len += 1000;
	ck_assert_uint_le(b.len, b.cap);
	ck_assert_mem_eq(b.data, "abcc", 4);
	buf_release(&b);
}
END_TEST

START_TEST(drops_from_the_front)
{
	struct buf b = BUF_INIT;
	buf_puts(&b, "0123456789");
	buf_drop(&b, 0);
	ck_assert_uint_eq(b.len, 10);
	buf_drop(&b, 4);
	ck_assert_str_eq(buf_str(&b), "456789");
	buf_drop(&b, 100);
	ck_assert_uint_eq(b.len, 0);
	buf_release(&b);
}
END_TEST

START_TEST(puts_integers_with_the_high_byte_first)
{
	struct buf b = BUF_INIT;
	buf_put16(&b, 0x0102);
	buf_put32(&b, 0x03040506);
	buf_put64(&b, 0x0708090a0b0c0d0e);
	ck_assert_uint_eq(b.len, 14);
	ck_assert_mem_eq(b.data, "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e", 14);
	buf_release(&b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("buf");
	TCase *tcase = tcase_create("buf");
	tcase_add_test(tcase, starts_empty_and_without_memory);
	tcase_add_test(tcase, grows_and_keeps_what_it_has);
	tcase_add_test(tcase, appends_text_in_every_way);
	tcase_add_test(tcase, stays_failed_once_the_limit_is_passed);
	tcase_add_test(tcase, fails_on_sizes_that_cannot_be);
	tcase_add_test(tcase, reserves_room_at_the_end);
	tcase_add_test(tcase, drops_from_the_front);
	tcase_add_test(tcase, puts_integers_with_the_high_byte_first);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
