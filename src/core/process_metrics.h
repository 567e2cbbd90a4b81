/* SPDX-License-Identifier: MIT */
/*
 * What the process itself uses (memory, descriptors, processor time), and how
 * late the event loop runs.
 */
#ifndef PROCESS_METRICS_H
#define PROCESS_METRICS_H

#include "metrics.h"

struct process_metrics;

/* Registers and measures from now on; NULL: out of memory.  Freed before `metrics` and `loop`,
 * and after the last metrics_write(). */
struct process_metrics *process_metrics_new(struct loop *loop, struct metrics *metrics);
void process_metrics_free(struct process_metrics *p);

/* Resident memory in bytes; 0: /proc does not say. */
double process_resident_memory(void);

#endif
