/* SPDX-License-Identifier: MIT */
/* A batch: messages in order of arrival, and what is to become of them. */
#include "batch.h"

#include "batch_command.h"
#include "batch_internal.h"
#include "dead_letter.h"
#include "utf8.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Numbers only have to differ. */
static uint64_t last_number;

struct cqrs_batch *batch_new(struct cqrs_table *const *tables, int n_tables)
{
	struct cqrs_batch *batch = calloc(1, sizeof *batch);
	if (!batch)
		return NULL;
	batch->tables = calloc((size_t)n_tables + 1, sizeof *batch->tables);
	if (!batch->tables) {
		free(batch);
		return NULL;
	}
	batch->n_tables = n_tables;
	batch->number = ++last_number;
	batch->message_max = SIZE_MAX;
	for (int i = 0; i < n_tables; i++)
		batch->tables[i].table = tables[i];
	return batch;
}

/* The batch has another number, or comes or goes. */
static void note_oldest(struct batch_peers *peers)
{
	peers->oldest = UINT64_MAX;
	for (size_t i = 0; i < peers->n; i++)
		if (peers->list[i]->number < peers->oldest)
			peers->oldest = peers->list[i]->number;
}

static void forget_refusals(struct cqrs_batch *batch, size_t keep)
{
	while (batch->n_refusals > keep)
		free(batch->refusals[--batch->n_refusals].reason);
}

void batch_clear(struct cqrs_batch *batch)
{
	for (size_t i = 0; i < batch->n_messages; i++)
		kafka_message_free(&batch->messages[i].kafka);
	forget_refusals(batch, 0);
	for (int i = 0; i < batch->n_tables; i++) {
		batch->tables[i].n = 0;
		buf_clear(&batch->tables[i].tuples);
	}
	buf_clear(&batch->params);
	buf_clear(&batch->param_refs);
	buf_clear(&batch->event_tuples);
	buf_clear(&batch->said);
	batch->n_commands = 0;
	batch->n_messages = batch->n_elements = batch->n_statements = batch->n_events = 0;
	batch->n_rows = batch->bytes = 0;
	batch->failed = batch->effects_lost = batch->decides = batch->closed = false;
	batch->number = ++last_number;
	if (batch->peers)
		note_oldest(batch->peers);
}

bool batch_join(struct cqrs_batch *batch, struct batch_peers *peers)
{
	if (!batch_grow((void **)&peers->list, peers->n, &peers->cap, sizeof(struct cqrs_batch *)))
		return false;
	peers->list[peers->n++] = batch;
	batch->peers = peers;
	note_oldest(peers);
	return true;
}

static void leave(struct cqrs_batch *batch)
{
	struct batch_peers *peers = batch->peers;
	for (size_t i = 0; peers && i < peers->n; i++) {
		if (peers->list[i] == batch) {
			peers->list[i] = peers->list[--peers->n];
			batch->peers = NULL;
			note_oldest(peers);
			return;
		}
	}
}

void batch_free(struct cqrs_batch *batch)
{
	if (!batch)
		return;
	leave(batch);
	batch_clear(batch);
	for (int i = 0; i < batch->n_tables; i++) {
		buf_release(&batch->tables[i].tuples);
		free(batch->tables[i].rows);
		free(batch->tables[i].spare);
	}
	buf_release(&batch->params);
	buf_release(&batch->param_refs);
	buf_release(&batch->event_tuples);
	buf_release(&batch->said);
	free(batch->commands);
	free(batch->tables);
	free(batch->messages);
	free(batch->elements);
	free(batch->statements);
	free(batch->events);
	free(batch->refusals);
	free(batch);
}

bool batch_enlarge(void **items, size_t *cap, size_t size)
{
	size_t more = *cap ? *cap * 2 : 64;
	void *grown = realloc(*items, more * size);
	if (!grown)
		return false;
	*items = grown;
	*cap = more;
	return true;
}

/* Where the message at hand began, so that it can be taken back. */
static struct batch_mark take_mark(const struct cqrs_batch *batch)
{
	return (struct batch_mark){
	    .elements = batch->n_elements,
	    .statements = batch->n_statements,
	    .params = batch->params.len,
	    .param_refs = batch->param_refs.len,
	    .events = batch->n_events,
	    .event_tuples = batch->event_tuples.len,
	    .refusals = batch->n_refusals,
	    .bytes = batch->bytes,
	    .rows = batch->n_rows,
	};
}

bool batch_begin(struct cqrs_batch *batch, const struct kafka_message *msg,
                 struct partition *partition)
{
	assert(!batch->closed);
	if (!batch_grow((void **)&batch->messages, batch->n_messages, &batch->cap_messages,
	                sizeof *batch->messages))
		return false;
	batch->mark = take_mark(batch);
	batch->element = UINT32_MAX;
	batch->messages[batch->n_messages++] = (struct batch_message){
	    .kafka = *msg,
	    .partition = partition,
	};
	batch->bytes += msg->message.value_len + msg->message.key_len + KAFKA_MESSAGE_OVERHEAD +
	                sizeof *batch->messages;
	return true;
}

