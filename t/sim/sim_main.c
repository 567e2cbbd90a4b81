/* SPDX-License-Identifier: MIT */
/*
 * Runs schedules of the simulated write path, each by its seed, on some processes.
 *
 *   sim --seeds 100000 --jobs 2      seeds 1 to 100000
 *   sim --seeds 7000..8000           these
 *   sim --seconds 120                from 1 on, as many as there is time for
 *   sim --seed 4711                  one, with its timeline
 */
#include "sim_schedule.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX    64
#define TWICE_EVERY 512 /* schedules: one of so many is run twice, to see that it is the same */

/* What a process tells the others. */
struct job {
	uint64_t seed; /* at hand */
	uint64_t schedules, turns, elements, faults[N_FAULTS];
	unsigned lost, doubled;
};

struct campaign {
	uint64_t first, last; /* seeds */
	int64_t seconds;      /* 0: until the last */
	int jobs;
	bool brief;         /* without the timeline of what fails */
	struct job *shared; /* one for each process */
};

static int64_t seconds_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* ---- a process ---- */

static void add(struct job *job, const struct sim_verdict *verdict)
{
	job->schedules++;
	job->turns += verdict->turns;
	job->elements += verdict->elements;
	job->lost += verdict->lost;
	job->doubled += verdict->doubled;
	for (int i = 0; i < N_FAULTS; i++)
		job->faults[i] += verdict->faults[i];
}

static bool is_the_same(uint64_t seed, const struct sim_verdict *verdict)
{
	struct sim_verdict again;
	sim_schedule_run(seed, false, &again);
	if (again.digest == verdict->digest && again.turns == verdict->turns)
		return true;
	fprintf(stderr, "sim: seed %" PRIu64 " is not the same when it is run again\n", seed);
	return false;
}

static int run_job(const struct campaign *campaign, int number)
{
	struct job *job = &campaign->shared[number];
	struct sim_verdict verdict;
	int64_t until = seconds_now() + campaign->seconds;
	for (uint64_t seed = campaign->first + (uint64_t)number; seed <= campaign->last;
	     seed += (uint64_t)campaign->jobs) {
		if (campaign->seconds && seconds_now() >= until)
			break;
		job->seed = seed;
		sim_schedule_run(seed, false, &verdict);
		add(job, &verdict);
		if (verdict.failed)
			fprintf(stderr, "sim: seed %" PRIu64 ": %s\n", seed, verdict.failure);
		if (verdict.failed || (seed % TWICE_EVERY == 0 && !is_the_same(seed, &verdict)))
			return 1;
	}
	return 0;
}

/* ---- all of them ---- */

static int replay(uint64_t seed)
{
	struct sim_verdict verdict;
	sim_schedule_run(seed, true, &verdict);
	fprintf(stderr, "sim: seed %" PRIu64 ": %s\n", seed,
	        verdict.failed ? verdict.failure : "nothing wrong");
	return verdict.failed;
}

static pid_t start(const struct campaign *campaign, int number)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		exit(run_job(campaign, number)); /* which looks for leaks, under ASan */
	return pid;
}

/* Which process has ended; it is not in the list from then on. */
static int job_ended(const struct campaign *campaign, pid_t *pids, pid_t pid)
{
	int i = 0;
	while (i < campaign->jobs - 1 && pids[i] != pid)
		i++;
	pids[i] = 0;
	return i;
}

/* The first that fails, if any.  It ends the others: its seed is what counts. */
static const struct job *wait_for_all(const struct campaign *campaign, pid_t *pids)
{
	const struct job *failed = NULL;
	int status;
	pid_t pid;
	while ((pid = wait(&status)) > 0) {
		const struct job *job = &campaign->shared[job_ended(campaign, pids, pid)];
		if (failed || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
			continue;
		failed = job;
		for (int i = 0; i < campaign->jobs; i++)
			if (pids[i])
				kill(pids[i], SIGTERM);
	}
	return failed;
}

static void print_sum(const struct campaign *campaign, int64_t began, bool ok)
{
	struct job sum = {.schedules = 0};
	int64_t took = seconds_now() - began;
	for (int i = 0; i < campaign->jobs; i++) {
		const struct job *job = &campaign->shared[i];
		sum.schedules += job->schedules;
		sum.turns += job->turns;
		sum.elements += job->elements;
		sum.lost += job->lost;
		sum.doubled += job->doubled;
		for (int k = 0; k < N_FAULTS; k++)
			sum.faults[k] += job->faults[k];
	}
	printf("faults:");
	for (int k = 0; k < N_FAULTS; k++)
		printf("%s %" PRIu64 " × %s", k ? "," : "", sum.faults[k],
		       sim_fault_name((enum sim_fault)k));
	printf("\n%" PRIu64 " elements stored or refused, %" PRIu64 " turns, %" PRId64
	       " s, %" PRIu64 " schedules a minute\n",
	       sum.elements, sum.turns, took, sum.schedules * 60 / (uint64_t)(took ? took : 1));
	printf("sim: %" PRIu64 " schedules, lost %u, doubled %u%s\n", sum.schedules, sum.lost,
	       sum.doubled, ok ? "" : ", failed");
}

/* The timeline of a seed that failed; in a process of its own, for it may abort. */
static void print_timeline(uint64_t seed)
{
	fflush(NULL);
	if (fork() == 0)
		exit(replay(seed));
	wait(NULL);
}

static int run_campaign(struct campaign *campaign)
{
	pid_t pids[JOBS_MAX];
	int64_t began = seconds_now();
	campaign->shared = mmap(NULL, sizeof(struct job) * JOBS_MAX, PROT_READ | PROT_WRITE,
	                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (campaign->shared == MAP_FAILED)
		return 1;
	for (int i = 0; i < campaign->jobs; i++)
		pids[i] = start(campaign, i);
	const struct job *failed = wait_for_all(campaign, pids);
	if (failed && !campaign->brief)
		print_timeline(failed->seed);
	if (failed)
		printf("sim: replay with: make sim SEED=%" PRIu64 "\n", failed->seed);
	print_sum(campaign, began, !failed);
	return failed ? 1 : 0;
}

static void parse_seeds(struct campaign *campaign, const char *text)
{
	char *end;
	campaign->first = 1;
	campaign->last = strtoull(text, &end, 10);
	if (!strncmp(end, "..", 2)) {
		campaign->first = campaign->last;
		campaign->last = strtoull(end + 2, NULL, 10);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"seeds", required_argument, NULL, 's'},   {"seed", required_argument, NULL, '1'},
	    {"seconds", required_argument, NULL, 't'}, {"jobs", required_argument, NULL, 'j'},
	    {"brief", no_argument, NULL, 'b'},         {NULL, 0, NULL, 0}};
	struct campaign campaign = {.first = 1, .last = UINT64_MAX / 2, .jobs = 1};
	int c;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			parse_seeds(&campaign, optarg);
			break;
		case '1':
			return replay(strtoull(optarg, NULL, 10));
		case 't':
			campaign.seconds = atoi(optarg);
			break;
		case 'b':
			campaign.brief = true;
			break;
		case 'j':
			campaign.jobs = atoi(optarg);
			break;
		default:
			return 64;
		}
	}
	if (campaign.jobs < 1 || campaign.jobs > JOBS_MAX)
		return 64;
	return run_campaign(&campaign);
}
