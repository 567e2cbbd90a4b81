/* SPDX-License-Identifier: MIT */
/* Reads that see what was written. */
#include "consistency.h"

#include "container.h"
#include "log.h"
#include "pg_value.h"
#include "prefer.h"
#include "token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define DEFAULT_WAIT_S 2
#define SOON_US        2000  /* between two questions, at first */
#define LATER_US       25000 /* and at last */
#define IDLE_MAX       64
#define LOG_US         1000000

/* One row for each of those whose view has come so far. */
#define ASK_SQL                                                                       \
	"SELECT t.n FROM unnest($1, $2, $3, $4, $5) AS t (n, view, topic, partition," \
	" \"offset\") GROUP BY t.n HAVING bool_and(cqrs.applied(t.view, t.topic,"     \
	" t.partition, t.\"offset\"))"
#define PARAMS 5

enum param { PARAM_N, PARAM_VIEW, PARAM_TOPIC, PARAM_PARTITION, PARAM_OFFSET };

struct waiting {
	struct consistency *consistency;
	const struct route *route;
	struct http_request *http;
	struct param_text path[PARAM_PATH_MAX];
	const char *view;
	route_handle_fn *go_on;
	struct token_place places[TOKEN_PLACES_MAX]; /* in the request's header */
	size_t n_places;
	struct prefer prefer;
	int64_t deadline; /* loop_now() */
	LIST_ENTRY(waiting) link;
};

LIST_HEAD(waiting_list, waiting);

struct consistency {
	struct loop *loop;
	struct pg_pool *pool;
	struct consistency_config config;
	struct waiting_list busy, idle;
	size_t n_busy, n_idle;
	struct timer *tick;
	int64_t pause_us; /* before the next question */
	int64_t ask_at;
	struct pg_query query;
	bool is_asking;
	struct buf params;
	const char *values[PARAMS];
	int lengths[PARAMS];
	struct waiting **asked; /* NULL: gone meanwhile */
	size_t n_asked;
	int64_t logged_at;
	struct metric *seconds, *late;
};

/* ---- who waits ---- */

static struct waiting *take(struct consistency *c)
{
	struct waiting *w = LIST_FIRST(&c->idle);
	if (w) {
		LIST_REMOVE(w, link);
		c->n_idle--;
	} else if (!(w = malloc(sizeof *w))) {
		return NULL;
	}
	LIST_INSERT_HEAD(&c->busy, w, link);
	c->n_busy++;
	return w;
}

static void let_go(struct waiting *w)
{
	struct consistency *c = w->consistency;
	for (size_t i = 0; i < c->n_asked; i++)
		if (c->asked[i] == w)
			c->asked[i] = NULL;
	LIST_REMOVE(w, link);
	c->n_busy--;
	if (c->n_idle == IDLE_MAX) {
		free(w);
		return;
	}
	LIST_INSERT_HEAD(&c->idle, w, link);
	c->n_idle++;
}

static void on_gone(void *arg)
{
	let_go(arg);
}

/* Its request is answered as if it had come now. */
static void go_on(struct waiting *w)
{
	struct waiting copy = *w;
	metric_observe(w->consistency->seconds,
	               (double)(loop_now(w->consistency->loop) - http_request_time(w->http)) / 1e6);
	http_request_on_gone(w->http, NULL, NULL);
	let_go(w);
	copy.go_on(copy.route, copy.http, copy.path);
}

static void give_up(struct waiting *w)
{
	struct http_request *http = w->http;
	metric_add(w->consistency->late, 1);
	if (w->prefer.lenient) {
		http_respond_header(http, "Warning", "199 cqrsd \"older than Consistency-Token\"");
		http_respond_header(http, "Preference-Applied", "handling=lenient");
		go_on(w);
		return;
	}
	http_request_on_gone(http, NULL, NULL);
	let_go(w);
	http_respond_header(http, "Retry-After", "1");
	http_respond_problem(http, 503, "not_applied_yet", NULL,
	                     "what Consistency-Token names is not to be seen yet: try again, wait "
	                     "longer (Prefer: wait=10), or do without (Prefer: handling=lenient)");
}

