/* SPDX-License-Identifier: MIT */
/* What people do with dead letters: from the question to the answer. */
#include "dead_letters.h"

#include "container.h"
#include "dead_letter.h"
#include "json_tree.h"
#include "letter_query.h"
#include "log.h"
#include "pg_conn.h"
#include "redrive.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK      500 /* letters that are redriven in one batch */
#define LIST_LIMIT 100 /* unless somebody says otherwise */

enum step { CONNECTING, COUNTING, LISTING, DISCARDING, BOUNDING, CHOOSING, REDRIVING, DONE };

struct dead_letters {
	struct loop *loop;
	const struct dead_letters_config *config;
	struct letters_request request;
	struct pg_conn_config conn_config;
	struct pg_conn *conn;
	struct pg_request asked;
	struct letter_params params;
	PGresult *rows; /* of the step at hand */
	struct redrive_config redrive_config;
	struct redrive *redrive;
	struct timer *patience;
	struct timer *end; /* calls done() in a turn of its own */
	enum step step;
	enum step next; /* CONNECTING: as soon as there is a connection */
	json_t *answer; /* NULL: no memory; what was done is done all the same */
	int64_t discarded;
	enum letters_outcome outcome;
	char why[600];
	letters_done_fn *done;
	void *owner;
};

static void take_step(struct dead_letters *letters, enum step step);
/* Whoever only asked may ask again. */
static void wait_for_connection(struct dead_letters *letters);

/* ---- the end ---- */

static void conclude(struct dead_letters *letters, enum letters_outcome outcome, const char *why)
{
	if (letters->step == DONE)
		return;
	letters->step = DONE;
	letters->outcome = outcome;
	snprintf(letters->why, sizeof letters->why, "%s", why);
	timer_disarm(letters->patience);
	timer_arm(letters->end, 0);
}

static void set_number(struct dead_letters *letters, const char *name, int64_t n)
{
	json_tree_set(&letters->answer, name, json_integer(n));
}

static void log_change(const struct dead_letters *letters)
{
	const struct redrive_result *r = letters->redrive ? redrive_result(letters->redrive) : NULL;
	if (letters->request.dry_run)
		return;
	if (r)
		log_info("dead letters: %" PRId64 " redriven, %" PRId64 " refused again, %" PRId64
		         " skipped, by %s",
		         r->redriven, r->refused, r->skipped, letters->request.by);
	else if (letters->discarded)
		log_info("dead letters: %" PRId64 " discarded, by %s", letters->discarded,
		         letters->request.by);
}

static void on_end(void *arg)
{
	struct dead_letters *letters = arg;
	const struct redrive_result *r = letters->redrive ? redrive_result(letters->redrive) : NULL;
	if (letters->request.verb == LETTERS_REDRIVE) {
		set_number(letters, "redriven", r ? r->redriven : 0);
		set_number(letters, "refused", r ? r->refused : 0);
		set_number(letters, "skipped", r ? r->skipped : 0);
		json_tree_set(&letters->answer, "letters",
		              r ? json_incref(r->letters) : json_array());
	}
	log_change(letters);
	if (!letters->answer && letters->outcome == LETTERS_DONE) {
		letters->outcome = LETTERS_FAILED;
		snprintf(letters->why, sizeof letters->why,
		         "out of memory for the answer; the log says what was done");
	}
	letters->done(letters->owner, letters->outcome, letters->answer, letters->why);
}

/* ---- answers ---- */

static void read_list(struct dead_letters *letters)
{
	json_t *list = json_array();
	struct dead_letter letter;
	for (int i = 0; i < PQntuples(letters->rows); i++) {
		dead_letter_read(&letter, letters->rows, i);
		json_tree_append(&list, dead_letter_json(&letter, false));
	}
	json_tree_set(&letters->answer, "letters", list);
	conclude(letters, LETTERS_DONE, "");
}

static void read_one(struct dead_letters *letters)
{
	struct dead_letter letter;
	if (!PQntuples(letters->rows)) {
		conclude(letters, LETTERS_UNKNOWN, "there is no such dead letter in this group");
		return;
	}
	dead_letter_read(&letter, letters->rows, 0);
	json_decref(letters->answer);
	letters->answer = dead_letter_json(&letter, true);
	conclude(letters, LETTERS_DONE, "");
}

static void read_count(struct dead_letters *letters)
{
	enum letters_verb verb = letters->request.verb;
	const char *name = verb == LETTERS_LIST                                  ? "total"
	                   : verb == LETTERS_DISCARD && letters->request.dry_run ? "discarded"
	                                                                         : "left";
	set_number(letters, name, dead_letter_number(letters->rows));
	if (verb == LETTERS_LIST)
		take_step(letters, LISTING);
	else
		conclude(letters, LETTERS_DONE, "");
}

