/* SPDX-License-Identifier: MIT */
/* What a command module may ask for, put into a batch. */
#include "batch.h"

#include "batch_internal.h"
#include "json_tree.h"
#include "pg_value.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REASON_MAX 500
#define EVENT_MAX \
	900000 /* bytes; Kafka takes 1 MB with what it adds, unless it is told otherwise */

static struct batch_message *message_now(struct cqrs_batch *batch)
{
	return &batch->messages[batch->n_messages - 1];
}

/* The element at hand, alive; NULL: nothing that is asked for now counts. */
static struct batch_element *element_now(struct cqrs_batch *batch)
{
	if (batch->failed || message_now(batch)->refused)
		return NULL;
	if (batch->element == UINT32_MAX)
		batch->element = batch_whole(batch, (uint32_t)batch->n_messages - 1);
	if (batch->element == UINT32_MAX || batch->elements[batch->element].dead)
		return NULL;
	return &batch->elements[batch->element];
}

static void refuse(struct cqrs_batch *batch, const char *sqlstate, const char *reason)
{
	if (element_now(batch) && !batch_refuse(batch, batch->element, sqlstate, reason))
		batch->failed = true;
}

static void refuse_too_large(struct cqrs_batch *batch)
{
	char reason[REASON_MAX];
	snprintf(reason, sizeof reason,
	         "it takes more memory than the %zu bytes that one message may; more `memory` in "
	         "the configuration allows for more",
	         batch->message_max);
	batch_drop_effects(batch);
	batch->effects_lost = true;
	batch->element = batch_whole(batch, (uint32_t)batch->n_messages - 1);
	refuse(batch, "", reason);
}

/* A few bytes can ask for a lot, "{},{},{}" for instance: memory has an end, and is for all. */
static void limit(struct cqrs_batch *batch)
{
	if (batch->bytes - batch->mark.bytes > batch->message_max && !batch->failed &&
	    !message_now(batch)->refused)
		refuse_too_large(batch);
}

void cqrs_element(struct cqrs_batch *batch, int32_t index, const void *data, size_t len)
{
	const struct cqrs_message *msg = &message_now(batch)->kafka.message;
	struct batch_element element = {.message = (uint32_t)batch->n_messages - 1, .index = index};
	assert(index >= 0);
	if (data && len) {
		size_t offset = (size_t)((const char *)data - (const char *)msg->value);
		assert(offset + len <= msg->value_len);
		element.data = (uint32_t)offset;
		element.data_len = (uint32_t)len;
	}
	if (batch->failed || message_now(batch)->refused)
		return;
	batch->element = batch_add_element(batch, element);
	limit(batch);
}

