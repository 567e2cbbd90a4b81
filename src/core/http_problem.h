/* SPDX-License-Identifier: MIT */
/*
 * What goes wrong, as application/problem+json (RFC 9457).
 */
#ifndef HTTP_PROBLEM_H
#define HTTP_PROBLEM_H

#include "buf.h"

#define HTTP_PROBLEM_TYPE "application/problem+json"

/* All of it borrowed for the call; NULL leaves a member out. */
struct http_problem {
	int status;
	const char *code;     /* for programs, stable: "unknown_parameter" */
	const char *detail;   /* for people: what to do about it */
	const char *param;    /* the parameter at fault */
	const char *instance; /* the decoded path */
	const char *trace_id;
};

/* Appends the document.  What is not UTF-8 in a text comes out as U+FFFD. */
void http_problem_write(struct buf *out, const struct http_problem *problem);

/* "Not Found"; RFC 9110, 15, and "Unknown" for what we never send. */
const char *http_reason(int status);

#endif
