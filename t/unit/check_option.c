/* SPDX-License-Identifier: MIT */
/* Tests of src/core/option.c. */
#include "option.h"

#include <check.h>
#include <stdlib.h>

struct values {
	const char *text;
	int64_t number;
	bool flag;
	int choice;
	const struct cqrs_option_pair *map;
};

#define OPTION(t, m, ...)                                                                     \
	{                                                                                     \
		.name = "a.b", .type = CQRS_OPTION_##t, .offset = offsetof(struct values, m), \
		__VA_ARGS__                                                                   \
	}

static const struct cqrs_option text = OPTION(STRING, text);
static const struct cqrs_option number = OPTION(INTEGER, number);
static const struct cqrs_option limited = OPTION(INTEGER, number, .min = -5, .max = 64);
static const struct cqrs_option flag = OPTION(BOOLEAN, flag);
static const struct cqrs_option duration = OPTION(DURATION, number);
static const struct cqrs_option delay = OPTION(DURATION, number, .min = 1000, .max = 90000000);
static const struct cqrs_option size = OPTION(SIZE, number);
static const struct cqrs_option memory = OPTION(SIZE, number, .min = 16777216, .max = INT64_MAX);
static const struct cqrs_option choice = OPTION(CHOICE, choice, .choices = "ignore|update|refuse");
static const struct cqrs_option secret = OPTION(INTEGER, number, .secret = true, .max = 9);
static const struct cqrs_option map = OPTION(MAP, map);

static struct values values;
static struct buf out;

/* What the option says about `given`; "" when it took it. */
static const char *set(const struct cqrs_option *option, const char *given)
{
	buf_clear(&out);
	bool ok = option_set(option, given, false, &values, &out);
	ck_assert_int_eq(ok, out.len == 0);
	return buf_str(&out);
}

static const char *print(const struct cqrs_option *option)
{
	buf_clear(&out);
	option_print(option, &values, &out);
	return buf_str(&out);
}

/* Reads and writes it back. */
static const char *round_trip(const struct cqrs_option *option, const char *given)
{
	ck_assert_str_eq(set(option, given), "");
	return print(option);
}

static void release(void)
{
	buf_release(&out);
}

START_TEST(reads_whole_numbers)
{
	ck_assert_str_eq(set(&number, "-9223372036854775808"), "");
	ck_assert_int_eq(values.number, INT64_MIN);
	ck_assert_str_eq(round_trip(&number, "0"), "0");
	ck_assert_str_eq(round_trip(&limited, "64"), "64");
	ck_assert_str_eq(round_trip(&limited, "-5"), "-5");
}
END_TEST

