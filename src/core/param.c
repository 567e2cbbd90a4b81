/* SPDX-License-Identifier: MIT */
/* The parameters of a route: what may be asked, and what a request asks. */
#include "param.h"

#include "param_value.h"
#include "suggest.h"
#include "url.h"

#include <assert.h>
#include <cqrs/query.h>
#include <cqrs/time.h>
#include <stdio.h>

_Static_assert(PARAM_TABLE_MAX <= 32, "`given` has one bit for each parameter");

static const struct cqrs_param core_params[PARAM_N_CORE] = {
    [PARAM_TIME_FORMAT] = {.name = "time_format",
                           .type = CQRS_PARAM_CHOICE,
                           .initial = "rfc3339",
                           .choices = "rfc3339|unix|unix_ms",
                           .help = "how times are written in the answer"},
    [PARAM_LIMIT] = {.name = "limit",
                     .type = CQRS_PARAM_INTEGER,
                     .initial = "100",
                     .min = 1,
                     .max = 1000,
                     .help = "rows in one answer; CSV and NDJSON without it are whole"},
    [PARAM_CURSOR] = {.name = "cursor",
                      .type = CQRS_PARAM_TEXT,
                      .min = 1,
                      .max = 1024,
                      .help = "continues where the last answer ended; from its Link header"},
    [PARAM_PAGE] = {.name = "page",
                    .type = CQRS_PARAM_INTEGER,
                    .min = 1,
                    .max = 1000000,
                    .help = "the page with this number, from 1; a cursor is faster"},
    [PARAM_PAGE_SIZE] = {.name = "page_size",
                         .type = CQRS_PARAM_INTEGER,
                         .initial = "100",
                         .min = 1,
                         .max = 1000,
                         .help = "rows on a page"},
    [PARAM_COUNT] = {.name = "count",
                     .type = CQRS_PARAM_CHOICE,
                     .choices = "exact",
                     .help = "adds the number of all rows as the header Total-Count"},
};

/* ---- the table ---- */

static size_t find(const struct param_table *t, const char *name, size_t len)
{
	for (size_t i = 0; i < t->n; i++) {
		const char *own = t->list[i]->name;
		if (own[0] == name[0] && !strncmp(own, name, len) && !own[len])
			return i;
	}
	return t->n;
}

static bool add(struct param_table *t, const struct cqrs_param *param, struct buf *error)
{
	struct param_error why;
	if (find(t, param->name, strlen(param->name)) < t->n) {
		buf_printf(error, "two parameters are called \"%s\"", param->name);
		return false;
	}
	if (t->n == PARAM_TABLE_MAX) {
		buf_printf(error, "more than %d parameters", CQRS_PARAMS_MAX);
		return false;
	}
	if (param->type == CQRS_PARAM_CHOICE && !param->choices) {
		buf_printf(error, "parameter \"%s\" has no choices", param->name);
		return false;
	}
	t->initial[t->n] = cqrs_null(param_value_type(param));
	if (param->initial && !param_value_parse(param, param->initial, strlen(param->initial),
	                                         CQRS_TIME_END / 2, &t->initial[t->n], &why)) {
		buf_printf(error, "default of parameter \"%s\": %s", param->name, why.text);
		return false;
	}
	t->list[t->n++] = param;
	return true;
}

static bool add_path(struct param_table *t, const struct param_text *name, struct buf *error)
{
	size_t i = find(t, name->text, name->len);
	if (i == t->n || t->in_path[i] || t->list[i]->repeatable || t->n_path == PARAM_PATH_MAX) {
		buf_printf(error,
		           "{%.*s} in the path needs a parameter of that name, once, that is "
		           "not repeatable",
		           (int)name->len, name->text);
		return false;
	}
	t->in_path[i] = true;
	t->path[t->n_path++] = i;
	return true;
}

