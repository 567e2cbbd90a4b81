/* SPDX-License-Identifier: MIT */
/* What a listener counts. */
#include "http_metrics.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS 1024 /* a power of two, and more than routes x methods x statuses in use */

/* One metric by the addresses of its labels' values. */
struct slot {
	const void *a, *b;
	int status;
	struct metric *metric;
};

struct http_metrics {
	struct metrics *metrics;
	const char *listener;
	struct metric *connections, *received, *sent;
	struct slot slots[SLOTS];
	size_t used;
};

static struct buf labels_of(const struct http_metrics *m)
{
	struct buf labels = BUF_INIT;
	metrics_label(&labels, "listener", m->listener);
	return labels;
}

struct http_metrics *http_metrics_new(struct metrics *metrics, const char *listener)
{
	struct http_metrics *m = calloc(1, sizeof *m);
	if (!m)
		return NULL;
	m->metrics = metrics;
	m->listener = listener;
	struct buf labels = labels_of(m);
	m->connections = metrics_gauge(metrics, "cqrsd_http_connections", metrics_labels(&labels),
	                               "Open connections.");
	m->received = metrics_counter(metrics, "cqrsd_http_received_bytes_total",
	                              metrics_labels(&labels), "Bytes read from clients.");
	m->sent = metrics_counter(metrics, "cqrsd_http_sent_bytes_total", metrics_labels(&labels),
	                          "Bytes written to clients.");
	buf_release(&labels);
	return m;
}

void http_metrics_free(struct http_metrics *m)
{
	free(m);
}

/* The slot for these labels, empty when they are new; NULL: the table is nearly full. */
static struct slot *find_slot(struct http_metrics *m, const void *a, const void *b, int status)
{
	uintptr_t hash = ((uintptr_t)a >> 3) * 31 + ((uintptr_t)b >> 3) * 17 + (unsigned)status * 7;
	for (size_t i = (hash ^ hash >> 10) % SLOTS;; i = (i + 1) % SLOTS) {
		struct slot *slot = &m->slots[i];
		if (slot->metric && (slot->a != a || slot->b != b || slot->status != status))
			continue;
		if (!slot->metric && m->used >= SLOTS / 4 * 3)
			return NULL;
		return slot;
	}
}

static void remember(struct http_metrics *m, struct slot *slot, struct slot value)
{
	*slot = value;
	m->used++;
}

static void count(struct http_metrics *m, const char *route, const char *method, int status)
{
	struct slot *slot = find_slot(m, route, method, status);
	if (!slot)
		return;
	if (!slot->metric) {
		struct buf labels = labels_of(m);
		metrics_label(&labels, "route", route);
		metrics_label(&labels, "method", method);
		buf_printf(&labels, ",status=\"%d\"", status);
		struct metric *metric = metrics_counter(
		    m->metrics, "cqrsd_http_requests_total", metrics_labels(&labels),
		    "Requests answered, by route, method and status.");
		buf_release(&labels);
		remember(m, slot, (struct slot){route, method, status, metric});
	}
	metric_add(slot->metric, 1);
}

void http_metrics_answered(struct http_metrics *m, const char *route, const char *method,
                           int status, int64_t us)
{
	route = route ? route : "none";
	count(m, route, method, status);
	struct slot *slot = find_slot(m, route, NULL, 0);
	if (!slot)
		return;
	if (!slot->metric) {
		struct buf labels = labels_of(m);
		metrics_label(&labels, "route", route);
		struct metric *metric = metrics_histogram(
		    m->metrics, "cqrsd_http_request_seconds", metrics_labels(&labels),
		    "From the complete request to the complete response.", metrics_seconds,
		    metrics_n_seconds);
		buf_release(&labels);
		remember(m, slot, (struct slot){route, NULL, 0, metric});
	}
	metric_observe(slot->metric, (double)us / 1e6);
}

void http_metrics_refused(struct http_metrics *m, const char *code)
{
	struct slot *slot = find_slot(m, code, NULL, 1);
	if (!slot)
		return;
	if (!slot->metric) {
		struct buf labels = labels_of(m);
		metrics_label(&labels, "reason", code);
		struct metric *metric =
		    metrics_counter(m->metrics, "cqrsd_http_refused_total", metrics_labels(&labels),
		                    "Requests and connections that no handler saw, by reason.");
		buf_release(&labels);
		remember(m, slot, (struct slot){code, NULL, 1, metric});
	}
	metric_add(slot->metric, 1);
}

void http_metrics_received(struct http_metrics *m, size_t bytes)
{
	metric_add(m->received, (double)bytes);
}

void http_metrics_sent(struct http_metrics *m, size_t bytes)
{
	metric_add(m->sent, (double)bytes);
}

void http_metrics_connections(struct http_metrics *m, size_t n)
{
	metric_set(m->connections, (double)n);
}
