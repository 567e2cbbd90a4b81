/* SPDX-License-Identifier: MIT */
/* The rows of the outbox that are on their way to Kafka together. */
#include "outbox_batch.h"

#include "container.h"
#include "json_tree.h"

#include <endian.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX 64
#define INT8_OID    20

enum column { COLUMN_ID, COLUMN_TOPIC, COLUMN_KEY, COLUMN_HEADERS, COLUMN_PAYLOAD };

struct row {
	struct kafka_record record;
	struct outbox_batch *batch;
	int64_t id;
	uint64_t lane; /* hash of topic and key: what has to stay in order */
	bool is_stored;
};

struct outbox_batch {
	struct row *rows;
	int n, open;
	loop_fn *settled; /* NULL: nobody is interested any more */
	void *arg;
	char error[256];
};

static uint64_t hash(uint64_t seed, const void *data, size_t len)
{
	const unsigned char *p = data;
	for (size_t i = 0; i < len; i++)
		seed = (seed ^ p[i]) * UINT64_C(0x100000001b3);
	/* One more step, so that "ab" + "c" is not "a" + "bc". */
	return (seed ^ len) * UINT64_C(0x100000001b3);
}

static void destroy(struct outbox_batch *batch)
{
	free(batch->rows);
	free(batch);
}

static void on_sent(struct kafka_record *record, int32_t partition, int64_t offset,
                    const char *error)
{
	struct row *row = container_of(record, struct row, record);
	struct outbox_batch *batch = row->batch;
	(void)partition;
	(void)offset;
	row->is_stored = error == NULL;
	if (error && !*batch->error)
		snprintf(batch->error, sizeof batch->error, "event %" PRId64 ": %s", row->id,
		         error);
	if (--batch->open)
		return;
	if (batch->settled)
		batch->settled(batch->arg);
	else
		destroy(batch);
}

static const void *bytes(const PGresult *rows, int row, int column, size_t *len)
{
	*len = (size_t)PQgetlength(rows, row, column);
	return PQgetisnull(rows, row, column) ? NULL : PQgetvalue(rows, row, column);
}

/* {"name": "value"}, both borrowed from `json`; what is no string is left out. */
static size_t read_headers(json_t *json, struct cqrs_header headers[HEADERS_MAX], bool *has_id)
{
	const char *name;
	json_t *value;
	size_t n = 0;
	json_object_foreach(json, name, value)
	{
		if (!json_is_string(value) || n == HEADERS_MAX - 1)
			continue;
		*has_id = *has_id || !strcmp(name, "event-id");
		headers[n++] =
		    (struct cqrs_header){name, json_string_value(value), json_string_length(value)};
	}
	return n;
}

static bool send_row(struct kafka_sink *sink, const PGresult *rows, int i, struct row *row)
{
	struct cqrs_header headers[HEADERS_MAX];
	char id[24];
	bool has_id = false;
	size_t len;
	const char *text = bytes(rows, i, COLUMN_HEADERS, &len);
	json_error_t error = {.text = "none"};
	json_t *json = text ? json_tree_load(text, len, &error) : NULL;
	if (!json && !*error.text)
		return false; /* there are headers, and no memory for them */
	uint64_t big;
	memcpy(&big, PQgetvalue(rows, i, COLUMN_ID), sizeof big);
	row->id = (int64_t)be64toh(big);
	struct kafka_record *record = &row->record;
	*record = (struct kafka_record){.topic = PQgetvalue(rows, i, COLUMN_TOPIC),
	                                .partition = KAFKA_PARTITION_ANY,
	                                .headers = headers,
	                                .n_headers = read_headers(json, headers, &has_id),
	                                .done = on_sent};
	record->key = bytes(rows, i, COLUMN_KEY, &record->key_len);
	record->value = bytes(rows, i, COLUMN_PAYLOAD, &record->value_len);
	if (!has_id) {
		int n = snprintf(id, sizeof id, "%" PRId64, row->id);
		headers[record->n_headers++] = (struct cqrs_header){"event-id", id, (size_t)n};
	}
	row->lane = hash(hash(UINT64_C(0xcbf29ce484222325), record->topic, strlen(record->topic)),
	                 record->key, record->key_len);
	bool taken = kafka_sink_send(sink, record);
	/* They die with this function. */
	record->topic = NULL;
	record->headers = NULL;
	json_decref(json);
	return taken;
}

struct outbox_batch *outbox_batch_send(struct kafka_sink *sink, const PGresult *rows,
                                       loop_fn *settled, void *arg)
{
	struct outbox_batch *batch = calloc(1, sizeof *batch);
	int n = PQntuples(rows);
	if (!batch)
		return NULL;
	batch->settled = settled;
	batch->arg = arg;
	batch->rows = calloc((size_t)n + 1, sizeof *batch->rows);
	for (; batch->rows && batch->n < n; batch->n++, batch->open++) {
		batch->rows[batch->n].batch = batch;
		if (!send_row(sink, rows, batch->n, &batch->rows[batch->n]))
			break;
	}
	if (batch->n)
		return batch;
	destroy(batch);
	return NULL;
}

void outbox_batch_free(struct outbox_batch *batch)
{
	if (!batch)
		return;
	batch->settled = NULL;
	if (!batch->open)
		destroy(batch);
}

static bool is_overtaken(const struct outbox_batch *batch, int i)
{
	for (int j = 0; j < i; j++)
		if (!batch->rows[j].is_stored && batch->rows[j].lane == batch->rows[i].lane)
			return true;
	return false;
}

int outbox_batch_deletable(const struct outbox_batch *batch, struct buf *ids)
{
	size_t begin = ids->len;
	int32_t n = 0;
	buf_put32(ids, 1); /* dimensions */
	buf_put32(ids, 0); /* no nulls */
	buf_put32(ids, INT8_OID);
	buf_put32(ids, 0); /* the count, below */
	buf_put32(ids, 1); /* counts from 1 */
	for (int i = 0; i < batch->n; i++) {
		const struct row *row = &batch->rows[i];
		if (!row->is_stored || (*batch->error && is_overtaken(batch, i)))
			continue;
		buf_put32(ids, sizeof(int64_t));
		buf_put64(ids, (uint64_t)row->id);
		n++;
	}
	if (ids->failed)
		return 0;
	uint32_t big = htobe32((uint32_t)n);
	memcpy(ids->data + begin + 3 * sizeof big, &big, sizeof big);
	return n;
}

const char *outbox_batch_error(const struct outbox_batch *batch)
{
	return *batch->error ? batch->error : NULL;
}
