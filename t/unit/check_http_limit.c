/* SPDX-License-Identifier: MIT */
/* Who is one client, and what it may have. */
#include "http_limit.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <string.h>

#define SECOND 1000000

static struct http_limit *limit;

static void start(int64_t connections, int64_t per_second, size_t clients)
{
	limit = http_limit_new(&(struct http_limit_config){
	    .connections = connections, .per_second = per_second, .clients = clients, .seed = 42});
	ck_assert_ptr_nonnull(limit);
}

static void end(void)
{
	http_limit_free(limit);
}

static struct http_client *join(const char *address)
{
	struct sockaddr_storage from = {.ss_family = strchr(address, ':') ? AF_INET6 : AF_INET};
	void *at = from.ss_family == AF_INET ? (void *)&((struct sockaddr_in *)&from)->sin_addr
	                                     : (void *)&((struct sockaddr_in6 *)&from)->sin6_addr;
	ck_assert_int_eq(inet_pton(from.ss_family, address, at), 1);
	return http_limit_join(limit, (struct sockaddr *)&from);
}

START_TEST(takes_an_address_for_a_client)
{
	start(1, 0, 10);
	struct http_client *a = join("192.0.2.1"), *b = join("192.0.2.2");
	ck_assert_ptr_ne(a, b);
	ck_assert_ptr_eq(a, join("192.0.2.1"));
	ck_assert_ptr_eq(b, join("::ffff:192.0.2.2"));
	end();
}
END_TEST

START_TEST(takes_a_network_of_ipv6_for_a_client)
{
	start(1, 0, 10);
	struct http_client *a = join("2001:db8:0:1::1");
	ck_assert_ptr_eq(a, join("2001:db8:0:1:ffff:ffff:ffff:ffff"));
	ck_assert_ptr_ne(a, join("2001:db8:0:2::1"));
	ck_assert_ptr_nonnull(join("::1"));
	end();
}
END_TEST

START_TEST(does_not_limit_unix_sockets)
{
	start(1, 1, 10);
	struct sockaddr from = {.sa_family = AF_UNIX};
	ck_assert_ptr_null(http_limit_join(limit, &from));
	end();
}
END_TEST

START_TEST(counts_connections)
{
	start(2, 0, 10);
	struct http_client *a = join("192.0.2.1");
	ck_assert(!http_limit_is_exceeded(limit, a));
	join("192.0.2.1");
	ck_assert(!http_limit_is_exceeded(limit, a));
	join("192.0.2.1");
	ck_assert(http_limit_is_exceeded(limit, a));
	ck_assert(!http_limit_is_exceeded(limit, join("192.0.2.2")));
	http_limit_leave(limit, a);
	ck_assert(!http_limit_is_exceeded(limit, a));
	end();
}
END_TEST

START_TEST(does_not_limit_what_is_not_configured)
{
	start(0, 5, 10);
	for (int i = 0; i < 100; i++)
		ck_assert(!http_limit_is_exceeded(limit, join("192.0.2.1")));
	end();
}
END_TEST

START_TEST(allows_a_burst_and_then_one_after_the_other)
{
	start(0, 4, 10);
	struct http_client *a = join("192.0.2.1");
	struct http_quota q;
	int64_t now = 77 * SECOND;
	for (int i = 0; i < 4; i++) {
		q = http_limit_take(limit, a, now);
		ck_assert(!q.refused);
		ck_assert_int_eq(q.remaining, 3 - i);
		ck_assert_int_eq(q.wait_us, (i + 1) * SECOND / 4);
	}
	q = http_limit_take(limit, a, now);
	ck_assert(q.refused && q.remaining == 0);
	ck_assert_int_eq(q.wait_us, SECOND / 4);
	/* To ask too early costs nothing. */
	ck_assert(http_limit_take(limit, a, now + SECOND / 4 - 1).refused);
	ck_assert(!http_limit_take(limit, a, now + SECOND / 4).refused);
	ck_assert(http_limit_take(limit, a, now + SECOND / 4).refused);
	/* After a while it may have everything again, and no more. */
	now += 100 * SECOND;
	for (int i = 0; i < 4; i++)
		ck_assert(!http_limit_take(limit, a, now).refused);
	ck_assert(http_limit_take(limit, a, now).refused);
	end();
}
END_TEST

START_TEST(keeps_to_any_rate)
{
	static const int64_t rates[] = {1, 3, 7, 1000, 333333, 1000000};
	for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
		start(0, rates[i], 2);
		struct http_client *a = join("192.0.2.1");
		int64_t taken = 0;
		for (int64_t now = 0; now < 2 * SECOND; now += 1 + SECOND / rates[i] / 10)
			for (int tries = 0; tries < 3; tries++)
				taken += !http_limit_take(limit, a, now).refused;
		/* Two seconds, and the burst at the beginning. */
		ck_assert_int_le(taken, 3 * rates[i] + 3);
		ck_assert_int_ge(taken, 2 * rates[i] - rates[i] / 10);
		end();
	}
}
END_TEST

START_TEST(remembers_who_comes_back_soon)
{
	start(0, 1, 3);
	struct http_client *a = join("192.0.2.1");
	ck_assert(!http_limit_take(limit, a, SECOND).refused);
	http_limit_leave(limit, a);
	http_limit_leave(limit, join("192.0.2.2"));
	a = join("192.0.2.1");
	ck_assert(http_limit_take(limit, a, SECOND).refused);
	end();
}
END_TEST

/* The table is full of those who left; who is connected stays in it. */
START_TEST(forgets_who_left_first)
{
	char address[32];
	start(1, 1, 8);
	struct http_client *a = join("192.0.2.1");
	for (int i = 0; i < 200; i++) {
		snprintf(address, sizeof address, "198.51.100.%d", i);
		struct http_client *b = join(address);
		ck_assert_ptr_nonnull(b);
		ck_assert_ptr_ne(a, b);
		ck_assert(!http_limit_take(limit, b, SECOND).refused);
		http_limit_leave(limit, b);
	}
	ck_assert_ptr_eq(a, join("192.0.2.1"));
	end();
}
END_TEST

START_TEST(has_no_room_for_more_than_it_was_made_for)
{
	start(0, 1, 2);
	ck_assert_ptr_nonnull(join("192.0.2.1"));
	ck_assert_ptr_nonnull(join("192.0.2.2"));
	ck_assert_ptr_null(join("192.0.2.3"));
	end();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http_limit");
	TCase *tc = tcase_create("http_limit");
	tcase_add_test(tc, takes_an_address_for_a_client);
	tcase_add_test(tc, takes_a_network_of_ipv6_for_a_client);
	tcase_add_test(tc, does_not_limit_unix_sockets);
	tcase_add_test(tc, counts_connections);
	tcase_add_test(tc, does_not_limit_what_is_not_configured);
	tcase_add_test(tc, allows_a_burst_and_then_one_after_the_other);
	tcase_add_test(tc, keeps_to_any_rate);
	tcase_add_test(tc, remembers_who_comes_back_soon);
	tcase_add_test(tc, forgets_who_left_first);
	tcase_add_test(tc, has_no_room_for_more_than_it_was_made_for);
	tcase_set_timeout(tc, 30);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