void batch_drop_effects(struct cqrs_batch *batch)
{
	const struct batch_mark *mark = &batch->mark;
	for (int i = 0; i < batch->n_tables; i++) {
		struct batch_rows *rows = &batch->tables[i];
		while (rows->n && rows->rows[rows->n - 1].element >= mark->elements)
			rows->tuples.len = rows->rows[--rows->n].offset;
		rows->tuples.failed = false;
	}
	forget_refusals(batch, mark->refusals);
	batch->n_elements = mark->elements;
	batch->n_statements = mark->statements;
	batch->params.len = mark->params;
	batch->param_refs.len = mark->param_refs;
	batch->n_events = mark->events;
	batch->event_tuples.len = mark->event_tuples;
	batch->params.failed = batch->param_refs.failed = batch->event_tuples.failed = false;
	batch->bytes = mark->bytes;
	batch->n_rows = mark->rows;
}

bool batch_end(struct cqrs_batch *batch)
{
	if (!batch->failed)
		return true;
	batch_drop_effects(batch);
	batch->n_messages--;
	batch->n_commands = batch_first_command(batch, (uint32_t)batch->n_messages);
	batch->failed = false;
	return false;
}

bool batch_close(struct cqrs_batch *batch)
{
	if (batch->closed)
		return true;
	for (int i = 0; i < batch->n_tables; i++)
		if (batch->tables[i].table->n_key && !batch_sort(&batch->tables[i]))
			return false;
	batch->closed = batch_find_repeated(batch);
	return batch->closed;
}

uint32_t batch_add_element(struct cqrs_batch *batch, struct batch_element element)
{
	if (batch->n_elements >= UINT32_MAX - 1 ||
	    !batch_grow((void **)&batch->elements, batch->n_elements, &batch->cap_elements,
	                sizeof *batch->elements)) {
		batch->failed = true;
		return UINT32_MAX;
	}
	batch->elements[batch->n_elements] = element;
	batch->bytes += sizeof element;
	return (uint32_t)batch->n_elements++;
}

uint32_t batch_whole(struct cqrs_batch *batch, uint32_t message)
{
	return batch_add_element(batch, (struct batch_element){.message = message, .index = -1});
}

/* A dead letter that PostgreSQL refuses would stop its partition. */
static char *copy_reason(const char *reason)
{
	char *copy = strdup(reason);
	if (copy)
		utf8_mend(copy);
	return copy;
}

bool batch_refuse(struct cqrs_batch *batch, uint32_t element, const char *sqlstate,
                  const char *reason)
{
	struct batch_element *e = &batch->elements[element];
	if (batch_element_is_dead(batch, element))
		return true;
	char *copy = copy_reason(reason);
	if (!copy || !batch_grow((void **)&batch->refusals, batch->n_refusals, &batch->cap_refusals,
	                         sizeof *batch->refusals)) {
		free(copy);
		return false;
	}
	struct batch_refusal *refusal = &batch->refusals[batch->n_refusals++];
	*refusal = (struct batch_refusal){.element = element, .reason = copy};
	strncpy(refusal->sqlstate, sqlstate, sizeof refusal->sqlstate - 1);
	e->dead = true;
	batch->bytes += sizeof *refusal + strlen(copy);
	if (e->index < 0)
		batch->messages[e->message].refused = true;
	return true;
}

bool batch_refusal_counts(const struct cqrs_batch *batch, size_t refusal)
{
	const struct batch_element *e = &batch->elements[batch->refusals[refusal].element];
	return e->index < 0 || !batch->messages[e->message].refused;
}

/* What the message at hand asked for counts for one of its elements; false: it has no such. */
static bool keep_element(struct cqrs_batch *batch, int32_t index)
{
	size_t kept = batch->mark.refusals;
	bool found = false;
	for (size_t i = batch->mark.elements; i < batch->n_elements; i++) {
		bool is_it = batch->elements[i].index == index;
		batch->elements[i].dead |= !is_it;
		found |= is_it;
	}
	for (size_t i = kept; i < batch->n_refusals; i++) {
		if (batch->elements[batch->refusals[i].element].index == index)
			batch->refusals[kept++] = batch->refusals[i];
		else
			free(batch->refusals[i].reason);
	}
	batch->n_refusals = kept;
	return found;
}

bool batch_redrive(struct cqrs_batch *batch, const struct dead_letter *letter)
{
	uint32_t last = (uint32_t)batch->n_messages - 1;
	struct batch_command *command = batch_command_of(batch, last);
	batch->messages[last].letter = letter;
	if (command)
		command->waited = false; /* not for this */
	if (letter->part_index < 0 || !letter->is_whole || batch->messages[last].refused ||
	    keep_element(batch, letter->part_index))
		return true;
	/* Nothing of it would be stored, and nobody would know. */
	uint32_t whole = batch_whole(batch, last);
	return whole != UINT32_MAX &&
	       batch_refuse(batch, whole, "", "the message has no such part any more");
}

void batch_forgive(struct cqrs_batch *batch, uint32_t element)
{
	struct batch_element *e = &batch->elements[element];
	size_t i = batch->n_refusals;
	while (i > 0 && batch->refusals[i - 1].element != element)
		i--;
	if (!i)
		return;
	free(batch->refusals[i - 1].reason);
	batch->n_refusals--;
	memmove(&batch->refusals[i - 1], &batch->refusals[i],
	        (batch->n_refusals - (i - 1)) * sizeof *batch->refusals);
	e->dead = false;
	if (e->index < 0)
		batch->messages[e->message].refused = false;
}
