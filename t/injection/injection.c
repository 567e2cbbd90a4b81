/* SPDX-License-Identifier: MIT */
/*
 * Runs the scenarios of a program for each n, or one of them once:
 *
 *     build/asan/injection/batch                    all
 *     build/asan/injection/batch 'one row' 7        the 7th call fails, and shows where it is
 *     build/asan/injection/batch 'one row' 7 on     and all after it
 */
#include "injection.h"

#include <errno.h>
#include <limits.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESULTS_MAX  24
#define RESULT_MAX   65536
#define SITES_MAX    8192 /* more than there are */
#define JOBS_MAX     16
#define FAILURES_MAX 5   /* after which a scenario is given up */
#define HANG_S       120 /* that a run which has not ended by then never will */

/* <sanitizer/allocator_interface.h>, which gcc does not bring. */
size_t __sanitizer_get_current_allocated_bytes(void);

/* What becomes of a run. */
enum verdict { GOES_ON, GAVE_UP, NOT_REACHED, FAILED };

static struct {
	atomic_ulong calls, failures;
	unsigned long n; /* the call that fails; 0: none */
	bool on;         /* and all after it */
	bool shows;
	bool is_start;
	_Atomic(bool) is_armed;
} state;

bool injection_is_trouble(void)
{
	return state.n;
}

bool injection_is_lasting(void)
{
	return state.failures && state.on;
}

void injection_end(void)
{
	state.is_armed = false;
}

/* ---- where calls are made ---- */

/* Where the program lies in memory: of the linker. */
extern const char __executable_start[], etext[];

/* Calls of the core that were made, of all processes: a hash table. */
static struct site {
	atomic_uintptr_t offset; /* in the program, behind the call; 0: none */
	atomic_bool failed;
} * sites;

static _Thread_local const void *works_for;

/* NULL: of a library on its own. */
static struct site *find_site(const void *caller)
{
	const char *code = caller;
	if (code < __executable_start || code >= etext)
		code = works_for;
	if (!code)
		return NULL;
	uintptr_t offset = (uintptr_t)(code - __executable_start);
	for (size_t i = offset % SITES_MAX;; i = (i + 1) % SITES_MAX) {
		uintptr_t none = 0;
		if (sites[i].offset == offset ||
		    atomic_compare_exchange_strong(&sites[i].offset, &none, offset) ||
		    none == offset)
			return &sites[i];
	}
}

void injection_works_for(const void *caller)
{
	works_for = caller;
	if (caller && state.is_armed)
		find_site(caller);
}

/* For t/injection/sites. */
static void write_sites(const char *program)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s.sites", program);
	FILE *file = fopen(path, "w");
	MUST(file);
	for (size_t i = 0; i < SITES_MAX; i++)
		if (sites[i].offset)
			fprintf(file, "%lx %s\n", (unsigned long)sites[i].offset,
			        sites[i].failed ? "failed" : "made");
	fclose(file);
}

/* ---- calls ---- */

bool injection_decides(const char *function, const void *caller, bool can_fail)
{
	if (!state.is_armed)
		return false;
	struct site *site = find_site(caller);
	if (!can_fail)
		return false;
	unsigned long call = ++state.calls;
	if (!state.n || (state.on ? call < state.n : call != state.n))
		return false;
	state.failures++;
	if (site)
		site->failed = true;
	if (state.shows) {
		fprintf(stderr, "call %lu, %s(), fails:\n", call, function);
		__sanitizer_print_stack_trace();
	}
	return true;
}

/* ---- results ---- */

/* Of the first run, whose process may be another one. */
static struct result {
	bool is_known;
	size_t len;
	char data[RESULT_MAX];
} * results;

bool injection_is_same(int which, const void *data, size_t len)
{
	struct result *result = &results[which];
	MUST(which < RESULTS_MAX && len <= RESULT_MAX);
	if (result->is_known)
		return result->len == len && memcmp(result->data, data, len) == 0;
	MUST(!state.failures);
	memcpy(result->data, data, len);
	result->len = len;
	result->is_known = true;
	return true;
}

static void forget_results(void)
{
	for (int i = 0; i < RESULTS_MAX; i++)
		results[i].is_known = false;
}

/* ---- one run ---- */

/* The core is linked with it instead of exit(): out of memory at the start. */
_Noreturn void injected_exit(int status);
_Noreturn void injected_exit(int status)
{
	MUST(status == 1 && state.failures && state.is_start);
	_exit(GAVE_UP);
}

static bool run(const struct injection_scenario *scenario, unsigned long n, bool on)
{
	state.calls = 0;
	state.n = n;
	state.on = on;
	state.is_armed = true;
	bool ok = scenario->run();
	state.is_armed = false;
	return ok;
}

/* In a process of its own. */
static enum verdict run_nth(const struct injection_scenario *scenario, unsigned long n, bool on)
{
	size_t before = __sanitizer_get_current_allocated_bytes();
	alarm(HANG_S);
	state.is_start = scenario->is_start;
	bool ok = run(scenario, n, on);
	if (!state.failures)
		return ok ? NOT_REACHED : FAILED;
	/* What libraries keep for good also makes a difference, but only once. */
	if (__sanitizer_get_current_allocated_bytes() != before)
		MUST(!__lsan_do_recoverable_leak_check());
	if (!run(scenario, 0, false)) {
		fprintf(stderr, "does not go on when nothing fails any more\n");
		return FAILED;
	}
	return GOES_ON;
}

/* ---- all n ---- */

static void show(FILE *log)
{
	char line[1024];
	rewind(log);
	while (fgets(line, sizeof line, log))
		fprintf(stderr, "    %s", line);
}