static void read_bound(struct dead_letters *letters)
{
	struct letter_filter *filter = &letters->request.filter;
	int64_t bound = dead_letter_number(letters->rows);
	if (!filter->before || bound < filter->before)
		filter->before = bound;
	take_step(letters, CHOOSING);
}

static void on_redriven(void *owner)
{
	struct dead_letters *letters = owner;
	take_step(letters, CHOOSING);
}

static bool start_redrive(struct dead_letters *letters)
{
	letters->redrive_config = (struct redrive_config){.dsn = letters->config->dsn,
	                                                  .group = letters->config->group,
	                                                  .by = letters->request.by,
	                                                  .timeout_us = letters->config->timeout_us,
	                                                  .rehearsal = letters->request.dry_run};
	letters->redrive =
	    redrive_new(letters->loop, letters->config->bus, &letters->redrive_config,
	                letters->config->metrics, on_redriven, letters);
	return letters->redrive != NULL;
}

static void read_chosen(struct dead_letters *letters)
{
	PGresult *rows = letters->rows;
	if (!PQntuples(rows)) {
		take_step(letters, COUNTING);
		return;
	}
	take_step(letters, REDRIVING);
	letters->rows = NULL;
	if (!letters->redrive && !start_redrive(letters))
		PQclear(rows);
	else if (redrive_run(letters->redrive, rows))
		return;
	conclude(letters, LETTERS_FAILED, "out of memory");
}

static void on_answer(struct dead_letters *letters)
{
	switch (letters->step) {
	case COUNTING:
		read_count(letters);
		break;
	case LISTING:
		if (letters->request.verb == LETTERS_SHOW)
			read_one(letters);
		else
			read_list(letters);
		break;
	case DISCARDING:
		take_step(letters, COUNTING);
		break;
	case BOUNDING:
		read_bound(letters);
		break;
	case CHOOSING:
		read_chosen(letters);
		break;
	default:
		break;
	}
}

