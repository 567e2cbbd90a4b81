/* SPDX-License-Identifier: MIT */
/* The messages of a batch that are commands, and what becomes of them. */
#include "batch_command.h"

#include "batch_internal.h"
#include "dead_letter.h"
#include "pg_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_REFUSED  400
#define STATUS_CONFLICT 409
#define STATUS_DATA     422

/* ---- which are ---- */

static bool is_named(const struct cqrs_header *header, const char *name)
{
	return !strcmp(header->name, name) && header->value;
}

static bool says_wait(const struct cqrs_header *header)
{
	return header->value_len == 4 && !memcmp(header->value, "wait", 4);
}

void batch_take_headers(struct cqrs_batch *batch, const struct cqrs_header *headers, size_t n)
{
	struct batch_command command = {.message = (uint32_t)batch->n_messages - 1,
	                                .refusal = UINT32_MAX};
	bool has_id = false;
	for (size_t i = 0; i < n; i++) {
		if (is_named(&headers[i], "command-id"))
			has_id = has_id ||
			         pg_uuid_parse(command.id, headers[i].value, headers[i].value_len);
		else if (is_named(&headers[i], "prefer"))
			command.waited |= says_wait(&headers[i]);
	}
	if (!has_id || batch->failed)
		return;
	if (!batch_grow((void **)&batch->commands, batch->n_commands, &batch->cap_commands,
	                sizeof *batch->commands)) {
		batch->failed = true;
		return;
	}
	batch->commands[batch->n_commands++] = command;
	batch->messages[command.message].command = (uint32_t)batch->n_commands;
	batch->bytes += sizeof command;
}

struct batch_command *batch_command_of(const struct cqrs_batch *batch, uint32_t message)
{
	uint32_t number = batch->messages[message].command;
	return number ? &batch->commands[number - 1] : NULL;
}