/* Who gives up says why. */
static enum verdict judge(int status, FILE *log)
{
	if (!WIFEXITED(status) || WEXITSTATUS(status) > FAILED) {
		if (WIFSIGNALED(status))
			fprintf(log, "ended by signal %d\n", WTERMSIG(status));
		return FAILED;
	}
	fseek(log, 0, SEEK_END);
	return WEXITSTATUS(status) == GAVE_UP && ftell(log) == 0 ? FAILED : WEXITSTATUS(status);
}

/* A run in a process of its own. */
struct job {
	pid_t pid; /* 0: none */
	unsigned long n;
	FILE *log;
};

static void begin_nth(struct job *job, const struct injection_scenario *scenario, unsigned long n,
                      bool on)
{
	*job = (struct job){.n = n, .log = tmpfile()};
	MUST(job->log);
	job->pid = fork();
	MUST(job->pid >= 0);
	if (job->pid)
		return;
	dup2(fileno(job->log), STDERR_FILENO);
	_exit(run_nth(scenario, n, on));
}

static enum verdict end_nth(struct job *job, int status, const char *scenario, bool on)
{
	enum verdict verdict = judge(status, job->log);
	if (verdict == FAILED) {
		fprintf(stderr, "%s '%s' %lu%s failed:\n", injection.name, scenario, job->n,
		        on ? " on" : "");
		show(job->log);
	}
	fclose(job->log);
	job->pid = 0;
	return verdict;
}

/* The one that ends next; NULL: there is none. */
static struct job *wait_for_job(struct job *jobs, int *status)
{
	for (;;) {
		pid_t pid = 0;
		for (int i = 0; i < JOBS_MAX && !pid; i++)
			pid = jobs[i].pid;
		if (!pid)
			return NULL;
		/* The servers are children, too. */
		while ((pid = waitpid(-1, status, 0)) < 0)
			MUST(errno == EINTR);
		for (int i = 0; i < JOBS_MAX; i++)
			if (jobs[i].pid == pid)
				return &jobs[i];
	}
}

/* How many n failed. */
static unsigned long fork_all(const struct injection_scenario *scenario, bool on,
                              unsigned long *tried, unsigned long *reached)
{
	struct job jobs[JOBS_MAX] = {{.pid = 0}}, *job;
	bool all = getenv("ALL"), ends = false;
	unsigned long n = 1, failed = 0, step = scenario->every && !all ? scenario->every : 1;
	unsigned at_a_time = scenario->jobs ? scenario->jobs : 1;
	int status;
	MUST(at_a_time <= JOBS_MAX);
	for (unsigned i = 0; i < at_a_time; i++, n += step)
		begin_nth(&jobs[i], scenario, n, on);
	while ((job = wait_for_job(jobs, &status))) {
		unsigned long at = job->n;
		enum verdict verdict = end_nth(job, status, scenario->name, on);
		failed += verdict == FAILED;
		ends |= verdict == NOT_REACHED || failed == FAILURES_MAX;
		if (verdict != NOT_REACHED) {
			++*tried;
			*reached = at > *reached ? at : *reached;
		}
		if (ends)
			continue;
		begin_nth(job, scenario, n, on);
		n += step;
	}
	return failed;
}

/* The run that the others are compared with: nothing fails. */
static bool run_first(const struct injection_scenario *scenario)
{
	int status = 0;
	if (!scenario->has_threads)
		return run(scenario, 0, false);
	pid_t pid = fork();
	MUST(pid >= 0);
	if (pid == 0)
		_exit(run(scenario, 0, false) ? 0 : 1);
	while (waitpid(pid, &status, 0) < 0)
		MUST(errno == EINTR);
	return status == 0;
}

static bool try(const struct injection_scenario *scenario)
{
	unsigned long tried = 0, tried_on = 0, reached = 0, reached_on = 0;
	MUST(run_first(scenario));
	unsigned long failed = fork_all(scenario, false, &tried, &reached) +
	                       fork_all(scenario, true, &tried_on, &reached_on);
	forget_results();
	printf("%s: %s: %lu of %lu calls failed alone, %lu of %lu with all that follow%s\n",
	       injection.name, scenario->name, tried, reached, tried_on, reached_on,
	       failed ? ": NOT SURVIVED" : "");
	fflush(stdout);
	return failed == 0;
}

/* ---- one n ---- */

static enum verdict show_nth(const char *name, const char *n, bool on)
{
	for (const struct injection_scenario *s = injection.scenarios; s->name; s++) {
		if (strcmp(s->name, name) != 0)
			continue;
		MUST(run_first(s));
		state.shows = true;
		return run_nth(s, strtoul(n, NULL, 10), on);
	}
	fprintf(stderr, "%s has no scenario '%s'\n", injection.name, name);
	return FAILED;
}

/* Memory of all processes, zeroed. */
static void *share(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(memory != MAP_FAILED);
	return memory;
}

int main(int argc, char **argv)
{
	bool ok = true;
	signal(SIGPIPE, SIG_IGN);
	sites = share(SITES_MAX * sizeof *sites);
	results = share(RESULTS_MAX * sizeof *results);
	if (injection.start)
		injection.start();
	if (argc > 2)
		ok = show_nth(argv[1], argv[2], argc > 3) != FAILED;
	else
		for (const struct injection_scenario *s = injection.scenarios; s->name; s++)
			if (argc < 2 || strcmp(s->name, argv[1]) == 0)
				ok = try(s) && ok;
	if (injection.stop)
		injection.stop();
	if (argc < 2)
		write_sites(argv[0]);
	return ok ? 0 : 1;
}
