/* SPDX-License-Identifier: MIT */
/* Names of hosts become addresses without blocking the loop. */
#include "pg_hosts.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct loop *loop;
static char host[500], hostaddr[500], port[500], error[500];

static void copy(char *to, const char *text)
{
	snprintf(to, 500, "%s", text ? text : "(null)");
}

static void on_hosts(void *arg, const struct pg_hosts *hosts)
{
	(void)arg;
	copy(host, hosts->host);
	copy(hostaddr, hosts->hostaddr);
	copy(port, hosts->port);
	copy(error, hosts->error);
	loop_stop(loop);
}

static void look_up(const char *names, const char *ports)
{
	loop = loop_new();
	struct pg_hosts_lookup *lookup = pg_hosts_lookup_new(loop, names, ports, on_hosts, NULL);
	ck_assert_ptr_nonnull(lookup);
	loop_run(loop);
	pg_hosts_lookup_free(lookup);
	loop_free(loop);
}

START_TEST(looks_up_names_and_nothing_else)
{
	ck_assert(pg_hosts_need_lookup("db.example"));
	ck_assert(pg_hosts_need_lookup("/run/postgresql,db"));
	ck_assert(!pg_hosts_need_lookup(""));
	ck_assert(!pg_hosts_need_lookup("/run/postgresql"));
	ck_assert(!pg_hosts_need_lookup("@abstract"));
	ck_assert(!pg_hosts_need_lookup("10.0.0.1,::1"));
}
END_TEST

START_TEST(keeps_the_name_beside_the_address)
{
	look_up("localhost", NULL);
	ck_assert_str_eq(error, "(null)");
	ck_assert_ptr_nonnull(strstr(host, "localhost"));
	ck_assert(strstr(hostaddr, "127.0.0.1") || strstr(hostaddr, "::1"));
}
END_TEST

START_TEST(gives_each_host_its_port_and_leaves_paths_alone)
{
	look_up("/tmp,localhost,10.0.0.1", "1,2,3");
	ck_assert_int_eq(strncmp(host, "/tmp,localhost", 14), 0);
	ck_assert_int_eq(hostaddr[0], ',');
	ck_assert_int_eq(strncmp(port, "1,2", 3), 0);
	ck_assert_str_eq(strrchr(host, ','), ",10.0.0.1");
	ck_assert_str_eq(strrchr(hostaddr, ','), ",");
	ck_assert_str_eq(strrchr(port, ','), ",3");
	/* one port for all of them */
	look_up("/tmp,10.0.0.1,no-such-host.invalid", "77");
	ck_assert_str_eq(host, "/tmp,10.0.0.1");
	ck_assert_str_eq(port, "77,77");
}
END_TEST

START_TEST(names_all_that_cannot_be_resolved)
{
	look_up("no-such-host.invalid,nor-this.invalid", NULL);
	ck_assert_str_eq(host, "(null)");
	ck_assert_ptr_nonnull(strstr(error, "\"no-such-host.invalid\""));
	ck_assert_ptr_nonnull(strstr(error, "\"nor-this.invalid\""));
}
END_TEST

START_TEST(may_be_forgotten_before_it_answers)
{
	loop = loop_new();
	for (int i = 0; i < 50; i++)
		pg_hosts_lookup_free(
		    pg_hosts_lookup_new(loop, "no-such-host.invalid", "1", on_hosts, NULL));
	loop_free(loop);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pg_hosts");
	TCase *t = tcase_create("lookup");
	tcase_set_timeout(t, 30);
	tcase_add_test(t, looks_up_names_and_nothing_else);
	tcase_add_test(t, keeps_the_name_beside_the_address);
	tcase_add_test(t, gives_each_host_its_port_and_leaves_paths_alone);
	tcase_add_test(t, names_all_that_cannot_be_resolved);
	tcase_add_test(t, may_be_forgotten_before_it_answers);
	suite_add_tcase(s, t);
	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