bool param_table_init(struct param_table *table, const struct cqrs_param *own,
                      const struct param_text *path, size_t n_path, size_t n_core,
                      struct buf *error)
{
	*table = (struct param_table){.n = 0};
	for (; own && own->name; own++) {
		bool array = own->repeatable && param_value_type(own) != CQRS_INT4_ARRAY &&
		             param_value_type(own) != CQRS_TEXT_ARRAY;
		if (array || (own->repeatable && own->initial)) {
			buf_printf(error,
			           "parameter \"%s\": only text and integers within int4, without "
			           "a default, can be repeatable",
			           own->name);
			return false;
		}
		if (table->n == CQRS_PARAMS_MAX) {
			buf_printf(error, "more than %d parameters", CQRS_PARAMS_MAX);
			return false;
		}
		if (!add(table, own, error))
			return false;
	}
	table->n_own = table->n;
	for (size_t i = 0; i < n_path; i++) {
		if (!add_path(table, &path[i], error))
			return false;
	}
	for (size_t i = 0; i < n_core; i++) {
		if (!add(table, &core_params[i], error))
			return false;
	}
	return true;
}

/* ---- the request ---- */

static bool refuse_unknown(const struct param_table *t, const char *name, struct param_error *error)
{
	const char *names[PARAM_TABLE_MAX];
	size_t n = 0, at;
	for (size_t i = 0; i < t->n; i++) {
		if (!t->in_path[i])
			names[n++] = t->list[i]->name;
	}
	const char *near = suggest(name, names, n);
	snprintf(error->param, sizeof error->param, "%s", name);
	at = (size_t)snprintf(error->text, sizeof error->text, "unknown parameter \"%.64s\"", name);
	if (near)
		at += (size_t)snprintf(error->text + at, sizeof error->text - at,
		                       ", did you mean \"%s\"?", near);
	at += (size_t)snprintf(error->text + at, sizeof error->text - at,
	                       "%s This route takes: ", near ? "" : ".");
	for (size_t i = 0; i < n && at < sizeof error->text; i++)
		at += (size_t)snprintf(error->text + at, sizeof error->text - at, "%s%s",
		                       i ? ", " : "", names[i]);
	return false;
}

static bool refuse(struct param_error *error, const char *param, const char *text)
{
	snprintf(error->param, sizeof error->param, "%s", param);
	snprintf(error->text, sizeof error->text, "%s%s%s", param, *param ? " " : "", text);
	return false;
}

/* FNV-1a; the index keeps "a" of one parameter apart from "a" of the next. */
static uint64_t hash_text(uint64_t hash, size_t index, const char *text)
{
	hash = (hash ^ (index + 1)) * 0x100000001b3u;
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
	return hash;
}

static bool take_pair(const struct param_table *t, struct cqrs_request *req, size_t index,
                      const char *value, struct param_error *error)
{
	uint32_t bit = UINT32_C(1) << index;
	if ((req->given & bit) && !t->list[index]->repeatable)
		return refuse(error, t->list[index]->name, "is given more than once");
	if (req->n_pairs == PARAM_PAIRS_MAX)
		return refuse(error, "", "the query string has too many parameters");
	req->given |= bit;
	req->pairs[req->n_pairs].index = index;
	req->pairs[req->n_pairs++].value = value;
	if (index < t->n_own)
		req->hash = hash_text(req->hash, index, value);
	return true;
}

/* A terminated copy; the room was reserved. */
static char *copy(struct cqrs_request *req, const char *text, size_t len)
{
	char *at = req->text.data + req->text.len;
	memcpy(at, text, len);
	at[len] = '\0';
	req->text.len += len + 1;
	return at;
}

static bool collect(const struct param_table *t, struct cqrs_request *req,
                    const struct param_text *path, const char *query, struct param_error *error)
{
	size_t room = strlen(query) + 1;
	for (size_t i = 0; i < t->n_path; i++)
		room += path[i].len + 1;
	buf_clear(&req->text);
	if (!buf_reserve(&req->text, room))
		return !(error->no_memory = true);
	for (size_t i = 0; i < t->n_path; i++) {
		if (!take_pair(t, req, t->path[i], copy(req, path[i].text, path[i].len), error))
			return false;
	}
	char *rest = copy(req, query, strlen(query));
	const char *name, *value;
	enum url_pair kind;
	while ((kind = url_query_next(&rest, &name, &value)) != URL_PAIR_END) {
		if (kind == URL_PAIR_BAD)
			return refuse(error, "",
			              "the query string has a broken percent escape, or "
			              "text that is not UTF-8");
		size_t i = find(t, name, strlen(name));
		if (i == t->n || t->in_path[i])
			return refuse_unknown(t, name, error);
		if (!take_pair(t, req, i, value, error))
			return false;
	}
	return true;
}

