/* SPDX-License-Identifier: MIT */
/* Tests of src/core/dsn.c. */
#include "dsn.h"

#include <check.h>
#include <stdlib.h>

START_TEST(hides_passwords_and_nothing_else)
{
	struct buf out = BUF_INIT;
	static const char *const shown[][2] = {
	    {"host=a password=p dbname=c", "host=a password=(hidden) dbname=c"},
	    {"password = 'p \\' q' host=a", "password = (hidden) host=a"},
	    {"sslpassword=p", "sslpassword=(hidden)"},
	    {"password='never closed host=a", "password=(hidden)"},
	    {"host='never closed password=p", "host=(hidden)"},
	    {"password='a'b c' host=d", "password=(hidden)"},
	    {"password=a\\ b host=c", "password=(hidden) host=c"},
	    {"passfile=/etc/p host=a", "passfile=/etc/p host=a"},
	    {"postgres://u:p@h/d", "postgres://u:(hidden)@h/d"},
	    {"postgresql://u:p@q@h:5/d?x=1", "postgresql://u:(hidden)@h:5/d?x=1"},
	    {"postgresql://u:p/q@h/d", "postgresql://u:(hidden)@h/d"},
	    {"postgresql://h:5432/d?user=u&password=p&x=1",
	     "postgresql://h:5432/d?user=u&password=(hidden)&x=1"},
	    {"postgresql:///d?password=", "postgresql:///d?password=(hidden)"},
	    {"just a text", "just a text"},
	    {"location='floor'::text", "location='floor'::text"},
	    {"", ""},
	    {"password", "password"},
	    {"=password", "=password"},
	};
	for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
		buf_clear(&out);
		dsn_mask(shown[i][0], &out);
		ck_assert_str_eq(buf_str(&out), shown[i][1]);
	}
	buf_release(&out);
}
END_TEST

START_TEST(what_is_masked_stays_as_it_is)
{
	static const char *const texts[] = {"password='a'b'c'", "host=a password = 'b c' user=d",
	                                    "postgres://u:p:q@h@i/d?password=x&y=z"};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct buf once = BUF_INIT, twice = BUF_INIT;
		dsn_mask(texts[i], &once);
		dsn_mask(buf_str(&once), &twice);
		ck_assert_str_eq(buf_str(&once), buf_str(&twice));
		buf_release(&once);
		buf_release(&twice);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dsn");
	TCase *tc = tcase_create("dsn");
	tcase_add_test(tc, hides_passwords_and_nothing_else);
	tcase_add_test(tc, what_is_masked_stays_as_it_is);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
