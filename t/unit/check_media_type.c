/* SPDX-License-Identifier: MIT */
/* Accept headers as they come, and as they should not. */
#include "media_type.h"

#include <check.h>
#include <stdlib.h>

static const struct {
	const char *accept;
	enum media_type type;
} cases[] = {
    {NULL, MEDIA_JSON},
    {"", MEDIA_JSON},
    {"*/*", MEDIA_JSON},
    {"application/json", MEDIA_JSON},
    {"text/csv", MEDIA_CSV},
    {"TEXT/CSV", MEDIA_CSV},
    {"text/csv; charset=utf-8", MEDIA_CSV},
    {"text/*", MEDIA_CSV},
    {"application/x-ndjson", MEDIA_NDJSON},
    {"application/*", MEDIA_JSON},
    {"text/csv, application/json", MEDIA_JSON},
    {"text/csv, application/json;q=0.9", MEDIA_CSV},
    {"text/csv;q=0.5,application/json;q=0.4", MEDIA_CSV},
    {"application/json;q=0.5, */*;q=0.6", MEDIA_NDJSON},
    {"application/json;q=0, */*", MEDIA_NDJSON},
    {"*/*;q=0.1, text/csv;q=0.200", MEDIA_CSV},
    {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", MEDIA_JSON},
    {"text/csv;header=present;q=0.3, application/json;q=0.2", MEDIA_CSV},
    {"text/csv ; q=1.000 , application/json", MEDIA_JSON},
    {"text/csv;q=2, application/json;q=0.1", MEDIA_JSON},
    {"text/csv;q=0.1234, application/json;q=0.1", MEDIA_JSON},
    {"image/png", MEDIA_NONE},
    {"application/json;q=0", MEDIA_NONE},
    {"*/*;q=0", MEDIA_NONE},
    {"text/csvx", MEDIA_NONE},
    {"text", MEDIA_NONE},
    {",;,", MEDIA_NONE},
};

START_TEST(chooses_what_the_client_likes_best)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		ck_assert_msg(media_type_choose(cases[i].accept) == cases[i].type, "%s: %d",
		              cases[i].accept, media_type_choose(cases[i].accept));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("media_type");
	TCase *tc = tcase_create("media_type");
	tcase_add_test(tc, chooses_what_the_client_likes_best);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