/* ---- the question ---- */

static void put(struct consistency *c, enum param param, const struct waiting *w, size_t n,
                const struct token_place *place)
{
	struct buf *out = &c->params;
	switch (param) {
	case PARAM_N:
		buf_put32(out, 4);
		buf_put32(out, (uint32_t)n);
		break;
	case PARAM_VIEW:
		buf_put32(out, (uint32_t)strlen(w->view));
		buf_puts(out, w->view);
		break;
	case PARAM_TOPIC:
		buf_put32(out, (uint32_t)place->topic_len);
		buf_add(out, place->topic, place->topic_len);
		break;
	case PARAM_PARTITION:
		buf_put32(out, 4);
		buf_put32(out, (uint32_t)place->partition);
		break;
	default:
		buf_put32(out, 8);
		buf_put64(out, (uint64_t)place->offset);
	}
}

/* The places of all who were `asked`, as five arrays; false: no memory. */
static bool list_places(struct consistency *c)
{
	static const Oid elements[PARAMS] = {PG_OID_INT4, PG_OID_TEXT, PG_OID_TEXT, PG_OID_INT4,
	                                     PG_OID_INT8};
	size_t ends[PARAMS + 1] = {0}, total = 0;
	for (size_t i = 0; i < c->n_asked; i++)
		total += c->asked[i]->n_places;
	buf_clear(&c->params);
	for (enum param param = PARAM_N; param <= PARAM_OFFSET; param++) {
		pg_array_begin(&c->params, elements[param], false, total);
		for (size_t i = 0; i < c->n_asked; i++)
			for (size_t k = 0; k < c->asked[i]->n_places; k++)
				put(c, param, c->asked[i], i, &c->asked[i]->places[k]);
		ends[param + 1] = c->params.len;
	}
	for (int i = 0; i < PARAMS; i++) {
		c->values[i] = c->params.data + ends[i];
		c->lengths[i] = (int)(ends[i + 1] - ends[i]);
	}
	return !c->params.failed;
}

static void on_come(struct pg_query *query, const PGresult *answer)
{
	struct consistency *c = container_of(query, struct consistency, query);
	for (int i = 0; i < PQntuples(answer); i++) {
		struct waiting *w = c->asked[pg_get32(PQgetvalue(answer, i, 0))];
		if (w)
			go_on(w);
	}
}

static void on_done(struct pg_query *query, enum pg_answer answer, const struct pg_error *error)
{
	struct consistency *c = container_of(query, struct consistency, query);
	int64_t now = loop_now(c->loop);
	c->is_asking = false;
	c->n_asked = 0;
	c->ask_at = now + c->pause_us;
	c->pause_us = c->pause_us < LATER_US / 2 ? c->pause_us * 2 : LATER_US;
	if (answer != PG_ANSWER_REFUSED || (c->logged_at && now - c->logged_at < LOG_US))
		return;
	c->logged_at = now;
	log_error("query: nobody can wait with a Consistency-Token: %s", error->message);
}

static void ask(struct consistency *c)
{
	struct waiting *w;
	c->n_asked = 0;
	LIST_FOREACH (w, &c->busy, link)
		c->asked[c->n_asked++] = w;
	c->query.deadline = loop_now(c->loop) + c->config.timeout_us;
	c->is_asking = list_places(c) && pg_pool_submit(c->pool, &c->query);
	if (!c->is_asking)
		c->n_asked = 0;
}

static void on_tick(void *arg)
{
	struct consistency *c = arg;
	int64_t now = loop_now(c->loop);
	struct waiting *w = LIST_FIRST(&c->busy), *next;
	for (; w; w = next) {
		next = LIST_NEXT(w, link);
		if (now >= w->deadline)
			give_up(w);
	}
	if (!c->n_busy)
		return;
	if (!c->is_asking && now >= c->ask_at)
		ask(c);
	timer_arm(c->tick, SOON_US);
}

