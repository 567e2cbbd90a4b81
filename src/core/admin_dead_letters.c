/* SPDX-License-Identifier: MIT */
/* Dead letters over the admin listener. */
#include "admin_dead_letters.h"

#include "json_tree.h"
#include "url.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define ERRANDS_MAX  4     /* at the same time: each has connections of its own */
#define LIST_MAX     1000  /* letters in an answer */
#define CHANGE_MAX   10000 /* letters that one request changes */
#define CHANGE_LIMIT 1000  /* unless it says otherwise */

struct errand {
	TAILQ_ENTRY(errand) link;
	struct admin_dead_letters *owner;
	struct http_request *req; /* NULL: the client is gone */
	struct dead_letters *letters;
	enum letters_verb verb;
};

TAILQ_HEAD(errand_list, errand);

struct admin_dead_letters {
	struct loop *loop;
	struct admin *admin;
	const struct dead_letters_config *config;
	struct errand_list errands;
	int n_errands;
};

/* ---- errands ---- */

static void end(struct errand *errand)
{
	TAILQ_REMOVE(&errand->owner->errands, errand, link);
	errand->owner->n_errands--;
	if (errand->req)
		http_request_on_gone(errand->req, NULL, NULL);
	dead_letters_free(errand->letters);
	free(errand);
}

static void respond_failed(struct http_request *req, const json_t *answer, const char *why)
{
	int64_t redriven = json_integer_value(json_object_get(answer, "redriven"));
	struct buf before = BUF_INIT;
	if (redriven)
		buf_printf(&before, "; %" PRId64 " were redriven before", redriven);
	http_respond_problem(req, 503, "database", NULL, "%s%s.", why, buf_str(&before));
	buf_release(&before);
}

static void on_done(void *owner, enum letters_outcome outcome, json_t *answer, const char *why)
{
	struct errand *errand = owner;
	struct http_request *req = errand->req;
	if (req)
		http_request_on_gone(req, NULL, NULL);
	errand->req = NULL;
	if (req && outcome == LETTERS_DONE)
		admin_respond(req, 200, json_incref(answer));
	else if (req && outcome == LETTERS_UNKNOWN)
		http_respond_problem(req, 404, "not_found", NULL, "%s.", why);
	else if (req)
		respond_failed(req, answer, why);
	end(errand);
}

/* What was begun is brought to its end all the same. */
static void on_gone(void *arg)
{
	((struct errand *)arg)->req = NULL;
}

static bool is_busy(const struct admin_dead_letters *d, enum letters_verb verb)
{
	const struct errand *errand;
	/* Two that change something would only wait for each other. */
	TAILQ_FOREACH (errand, &d->errands, link)
		if (verb >= LETTERS_REDRIVE && errand->verb >= LETTERS_REDRIVE)
			return true;
	return d->n_errands == ERRANDS_MAX;
}

/* Takes the filter of `request`. */
static void begin(struct admin_dead_letters *d, struct http_request *req,
                  struct letters_request *request)
{
	struct errand *errand = NULL;
	if (!is_busy(d, request->verb))
		errand = calloc(1, sizeof *errand);
	if (errand)
		errand->letters = dead_letters_run(d->loop, d->config, request, on_done, errand);
	if (!errand || !errand->letters) {
		free(errand);
		letter_filter_release(&request->filter);
		http_respond_header(req, "Retry-After", "1");
		http_respond_problem(req, 503, "busy", NULL,
		                     "Others are at work on the dead letters; try again soon.");
		return;
	}
	errand->owner = d;
	errand->verb = request->verb;
	errand->req = req;
	TAILQ_INSERT_TAIL(&d->errands, errand, link);
	d->n_errands++;
	http_request_on_gone(req, on_gone, errand);
}

/* ---- what is asked ---- */

static void refuse(struct http_request *req, struct letters_request *request, const char *param,
                   const char *why)
{
	letter_filter_release(&request->filter);
	http_respond_problem(req, 400, "invalid_parameter", param, "%s.", why);
}

/* False after refusing. */
static bool set(struct admin_dead_letters *d, struct http_request *req,
                struct letters_request *request, const char *name, const char *text)
{
	struct buf error = BUF_INIT;
	bool fine =
	    letter_filter_set(&request->filter, name, text, loop_wall_clock(d->loop), &error);
	if (!fine)
		refuse(req, request, name, buf_str(&error));
	buf_release(&error);
	return fine;
}

/* False after refusing. */
static bool limit(struct http_request *req, struct letters_request *request, int64_t initial,
                  int64_t most)
{
	char why[64];
	if (!request->filter.limit)
		request->filter.limit = initial;
	if (request->filter.limit <= most)
		return true;
	snprintf(why, sizeof why, "limit is at most %" PRId64, most);
	refuse(req, request, "limit", why);
	return false;
}

static bool read_query(struct admin_dead_letters *d, struct http_request *req,
                       struct letters_request *request, char *query)
{
	const char *name, *value;
	enum url_pair pair;
	while ((pair = url_query_next(&query, &name, &value)) == URL_PAIR)
		if (!set(d, req, request, name, value))
			return false;
	if (pair == URL_PAIR_END)
		return limit(req, request, 100, LIST_MAX);
	refuse(req, request, NULL, "The query string cannot be decoded");
	return false;
}