START_TEST(refuses_what_is_no_whole_number)
{
	static const char *const bad[] = {"", " 1", "1 ", "+1", "1.0", "0x10", "1e3", "-", "one"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_str_ne(set(&number, bad[i]), "");
	ck_assert_str_eq(set(&number, "9223372036854775808"),
	                 "a.b must be a whole number, not \"9223372036854775808\"");
}
END_TEST

START_TEST(names_the_range_in_the_units_of_the_option)
{
	ck_assert_str_eq(set(&limited, "65"), "a.b must be -5 to 64, not 65");
	ck_assert_str_eq(set(&limited, "-6"), "a.b must be -5 to 64, not -6");
	ck_assert_str_eq(set(&delay, "2m"), "a.b must be 1ms to 90s, not 2m");
	ck_assert_str_eq(set(&delay, "0s"), "a.b must be 1ms to 90s, not 0s");
	ck_assert_str_eq(set(&memory, "1MiB"), "a.b must be at least 16MiB, not 1MiB");
}
END_TEST

START_TEST(reads_sizes)
{
	ck_assert_str_eq(set(&size, "64KiB"), "");
	ck_assert_int_eq(values.number, 65536);
	ck_assert_str_eq(round_trip(&size, "2048MiB"), "2GiB");
	ck_assert_str_eq(round_trip(&size, "1000B"), "1000B");
	ck_assert_str_eq(round_trip(&size, "0B"), "0B");
	ck_assert_str_eq(round_trip(&size, "8589934591GiB"), "8589934591GiB");
	static const char *const bad[] = {"64", "64 KiB", "64K", "64kib", "-1B", "1.5MiB", "MiB"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_str_ne(set(&size, bad[i]), "");
	ck_assert_str_eq(set(&size, "8589934592GiB"),
	                 "a.b must be a size such as 512B, 64KiB or 1GiB, not \"8589934592GiB\"");
}
END_TEST

START_TEST(reads_durations)
{
	ck_assert_str_eq(set(&duration, "20ms"), "");
	ck_assert_int_eq(values.number, 20000);
	static const char *const same[] = {"500us", "20ms", "5s", "10m", "12h", "30d", "90s", "0s"};
	for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
		ck_assert_str_eq(round_trip(&duration, same[i]), same[i]);
	ck_assert_str_eq(round_trip(&duration, "3600s"), "1h");
	ck_assert_str_eq(set(&duration, "5"),
	                 "a.b must be a duration such as 20ms, 5s or 12h, not \"5\"");
}
END_TEST

START_TEST(reads_true_and_false)
{
	ck_assert_str_eq(round_trip(&flag, "true"), "true");
	ck_assert_str_eq(round_trip(&flag, "false"), "false");
	ck_assert_str_eq(set(&flag, "yes"), "a.b must be true or false, not \"yes\"");
}
END_TEST

START_TEST(reads_choices_and_suggests_one)
{
	ck_assert_str_eq(round_trip(&choice, "refuse"), "refuse");
	ck_assert_int_eq(values.choice, 2);
	ck_assert_str_eq(set(&choice, "updated"), "a.b must be ignore, update or refuse, "
	                                          "not \"updated\", did you mean \"update\"?");
	ck_assert_str_eq(set(&choice, ""), "a.b must be ignore, update or refuse, not \"\"");
	ck_assert_str_ne(set(&choice, "ignore|update"), "");
}
END_TEST

START_TEST(never_shows_a_secret)
{
	ck_assert_str_eq(set(&secret, "swordfish"), "a.b must be a whole number");
	ck_assert_str_eq(set(&secret, "31337"), "a.b must be 0 to 9");
	ck_assert_str_eq(round_trip(&secret, "7"), "\"(hidden)\"");
	buf_clear(&out);
	ck_assert(!option_set(&choice, "swordfish", true, &values, &out));
	ck_assert_str_eq(buf_str(&out), "a.b must be ignore, update or refuse");
	buf_clear(&out);
	ck_assert(!option_set(&limited, "31337", true, &values, &out));
	ck_assert_str_eq(buf_str(&out), "a.b must be -5 to 64");
}
END_TEST

START_TEST(writes_a_text_so_that_it_reads_back)
{
	ck_assert_str_eq(round_trip(&text, ""), "\"\"");
	ck_assert_str_eq(round_trip(&text, "a \"b\" \\ c"), "\"a \\\"b\\\" \\\\ c\"");
	ck_assert_str_eq(round_trip(&text, "one\ntwo\x7f"), "\"one\\u000atwo\\u007f\"");
	/* YAML refuses a control character, and folds the end of a line. */
	ck_assert_str_eq(round_trip(&text, "\xc2\x80\xc2\x85\u00a0\u2028\ufeff\uffff\U0001f600"),
	                 "\"\\u0080\\u0085\u00a0\\u2028\\ufeff\\uffff\U0001f600\"");
	ck_assert_str_eq(round_trip(&text, "\xffz"), "\"\\ufffdz\"");
	ck_assert_str_eq(round_trip(&text, "${HOME} $"), "\"$${HOME} $$\"");
	ck_assert_str_eq(round_trip(&text, "Grüße"), "\"Grüße\"");
}
END_TEST

START_TEST(hides_the_password_in_a_text)
{
	ck_assert_str_eq(round_trip(&text, "host=a password=b"), "\"host=a password=(hidden)\"");
}
END_TEST

START_TEST(a_map_is_given_or_empty)
{
	static const struct cqrs_option_pair pairs[] = {{"a", "1"}, {NULL, NULL}};
	ck_assert_str_eq(set(&map, "{}"), "");
	ck_assert_ptr_null(option_map(&map, &values)->name);
	option_set_map(&map, pairs, &values);
	ck_assert_ptr_eq(values.map, pairs);
	ck_assert_str_eq(set(&map, "x"), "a.b must be a mapping of names to values, not \"x\"");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("option");
	TCase *tc = tcase_create("option");
	tcase_add_checked_fixture(tc, NULL, release);
	tcase_add_test(tc, reads_whole_numbers);
	tcase_add_test(tc, refuses_what_is_no_whole_number);
	tcase_add_test(tc, names_the_range_in_the_units_of_the_option);
	tcase_add_test(tc, reads_sizes);
	tcase_add_test(tc, reads_durations);
	tcase_add_test(tc, reads_true_and_false);
	tcase_add_test(tc, reads_choices_and_suggests_one);
	tcase_add_test(tc, never_shows_a_secret);
	tcase_add_test(tc, writes_a_text_so_that_it_reads_back);
	tcase_add_test(tc, hides_the_password_in_a_text);
	tcase_add_test(tc, a_map_is_given_or_empty);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