static void on_result(struct pg_request *asked, const PGresult *rows)
{
	struct dead_letters *letters = container_of(asked, struct dead_letters, asked);
	if (letters->step == DISCARDING) {
		letters->discarded = strtoll(PQcmdTuples((PGresult *)(uintptr_t)rows), NULL, 10);
		set_number(letters, "discarded", letters->discarded);
	}
	PQclear(letters->rows);
	letters->rows = PQcopyResult(rows, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
}

static void on_asked(struct pg_request *asked, enum pg_outcome outcome,
                     const struct pg_error *error)
{
	struct dead_letters *letters = container_of(asked, struct dead_letters, asked);
	char why[600];
	letter_params_release(&letters->params);
	if (letters->step == DONE)
		return;
	if (outcome == PG_DONE && letters->rows) {
		on_answer(letters);
	} else if (outcome == PG_DONE) {
		conclude(letters, LETTERS_FAILED, "out of memory");
	} else if (outcome == PG_LOST && letters->step != DISCARDING) {
		wait_for_connection(letters);
	} else {
		snprintf(why, sizeof why, "%s%s%s", error->message,
		         *error->sqlstate ? ", SQLSTATE " : "", error->sqlstate);
		conclude(letters, LETTERS_FAILED, why);
	}
}

/* ---- steps ---- */

/* How many more may be redriven. */
static int64_t chunk_size(const struct dead_letters *letters)
{
	int64_t limit = letters->request.filter.limit;
	if (letters->redrive) {
		const struct redrive_result *r = redrive_result(letters->redrive);
		limit -= limit ? r->redriven + r->refused + r->skipped : 0;
	}
	return letters->request.filter.limit && limit < CHUNK ? limit : CHUNK;
}

static const char *prepare(struct dead_letters *letters)
{
	struct letter_params *params = &letters->params;
	const struct letter_filter *filter = &letters->request.filter;
	int64_t last_id = letters->redrive ? redrive_result(letters->redrive)->last_id : 0;
	switch (letters->step) {
	case COUNTING:
		return letter_query_count(params, last_id);
	case LISTING:
		return letter_query_list(params, filter->limit ? filter->limit : LIST_LIMIT);
	case DISCARDING:
		return letter_query_discard(params, filter->limit, letters->request.by);
	case BOUNDING:
		/* What is refused again while we are at it is not for us. */
		return letter_query_bound(params);
	default:
		return letter_query_choose(params, last_id, chunk_size(letters),
		                           letters->config->chunk_bytes);
	}
}

static void ask(struct dead_letters *letters)
{
	struct letter_params *params = &letters->params;
	PQclear(letters->rows);
	letters->rows = NULL;
	if (!letter_params_init(params, &letters->request.filter, letters->config->group)) {
		letter_params_release(params);
		conclude(letters, LETTERS_FAILED, "out of memory");
		return;
	}
	const char *sql = prepare(letters);
	letters->asked = (struct pg_request){.sql = sql,
	                                     .n_params = params->n,
	                                     .types = params->types,
	                                     .values = params->values,
	                                     .lengths = params->lengths,
	                                     .on_result = on_result,
	                                     .done = on_asked};
	if (pg_conn_send(letters->conn, &letters->asked)) {
		pg_conn_sync(letters->conn);
		return;
	}
	letter_params_release(params);
	wait_for_connection(letters);
}

static void wait_for_connection(struct dead_letters *letters)
{
	letters->next = letters->step;
	letters->step = CONNECTING;
}

static void take_step(struct dead_letters *letters, enum step step)
{
	timer_arm(letters->patience, letters->config->patience_us);
	letters->step = step;
	if (step != REDRIVING)
		ask(letters);
}

static enum step first_step(const struct letters_request *request)
{
	switch (request->verb) {
	case LETTERS_LIST:
		return COUNTING;
	case LETTERS_SHOW:
		return LISTING;
	case LETTERS_DISCARD:
		return request->dry_run ? COUNTING : DISCARDING;
	default:
		return BOUNDING;
	}
}

static void on_ready(void *owner, struct pg_conn *conn)
{
	struct dead_letters *letters = owner;
	(void)conn;
	if (letters->step == CONNECTING)
		take_step(letters, letters->next);
}

static void on_lost(void *owner, struct pg_conn *conn, const struct pg_error *error)
{
	struct dead_letters *letters = owner;
	(void)conn;
	/* It is tried again until our patience ends, which says why. */
	if (letters->step == CONNECTING && error)
		snprintf(letters->why, sizeof letters->why, "%s", error->message);
}

static void on_patience(void *arg)
{
	struct dead_letters *letters = arg;
	char why[600];
	const char *waits_for = *letters->why ? letters->why : "the database does not answer";
	if (letters->step == REDRIVING) {
		waits_for = redrive_give_up(letters->redrive);
		if (!waits_for) {
			timer_arm(letters->patience, letters->config->patience_us);
			return;
		}
	}
	snprintf(why, sizeof why, "%s", waits_for);
	conclude(letters, LETTERS_FAILED, why);
}

/* ---- life ---- */

struct dead_letters *dead_letters_run(struct loop *loop, const struct dead_letters_config *config,
                                      struct letters_request *request, letters_done_fn *done,
                                      void *owner)
{
	static const struct pg_conn_events events = {.on_ready = on_ready, .on_lost = on_lost};
	struct dead_letters *letters = calloc(1, sizeof *letters);
	if (!letters)
		return NULL;
	letters->loop = loop;
	letters->config = config;
	letters->done = done;
	letters->owner = owner;
	letters->conn_config = (struct pg_conn_config){
	    .name = "postgres dead letters",
	    .dsn = config->dsn,
	    .setup = "SET lock_timeout = 10000; SET client_min_messages = warning;"
	             "SET timezone = 'UTC'",
	    .network_timeout_us = config->patience_us,
	    .max_statements = 8,
	};
	letters->patience = timer_new(loop, on_patience, letters);
	letters->end = timer_new(loop, on_end, letters);
	letters->conn = pg_conn_new(loop, &letters->conn_config, &events, letters);
	letters->answer = json_object();
	if (!letters->patience || !letters->end || !letters->conn || !letters->answer) {
		dead_letters_free(letters);
		return NULL;
	}
	letters->request = *request;
	request->filter = (struct letter_filter){.n_ids = 0};
	letters->next = first_step(&letters->request);
	timer_arm(letters->patience, config->patience_us);
	pg_conn_start(letters->conn);
	return letters;
}

void dead_letters_free(struct dead_letters *letters)
{
	if (!letters)
		return;
	letters->step = DONE;
	redrive_free(letters->redrive);
	pg_conn_free(letters->conn);
	timer_free(letters->patience);
	timer_free(letters->end);
	letter_params_release(&letters->params);
	letter_filter_release(&letters->request.filter);
	PQclear(letters->rows);
	json_decref(letters->answer);
	free(letters);
}