void cqrs_refuse_element(struct cqrs_batch *batch, const char *fmt, ...)
{
	char reason[REASON_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(reason, sizeof reason, fmt, ap);
	va_end(ap);
	refuse(batch, "", reason);
	limit(batch);
}

static void refuse_all(struct cqrs_batch *batch, int status, const char *fmt, va_list ap)
{
	char reason[REASON_MAX];
	size_t before = batch->n_refusals;
	vsnprintf(reason, sizeof reason, fmt, ap);
	if (batch->failed || message_now(batch)->refused)
		return;
	batch->element = batch_whole(batch, (uint32_t)batch->n_messages - 1);
	refuse(batch, "", reason);
	if (batch->n_refusals > before)
		batch->refusals[before].status = (int16_t)status;
}

void cqrs_refuse(struct cqrs_batch *batch, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	refuse_all(batch, 0, fmt, ap);
	va_end(ap);
}

void cqrs_refuse_status(struct cqrs_batch *batch, int status, const char *fmt, ...)
{
	va_list ap;
	assert(status >= 400 && status < 500);
	va_start(ap, fmt);
	refuse_all(batch, status, fmt, ap);
	va_end(ap);
}

void cqrs_no_memory(struct cqrs_batch *batch)
{
	batch->failed = true;
}

json_t *cqrs_message_json(struct cqrs_batch *batch, const struct cqrs_message *msg)
{
	json_error_t error;
	if (!msg->value) {
		cqrs_refuse(batch, "not JSON: a message without value");
		return NULL;
	}
	json_t *json = json_tree_load(msg->value, msg->value_len, &error);
	if (!json && *error.text)
		cqrs_refuse(batch, "not JSON: %s at byte %d", error.text, error.position);
	else if (!json)
		cqrs_no_memory(batch);
	return json;
}

/* The first bytes of a text, at most 8 of them, as the highest of a number. */
static uint64_t first_bytes(const char *text, size_t len)
{
	unsigned char bytes[8] = {0};
	uint64_t bits;
	memcpy(bytes, text, len < sizeof bytes ? len : sizeof bytes);
	memcpy(&bits, bytes, sizeof bits);
	return __builtin_bswap64(bits);
}

/* Puts the highest bytes of `bits` behind the first `used` bytes of the key. */
static void put_key(uint64_t key[2], size_t used, uint64_t bits)
{
	size_t shift = 8 * (used % 8);
	key[used / 8] |= bits >> shift;
	if (shift && used < 8)
		key[1] |= bits << (64 - shift);
}

/* Bytes that order as the values of the type do; how many, 0: the type has none that fit. */
static size_t add_to_key(uint64_t key[2], size_t used, const struct cqrs_value *value)
{
	/* A uuid may be written in either case; equal keys must stay neighbours. */
	uint64_t lower = value->type == CQRS_UUID ? UINT64_C(0x2020202020202020) : 0;
	size_t width;
	switch (value->type) {
	case CQRS_INT2:
	case CQRS_INT4:
	case CQRS_INT8:
	case CQRS_TIMESTAMPTZ:
		width = value->type == CQRS_INT2 ? 2 : value->type == CQRS_INT4 ? 4 : 8;
		put_key(key, used, ((uint64_t)value->i << (64 - 8 * width)) ^ (UINT64_C(1) << 63));
		return width;
	case CQRS_TEXT:
	case CQRS_UUID:
		for (size_t i = 0; i < value->s.len && used + i < 16; i += 8)
			put_key(key, used + i,
			        first_bytes(value->s.data + i, value->s.len - i) | lower);
		return value->s.len;
	default:
		return 0;
	}
}

static void make_key(const struct cqrs_table *table, const struct cqrs_value *row, uint64_t key[2])
{
	size_t used = 0, n = 1;
	key[0] = key[1] = 0;
	for (int i = 0; i < table->n_key && n && used < 16; i++) {
		n = add_to_key(key, used, &row[i]);
		used += n;
	}
}

/* The first column with a value that cannot be stored; n_columns: all is well. */
static int add_tuple(struct buf *tuples, const struct cqrs_table *table,
                     const struct cqrs_value *row)
{
	int i;
	buf_put16(tuples, (uint16_t)table->n_columns);
	for (i = 0; i < table->n_columns; i++) {
		assert(row[i].type == table->def->columns[i].type);
		if ((i < table->n_key && row[i].is_null) || !pg_value_add_field(tuples, &row[i]))
			break;
	}
	return i;
}

static void refuse_row(struct cqrs_batch *batch, const char *column, bool is_null)
{
	char reason[REASON_MAX];
	snprintf(reason, sizeof reason, "%s %s", column,
	         is_null ? "is part of the key and must not be null"
	                 : "has a value that PostgreSQL cannot store");
	refuse(batch, is_null ? "23502" : "22000", reason);
}

void cqrs_append(struct cqrs_batch *batch, const struct cqrs_table *table,
                 const struct cqrs_value *row)
{
	struct batch_rows *rows = &batch->tables[table->index];
	struct batch_element *element = element_now(batch);
	if (!element)
		return;
	size_t begin = rows->tuples.len;
	int bad = add_tuple(&rows->tuples, table, row);
	if (bad < table->n_columns) {
		rows->tuples.len = begin;
		refuse_row(batch, table->def->columns[bad].name, row[bad].is_null);
		return;
	}
	if (rows->tuples.failed || rows->tuples.len > UINT32_MAX ||
	    !batch_grow((void **)&rows->rows, rows->n, &rows->cap, sizeof *rows->rows)) {
		rows->tuples.len = begin;
		batch->failed = true;
		return;
	}
	struct batch_row *added = &rows->rows[rows->n++];
	added->element = batch->element;
	added->offset = (uint32_t)begin;
	added->len = (uint32_t)(rows->tuples.len - begin);
	make_key(table, row, added->key);
	element->effects++;
	batch->n_rows++;
	batch->bytes += added->len + 2 * sizeof *added; /* with the room to sort it */
	limit(batch);
}

static bool add_params(struct cqrs_batch *batch, const struct cqrs_statement *statement,
                       const struct cqrs_value *params)
{
	for (int i = 0; i < statement->n_params; i++) {
		struct batch_param param = {.offset = (uint32_t)batch->params.len, .len = -1};
		assert(params[i].type == statement->param_types[i]);
		if (!params[i].is_null) {
			if (!pg_value_encode(&batch->params, &params[i]))
				return false;
			param.len = (int32_t)(batch->params.len - param.offset);
		}
		buf_add(&batch->param_refs, &param, sizeof param);
		batch->bytes += sizeof param + (size_t)(param.len < 0 ? 0 : param.len);
	}
	return true;
}

/* False: refused, or out of memory. */
static bool add_statement(struct cqrs_batch *batch, const struct cqrs_value *params,
                          struct batch_statement added)
{
	size_t first = batch->param_refs.len / sizeof(struct batch_param);
	if (!add_params(batch, added.statement, params)) {
		batch->param_refs.len = first * sizeof(struct batch_param);
		refuse(batch, "22000", "a parameter has a value that PostgreSQL cannot store");
		return false;
	}
	if (batch->params.failed || batch->param_refs.failed ||
	    !batch_grow((void **)&batch->statements, batch->n_statements, &batch->cap_statements,
	                sizeof *batch->statements)) {
		batch->failed = true;
		return false;
	}
	added.message = (uint32_t)batch->n_messages - 1;
	added.params = (uint32_t)first;
	batch->statements[batch->n_statements++] = added;
	batch->bytes += sizeof added;
	return true;
}

void cqrs_execute(struct cqrs_batch *batch, const struct cqrs_statement *statement,
                  const struct cqrs_value *params, int64_t rows, const char *reason)
{
	struct batch_element *element = element_now(batch);
	assert(rows == CQRS_ANY_ROWS || reason);
	if (element && add_statement(batch, params,
	                             (struct batch_statement){.statement = statement,
	                                                      .element = batch->element,
	                                                      .expect = rows,
	                                                      .reason = reason}))
		element->effects++;
	limit(batch);
}

void cqrs_decide(struct cqrs_batch *batch, const struct cqrs_decision *decision,
                 const struct cqrs_value *params)
{
	uint32_t now = batch->element;
	for (size_t i = batch->mark.statements; i < batch->n_statements; i++)
		assert(!batch->statements[i].statement->decides);
	/* Of the message as a whole, whose element may be there already. */
	if (now != UINT32_MAX && batch->elements[now].index >= 0 && !batch->failed)
		batch->element = batch_whole(batch, (uint32_t)batch->n_messages - 1);
	struct batch_element *element = element_now(batch);
	if (element && add_statement(batch, params,
	                             (struct batch_statement){.statement = &decision->statement,
	                                                      .element = batch->element,
	                                                      .expect = CQRS_ANY_ROWS})) {
		element->effects++;
		batch->decides = true;
	}
	if (now != UINT32_MAX)
		batch->element = now;
	limit(batch);
}

void cqrs_ensure(struct cqrs_batch *batch, const struct cqrs_statement *statement,
                 const struct cqrs_value *params)
{
	if (!batch->failed)
		add_statement(batch, params,
		              (struct batch_statement){.statement = statement,
		                                       .element = UINT32_MAX,
		                                       .expect = CQRS_ANY_ROWS});
	limit(batch);
}

uint64_t cqrs_batch_number(const struct cqrs_batch *batch)
{
	return batch->number;
}

bool cqrs_batch_sees(const struct cqrs_batch *batch, uint64_t number)
{
	if (number == batch->number || (batch->peers && number < batch->peers->oldest))
		return true;
	for (size_t i = 0; batch->peers && i < batch->peers->n; i++)
		if (batch->peers->list[i]->number == number)
			return false;
	return true;
}

void cqrs_publish(struct cqrs_batch *batch, const char *topic, const char *key, const char *json)
{
	struct batch_element *element = element_now(batch);
	struct buf *tuples = &batch->event_tuples;
	size_t begin = tuples->len;
	if (!element)
		return;
	if (strlen(json) + (key ? strlen(key) : 0) > EVENT_MAX) {
		cqrs_refuse_element(batch, "its event for %s has more than %d bytes", topic,
		                    EVENT_MAX);
		return;
	}
	/* The columns topic, key and payload of cqrs.outbox. */
	struct cqrs_value fields[] = {
	    cqrs_text(topic),
	    key ? cqrs_bytes(CQRS_BYTEA, key, strlen(key)) : cqrs_null(CQRS_BYTEA),
	    cqrs_bytes(CQRS_BYTEA, json, strlen(json)),
	};
	buf_put16(tuples, 3);
	for (size_t i = 0; i < 3; i++) {
		if (!pg_value_add_field(tuples, &fields[i])) {
			tuples->len = begin;
			refuse(batch, "22000", "an event's topic is not text");
			return;
		}
	}
	if (tuples->failed || tuples->len > UINT32_MAX ||
	    !batch_grow((void **)&batch->events, batch->n_events, &batch->cap_events,
	                sizeof *batch->events)) {
		batch->failed = true;
		return;
	}
	batch->events[batch->n_events++] = (struct batch_event){
	    .element = batch->element,
	    .offset = (uint32_t)begin,
	    .len = (uint32_t)(tuples->len - begin),
	};
	element->effects++;
	batch->bytes += tuples->len - begin + sizeof *batch->events;
	limit(batch);
}
