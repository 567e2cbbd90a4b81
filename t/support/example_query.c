/* SPDX-License-Identifier: MIT */
/*
 * A query module to copy: the notes of example_command.c over HTTP.
 *
 *   cc -shared -fPIC -I$(pg_config --includedir) -o MODULE_PATH/query/note.so example_query.c
 *   curl 'http://127.0.0.1:8080/api/v1/notes?contains=milk'
 */
#include <cqrs/query.h>

static void list(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	const struct cqrs_value *contains = cqrs_param(req, "contains");
	const struct cqrs_value *after = cqrs_cursor(req);
	(void)self;
	cqrs_sql(ans, "SELECT part, pos, text FROM notes WHERE true");
	if (!contains->is_null)
		cqrs_sql_bind(ans, " AND strpos(text, $?) > 0", contains, 1);
	if (after)
		cqrs_sql_bind(ans, " AND (part, pos) > ($?, $?)", after, 2);
	cqrs_sql(ans, " ORDER BY part, pos");
}

static const struct cqrs_param params[] = {
    {.name = "contains", .type = CQRS_PARAM_TEXT, .min = 1, .max = 100, .help = "text in it"},
    {.name = NULL}};
static const char *const key[] = {"part", "pos", NULL};
static const struct cqrs_route notes = {
    .path = "/notes", .summary = "All notes", .params = params, .query = list, .key = key};

static void *start(struct cqrs_routes *to, const void *options)
{
	static int self; /* an instance without state, but not NULL */
	(void)options;
	cqrs_routes_add(to, &notes);
	return &self;
}

static void stop(void *self)
{
	(void)self;
}

CQRS_QUERY_MODULE(note, .summary = "notes over HTTP", .start = start, .stop = stop);
