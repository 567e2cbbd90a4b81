/* SPDX-License-Identifier: MIT */
/* The bytes of each COPY of an attempt (PostgreSQL manual, COPY, Binary Format). */
#include "attempt.h"

#include "dead_letter.h"
#include "headers_json.h"
#include "pg_value.h"

#include <stdlib.h>
#include <string.h>

#define PIECE      65536
#define CHUNK_KEPT (1 << 20)

/* Signature, flags, and no extension. */
static const char copy_header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";

static void add_row(struct attempt *attempt, const struct attempt_rows *rows, size_t n)
{
	const struct batch_rows *source = rows->source;
	const struct batch_row *row = rows->rows[n].row;
	const char *tuple = source->tuples.data + row->offset;
	const char *end = tuple + row->len;
	if (attempt->copies[attempt->current].what == ATTEMPT_STAGE) {
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
	size_t all = rows->source->tuples.len;
	/* At once, or growing would copy it several times. */
	buf_reserve(&attempt->chunk, all < PIECE ? all : PIECE + PIECE / 8);
	for (; attempt->next < rows->n && attempt->chunk.len < PIECE; attempt->next++) {
		const struct attempt_row *row = &rows->rows[attempt->next];
		if (!row->refused && !row->skipped)
			add_row(attempt, rows, attempt->next);
	}
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

static struct attempt_payload payload_of(const struct cqrs_message *msg,
                                         const struct batch_element *element)
{
	if (element->data_len)
		return (struct attempt_payload){(const char *)msg->value + element->data,
		                                element->data_len, 0};
	return (struct attempt_payload){msg->value, msg->value_len, 0};
}

/* jsonb's binary form: a version byte, then the text. */
static void add_headers(struct buf *b, const struct kafka_message *msg)
{
	struct cqrs_header *headers;
	size_t n;
	if (!kafka_message_headers(msg, &headers, &n)) {
		b->failed = true;
		return;
	}
	struct buf json = BUF_INIT;
	if (n) {
		buf_putc(&json, 1);
		headers_json_write(&json, headers, n);
		b->failed |= json.failed;
	}
	add_bytes(b, json.data, json.len);
	buf_release(&json);
	free(headers);
}

/* Which part of the message it is; of a part that was tried alone, still that one. */
static int32_t part_index(const struct batch_element *element, const struct dead_letter *letter)
{
	return letter && letter->part_index >= 0 ? letter->part_index : element->index;
}

/* Up to the payload, which comes next if it is large; then its end follows. */
static void begin_dead_letter(struct attempt *attempt, const struct batch_refusal *refusal)
{
	struct buf *b = &attempt->chunk;
	const struct batch_element *element = &attempt->batch->elements[refusal->element];
	const struct batch_message *message = &attempt->batch->messages[element->message];
	const struct dead_letter *letter = message->letter;
	const struct cqrs_message *msg = &message->kafka.message;
	int32_t part = part_index(element, letter);
	struct attempt_payload payload = payload_of(msg, element);
	buf_put16(b, 12);
	add_text(b, attempt->group);
	add_text(b, msg->topic);
	buf_put32(b, 4);
	buf_put32(b, (uint32_t)msg->partition);
	buf_put32(b, 8);
	buf_put64(b, (uint64_t)msg->offset);
	buf_put32(b, part < 0 ? UINT32_MAX : 4);
	if (part >= 0)
		buf_put32(b, (uint32_t)part);
	add_bytes(b, msg->key, msg->key_len);
	add_headers(b, &message->kafka);
	if (payload.len <= PIECE) {
		add_bytes(b, payload.data, payload.len);
	} else {
		buf_put32(b, (uint32_t)payload.len);
		attempt->payload = payload;
	}
}

static void end_dead_letter(struct attempt *attempt, const struct batch_refusal *refusal)
{
	struct buf *b = &attempt->chunk;
	const struct batch_element *element = &attempt->batch->elements[refusal->element];
	const struct dead_letter *letter = attempt->batch->messages[element->message].letter;
	bool is_whole = !element->data_len && (!letter || letter->is_whole);
	buf_put32(b, 1);
	buf_putc(b, is_whole);
	add_text(b, refusal->reason);
	add_text(b, *refusal->sqlstate ? refusal->sqlstate : NULL);
	buf_put32(b, letter ? 8 : UINT32_MAX);
	if (letter)
		buf_put64(b, (uint64_t)letter->id);
}

static bool add_dead_letters(struct attempt *attempt)
{
	const struct cqrs_batch *batch = attempt->batch;
	for (; attempt->next < batch->n_refusals && attempt->chunk.len < PIECE; attempt->next++) {
		const struct batch_refusal *refusal = &batch->refusals[attempt->next];
		if (!attempt_is_dead_letter(attempt, attempt->next))
			continue;
		if (!attempt->payload.len) {
			begin_dead_letter(attempt, refusal);
			if (attempt->payload.len)
				return true;
		}
		end_dead_letter(attempt, refusal);
		attempt->payload.len = 0;
	}
	return attempt->next < batch->n_refusals;
}

static bool add_outcomes(struct attempt *attempt)
{
	if (attempt->next < attempt->low_command)
		attempt->next = attempt->low_command;
	while (attempt->next < attempt->high_command && attempt->chunk.len < PIECE)
		attempt_add_outcome(attempt, attempt->next++);
	return attempt->next < attempt->high_command;
}

static bool add_some(struct attempt *attempt)
{
	switch (attempt->copies[attempt->current].what) {
	case ATTEMPT_STAGE:
	case ATTEMPT_ROWS:
		return add_rows(attempt, attempt->copies[attempt->current].table);
	case ATTEMPT_EVENTS:
		return add_events(attempt);
	case ATTEMPT_OUTCOMES:
		return add_outcomes(attempt);
	default:
		return add_dead_letters(attempt);
	}
}

/* Keeps its memory, but for that of a large row. */
static void clear_chunk(struct attempt *attempt)
{
	if (attempt->chunk.cap > CHUNK_KEPT)
		buf_release(&attempt->chunk);
	else
		buf_clear(&attempt->chunk);
	attempt->given = 0;
}

static void fill_chunk(struct attempt *attempt)
{
	clear_chunk(attempt);
	if (!attempt->head)
		buf_add(&attempt->chunk, copy_header, sizeof copy_header - 1);
	attempt->head = true;
	if (attempt->tail || add_some(attempt))
		return;
	buf_put16(&attempt->chunk, UINT16_MAX);
	attempt->tail = true;
}

/* The next piece of so much, of which some was given. */
static size_t give(size_t len, size_t *given)
{
	size_t n = len - *given;
	if (n > 2 * PIECE)
		n = PIECE;
	*given += n;
	return n;
}

bool attempt_copy_data(struct attempt *attempt, int nth, const char **data, size_t *len)
{
	struct attempt_payload *payload = &attempt->payload;
	if (nth != attempt->current) {
		attempt->current = nth;
		attempt->next = 0;
		attempt->head = attempt->tail = false;
		payload->len = payload->given = 0;
		clear_chunk(attempt);
	}
	if (attempt->given == attempt->chunk.len && payload->given < payload->len) {
		*data = payload->data + payload->given;
		*len = give(payload->len, &payload->given);
		return true;
	}
	if (attempt->given == attempt->chunk.len)
		fill_chunk(attempt);
	if (attempt->chunk.failed)
		return false;
	*data = attempt->chunk.data + attempt->given;
	*len = give(attempt->chunk.len, &attempt->given);
	return *len > 0;
}
