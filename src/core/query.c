/* SPDX-License-Identifier: MIT */
/* One question under way: how its rows become the response. */
#include "query.h"

#include "json_writer.h"
#include "pg_value.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define IDLE_MAX     64          /* queries kept for the next requests */
#define IDLE_BYTES   (64 * 1024) /* a buffer that grew above this is given back */
#define STREAM_BYTES (16 * 1024) /* of a stream are collected before they are written */

/* ---- the memory of a query ---- */

static void shrink(struct buf *b)
{
	if (b->cap > IDLE_BYTES)
		buf_release(b);
}

static void destroy(struct query *q)
{
	param_release(&q->request);
	answer_release(&q->rows.answer);
	answer_release(&q->count.answer);
	row_writer_release(&q->writer);
	buf_release(&q->body);
	buf_release(&q->trouble);
	free(q);
}

void query_free_idle(struct query_bus *bus)
{
	struct query *q;
	while ((q = LIST_FIRST(&bus->idle))) {
		LIST_REMOVE(q, link);
		destroy(q);
	}
}

struct query *query_take(struct query_bus *bus, struct http_request *http,
                         const struct query_route *route)
{
	struct query *q = LIST_FIRST(&bus->idle);
	if (q) {
		LIST_REMOVE(q, link);
		bus->n_idle--;
	} else if (!(q = calloc(1, sizeof *q))) {
		return NULL;
	}
	q->bus = bus;
	q->http = http;
	q->route = route;
	q->state = QUERY_DECIDING;
	q->holds = 1;
	q->rows.query = q->count.query = q;
	q->n_rows = 0;
	q->total = 0;
	q->next[0] = '\0';
	q->etag[0] = '\0';
	q->key.len = 0;
	answer_clear(&q->rows.answer);
	answer_clear(&q->count.answer);
	buf_clear(&q->body);
	buf_clear(&q->trouble);
	LIST_INSERT_HEAD(&bus->busy, q, link);
	return q;
}

void query_let_go(struct query *q)
{
	struct query_bus *bus = q->bus;
	if (--q->holds)
		return;
	assert(q->state == QUERY_OVER);
	LIST_REMOVE(q, link);
	if (bus->n_idle == IDLE_MAX) {
		destroy(q);
		return;
	}
	shrink(&q->body);
	shrink(&q->request.text);
	shrink(&q->rows.answer.data);
	LIST_INSERT_HEAD(&bus->idle, q, link);
	bus->n_idle++;
}

void query_finish(struct query *q)
{
	q->state = QUERY_OVER;
	q->holds++;
	if (q->rows.open)
		pg_query_abandon(&q->rows.pg);
	if (q->count.open)
		pg_query_abandon(&q->count.pg);
	query_let_go(q);
}

void query_on_gone(void *arg)
{
	query_finish(arg);
}

/* ---- writing rows ---- */

static void put_row(struct query *q, const PGresult *rows, int row)
{
	const struct cqrs_route *def = q->route->def;
	struct cqrs_json out;
	if (q->media == MEDIA_CSV) {
		row_writer_csv(&q->writer, rows, row, &q->body);
	} else if (def->row) {
		json_writer_init(&out, &q->body);
		def->row(q->route->owner->self, &q->request, rows, row, &out);
	} else {
		row_writer_json(&q->writer, rows, row, &q->body);
	}
	if (q->media == MEDIA_NDJSON)
		buf_putc(&q->body, '\n');
}

static enum row_time time_format(const struct cqrs_value *name)
{
	if (name->s.len == 4)
		return ROW_TIME_UNIX;
	return name->s.data[0] == 'u' ? ROW_TIME_UNIX_MS : ROW_TIME_RFC3339;
}

static bool begin_rows(struct query *q, const PGresult *rows)
{
	enum row_time format = time_format(param_core(&q->request, PARAM_TIME_FORMAT));
	if ((!q->route->def->row || q->media == MEDIA_CSV) &&
	    !row_writer_init(&q->writer, rows, format, &q->trouble))
		return false;
	if (q->media == MEDIA_CSV)
		row_writer_csv_header(rows, &q->body);
	return true;
}

