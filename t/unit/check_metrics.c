/* SPDX-License-Identifier: MIT */
/* Metrics, and the text that Prometheus reads. */
#include "metrics.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct metrics *metrics;
static struct buf out = BUF_INIT;

static void begin(void)
{
	metrics = metrics_new();
	ck_assert_ptr_nonnull(metrics);
}

static void end(void)
{
	metrics_free(metrics);
	buf_release(&out);
}

static const char *exposition(void)
{
	buf_clear(&out);
	metrics_write(metrics, &out);
	return buf_str(&out);
}

START_TEST(writes_nothing_when_there_is_nothing)
{
	ck_assert_str_eq(exposition(), "");
}
END_TEST

START_TEST(groups_by_family_in_the_order_of_names)
{
	struct metric *b0 = metrics_counter(metrics, "b_total", "p=\"0\"", "Bees.");
	struct metric *c = metrics_gauge(metrics, "c", "", "Seas.");
	struct metric *a = metrics_gauge(metrics, "a", "", "Eh.");
	struct metric *b1 = metrics_counter(metrics, "b_total", "p=\"1\"", "Bees.");
	metric_add(b0, 2);
	metric_add(b0, 1);
	metric_add(b1, 1e6);
	metric_set(a, -0.25);
	metric_set(c, 7);
	metric_add(c, -8);
	ck_assert_str_eq(exposition(), "# HELP a Eh.\n"
	                               "# TYPE a gauge\n"
	                               "a -0.25\n"
	                               "# HELP b_total Bees.\n"
	                               "# TYPE b_total counter\n"
	                               "b_total{p=\"0\"} 3\n"
	                               "b_total{p=\"1\"} 1000000\n"
	                               "# HELP c Seas.\n"
	                               "# TYPE c gauge\n"
	                               "c -1\n");
}
END_TEST

START_TEST(gives_the_same_metric_for_the_same_labels)
{
	struct metric *a = metrics_counter(metrics, "x_total", "p=\"0\"", "X.");
	ck_assert_ptr_eq(metrics_counter(metrics, "x_total", "p=\"0\"", "X."), a);
	ck_assert_ptr_ne(metrics_counter(metrics, "x_total", "p=\"1\"", "X."), a);
	ck_assert_ptr_ne(metrics_counter(metrics, "x_total", "", "X."), a);
	metric_add(a, 2.5);
	ck_assert_double_eq(metric_value(a), 2.5);
}
END_TEST

START_TEST(writes_histograms_with_cumulative_buckets)
{
	static const double bounds[] = {0.01, 0.1, 1};
	struct metric *h =
	    metrics_histogram(metrics, "h_seconds", "route=\"/a\"", "Time.", bounds, 3);
	metric_observe(h, 0.005);
	metric_observe(h, 0.01); /* an upper bound belongs to its bucket */
	metric_observe(h, 0.5);
	metric_observe(h, 2);
	ck_assert_double_eq(metric_value(h), 4);
	ck_assert_str_eq(exposition(), "# HELP h_seconds Time.\n"
	                               "# TYPE h_seconds histogram\n"
	                               "h_seconds_bucket{route=\"/a\",le=\"0.01\"} 2\n"
	                               "h_seconds_bucket{route=\"/a\",le=\"0.1\"} 2\n"
	                               "h_seconds_bucket{route=\"/a\",le=\"1\"} 3\n"
	                               "h_seconds_bucket{route=\"/a\",le=\"+Inf\"} 4\n"
	                               "h_seconds_sum{route=\"/a\"} 2.515\n"
	                               "h_seconds_count{route=\"/a\"} 4\n");
}
END_TEST

START_TEST(writes_a_histogram_without_labels)
{
	struct metric *h = metrics_histogram(metrics, "h_seconds", "", "Time.", metrics_seconds,
	                                     metrics_n_seconds);
	metric_observe(h, 0.0002);
	const char *text = exposition();
	ck_assert_ptr_nonnull(strstr(text, "\nh_seconds_bucket{le=\"0.0001\"} 0\n"
	                                   "h_seconds_bucket{le=\"0.00025\"} 1\n"));
	ck_assert_ptr_nonnull(strstr(text, "\nh_seconds_bucket{le=\"10\"} 1\n"
	                                   "h_seconds_bucket{le=\"+Inf\"} 1\n"
	                                   "h_seconds_sum 0.0002\n"
	                                   "h_seconds_count 1\n"));
}
END_TEST

START_TEST(counts_what_is_no_number_above_all_bounds)
{
	static const double bounds[] = {1};
	struct metric *h = metrics_histogram(metrics, "h", "", "H.", bounds, 1);
	metric_observe(h, NAN);
	const char *text = exposition();
	ck_assert_ptr_nonnull(strstr(text, "h_bucket{le=\"1\"} 0\nh_bucket{le=\"+Inf\"} 1\n"));
	ck_assert_ptr_nonnull(strstr(text, "h_sum NaN\n"));
}
END_TEST

