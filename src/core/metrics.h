/* SPDX-License-Identifier: MIT */
/*
 * Counters, gauges and histograms in the Prometheus text format (version 0.0.4).
 *
 * A metric is looked up once and kept; setting it is an addition.  A family
 * (one name) has one help text and any number of label sets.
 */
#ifndef METRICS_H
#define METRICS_H

#include "buf.h"
#include "loop.h"

struct metrics;
struct metric;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *metrics);

/*
 * The metric with this name and these labels, made at the first call.  `labels`
 * is `topic="t",partition="0"`, from metrics_labels(), or "".  Names
 * follow the conventions: cqrsd_*_total for counters, base units.  When memory
 * is out a shared dummy is returned, never NULL.  `help` is borrowed for ever.
 */
struct metric *metrics_counter(struct metrics *metrics, const char *name, const char *labels,
                               const char *help);
struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *labels,
                             const char *help);
/* `bounds`: upper bounds in ascending order, +Inf is added; borrowed for ever. */
struct metric *metrics_histogram(struct metrics *metrics, const char *name, const char *labels,
                                 const char *help, const double *bounds, int n_bounds);
/* Takes the metric out of the registry and frees it: a partition that was revoked. */
void metrics_remove(struct metrics *metrics, struct metric *metric);

void metric_add(struct metric *metric, double amount);
void metric_set(struct metric *metric, double value);
void metric_observe(struct metric *metric, double value);
double metric_value(const struct metric *metric); /* counters and gauges; a histogram's count */

/* Bounds from 100 us to 10 s, for metrics that end in _seconds. */
extern const double metrics_seconds[];
extern const int metrics_n_seconds;

/* Appends name="value" with the value escaped, after a comma if `labels` is not empty. */
void metrics_label(struct buf *labels, const char *name, const char *value);
/* All that were put together, for the functions above; NULL, which makes the dummy: no memory. */
const char *metrics_labels(struct buf *labels);

/* `refresh` is called before each exposition, to set gauges. */
void metrics_on_scrape(struct metrics *metrics, loop_fn *refresh, void *arg);
/* The exposition. */
void metrics_write(struct metrics *metrics, struct buf *out);

#endif
