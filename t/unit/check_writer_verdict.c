/* SPDX-License-Identifier: MIT */
/* What each class of SQLSTATE means for a batch. */
#include "pg_writer_internal.h"

#include <check.h>

static const struct {
	const char *sqlstate;
	enum verdict verdict;
} expected[] = {
    {"CQ001", VERDICT_FENCED},    {"CQ002", VERDICT_DATA},      {"23505", VERDICT_DUPLICATE},
    {"23502", VERDICT_DATA},      {"23503", VERDICT_DATA},      {"23514", VERDICT_DATA},
    {"22P02", VERDICT_DATA},      {"22021", VERDICT_DATA},      {"22003", VERDICT_DATA},
    {"44000", VERDICT_DATA},      {"P0001", VERDICT_DATA},      {"P0002", VERDICT_SCHEMA},
    {"53200", VERDICT_TOO_BIG},   {"54000", VERDICT_TOO_BIG},   {"54001", VERDICT_TOO_BIG},
    {"53100", VERDICT_TRANSIENT}, {"53300", VERDICT_TRANSIENT}, {"42P01", VERDICT_SCHEMA},
    {"42501", VERDICT_SCHEMA},    {"42601", VERDICT_SCHEMA},    {"3D000", VERDICT_SCHEMA},
    {"3F000", VERDICT_SCHEMA},    {"0A000", VERDICT_SCHEMA},    {"21000", VERDICT_SCHEMA},
    {"25006", VERDICT_ELSEWHERE}, {"25P02", VERDICT_TRANSIENT}, {"26000", VERDICT_TRANSIENT},
    {"40001", VERDICT_TRANSIENT}, {"40P01", VERDICT_TRANSIENT}, {"55P03", VERDICT_TRANSIENT},
    {"57014", VERDICT_TOO_BIG},   {"57P01", VERDICT_TRANSIENT}, {"58030", VERDICT_TRANSIENT},
    {"08006", VERDICT_TRANSIENT}, {"XX000", VERDICT_TRANSIENT}, {"", VERDICT_TRANSIENT},
    {"22P03", VERDICT_FORMAT},    {"08P01", VERDICT_FORMAT},    {"08000", VERDICT_TRANSIENT},
    {"ABC12", VERDICT_DATA},      {"99999", VERDICT_DATA},
};

START_TEST(knows_what_each_class_means)
{
	for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
		ck_assert_msg(writer_verdict(expected[i].sqlstate) == expected[i].verdict,
		              "\"%s\" is %d and not %d", expected[i].sqlstate,
		              writer_verdict(expected[i].sqlstate), expected[i].verdict);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("writer_verdict");
	TCase *cases = tcase_create("writer_verdict");
	tcase_add_test(cases, knows_what_each_class_means);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
