/* SPDX-License-Identifier: MIT */
/* The order of rows, next to what comparing says. */
#include "batch.h"

#include <check.h>
#include <stdlib.h>

#define N 5000

static struct batch_rows sorted;

/* Rows with keys out of `high` and `low`, in order of arrival. */
static void make(size_t n, uint64_t high, uint64_t low)
{
	free(sorted.rows);
	free(sorted.spare);
	sorted = (struct batch_rows){.rows = calloc(N, sizeof *sorted.rows), .n = n, .cap = N};
	for (size_t i = 0; i < n; i++) {
		struct batch_row *row = &sorted.rows[i];
		row->offset = (uint32_t)i;
		for (int bits = 0; bits < 64; bits += 16)
			for (int k = 0; k < 2; k++)
				row->key[k] = row->key[k] << 16 | (uint64_t)(rand() & 0xffff);
		row->key[0] &= high;
		row->key[1] &= low;
	}
}

static int compare(const struct batch_row *a, const struct batch_row *b)
{
	if (a->key[0] != b->key[0])
		return a->key[0] < b->key[0] ? -1 : 1;
	if (a->key[1] != b->key[1])
		return a->key[1] < b->key[1] ? -1 : 1;
	return a->offset < b->offset ? -1 : 1;
}

/* Each follows the one before it, so none is there twice and none is missing. */
static void check(void)
{
	ck_assert(batch_sort(&sorted));
	for (size_t i = 1; i < sorted.n; i++)
		ck_assert_int_lt(compare(&sorted.rows[i - 1], &sorted.rows[i]), 0);
}

START_TEST(sorts_by_all_of_the_key)
{
	srand(1);
	make(N, UINT64_MAX, UINT64_MAX);
	check();
	make(N, UINT64_MAX << 63, UINT64_MAX);
	check();
	make(N, UINT64_MAX, 0);
	check();
	make(N, 0, 1);
	check();
	make(2, UINT64_MAX, UINT64_MAX);
	check();
}
END_TEST

START_TEST(leaves_equal_keys_in_order_of_arrival)
{
	srand(2);
	make(N, 0x0300000000000000, 0x0700);
	check();
	make(N, 0, 0);
	check();
}
END_TEST

START_TEST(takes_nothing_and_what_is_in_order)
{
	make(0, 0, 0);
	check();
	make(1, UINT64_MAX, UINT64_MAX);
	check();
	make(N, 0, 0);
	const struct batch_row *rows = sorted.rows;
	for (size_t i = 0; i < N; i++)
		sorted.rows[i].key[1] = i / 3;
	check();
	ck_assert_ptr_eq(sorted.rows, rows);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("batch_sort");
	tcase_add_test(tcase, sorts_by_all_of_the_key);
	tcase_add_test(tcase, leaves_equal_keys_in_order_of_arrival);
	tcase_add_test(tcase, takes_nothing_and_what_is_in_order);
	Suite *suite = suite_create("batch_sort");
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	free(sorted.rows);
	free(sorted.spare);
	return failed != 0;
}
