/* SPDX-License-Identifier: MIT */
/* Counters, gauges and histograms, and the text that Prometheus reads. */
#include "metrics.h"

#include "decimal.h"
#include "log.h"
#include "utf8.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* Label sets come from topics and routes; a mistake there must not take the memory. */
#define METRICS_MAX 4096

enum kind { COUNTER, GAUGE, HISTOGRAM };

static const char *const kind_names[] = {"counter", "gauge", "histogram"};

const double metrics_seconds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                  0.05,   0.1,     0.25,   0.5,   1,      2.5,   5,    10};
const int metrics_n_seconds = sizeof metrics_seconds / sizeof *metrics_seconds;

/* One label set of a family. */
struct metric {
	struct family *family; /* NULL: the dummy */
	TAILQ_ENTRY(metric) link;
	char *labels;
	double value; /* of a histogram: how many observations */
	double sum;
	uint64_t *counts; /* observations in each bucket, those above the last bound at the end */
};

TAILQ_HEAD(metric_list, metric);

/* All that share a name; kept once made, printed while it has metrics. */
struct family {
	TAILQ_ENTRY(family) link;
	const char *help;
	const double *bounds;
	int n_bounds;
	enum kind kind;
	struct metric_list metrics; /* in the order they were made */
	char name[];
};

TAILQ_HEAD(family_list, family);

struct scrape {
	STAILQ_ENTRY(scrape) link;
	loop_fn *refresh;
	void *arg;
};

STAILQ_HEAD(scrape_list, scrape);

struct metrics {
	struct family_list families; /* by name */
	struct scrape_list scrapes;
	int n_metrics;
	bool warned;
	struct metric dummy; /* counts for nobody */
};

/* ---- the registry ---- */

struct metrics *metrics_new(void)
{
	struct metrics *metrics = calloc(1, sizeof *metrics);
	if (!metrics)
		return NULL;
	TAILQ_INIT(&metrics->families);
	STAILQ_INIT(&metrics->scrapes);
	return metrics;
}

static void free_metric(struct metric *metric)
{
	if (!metric)
		return;
	free(metric->labels);
	free(metric->counts);
	free(metric);
}

static void free_family(struct family *family)
{
	struct metric *metric;
	while ((metric = TAILQ_FIRST(&family->metrics))) {
		TAILQ_REMOVE(&family->metrics, metric, link);
		free_metric(metric);
	}
	free(family);
}

void metrics_free(struct metrics *metrics)
{
	struct family *family;
	struct scrape *scrape;
	if (!metrics)
		return;
	while ((family = TAILQ_FIRST(&metrics->families))) {
		TAILQ_REMOVE(&metrics->families, family, link);
		free_family(family);
	}
	while ((scrape = STAILQ_FIRST(&metrics->scrapes))) {
		STAILQ_REMOVE_HEAD(&metrics->scrapes, link);
		free(scrape);
	}
	free(metrics);
}

/* The family in the name's place, or a new one there; NULL: no memory. */
static struct family *take_family(struct metrics *metrics, const char *name, enum kind kind)
{
	struct family *next;
	TAILQ_FOREACH (next, &metrics->families, link) {
		int order = strcmp(next->name, name);
		if (order == 0) {
			assert(next->kind == kind);
			return next;
		}
		if (order > 0)
			break;
	}
	struct family *family = calloc(1, sizeof *family + strlen(name) + 1);
	if (!family)
		return NULL;
	strcpy(family->name, name);
	family->kind = kind;
	TAILQ_INIT(&family->metrics);
	if (next)
		TAILQ_INSERT_BEFORE(next, family, link);
	else
		TAILQ_INSERT_TAIL(&metrics->families, family, link);
	return family;
}

static struct metric *new_metric(struct family *family, const char *labels)
{
	struct metric *metric = calloc(1, sizeof *metric);
	if (!metric)
		return NULL;
	metric->labels = strdup(labels);
	if (family->kind == HISTOGRAM)
		metric->counts = calloc((size_t)family->n_bounds + 1, sizeof *metric->counts);
	if (!metric->labels || (family->kind == HISTOGRAM && !metric->counts)) {
		free_metric(metric);
		return NULL;
	}
	metric->family = family;
	TAILQ_INSERT_TAIL(&family->metrics, metric, link);
	return metric;
}

static struct metric *find_metric(struct family *family, const char *labels)
{
	struct metric *metric;
	TAILQ_FOREACH (metric, &family->metrics, link)
		if (strcmp(metric->labels, labels) == 0)
			return metric;
	return NULL;
}

static struct metric *use_dummy(struct metrics *metrics, const char *name)
{
	if (!metrics->warned)
		log_warning("metrics: no room for more, %s and others are not counted", name);
	metrics->warned = true;
	return &metrics->dummy;
}

static struct metric *take_metric(struct metrics *metrics, struct family *family, const char *name,
                                  const char *labels)
{
	bool is_known = family && labels;
	struct metric *metric = is_known ? find_metric(family, labels) : NULL;
	if (metric)
		return metric;
	if (is_known && metrics->n_metrics < METRICS_MAX)
		metric = new_metric(family, labels);
	if (!metric)
		return use_dummy(metrics, name);
	metrics->n_metrics++;
	return metric;
}

static struct metric *take_plain(struct metrics *metrics, const char *name, const char *labels,
                                 const char *help, enum kind kind)
{
	struct family *family = take_family(metrics, name, kind);
	if (family)
		family->help = help;
	return take_metric(metrics, family, name, labels);
}

