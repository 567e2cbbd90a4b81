/* SPDX-License-Identifier: MIT */
/* What the process itself uses, and how late the event loop runs. */
#include "process_metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TICK_US 100000

struct process_metrics {
	struct loop *loop;
	struct timer *tick;
	int64_t due;
	double cpu; /* seconds, at the last scrape */
	struct metric *memory, *fds, *cpu_seconds, *delay;
};

double process_resident_memory(void)
{
	long size = 0, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");
	if (!file)
		return 0;
	if (fscanf(file, "%ld %ld", &size, &resident) != 2)
		resident = 0;
	fclose(file);
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static double open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	double n = 0;
	if (!dir)
		return 0;
	for (struct dirent *entry; (entry = readdir(dir));)
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n - 1; /* the one that was just read */
}

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Seconds since 1970: field 22 of /proc/self/stat is in ticks since the machine started. */
static double start_time(const struct loop *loop)
{
	char text[1024];
	unsigned long long ticks = 0;
	struct timespec up;
	FILE *file = fopen("/proc/self/stat", "re");
	size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
	if (file)
		fclose(file);
	text[n] = '\0';
	/* The second field is the program's name, in parentheses, and may have anything in it. */
	const char *at = strrchr(text, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at)
		ticks = strtoull(at, NULL, 10);
	clock_gettime(CLOCK_BOOTTIME, &up);
	double age = (double)up.tv_sec - (double)ticks / (double)sysconf(_SC_CLK_TCK);
	return (double)loop_wall_clock(loop) / 1e6 - (at ? age : 0);
}

static void on_scrape(void *arg)
{
	struct process_metrics *p = arg;
	double cpu = cpu_seconds();
	metric_set(p->memory, process_resident_memory());
	metric_set(p->fds, open_descriptors());
	metric_add(p->cpu_seconds, cpu - p->cpu);
	p->cpu = cpu;
}

static void on_tick(void *arg)
{
	struct process_metrics *p = arg;
	int64_t late = loop_now(p->loop) - p->due;
	metric_observe(p->delay, late > 0 ? (double)late / 1e6 : 0);
	p->due = loop_now(p->loop) + TICK_US;
	timer_arm(p->tick, TICK_US);
}

struct process_metrics *process_metrics_new(struct loop *loop, struct metrics *metrics)
{
	struct process_metrics *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->loop = loop;
	p->tick = timer_new(loop, on_tick, p);
	if (!p->tick) {
		free(p);
		return NULL;
	}
	p->memory = metrics_gauge(metrics, "process_resident_memory_bytes", "",
	                          "Resident memory size in bytes.");
	p->fds = metrics_gauge(metrics, "process_open_fds", "", "Number of open file descriptors.");
	p->cpu_seconds = metrics_counter(metrics, "process_cpu_seconds_total", "",
	                                 "Total user and system CPU time spent in seconds.");
	p->delay = metrics_histogram(metrics, "cqrsd_loop_delay_seconds", "",
	                             "How much too late the event loop runs a timer.",
	                             metrics_seconds, metrics_n_seconds);
	metric_set(metrics_gauge(metrics, "process_start_time_seconds", "",
	                         "Start time of the process since unix epoch in seconds."),
	           start_time(loop));
	metrics_on_scrape(metrics, on_scrape, p);
	p->due = loop_now(loop) + TICK_US;
	timer_arm(p->tick, TICK_US);
	return p;
}

void process_metrics_free(struct process_metrics *p)
{
	if (!p)
		return;
	timer_free(p->tick);
	free(p);
}
