/* SPDX-License-Identifier: MIT */
/*
 * Options: what can be said in the configuration file, one row each.
 *
 * The same row parses the value, checks it, describes it in --help and in
 * etc/cqrs.yaml, and says where in the owner's struct it goes.
 */
#ifndef CQRS_OPTION_H
#define CQRS_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cqrs_option_type {
	CQRS_OPTION_STRING,   /* const char *; owned by the configuration */
	CQRS_OPTION_INTEGER,  /* int64_t */
	CQRS_OPTION_BOOLEAN,  /* bool */
	CQRS_OPTION_DURATION, /* int64_t microseconds: 500us 20ms 5s 10m 12h 30d */
	CQRS_OPTION_SIZE,     /* int64_t bytes: 512B 64KiB 64MiB 2GiB */
	CQRS_OPTION_CHOICE,   /* int: the index in `choices` */
	CQRS_OPTION_MAP,      /* const struct cqrs_option_pair *, ends with name NULL */
};

struct cqrs_option_pair {
	const char *name;
	const char *value;
};

struct cqrs_option {
	const char *name; /* dots lead into sections: "topics.readings" */
	enum cqrs_option_type type;
	size_t offset;       /* offsetof() into the owner's options struct */
	const char *initial; /* the default, as it would stand in the file; NULL: required */
	int64_t min, max;    /* INTEGER, DURATION, SIZE; both 0: not limited */
	const char *choices; /* CHOICE: "ignore|update" */
	bool secret;         /* never printed */
	const char *help;    /* one line, no full stop */
};

/* Ends a table of options. */
#define CQRS_OPTIONS_END     \
	{                    \
		.name = NULL \
	}

#endif
