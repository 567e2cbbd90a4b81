/* SPDX-License-Identifier: MIT */
/* The bytes of each COPY of an attempt (PostgreSQL manual, COPY, Binary Format). */
#include "attempt.h"

#include "pg_value.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define PIECE 65536

/* Signature, flags, and no extension. */
static const char copy_header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";

static void add_row(struct attempt *attempt, const struct attempt_rows *rows, size_t n)
{
	const struct batch_rows *source = rows->source;
	const struct batch_row *row = &rows->rows[n];
	const char *tuple = source->tuples.data + row->offset;
	const char *end = tuple + row->len;
	if (attempt->staged) {
		/* One field more, in front: its number. */
		buf_put16(&attempt->chunk, (uint16_t)(source->table->n_columns + 1));
		buf_put32(&attempt->chunk, 4);
		buf_put32(&attempt->chunk, (uint32_t)n);
		tuple += 2;
	}
	buf_add(&attempt->chunk, tuple, (size_t)(end - tuple));
}

/* False when there are no more. */
static bool add_rows(struct attempt *attempt, int table)
{
	const struct attempt_rows *rows = &attempt->tables[table];
	while (attempt->next < rows->n && attempt->chunk.len < PIECE)
		add_row(attempt, rows, attempt->next++);
	return attempt->next < rows->n;
}

static bool add_events(struct attempt *attempt)
{
	const struct cqrs_batch *batch = attempt->batch;
	for (; attempt->next < batch->n_events && attempt->chunk.len < PIECE; attempt->next++) {
		const struct batch_event *event = &batch->events[attempt->next];
		uint32_t message = batch->elements[event->element].message;
		if (message >= attempt->low && message < attempt->high &&
		    !batch_element_is_dead(batch, event->element))
			buf_add(&attempt->chunk, batch->event_tuples.data + event->offset,
			        event->len);
	}
	return attempt->next < batch->n_events;
}

static void add_bytes(struct buf *b, const void *data, size_t len)
{
	if (!data) {
		buf_put32(b, UINT32_MAX);
		return;
	}
	buf_put32(b, (uint32_t)len);
	buf_add(b, data, len);
}

static void add_text(struct buf *b, const char *text)
{
	add_bytes(b, text, text ? strlen(text) : 0);
}

/* Text as it is, other bytes in hexadecimal. */
static json_t *header_value(const struct cqrs_header *header)
{
	const unsigned char *bytes = header->value;
	if (!bytes)
		return json_null();
	json_t *text = memchr(bytes, 0, header->value_len)
	                   ? NULL
	                   : json_stringn(header->value, header->value_len);
	if (text)
		return text;
	struct buf hex = BUF_INIT;
	buf_puts(&hex, "\\x");
	for (size_t i = 0; i < header->value_len; i++)
		buf_printf(&hex, "%02x", bytes[i]);
	text = json_string(buf_str(&hex));
	buf_release(&hex);
	return text;
}

/* {"name": "value", …}, repeated names as an array; NULL: there are none. */
static char *headers_json(const struct kafka_message *msg)
{
	struct cqrs_header *headers;
	size_t n = kafka_message_headers(msg, &headers);
	json_t *object = n ? json_object() : NULL;
	for (size_t i = 0; object && i < n; i++) {
		json_t *value = header_value(&headers[i]);
		json_t *before = json_object_get(object, headers[i].name);
		if (!before)
			json_object_set_new(object, headers[i].name, value);
		else if (json_is_array(before))
			json_array_append_new(before, value);
		else
			json_object_set_new(object, headers[i].name,
			                    json_pack("[O, o]", before, value));
	}
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	json_decref(object);
	free(headers);
	return text;
}

static void add_payload(struct buf *b, const struct cqrs_message *msg,
                        const struct batch_element *element)
{
	if (element->data_len)
		add_bytes(b, (const char *)msg->value + element->data, element->data_len);
	else
		add_bytes(b, msg->value, msg->value_len);
}

static void add_dead_letter(struct attempt *attempt, const struct batch_refusal *refusal)
{
	struct buf *b = &attempt->chunk;
	const struct batch_element *element = &attempt->batch->elements[refusal->element];
	const struct kafka_message *kafka = &attempt->batch->messages[element->message].kafka;
	const struct cqrs_message *msg = &kafka->message;
	char *headers = headers_json(kafka);
	buf_put16(b, 10);
	add_text(b, attempt->group);
	add_text(b, msg->topic);
	buf_put32(b, 4);
	buf_put32(b, (uint32_t)msg->partition);
	buf_put32(b, 8);
	buf_put64(b, (uint64_t)msg->offset);
	buf_put32(b, element->index < 0 ? UINT32_MAX : 4);
	if (element->index >= 0)
		buf_put32(b, (uint32_t)element->index);
	add_bytes(b, msg->key, msg->key_len);
	if (headers) {
		/* jsonb's binary form: a version byte, then the text. */
		buf_put32(b, (uint32_t)strlen(headers) + 1);
		buf_putc(b, 1);
		buf_puts(b, headers);
	} else {
		add_text(b, NULL);
	}
	add_payload(b, msg, element);
	add_text(b, refusal->reason);
	add_text(b, *refusal->sqlstate ? refusal->sqlstate : NULL);
	free(headers);
}

static bool add_dead_letters(struct attempt *attempt)
{
	const struct cqrs_batch *batch = attempt->batch;
	for (; attempt->next < batch->n_refusals && attempt->chunk.len < PIECE; attempt->next++)
		if (attempt_is_dead_letter(attempt, attempt->next))
			add_dead_letter(attempt, &batch->refusals[attempt->next]);
	return attempt->next < batch->n_refusals;
}

static bool add_some(struct attempt *attempt)
{
	switch (attempt->copies[attempt->current].what) {
	case ATTEMPT_ROWS:
		return add_rows(attempt, attempt->copies[attempt->current].table);
	case ATTEMPT_EVENTS:
		return add_events(attempt);
	default:
		return add_dead_letters(attempt);
	}
}

static void fill_chunk(struct attempt *attempt)
{
	buf_clear(&attempt->chunk);
	attempt->given = 0;
	if (!attempt->head)
		buf_add(&attempt->chunk, copy_header, sizeof copy_header - 1);
	attempt->head = true;
	if (attempt->tail || add_some(attempt))
		return;
	buf_put16(&attempt->chunk, UINT16_MAX);
	attempt->tail = true;
}

bool attempt_copy_data(struct attempt *attempt, int nth, const char **data, size_t *len)
{
	if (nth != attempt->current) {
		attempt->current = nth;
		attempt->next = 0;
		attempt->head = attempt->tail = false;
		buf_clear(&attempt->chunk);
		attempt->given = 0;
	}
	if (attempt->given == attempt->chunk.len)
		fill_chunk(attempt);
	if (attempt->chunk.failed)
		return false;
	*data = attempt->chunk.data + attempt->given;
	*len = attempt->chunk.len - attempt->given;
	/* A large payload makes a large chunk, which is handed over in pieces. */
	if (*len > 2 * PIECE)
		*len = PIECE;
	attempt->given += *len;
	return *len > 0;
}
