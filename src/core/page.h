/* SPDX-License-Identifier: MIT */
/*
 * Which part of a list a request wants, and how to ask for the next.
 *
 * By key (limit and cursor), by number (page and page_size), or all of it as a
 * stream: CSV and NDJSON when none of these was given.
 */
#ifndef PAGE_H
#define PAGE_H

#include "media_type.h"
#include "param.h"

struct page {
	bool paged;   /* the route has a key; otherwise all rows are one answer */
	bool stream;  /* all rows, of any number */
	bool counted; /* count=exact */
	int64_t
	    limit; /* rows in the answer; one more is asked for, to see if there is a next page */
	int64_t offset; /* rows before it */
	int64_t number; /* of the page, from 1; 0: by cursor */
};

/* False, with the reason, when the parameters contradict each other. */
bool page_init(struct page *page, const struct cqrs_request *req, bool paged, enum media_type media,
               struct param_error *error);

/* Appends a Link header's value (RFC 8288) that keeps the request's other parameters. */
void page_link(const struct page *page, struct buf *out, const char *path, const char *query,
               const char *cursor);

#endif