struct metric *metrics_counter(struct metrics *metrics, const char *name, const char *labels,
                               const char *help)
{
	return take_plain(metrics, name, labels, help, COUNTER);
}

struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *labels,
                             const char *help)
{
	return take_plain(metrics, name, labels, help, GAUGE);
}

struct metric *metrics_histogram(struct metrics *metrics, const char *name, const char *labels,
                                 const char *help, const double *bounds, int n_bounds)
{
	struct family *family = take_family(metrics, name, HISTOGRAM);
	if (family && !family->bounds) {
		family->help = help;
		family->bounds = bounds;
		family->n_bounds = n_bounds;
	}
	assert(!family || (family->bounds == bounds && family->n_bounds == n_bounds));
	return take_metric(metrics, family, name, labels);
}

void metrics_remove(struct metrics *metrics, struct metric *metric)
{
	if (!metric || metric == &metrics->dummy)
		return;
	TAILQ_REMOVE(&metric->family->metrics, metric, link);
	metrics->n_metrics--;
	free_metric(metric);
}

void metrics_on_scrape(struct metrics *metrics, loop_fn *refresh, void *arg)
{
	struct scrape *scrape = calloc(1, sizeof *scrape);
	if (!scrape) {
		log_error("metrics: out of memory, some gauges will stand still");
		return;
	}
	scrape->refresh = refresh;
	scrape->arg = arg;
	STAILQ_INSERT_TAIL(&metrics->scrapes, scrape, link);
}

/* ---- counting ---- */

void metric_add(struct metric *metric, double amount)
{
	metric->value += amount;
}

void metric_set(struct metric *metric, double value)
{
	metric->value = value;
}

void metric_observe(struct metric *metric, double value)
{
	metric->value++;
	metric->sum += value;
	if (!metric->counts)
		return;
	/* Not `value > bound`, so that a NaN lands above all bounds. */
	int i = 0;
	while (i < metric->family->n_bounds && !(value <= metric->family->bounds[i]))
		i++;
	metric->counts[i]++;
}

double metric_value(const struct metric *metric)
{
	return metric->value;
}

/* ---- the exposition ---- */

/* Text format 0.0.4: backslash and line feed, in labels the quote too. */
static void put_escaped(struct buf *out, const char *text, bool label)
{
	const char *end = text + strlen(text);
	while (text < end) {
		size_t n = utf8_length(text, end);
		if (!n)
			buf_puts(out, "\xef\xbf\xbd");
		else if (*text == '\n')
			buf_puts(out, "\\n");
		else if (*text == '\\' || (label && *text == '"'))
			buf_printf(out, "\\%c", *text);
		else
			buf_add(out, text, n);
		text += n ? n : 1;
	}
}

void metrics_label(struct buf *labels, const char *name, const char *value)
{
	buf_printf(labels, "%s%s=\"", labels->len ? "," : "", name);
	put_escaped(labels, value, true);
	buf_putc(labels, '"');
}

const char *metrics_labels(struct buf *labels)
{
	const char *text = buf_str(labels);
	return labels->failed ? NULL : text;
}

static void put_number(struct buf *out, double value)
{
	char text[32];
	size_t n = decimal_from_double(text, value);
	if (n)
		buf_add(out, text, n);
	else
		buf_puts(out, isnan(value) ? "NaN" : value < 0 ? "-Inf" : "+Inf");
}

/* name_suffix{labels} value */
static void put_sample(struct buf *out, const struct metric *metric, const char *suffix,
                       double value)
{
	buf_printf(out, "%s%s", metric->family->name, suffix);
	if (*metric->labels)
		buf_printf(out, "{%s}", metric->labels);
	buf_putc(out, ' ');
	put_number(out, value);
	buf_putc(out, '\n');
}

static void put_bucket(struct buf *out, const struct metric *metric, double bound, uint64_t count)
{
	buf_printf(out, "%s_bucket{%s%sle=\"", metric->family->name, metric->labels,
	           *metric->labels ? "," : "");
	put_number(out, bound);
	buf_printf(out, "\"} %llu\n", (unsigned long long)count);
}

static void put_histogram(struct buf *out, const struct metric *metric)
{
	const struct family *family = metric->family;
	uint64_t count = 0;
	for (int i = 0; i <= family->n_bounds; i++) {
		count += metric->counts[i];
		put_bucket(out, metric, i < family->n_bounds ? family->bounds[i] : INFINITY, count);
	}
	put_sample(out, metric, "_sum", metric->sum);
	put_sample(out, metric, "_count", metric->value);
}

static void put_family(struct buf *out, const struct family *family)
{
	const struct metric *metric;
	buf_printf(out, "# HELP %s ", family->name);
	put_escaped(out, family->help, false);
	buf_printf(out, "\n# TYPE %s %s\n", family->name, kind_names[family->kind]);
	TAILQ_FOREACH (metric, &family->metrics, link) {
		if (family->kind == HISTOGRAM)
			put_histogram(out, metric);
		else
			put_sample(out, metric, "", metric->value);
	}
}

void metrics_write(struct metrics *metrics, struct buf *out)
{
	const struct family *family;
	const struct scrape *scrape;
	STAILQ_FOREACH (scrape, &metrics->scrapes, link)
		scrape->refresh(scrape->arg);
	TAILQ_FOREACH (family, &metrics->families, link)
		if (!TAILQ_EMPTY(&family->metrics))
			put_family(out, family);
}