static void list(void *arg, struct http_request *req, const char *below)
{
	struct letters_request request = {.verb = LETTERS_LIST};
	char *query = strdup(http_request_query(req));
	(void)below;
	if (!query)
		http_respond_no_memory(req);
	else if (read_query(arg, req, &request, query))
		begin(arg, req, &request);
	free(query);
}

static void show(void *arg, struct http_request *req, const char *below)
{
	struct letters_request request = {.verb = LETTERS_SHOW, .filter.all = true};
	if (set(arg, req, &request, "id", below))
		begin(arg, req, &request);
}

/* ---- what is to be changed ---- */

static bool read_ids(struct admin_dead_letters *d, struct http_request *req,
                     struct letters_request *request, const json_t *ids)
{
	char text[32];
	json_t *id;
	size_t i;
	if (!json_array_size(ids)) {
		refuse(req, request, "ids", "ids must be an array of numbers, and not empty");
		return false;
	}
	json_array_foreach(ids, i, id)
	{
		snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
		if (!set(d, req, request, "id", text))
			return false;
	}
	return true;
}

static bool read_flag(struct http_request *req, struct letters_request *request, const char *name,
                      const json_t *value, bool *flag)
{
	*flag = json_is_true(value);
	if (json_is_boolean(value))
		return true;
	refuse(req, request, name, "It must be true or false");
	return false;
}

static bool read_by(struct http_request *req, struct letters_request *request, const json_t *value)
{
	const char *by = json_string_value(value);
	if (by && *by && strlen(by) < sizeof request->by) {
		snprintf(request->by, sizeof request->by, "%s", by);
		return true;
	}
	refuse(req, request, "by", "by must be text of 1 to 199 bytes");
	return false;
}

static bool read_member(struct admin_dead_letters *d, struct http_request *req,
                        struct letters_request *request, const char *name, const json_t *value,
                        bool *all_open)
{
	char number[32];
	const char *text = json_string_value(value);
	if (!strcmp(name, "ids"))
		return read_ids(d, req, request, value);
	if (!strcmp(name, "dry_run"))
		return read_flag(req, request, name, value, &request->dry_run);
	if (!strcmp(name, "all_open"))
		return read_flag(req, request, name, value, all_open);
	if (!strcmp(name, "by"))
		return read_by(req, request, value);
	if (json_is_integer(value)) {
		snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		text = number;
	}
	if (text && strcmp(name, "all") != 0 && strcmp(name, "id") != 0)
		return set(d, req, request, name, text);
	refuse(req, request, name,
	       "There are ids, topic, reason, sqlstate, since, before, limit, all_open, dry_run "
	       "and by, texts and numbers");
	return false;
}

/* False after refusing. */
static bool read_body(struct admin_dead_letters *d, struct http_request *req,
                      struct letters_request *request, json_t *body)
{
	bool all_open = false;
	const char *name;
	json_t *value;
	if (!json_is_object(body)) {
		refuse(req, request, NULL, "The body must be a JSON object");
		return false;
	}
	json_object_foreach(body, name, value) if (!read_member(d, req, request, name, value,
	                                                        &all_open)) return false;
	if (all_open != letter_filter_is_open(&request->filter)) {
		refuse(req, request, all_open ? "all_open" : NULL,
		       all_open ? "all_open does not go with ids or conditions"
		                : "Which? Give ids or conditions, or say all_open");
		return false;
	}
	return limit(req, request, CHANGE_LIMIT, CHANGE_MAX);
}

static void change(struct admin_dead_letters *d, struct http_request *req, enum letters_verb verb)
{
	struct letters_request request = {.verb = verb, .by = "admin"};
	size_t len;
	const char *text = http_request_body(req, &len);
	json_error_t error;
	json_t *body = json_tree_load(text ? text : "", text ? len : 0, &error);
	if (!body && !*error.text)
		http_respond_no_memory(req);
	else if (read_body(d, req, &request, body))
		begin(d, req, &request);
	json_decref(body);
}

static void redrive(void *arg, struct http_request *req, const char *below)
{
	(void)below;
	change(arg, req, LETTERS_REDRIVE);
}

static void discard(void *arg, struct http_request *req, const char *below)
{
	(void)below;
	change(arg, req, LETTERS_DISCARD);
}

/* ---- life ---- */

struct admin_dead_letters *admin_dead_letters_new(struct loop *loop, struct admin *admin,
                                                  const struct dead_letters_config *config)
{
	struct admin_dead_letters *d = calloc(1, sizeof *d);
	if (!d)
		return NULL;
	d->loop = loop;
	d->admin = admin;
	d->config = config;
	TAILQ_INIT(&d->errands);
	admin_route_add(admin, HTTP_GET, "/dead-letters", list, d);
	admin_route_add(admin, HTTP_GET, "/dead-letters/", show, d);
	admin_route_add(admin, HTTP_POST, "/dead-letters/redrive", redrive, d);
	admin_route_add(admin, HTTP_POST, "/dead-letters/discard", discard, d);
	return d;
}

void admin_dead_letters_free(struct admin_dead_letters *d)
{
	struct errand *errand;
	if (!d)
		return;
	admin_route_remove(d->admin, d);
	while ((errand = TAILQ_FIRST(&d->errands)))
		end(errand);
	free(d);
}