/* ---- for the bus ---- */

static bool refuse(struct http_request *http, int status, const char *code, const char *text)
{
	if (status == 503)
		http_respond_header(http, "Retry-After", "1");
	http_respond_problem(http, status, code, status == 400 ? "Consistency-Token" : NULL, "%s",
	                     text);
	return true;
}

bool consistency_wait(struct consistency *c, const struct route *route, struct http_request *http,
                      const struct param_text *path, const char *view, route_handle_fn *go_on_fn)
{
	const char *token = http_request_header(http, "Consistency-Token");
	struct token_place places[TOKEN_PLACES_MAX];
	size_t n = token ? token_parse(token, places) : 0;
	if (!token)
		return false;
	if (!n)
		return refuse(http, 400, "invalid_header",
		              "Consistency-Token is topic:partition@offset, up to 16 of them with "
		              "commas between: as the answer to a command had it");
	if (c->n_busy == c->config.max_waiting)
		return refuse(http, 503, "overloaded",
		              "too many requests wait for what was written, try again soon");
	struct waiting *w = take(c);
	if (!w) {
		http_respond_no_memory(http);
		return true;
	}
	*w = (struct waiting){.consistency = c,
	                      .route = route,
	                      .http = http,
	                      .view = view,
	                      .go_on = go_on_fn,
	                      .n_places = n,
	                      .prefer = prefer_parse(http_request_header(http, "Prefer")),
	                      .link = w->link};
	memcpy(w->places, places, n * sizeof *places);
	memcpy(w->path, path, route->params.n_path * sizeof *path);
	int64_t wait_us = (w->prefer.wait_s ? w->prefer.wait_s : DEFAULT_WAIT_S) * 1000000;
	w->deadline = http_request_time(http) +
	              (wait_us < c->config.max_wait_us ? wait_us : c->config.max_wait_us);
	http_request_on_gone(http, on_gone, w);
	/* Who comes does not wait for the pause of those before. */
	c->pause_us = SOON_US;
	c->ask_at = loop_now(c->loop);
	timer_arm(c->tick, 0);
	return true;
}

struct consistency *consistency_new(struct loop *loop, struct pg_pool *pool,
                                    const struct consistency_config *config,
                                    struct metrics *metrics)
{
	static const Oid types[PARAMS] = {PG_OID_INT4_ARRAY, PG_OID_TEXT_ARRAY, PG_OID_TEXT_ARRAY,
	                                  PG_OID_INT4_ARRAY, PG_OID_INT8_ARRAY};
	struct consistency *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->config = *config;
	c->loop = loop;
	c->pool = pool;
	LIST_INIT(&c->busy);
	LIST_INIT(&c->idle);
	c->query = (struct pg_query){.sql = ASK_SQL,
	                             .n_params = PARAMS,
	                             .types = types,
	                             .values = c->values,
	                             .lengths = c->lengths,
	                             .on_result = on_come,
	                             .done = on_done};
	c->seconds = metrics_histogram(metrics, "cqrsd_consistency_seconds", "",
	                               "Time that requests with a Consistency-Token have waited",
	                               metrics_seconds, metrics_n_seconds);
	c->late = metrics_counter(metrics, "cqrsd_consistency_late_total", "",
	                          "Requests whose Consistency-Token was not to be seen in time");
	c->asked = calloc(config->max_waiting, sizeof *c->asked);
	c->tick = timer_new(loop, on_tick, c);
	if (c->asked && c->tick)
		return c;
	consistency_free(c);
	return NULL;
}

void consistency_free(struct consistency *c)
{
	struct waiting *w;
	if (!c)
		return;
	while ((w = LIST_FIRST(&c->busy)) || (w = LIST_FIRST(&c->idle))) {
		LIST_REMOVE(w, link);
		free(w);
	}
	timer_free(c->tick);
	buf_release(&c->params);
	free(c->asked);
	free(c);
}