size_t batch_first_command(const struct cqrs_batch *batch, uint32_t message)
{
	size_t low = 0, high = batch->n_commands;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (batch->commands[middle].message < message)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- applied before ---- */

static int compare(const void *left, const void *right)
{
	const struct batch_command *a = *(struct batch_command *const *)left;
	const struct batch_command *b = *(struct batch_command *const *)right;
	int order = memcmp(a->id, b->id, sizeof a->id);
	return order ? order : (a->message > b->message) - (a->message < b->message);
}

void batch_repeat(struct cqrs_batch *batch, struct batch_command *command)
{
	command->repeated = true;
	batch->messages[command->message].refused = true;
	batch->effects_lost = true;
}

bool batch_find_repeated(struct cqrs_batch *batch)
{
	size_t n = batch->n_commands;
	if (n < 2)
		return true;
	struct batch_command **sorted = malloc(n * sizeof *sorted);
	if (!sorted)
		return false;
	for (size_t i = 0; i < n; i++)
		sorted[i] = &batch->commands[i];
	qsort(sorted, n, sizeof *sorted, compare);
	for (size_t i = 1; i < n; i++) {
		if (memcmp(sorted[i - 1]->id, sorted[i]->id, sizeof sorted[i]->id) != 0)
			continue;
		/* Parts of one message may be tried again together. */
		if (batch->messages[sorted[i]->message].letter)
			sorted[i]->shadowed = true;
		else
			batch_repeat(batch, sorted[i]);
	}
	free(sorted);
	return true;
}

/* ---- decided ---- */

static void say(struct cqrs_batch *batch, const void *data, size_t size, uint32_t *at,
                uint32_t *len)
{
	*at = (uint32_t)batch->said.len;
	*len = (uint32_t)size;
	buf_add(&batch->said, data, size);
}

static bool refuse(struct cqrs_batch *batch, uint32_t element, int status, const char *reason)
{
	size_t before = batch->n_refusals;
	if (!batch_refuse(batch, element, "", reason))
		return false;
	if (batch->n_refusals > before) {
		batch->refusals[before].status = (int16_t)status;
		batch->refusals[before].decided = true;
	}
	return true;
}

bool batch_decided(struct cqrs_batch *batch, const struct batch_statement *statement,
                   const struct batch_answer *answer)
{
	struct batch_command *command = batch_command_of(batch, statement->message);
	int status = answer->status ? answer->status : 200;
	char strange[80];
	if (status < 200 || status > 599) {
		snprintf(strange, sizeof strange,
		         "its decision says %d, which is no status of HTTP", status);
		return refuse(batch, statement->element, STATUS_DATA, strange);
	}
	if (command) {
		command->status = (int16_t)status;
		if (answer->reason)
			say(batch, answer->reason, strlen(answer->reason), &command->reason,
			    &command->reason_len);
		if (answer->body_len)
			say(batch, answer->body, answer->body_len, &command->body,
			    &command->body_len);
		if (batch->said.failed || batch->said.len > UINT32_MAX)
			return false;
	}
	return status < STATUS_REFUSED ||
	       refuse(batch, statement->element, status,
	              answer->reason ? answer->reason : "refused without a reason");
}

static void forget_answer(struct batch_command *command)
{
	command->status = 0;
	command->reason_len = command->body_len = 0;
}

void batch_undecide(struct cqrs_batch *batch, uint32_t from)
{
	size_t kept = 0;
	if (!batch->decides)
		return;
	for (size_t i = 0; i < batch->n_refusals; i++) {
		struct batch_refusal *refusal = &batch->refusals[i];
		struct batch_element *element = &batch->elements[refusal->element];
		if (!refusal->decided || element->message < from) {
			batch->refusals[kept++] = *refusal;
			continue;
		}
		element->dead = false;
		batch->messages[element->message].refused = false;
		batch->bytes -= sizeof *refusal + strlen(refusal->reason);
		free(refusal->reason);
	}
	batch->n_refusals = kept;
	for (size_t i = batch_first_command(batch, from); i < batch->n_commands; i++)
		forget_answer(&batch->commands[i]);
	buf_clear(&batch->said);
}

bool batch_confirm(struct cqrs_batch *batch, uint32_t message)
{
	bool any = false;
	for (size_t i = 0; i < batch->n_refusals; i++) {
		struct batch_refusal *refusal = &batch->refusals[i];
		if (batch->elements[refusal->element].message != message || !refusal->decided)
			continue;
		refusal->decided = false;
		any = true;
	}
	return any;
}

/* ---- settled ---- */

int batch_refusal_status(const struct batch_refusal *refusal)
{
	if (refusal->status)
		return refusal->status;
	bool conflicts = !strcmp(refusal->sqlstate, "23505") || !strcmp(refusal->sqlstate, "23P01");
	return conflicts ? STATUS_CONFLICT : STATUS_DATA;
}

static void note_refusal(struct cqrs_batch *batch, uint32_t number, size_t low, size_t high)
{
	const struct batch_element *element = &batch->elements[batch->refusals[number].element];
	struct batch_command *command = batch_command_of(batch, element->message);
	if (!command || command < &batch->commands[low] || command >= &batch->commands[high])
		return;
	command->refused = true; /* unless there is more of it */
	if (element->index >= 0)
		command->n_refusals++;
	if (element->index < 0 || command->refusal == UINT32_MAX)
		command->refusal = number;
}

void batch_settle(struct cqrs_batch *batch, size_t low, size_t high)
{
	bool any_part = false;
	for (size_t i = low; i < high; i++) {
		batch->commands[i].refused = false;
		batch->commands[i].refusal = UINT32_MAX;
		batch->commands[i].n_refusals = 0;
	}
	for (size_t i = 0; i < batch->n_refusals; i++) {
		note_refusal(batch, (uint32_t)i, low, high);
		any_part |= batch->elements[batch->refusals[i].element].index >= 0;
	}
	for (size_t i = 0; any_part && i < batch->n_elements; i++) {
		struct batch_command *command = batch_command_of(batch, batch->elements[i].message);
		if (command && !batch_element_is_dead(batch, (uint32_t)i))
			command->refused = false;
	}
}

bool batch_refusal_is_told(const struct cqrs_batch *batch, size_t refusal)
{
	const struct batch_element *element = &batch->elements[batch->refusals[refusal].element];
	const struct batch_command *command = batch_command_of(batch, element->message);
	return command && (command->repeated || (command->waited && command->refused));
}
