/* SPDX-License-Identifier: MIT */
/*
 * What happens when a call fails: the n-th of a scenario, for all n.
 *
 * The core is linked with injected_malloc() for malloc(), and so on for every
 * foreign function that can fail (injected_*.c).  Each asks injection_fails()
 * first, which counts.  A scenario is run once for each n in a process of its
 * own, with the n-th call failing, and again with all calls from the n-th on
 * failing.  It must not crash, leak or hang, and whatever it reports as done
 * must be right; then it is run again in the same process with nothing failing,
 * and must succeed.
 */
#ifndef INJECTION_H
#define INJECTION_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct injection_scenario {
	const char *name; /* NULL ends a list */
	/* New, work, free.  False: something was refused or given up, as it should be. */
	bool (*run)(void);
	bool is_start;    /* giving up by exit(1) with a message is fine */
	bool has_threads; /* that outlive it: the process that forks cannot have run it */
	unsigned jobs;    /* it waits more than it works: so many processes at a time; 0: one */
	unsigned every;   /* a server takes its time: only each so many-th n, unless ALL is in the
	                     environment; 0: all */
};

struct injection {
	const char *name;
	const struct injection_scenario *scenarios;
	void (*start)(void); /* the servers that the scenarios need; NULL: none */
	void (*stop)(void);
};

/* What a program t/injection/inject_NAME.c is. */
extern const struct injection injection;

/*
 * Whether the call at hand, to `function` from `caller`, is to fail; one that cannot is only noted.
 * From any thread.
 */
bool injection_decides(const char *function, const void *caller, bool can_fail);
/* The same of one that can, for who calls the function at hand. */
#define injection_fails(function) injection_decides(function, __builtin_return_address(0), true)
/* What a library that calls back from now on is at work for; NULL: for nobody. */
void injection_works_for(const void *caller);
/* Whether this run is one in which something fails, or has failed. */
bool injection_is_trouble(void);
/* Whether everything has failed from the n-th call on: not even the log can be written. */
bool injection_is_lasting(void);
/* From here on nothing fails any more in this run: the trouble is over. */
void injection_end(void);

/*
 * Whether a result is that of the first run, in which nothing failed; `which` tells apart those of
 * a scenario, from 0 on.
 */
bool injection_is_same(int which, const void *data, size_t len);

/* What cannot be otherwise, whichever call fails. */
#define MUST(condition)                                                                \
	do {                                                                           \
		if (!(condition)) {                                                    \
			fprintf(stderr, "%s:%d: must be so: %s\n", __FILE__, __LINE__, \
			        #condition);                                           \
			abort();                                                       \
		}                                                                      \
	} while (0)

/* Defines injected_NAME(): fails with `failure`, which is evaluated, or calls NAME. */
#define INJECT(type, name, parameters, arguments, failure) \
	type injected_##name parameters;                   \
	type injected_##name parameters                    \
	{                                                  \
		if (injection_fails(#name))                \
			return failure;                    \
		return name arguments;                     \
	}

/* Defines injected_NAME(): calls NAME, which fails when the memory does that it asks for. */
#define INJECT_INSIDE(type, name, parameters, arguments)          \
	type injected_##name parameters;                          \
	type injected_##name parameters                           \
	{                                                         \
		injection_works_for(__builtin_return_address(0)); \
		type result = name arguments;                     \
		injection_works_for(NULL);                        \
		return result;                                    \
	}

#endif
