/* SPDX-License-Identifier: MIT */
/* What is written comes back, and nothing else does. */
#include "cursor.h"

#include "rows.h"

#include <stdio.h>
#include <stdlib.h>

#define BOUND UINT64_C(0x1234567890abcdef)

static struct cursor cursor;
static char text[CURSOR_TEXT_MAX];

static PGresult *make_rows(void)
{
	static const char *const names[] = {"time", "id", "name", "uuid", "f"};
	static const Oid types[] = {PG_OID_TIMESTAMPTZ, PG_OID_INT4, PG_OID_VARCHAR, PG_OID_UUID,
	                            PG_OID_FLOAT8};
	PGresult *rows = rows_new(5, names, types);
	rows_put(rows, 0, 0, cqrs_timestamptz(1646409307000001));
	rows_put(rows, 0, 1, cqrs_int4(-7));
	rows_put(rows, 0, 2, cqrs_text("é"));
	rows_put(rows, 0, 3, cqrs_bytes(CQRS_UUID, "0188f3a2-7e5b-4c1d-9a3e-0123456789ab", 36));
	rows_put(rows, 0, 4, cqrs_float8(0.1));
	return rows;
}

START_TEST(brings_every_type_back)
{
	PGresult *rows = make_rows();
	ck_assert_ptr_null(cursor_encode(text, BOUND, rows, 0, (int[]){0, 1, 2, 3}, 4));
	ck_assert(cursor_decode(&cursor, BOUND, 4, text, strlen(text)));
	ck_assert(cursor.values[0].type == CQRS_TIMESTAMPTZ &&
	          cursor.values[0].i == 1646409307000001);
	ck_assert(cursor.values[1].type == CQRS_INT4 && cursor.values[1].i == -7);
	ck_assert(cursor.values[2].type == CQRS_TEXT && cursor.values[2].s.len == 2);
	ck_assert(cursor.values[3].type == CQRS_UUID &&
	          !memcmp(cursor.values[3].s.data, "0188f3a2-7e5b-4c1d-9a3e-0123456789ab", 36));
	ck_assert_ptr_null(cursor_encode(text, BOUND, rows, 0, (int[]){4, -1}, 2));
	ck_assert(cursor_decode(&cursor, BOUND, 2, text, strlen(text)));
	ck_assert_double_eq(cursor.values[0].f, 0.1);
	ck_assert(cursor.values[1].is_null);
	PQclear(rows);
}
END_TEST

START_TEST(notices_every_change_of_a_letter)
{
	static const char letters[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ %";
	PGresult *rows = make_rows();
	ck_assert_ptr_null(cursor_encode(text, BOUND, rows, 0, (int[]){0, 1, 2}, 3));
	size_t len = strlen(text);
	for (size_t i = 0; i < len; i++) {
		char was = text[i];
		for (const char *c = letters; *c; c++) {
			text[i] = *c;
			ck_assert(cursor_decode(&cursor, BOUND, 3, text, len) == (*c == was));
		}
		text[i] = was;
		ck_assert(!cursor_decode(&cursor, BOUND, 3, text, i));
	}
	ck_assert(cursor_decode(&cursor, BOUND, 3, text, len));
	PQclear(rows);
}
END_TEST

START_TEST(belongs_to_one_question)
{
	PGresult *rows = make_rows();
	ck_assert_ptr_null(cursor_encode(text, BOUND, rows, 0, (int[]){1}, 1));
	ck_assert(!cursor_decode(&cursor, BOUND + 1, 1, text, strlen(text)));
	ck_assert(!cursor_decode(&cursor, BOUND, 2, text, strlen(text)));
	ck_assert(!cursor_decode(&cursor, BOUND, 0, text, strlen(text)));
	PQclear(rows);
}
END_TEST

START_TEST(refuses_keys_that_do_not_fit)
{
	static const char *const names[] = {"a", "n"};
	static const Oid types[] = {PG_OID_TEXT, PG_OID_NUMERIC};
	PGresult *rows = rows_new(2, names, types);
	char big[900];
	memset(big, 'x', sizeof big);
	rows_set(rows, 0, 0, big, sizeof big);
	rows_put(rows, 0, 1, cqrs_bytes(CQRS_NUMERIC, "1", 1));
	ck_assert_str_eq(cursor_encode(text, BOUND, rows, 0, (int[]){0}, 1),
	                 "the key of a row is too long for a cursor");
	ck_assert_str_eq(cursor_encode(text, BOUND, rows, 0, (int[]){1}, 1),
	                 "a column of the key has a type that a cursor cannot hold");
	rows_set(rows, 1, 0, big, 750);
	rows_set(rows, 1, 1, NULL, 0);
	ck_assert_ptr_null(cursor_encode(text, BOUND, rows, 1, (int[]){0}, 1));
	ck_assert(cursor_decode(&cursor, BOUND, 1, text, strlen(text)));
	ck_assert_uint_eq(cursor.values[0].s.len, 750);
	PQclear(rows);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cursor");
	TCase *tc = tcase_create("cursor");
	tcase_add_test(tc, brings_every_type_back);
	tcase_add_test(tc, notices_every_change_of_a_letter);
	tcase_add_test(tc, belongs_to_one_question);
	tcase_add_test(tc, refuses_keys_that_do_not_fit);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
