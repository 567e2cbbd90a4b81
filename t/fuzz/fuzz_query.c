/* SPDX-License-Identifier: MIT */
/*
 * Query strings: each is valid parameters or a refusal that says why, and
 * valid parameters are within their types and ranges.
 */
#include "page.h"
#include "param.h"
#include "pg_value.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct cqrs_param params[] = {
    {.name = "id", .type = CQRS_PARAM_INTEGER, .min = 1, .max = INT32_MAX},
    {.name = "big", .type = CQRS_PARAM_INTEGER},
    {.name = "sensor_id", .type = CQRS_PARAM_INTEGER, .repeatable = true, .min = 1, .max = 99},
    {.name = "name", .type = CQRS_PARAM_TEXT, .min = 1, .max = 5},
    {.name = "tag", .type = CQRS_PARAM_TEXT, .repeatable = true},
    {.name = "order", .type = CQRS_PARAM_CHOICE, .initial = "time", .choices = "time|-time"},
    {.name = "from", .type = CQRS_PARAM_TIME, .initial = "now-1h"},
    {.name = "bucket", .type = CQRS_PARAM_DURATION, .min = 1000, .max = INT64_C(86400000000)},
    {.name = NULL},
};

static void ck_value(const struct cqrs_param *param, const struct cqrs_value *value, struct buf *b)
{
	if (value->is_null)
		return;
	assert(pg_value_encode(b, value));
	if (param->type == CQRS_PARAM_INTEGER && !param->repeatable && (param->min || param->max))
		assert(value->i >= param->min && value->i <= param->max);
	for (size_t i = 0; param->repeatable && i < value->a.n; i++)
		assert(pg_value_encode(b, &value->a.items[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct param_table table;
	static struct cqrs_request req;
	static struct buf b;
	struct param_error error = {.text = ""};
	struct page page;
	char *query = malloc(size + 1);
	if (!query)
		return 0;
	memcpy(query, data, size);
	query[size] = '\0';
	if (!table.n &&
	    !param_table_init(&table, params, &(struct param_text){"id", 2}, 1, PARAM_N_CORE, &b))
		abort();
	size_t id = strcspn(query, "?");
	const char *rest = query[id] ? query + id + 1 : "";
	struct param_text path = {query, id};
	/* A path comes decoded, and the parser lets only text through. */
	if (pg_value_is_text(query, id)) {
		bool ok = param_parse(&table, &req, &path, rest, INT64_C(1646409307000000), &error);
		assert(ok || error.text[0]);
		for (size_t i = 0; ok && i < table.n; i++)
			ck_value(table.list[i], &req.values[i], &b);
		buf_clear(&b);
		if (ok && page_init(&page, &req, true, MEDIA_JSON, &error)) {
			assert(page.limit >= 1 && page.limit <= 1000 && page.offset >= 0);
			page_link(&page, &b, "/x", rest, "c");
			assert(!memchr(b.data + 1, '<', b.len - 1));
		}
		buf_clear(&b);
	}
	free(query);
	return 0;
}