START_TEST(escapes_labels_and_help)
{
	struct buf labels = BUF_INIT;
	metrics_label(&labels, "a", "x\\y\"z\n");
	metrics_label(&labels, "b", "caf\xc3\xa9 \xff");
	ck_assert_str_eq(buf_str(&labels), "a=\"x\\\\y\\\"z\\n\",b=\"caf\u00e9 \ufffd\"");
	metrics_gauge(metrics, "g", buf_str(&labels), "A \"b\" \\ and\na line.");
	const char *text = exposition();
	ck_assert_ptr_nonnull(strstr(text, "# HELP g A \"b\" \\\\ and\\na line.\n"));
	ck_assert_ptr_nonnull(strstr(text, "g{a=\"x\\\\y\\\"z\\n\",b="));
	buf_release(&labels);
}
END_TEST

START_TEST(writes_values_that_are_not_finite)
{
	metric_set(metrics_gauge(metrics, "a", "", "A."), INFINITY);
	metric_set(metrics_gauge(metrics, "b", "", "B."), -INFINITY);
	metric_set(metrics_gauge(metrics, "c", "", "C."), NAN);
	const char *text = exposition();
	ck_assert_ptr_nonnull(strstr(text, "\na +Inf\n"));
	ck_assert_ptr_nonnull(strstr(text, "\nb -Inf\n"));
	ck_assert_ptr_nonnull(strstr(text, "\nc NaN\n"));
}
END_TEST

START_TEST(forgets_what_is_removed)
{
	struct metric *a = metrics_gauge(metrics, "lag", "partition=\"0\"", "Lag.");
	metrics_gauge(metrics, "lag", "partition=\"1\"", "Lag.");
	metrics_remove(metrics, a);
	ck_assert_str_eq(exposition(),
	                 "# HELP lag Lag.\n# TYPE lag gauge\nlag{partition=\"1\"} 0\n");
	metrics_remove(metrics, metrics_gauge(metrics, "lag", "partition=\"1\"", "Lag."));
	ck_assert_str_eq(exposition(), "");
	metrics_remove(metrics, NULL);
}
END_TEST

START_TEST(gives_a_dummy_when_there_are_too_many)
{
	char labels[40];
	struct metric *dummy = NULL;
	for (int i = 0; i <= 4096; i++) {
		snprintf(labels, sizeof labels, "i=\"%d\"", i);
		dummy = metrics_counter(metrics, "n_total", labels, "N.");
		ck_assert_ptr_nonnull(dummy);
	}
	ck_assert_ptr_eq(
	    metrics_histogram(metrics, "h", "", "H.", metrics_seconds, metrics_n_seconds), dummy);
	metric_add(dummy, 1);
	metric_observe(dummy, 1);
	metrics_remove(metrics, dummy);
	const char *text = exposition();
	ck_assert_ptr_nonnull(strstr(text, "n_total{i=\"4095\"} 0\n"));
	ck_assert_ptr_null(strstr(text, "i=\"4096\""));
	/* Room that is given back can be used again. */
	metrics_remove(metrics, metrics_counter(metrics, "n_total", "i=\"7\"", "N."));
	ck_assert_ptr_ne(metrics_counter(metrics, "n_total", "i=\"4096\"", "N."), dummy);
}
END_TEST

static void set_to_42(void *arg)
{
	metric_set(arg, 42);
}

START_TEST(refreshes_gauges_before_it_writes)
{
	struct metric *a = metrics_gauge(metrics, "a", "", "A.");
	struct metric *b = metrics_gauge(metrics, "b", "", "B.");
	metrics_on_scrape(metrics, set_to_42, a);
	metrics_on_scrape(metrics, set_to_42, b);
	ck_assert_double_eq(metric_value(a), 0);
	const char *text = exposition();
	ck_assert_ptr_nonnull(strstr(text, "\na 42\n"));
	ck_assert_ptr_nonnull(strstr(text, "\nb 42\n"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("metrics");
	TCase *tcase = tcase_create("metrics");
	tcase_add_checked_fixture(tcase, begin, end);
	tcase_add_test(tcase, writes_nothing_when_there_is_nothing);
	tcase_add_test(tcase, groups_by_family_in_the_order_of_names);
	tcase_add_test(tcase, gives_the_same_metric_for_the_same_labels);
	tcase_add_test(tcase, writes_histograms_with_cumulative_buckets);
	tcase_add_test(tcase, writes_a_histogram_without_labels);
	tcase_add_test(tcase, counts_what_is_no_number_above_all_bounds);
	tcase_add_test(tcase, escapes_labels_and_help);
	tcase_add_test(tcase, writes_values_that_are_not_finite);
	tcase_add_test(tcase, forgets_what_is_removed);
	tcase_add_test(tcase, gives_a_dummy_when_there_are_too_many);
	tcase_add_test(tcase, refreshes_gauges_before_it_writes);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