/* The cursor behind row `row`, the last of this page. */
static void put_cursor(struct query *q, const PGresult *rows, int row)
{
	const char *const *key = q->route->def->key;
	int columns[CQRS_KEY_MAX];
	size_t n = 0;
	for (; key[n]; n++)
		columns[n] = PQfnumber(rows, key[n]);
	const char *error =
	    cursor_encode(q->next, q->route->hash ^ q->request.hash, rows, row, columns, n);
	if (error)
		buf_puts(&q->trouble, error);
}

/* As JSON alone: the same tag for another format of it would be wrong (RFC 9110, 8.8.3). */
static void put_etag(struct query *q, const PGresult *rows, int row)
{
	const char *name = q->route->def->etag;
	if (!name || q->media != MEDIA_JSON)
		return;
	int column = PQfnumber(rows, name);
	if (column < 0 ||
	    (!etag_from_value(q->etag, rows, row, column, &q->body) && !q->body.failed))
		buf_printf(&q->trouble, "its column \"%s\" makes no ETag", name);
}

void query_write_rows(struct query *q, const PGresult *rows, int first, int n)
{
	bool array = q->media == MEDIA_JSON && !q->route->def->one;
	buf_clear(&q->body);
	q->body.max = q->bus->max_response_bytes;
	if (!begin_rows(q, rows))
		return;
	if (array)
		buf_putc(&q->body, '[');
	for (int i = 0; i < n && !q->body.failed; i++) {
		if (i && array)
			buf_putc(&q->body, ',');
		put_row(q, rows, first + i);
	}
	if (array)
		buf_putc(&q->body, ']');
	if (q->media == MEDIA_JSON)
		buf_putc(&q->body, '\n');
	if (n)
		put_etag(q, rows, first);
	metric_add(q->route->rows, n);
}

static void on_rows(struct pg_query *pg, const PGresult *rows)
{
	struct query *q = ((struct statement *)pg)->query;
	/* The pool may ask twice, if a connection is lost between the rows and their end. */
	buf_clear(&q->trouble);
	q->n_rows = PQntuples(rows);
	int n = q->route->def->one && q->n_rows ? 1 : q->n_rows;
	if (q->page.limit && n > q->page.limit) {
		n = (int)q->page.limit;
		put_cursor(q, rows, n - 1);
	}
	query_write_rows(q, rows, 0, n);
}

static void on_count(struct pg_query *pg, const PGresult *rows)
{
	struct query *q = ((struct statement *)pg)->query;
	if (PQntuples(rows) == 1 && PQgetlength(rows, 0, 0) == 8)
		q->total = (int64_t)pg_get64(PQgetvalue(rows, 0, 0));
}

/* ---- the response ---- */

/* Who does not see the link to the next page takes this one for the last. */
static bool put_page_headers(struct query *q)
{
	char total[24];
	bool ok = true;
	if (q->page.counted) {
		snprintf(total, sizeof total, "%" PRId64, q->total);
		http_respond_header(q->http, "Total-Count", total);
	}
	if (q->next[0]) {
		struct buf link = BUF_INIT;
		page_link(&q->page, &link, http_request_path(q->http), http_request_query(q->http),
		          q->next);
		http_respond_header(q->http, "Link", buf_str(&link));
		ok = !link.failed;
		buf_release(&link);
	}
	return ok;
}

/* Whether the client has the answer already. */
static bool put_etag_header(struct http_request *http, const char *etag)
{
	const char *known = *etag ? http_request_header(http, "If-None-Match") : NULL;
	if (*etag)
		http_respond_header(http, "ETag", etag);
	return known && etag_is_named(known, etag);
}

void query_respond_cached(struct http_request *http, const struct cached_answer *answer)
{
	http_respond_header(http, "Vary", "Accept");
	if (put_etag_header(http, answer->etag))
		http_respond(http, 304, NULL, NULL, 0);
	else
		http_respond(http, 200, media_type_content_type(MEDIA_JSON), answer->body,
		             answer->len);
}

const char *query_view(const struct query_route *route)
{
	return route->def->view ? route->def->view : route->base.module;
}

static void keep(const struct query *q)
{
	answer_cache_keep(q->bus->cache, q->asked, query_view(q->route), q->key.text, q->key.len,
	                  q->etag, q->body.data, q->body.len);
}

