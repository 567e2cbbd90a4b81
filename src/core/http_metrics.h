/* SPDX-License-Identifier: MIT */
/*
 * What a listener counts: requests, their time, connections, bytes, refusals.
 *
 * A metric is looked up by its labels once and then found by the addresses of
 * route and code, which are constants: no text is made per request.
 */
#ifndef HTTP_METRICS_H
#define HTTP_METRICS_H

#include "metrics.h"
#include <stdint.h>

struct http_metrics;

/* NULL when memory is out.  `listener` is borrowed. */
struct http_metrics *http_metrics_new(struct metrics *metrics, const char *listener);
void http_metrics_free(struct http_metrics *m);

/* A response is complete.  `route` is borrowed for good; NULL: none was found. */
void http_metrics_answered(struct http_metrics *m, const char *route, const char *method,
                           int status, int64_t us);
/* A request, or a connection, that no handler saw; `code` is borrowed for good. */
void http_metrics_refused(struct http_metrics *m, const char *code);
void http_metrics_received(struct http_metrics *m, size_t bytes);
void http_metrics_sent(struct http_metrics *m, size_t bytes);
void http_metrics_connections(struct http_metrics *m, size_t n);

#endif
