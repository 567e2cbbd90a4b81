/* SPDX-License-Identifier: MIT */
/* Why a question is not answered, as its client is told. */
#include "log.h"
#include "query.h"

#include <stdio.h>

void query_refuse(struct query *q, int status, const char *code, const char *param,
                  const char *text)
{
	if (q->state == QUERY_STREAMING) {
		metric_add(q->bus->aborted, 1);
		http_stream_abort(q->http, text);
	} else {
		if (status == 503)
			http_respond_header(q->http, "Retry-After", "1");
		http_respond_problem(q->http, status, code, param && *param ? param : NULL, "%s",
		                     text);
	}
	query_finish(q);
}

void query_refuse_param(struct query *q, const struct param_error *error)
{
	if (error->no_memory)
		query_refuse_memory(q);
	else
		query_refuse(q, 400, "invalid_parameter", error->param, error->text);
}

void query_refuse_memory(struct query *q)
{
	query_refuse(q, 503, "out_of_memory", NULL,
	             "There is no memory for the answer now; try again soon.");
}

void query_refuse_overloaded(struct query *q)
{
	query_refuse(q, 503, "overloaded", NULL, "too many queries are waiting, try again soon");
}

/* Once a second at most: a broken route may be popular. */
void query_refuse_broken(struct query *q, const char *why)
{
	struct query_bus *bus = q->bus;
	int64_t now = loop_now(bus->loop);
	if (!bus->logged_at || now - bus->logged_at >= 1000000) {
		bus->logged_at = now;
		log_error("query: %s of module %s: %s", q->route->base.pattern,
		          q->route->base.module, why);
	}
	query_refuse(q, 500, "internal_error", NULL,
	             "the server could not answer this query; its log says why");
}

/* Whether a SQLSTATE is of one of these classes (manual, appendix A). */
static bool in_classes(const char *state, const char *classes)
{
	char class[3] = {state[0], state[0] ? state[1] : '\0', '\0'};
	return class[1] && strstr(classes, class);
}

void query_refuse_answer(struct query *q, enum pg_answer answer, const struct pg_error *error)
{
	const char *state = error ? error->sqlstate : "";
	char why[700];
	if (answer == PG_ANSWER_TIMEOUT || !strcmp(state, "57014")) {
		query_refuse(
		    q, 504, "timeout", NULL,
		    "the query took longer than this server allows; ask for less, for instance "
		    "a shorter time range");
	} else if (answer == PG_ANSWER_AWAY || in_classes(state, "08 40 53 57 58")) {
		query_refuse(q, 503, "database_away", NULL,
		             "the database cannot be reached, try again soon");
	} else if (in_classes(state, "22")) { /* data exception: a value that SQL cannot take */
		query_refuse(q, 400, "invalid_parameter", NULL, error->message);
	} else {
		snprintf(why, sizeof why, "the database refused the statement: %s (SQLSTATE %s)",
		         error ? error->message : "", state);
		query_refuse_broken(q, why);
	}
}