void query_respond(struct query *q)
{
	const char *type = media_type_content_type(q->media);
	if (q->trouble.len || q->trouble.failed) {
		query_refuse_broken(q, buf_str(&q->trouble));
	} else if (q->body.is_full) {
		query_refuse(
		    q, 400, "answer_too_large", NULL,
		    "the answer is larger than this server keeps in memory: ask for fewer rows, or "
		    "for text/csv or application/x-ndjson where they are streamed");
	} else if (q->route->def->one && !q->n_rows) {
		query_refuse(q, 404, "not_found", NULL, "there is nothing with this name");
	} else if (q->body.failed || !put_page_headers(q)) {
		query_refuse_memory(q);
	} else {
		if (q->key.len)
			keep(q);
		http_respond_header(q->http, "Vary", "Accept");
		if (put_etag_header(q->http, q->etag)) {
			http_respond(q->http, 304, NULL, NULL, 0);
		} else if (q->page.stream) { /* HEAD: as GET would begin */
			http_stream_begin(q->http, 200, type, NULL, NULL);
			http_stream_end(q->http);
		} else {
			http_respond(q->http, 200, type, q->body.data, q->body.len);
		}
		query_finish(q);
	}
}

/* ---- streams ---- */

static void on_writable(void *arg)
{
	struct query *q = arg;
	if (q->rows.open)
		pg_query_pause(&q->rows.pg, false);
}

static void flush(struct query *q)
{
	if (!q->body.len)
		return;
	bool wants_more = http_stream_write(q->http, q->body.data, q->body.len);
	buf_clear(&q->body);
	if (!wants_more && q->rows.open)
		pg_query_pause(&q->rows.pg, true);
}

static void on_stream_rows(struct pg_query *pg, const PGresult *rows)
{
	struct query *q = ((struct statement *)pg)->query;
	if (q->state == QUERY_OVER)
		return;
	if (q->state == QUERY_WAITING) {
		q->body.max = 0;
		if (!begin_rows(q, rows)) {
			query_refuse_broken(q, buf_str(&q->trouble));
			return;
		}
		http_respond_header(q->http, "Vary", "Accept");
		put_page_headers(q);
		q->state = QUERY_STREAMING;
		http_stream_begin(q->http, 200, media_type_content_type(q->media), on_writable, q);
	}
	int n = PQntuples(rows);
	for (int i = 0; i < n; i++)
		put_row(q, rows, i);
	metric_add(q->route->rows, n);
	if (q->body.failed)
		query_refuse_memory(q);
	else if (q->body.len >= STREAM_BYTES)
		flush(q);
}

/* ---- the end of a statement ---- */

static void on_done(struct pg_query *pg, enum pg_answer answer, const struct pg_error *error)
{
	struct statement *s = (struct statement *)pg;
	struct query *q = s->query;
	s->open = false;
	if (q->state == QUERY_OVER) {
		/* Abandoned: how it ended is nobody's concern. */
	} else if (answer != PG_ANSWER_OK) {
		query_refuse_answer(q, answer, error);
	} else if (q->state == QUERY_STREAMING) {
		flush(q);
		http_stream_end(q->http);
		query_finish(q);
	} else if (!q->rows.open && !q->count.open) {
		query_respond(q);
	}
	query_let_go(q);
}

/* ---- sending ---- */

static bool submit(struct query *q, struct statement *s, pg_query_result_fn *on_result, bool stream)
{
	struct cqrs_answer *answer = &s->answer;
	s->pg.sql = answer->sql.data;
	s->pg.n_params = answer->n;
	s->pg.types = answer->types;
	s->pg.values = answer->values;
	s->pg.lengths = answer->lengths;
	s->pg.deadline = http_request_time(q->http) + q->bus->timeout_us;
	s->pg.stream = stream;
	s->pg.on_result = on_result;
	s->pg.done = on_done;
	s->open = pg_pool_submit(q->bus->pool, &s->pg);
	q->holds += s->open;
	if (!s->open)
		query_refuse_overloaded(q);
	return s->open;
}

bool query_submit_rows(struct query *q)
{
	bool stream = q->page.stream && http_request_method(q->http) != HTTP_HEAD;
	q->state = QUERY_WAITING;
	return submit(q, &q->rows, stream ? on_stream_rows : on_rows, stream);
}

bool query_submit_count(struct query *q)
{
	return submit(q, &q->count, on_count, false);
}