/* What is one thing must not be two keys; `text` is in the request's own copy. */
static void small_letters(struct cqrs_request *req, const char *text)
{
	char *own = req->text.data + (text - req->text.data);
	for (; *own; own++)
		if (*own >= 'A' && *own <= 'F')
			*own = (char)(*own + 'a' - 'A');
}

/* All values given for one repeatable parameter become one array. */
static bool parse_repeated(struct cqrs_request *req, size_t index, int64_t now_us,
                           struct param_error *error)
{
	const struct cqrs_param *param = req->table->list[index];
	struct cqrs_value *items = req->items + req->n_items;
	size_t n = 0;
	for (size_t i = 0; i < req->n_pairs; i++) {
		if (req->pairs[i].index != index)
			continue;
		if (n == PARAM_REPEAT_MAX)
			return refuse(error, param->name, "is given more than 100 times");
		const char *text = req->pairs[i].value;
		if (!param_value_parse(param, text, strlen(text), now_us, &items[n++], error))
			return false;
	}
	req->n_items += n;
	req->values[index] =
	    (struct cqrs_value){.type = param_value_type(param), .a = {.items = items, .n = n}};
	return true;
}

static bool parse_defaults(struct cqrs_request *req, int64_t now_us, struct param_error *error)
{
	const struct param_table *t = req->table;
	for (size_t i = 0; i < t->n; i++) {
		const struct cqrs_param *p = t->list[i];
		req->values[i] = t->initial[i];
		/* "now-6h" is another time in each request. */
		if (p->type == CQRS_PARAM_TIME && p->initial &&
		    !param_value_parse(p, p->initial, strlen(p->initial), now_us, &req->values[i],
		                       error))
			return false;
	}
	return true;
}

bool param_parse(const struct param_table *table, struct cqrs_request *req,
                 const struct param_text *path, const char *query, int64_t now_us,
                 struct param_error *error)
{
	req->table = table;
	req->given = 0;
	req->hash = 0xcbf29ce484222325u;
	req->cursor = NULL;
	req->row_limit = CQRS_ROWS_ALL;
	req->n_pairs = req->n_items = 0;
	if (!collect(table, req, path, query, error) || !parse_defaults(req, now_us, error))
		return false;
	uint32_t seen = 0;
	for (size_t i = 0; i < req->n_pairs; i++) {
		size_t index = req->pairs[i].index;
		const char *text = req->pairs[i].value;
		if (seen & UINT32_C(1) << index)
			continue;
		seen |= UINT32_C(1) << index;
		if (table->list[index]->type == CQRS_PARAM_UUID)
			small_letters(req, text);
		bool ok = table->list[index]->repeatable
		              ? parse_repeated(req, index, now_us, error)
		              : param_value_parse(table->list[index], text, strlen(text), now_us,
		                                  &req->values[index], error);
		if (!ok)
			return false;
	}
	return true;
}

void param_release(struct cqrs_request *req)
{
	buf_release(&req->text);
}

const struct cqrs_value *param_core(const struct cqrs_request *req, enum param_core which)
{
	static const struct cqrs_value none = {.type = CQRS_TEXT, .is_null = true};
	size_t i = req->table->n_own + which;
	return i < req->table->n ? &req->values[i] : &none;
}

bool param_core_given(const struct cqrs_request *req, enum param_core which)
{
	size_t i = req->table->n_own + which;
	return i < req->table->n && (req->given >> i & 1);
}

/* ---- for modules ---- */

const struct cqrs_value *cqrs_param(const struct cqrs_request *req, const char *name)
{
	size_t i = find(req->table, name, strlen(name));
	assert(i < req->table->n); /* a module asks for what it declared */
	return &req->values[i];
}

const struct cqrs_value *cqrs_cursor(const struct cqrs_request *req)
{
	return req->cursor;
}

int64_t cqrs_row_limit(const struct cqrs_request *req)
{
	return req->row_limit;
}
