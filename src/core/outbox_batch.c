/* SPDX-License-Identifier: MIT */
/* The rows of the outbox that are on their way to Kafka together. */
#include "outbox_batch.h"

#include "container.h"
#include "json_tree.h"
#include "pg_value.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX 64

enum column { COLUMN_ID, COLUMN_TOPIC, COLUMN_KEY, COLUMN_HEADERS, COLUMN_PAYLOAD };

struct row {
	struct kafka_record record;
	struct outbox_batch *batch;
	int64_t id;
	uint64_t lane; /* hash of topic and key: what has to stay in order */
	size_t topic;  /* in batch->topics */
	bool is_stored;
	int32_t partition; /* where, if it is */
	int64_t offset;
};

struct outbox_batch {
	struct row *rows;
	int n, open;
	struct buf topics; /* their names, each once and terminated */
	loop_fn *settled;  /* NULL: nobody is interested any more */
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
	buf_release(&batch->topics);
	free(batch->rows);
	free(batch);
}

static void on_sent(struct kafka_record *record, int32_t partition, int64_t offset,
                    const char *error)
{
	struct row *row = container_of(record, struct row, record);
	struct outbox_batch *batch = row->batch;
	row->is_stored = error == NULL;
	row->partition = partition;
	row->offset = offset;
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

/* Where the name stands in batch->topics, whose `failed` tells of no memory. */
static size_t topic_place(struct outbox_batch *batch, const char *name)
{
	struct buf *topics = &batch->topics;
	size_t at = 0;
	while (at < topics->len && strcmp(topics->data + at, name) != 0)
		at += strlen(topics->data + at) + 1;
	if (at == topics->len)
		buf_add(topics, name, strlen(name) + 1);
	return at;
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
	row->id = (int64_t)pg_get64(PQgetvalue(rows, i, COLUMN_ID));
	row->topic = topic_place(row->batch, PQgetvalue(rows, i, COLUMN_TOPIC));
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
	bool taken = !row->batch->topics.failed && kafka_sink_send(sink, record);
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

static bool is_deletable(const struct outbox_batch *batch, int i)
{
	return batch->rows[i].is_stored && !(*batch->error && is_overtaken(batch, i));
}

/* Whether no later row of the batch stands in the same partition. */
static bool is_last(const struct outbox_batch *batch, int i)
{
	const struct row *row = &batch->rows[i];
	for (int j = i + 1; j < batch->n; j++)
		if (batch->rows[j].is_stored && batch->rows[j].topic == row->topic &&
		    batch->rows[j].partition == row->partition)
			return false;
	return row->is_stored;
}

const Oid outbox_done_types[OUTBOX_DONE_N] = {PG_OID_INT8_ARRAY, PG_OID_TEXT_ARRAY,
                                              PG_OID_INT4_ARRAY, PG_OID_INT8_ARRAY};

enum done { DONE_IDS, DONE_TOPICS, DONE_PARTITIONS, DONE_OFFSETS };

static void add_element(const struct outbox_batch *batch, int i, enum done what, struct buf *out)
{
	const struct row *row = &batch->rows[i];
	const char *topic = batch->topics.data + row->topic;
	switch (what) {
	case DONE_TOPICS:
		buf_put32(out, (uint32_t)strlen(topic));
		buf_puts(out, topic);
		break;
	case DONE_PARTITIONS:
		buf_put32(out, 4);
		buf_put32(out, (uint32_t)row->partition);
		break;
	default:
		buf_put32(out, 8);
		buf_put64(out, (uint64_t)(what == DONE_IDS ? row->id : row->offset + 1));
	}
}

/* The `n` elements that `chosen` has. */
static void add_array(const struct outbox_batch *batch, enum done what, const bool *chosen,
                      size_t n, struct buf *out)
{
	static const Oid elements[OUTBOX_DONE_N] = {PG_OID_INT8, PG_OID_TEXT, PG_OID_INT4,
	                                            PG_OID_INT8};
	pg_array_begin(out, elements[what], false, n);
	for (int i = 0; i < batch->n; i++)
		if (chosen[i])
			add_element(batch, i, what, out);
}

static size_t choose(const struct outbox_batch *batch,
                     bool (*is_chosen)(const struct outbox_batch *batch, int i), bool *chosen)
{
	size_t n = 0;
	for (int i = 0; i < batch->n; i++)
		n += chosen[i] = is_chosen(batch, i);
	return n;
}

int outbox_batch_done(const struct outbox_batch *batch, struct outbox_done *done)
{
	bool *deletable = calloc((size_t)batch->n, 2 * sizeof *deletable);
	bool *last = deletable ? deletable + batch->n : NULL;
	size_t ends[OUTBOX_DONE_N + 1] = {0};
	buf_clear(&done->data);
	size_t n = deletable ? choose(batch, is_deletable, deletable) : 0;
	size_t places = n ? choose(batch, is_last, last) : 0;
	for (enum done what = DONE_IDS; n && what <= DONE_OFFSETS; what++) {
		bool ids = what == DONE_IDS;
		add_array(batch, what, ids ? deletable : last, ids ? n : places, &done->data);
		ends[what + 1] = done->data.len;
	}
	for (int i = 0; i < OUTBOX_DONE_N; i++) {
		done->values[i] = done->data.data + ends[i];
		done->lengths[i] = (int)(ends[i + 1] - ends[i]);
	}
	free(deletable);
	return done->data.failed ? 0 : (int)n;
}

const char *outbox_batch_error(const struct outbox_batch *batch)
{
	return *batch->error ? batch->error : NULL;
}
