/* SPDX-License-Identifier: MIT */
/* Statements collected piece by piece. */
#include "answer.h"

#include <check.h>
#include <stdlib.h>

static struct cqrs_answer ans;

START_TEST(numbers_the_parameters)
{
	struct cqrs_value values[] = {cqrs_int4(7), cqrs_text("x"), cqrs_null(CQRS_TIMESTAMPTZ)};
	cqrs_sql(&ans, "SELECT 1");
	cqrs_sql_bind(&ans, " WHERE a = $? AND b = $?", values, 2);
	cqrs_sql_bind(&ans, " AND c < $?::timestamptz", values + 2, 1);
	ck_assert(answer_finish(&ans));
	ck_assert_str_eq(ans.sql.data, "SELECT 1 WHERE a = $1 AND b = $2 AND c < $3::timestamptz");
	ck_assert_int_eq(ans.n, 3);
	ck_assert(ans.types[0] == 23 && ans.types[1] == 25 && ans.types[2] == 1184);
	ck_assert(ans.lengths[0] == 4 && !memcmp(ans.values[0], "\0\0\0\7", 4));
	ck_assert(ans.lengths[1] == 1 && ans.values[1][0] == 'x');
	ck_assert_ptr_null(ans.values[2]);
	answer_release(&ans);
}
END_TEST

/* It is the same plan for all arrays, however many elements they have. */
START_TEST(hides_an_array_from_the_planner)
{
	struct cqrs_value items[] = {cqrs_int4(7), cqrs_int4(8)};
	struct cqrs_value values[] = {cqrs_array(CQRS_INT4_ARRAY, items, 2),
	                              cqrs_array(CQRS_TEXT_ARRAY, NULL, 0)};
	cqrs_sql_bind(&ans, "SELECT 1 WHERE a = ANY ($?) AND b = ANY ($?)", values, 2);
	ck_assert(answer_finish(&ans));
	ck_assert_str_eq(ans.sql.data, "SELECT 1 WHERE a = ANY ((SELECT $1)::integer[]) AND "
	                               "b = ANY ((SELECT $2)::text[])");
	ck_assert(ans.types[0] == 1007 && ans.types[1] == 1009);
	answer_release(&ans);
}
END_TEST

START_TEST(tells_empty_text_from_null)
{
	struct cqrs_value empty = cqrs_text("");
	cqrs_sql_bind(&ans, "SELECT $?", &empty, 1);
	ck_assert(answer_finish(&ans));
	ck_assert(ans.values[0] && ans.lengths[0] == 0);
	answer_release(&ans);
}
END_TEST

START_TEST(counts_beyond_nine)
{
	struct cqrs_value values[12];
	for (int i = 0; i < 12; i++)
		values[i] = cqrs_int8(i);
	cqrs_sql_bind(&ans, "$?$?$?$?$?$?$?$?$?,$?,$?,$?", values, 12);
	ck_assert(answer_finish(&ans));
	ck_assert_str_eq(ans.sql.data, "$1$2$3$4$5$6$7$8$9,$10,$11,$12");
	ck_assert(ans.values[11][7] == 11);
	answer_release(&ans);
}
END_TEST

START_TEST(keeps_the_first_refusal)
{
	struct cqrs_value bad = cqrs_bytes(CQRS_TEXT, "\xff", 1);
	cqrs_answer_refuse(&ans, "to", "to must be after %s", "from");
	cqrs_sql_bind(&ans, "SELECT $?", &bad, 1);
	ck_assert(ans.refused);
	ck_assert_str_eq(ans.error.param, "to");
	ck_assert_str_eq(ans.error.text, "to must be after from");
	answer_clear(&ans);
	ck_assert(!ans.refused && !ans.n && !ans.sql.len);
	cqrs_sql_bind(&ans, "SELECT $?", &bad, 1);
	ck_assert(ans.refused && !*ans.error.param);
	answer_release(&ans);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("answer");
	TCase *tc = tcase_create("answer");
	tcase_add_test(tc, numbers_the_parameters);
	tcase_add_test(tc, hides_an_array_from_the_planner);
	tcase_add_test(tc, tells_empty_text_from_null);
	tcase_add_test(tc, counts_beyond_nine);
	tcase_add_test(tc, keeps_the_first_refusal);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
