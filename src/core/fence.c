/* SPDX-License-Identifier: MIT */
/* What a transaction moves first, by compare-and-set, so that all in it happens once. */
#include "fence.h"

#include "batch_internal.h"
#include "dead_letter.h"
#include "partition.h"

#include <stdlib.h>
#include <string.h>

static bool add_step(struct fence *fence, const struct batch_message *message)
{
	int64_t to = message->kafka.message.offset + 1;
	for (size_t i = fence->n_steps; i-- > 0;) {
		if (fence->partitions[i] == message->partition) {
			fence->steps[i].to = to;
			fence->steps[i].last = &message->kafka.message;
			return true;
		}
	}
	if (!batch_grow((void **)&fence->steps, fence->n_steps, &fence->cap_steps,
	                sizeof *fence->steps) ||
	    !batch_grow((void **)&fence->partitions, fence->n_steps, &fence->cap_partitions,
	                sizeof *fence->partitions))
		return false;
	fence->partitions[fence->n_steps] = message->partition;
	fence->steps[fence->n_steps++] = (struct offsets_step){
	    .from = message->partition->position, .to = to, .last = &message->kafka.message};
	return true;
}

static bool add_letter(struct fence *fence, int64_t id)
{
	if (!batch_grow((void **)&fence->letters, fence->n_letters, &fence->cap_letters,
	                sizeof *fence->letters))
		return false;
	fence->letters[fence->n_letters++] = id;
	return true;
}

bool fence_aim(struct fence *fence, const struct cqrs_batch *batch, uint32_t low, uint32_t high)
{
	fence->n_steps = fence->n_letters = 0;
	for (uint32_t i = low; i < high; i++) {
		const struct batch_message *message = &batch->messages[i];
		if (message->letter ? !add_letter(fence, message->letter->id)
		                    : !add_step(fence, message))
			return false;
	}
	return true;
}

void fence_release(struct fence *fence)
{
	free(fence->steps);
	free(fence->partitions);
	free(fence->letters);
	fence->steps = NULL;
	fence->partitions = NULL;
	fence->letters = NULL;
	fence->n_steps = fence->cap_steps = fence->cap_partitions = 0;
	fence->n_letters = fence->cap_letters = 0;
}

void fence_move_sql(const struct fence *fence, struct buf *sql)
{
	if (fence->n_steps) {
		offsets_advance_sql(sql, fence->group, fence->topics, fence->steps, fence->n_steps);
		buf_putc(sql, ';');
	}
	if (fence->n_letters) {
		dead_letter_redrive_sql(sql, fence->group, fence->letters, fence->n_letters,
		                        fence->redriven_by);
		buf_putc(sql, ';');
	}
}

void fence_ask_sql(struct fence *fence, struct buf *sql)
{
	fence->before = fence->behind = 0;
	if (fence->n_steps) {
		offsets_read_sql(sql, fence->group);
		buf_putc(sql, ';');
	}
	if (fence->n_letters) {
		dead_letter_stand_sql(sql, fence->letters, fence->n_letters, fence->redriven_by);
		buf_putc(sql, ';');
	}
}

void fence_read(struct fence *fence, const PGresult *answer)
{
	size_t open, redriven;
	if (dead_letter_read_stand(answer, &open, &redriven)) {
		fence->before += open;
		fence->behind += redriven;
		return;
	}
	for (size_t i = 0; i < fence->n_steps; i++) {
		const struct offsets_step *step = &fence->steps[i];
		int64_t next = -1;
		offsets_find(answer, fence->topics[step->from.topic], step->from.partition, &next);
		fence->before += next == step->from.offset;
		fence->behind += next == step->to;
	}
}

enum fence_stand fence_stand(const struct fence *fence)
{
	size_t all = fence->n_steps + fence->n_letters;
	if (fence->behind == all)
		return FENCE_BEHIND;
	return fence->before == all ? FENCE_BEFORE : FENCE_ELSEWHERE;
}

void fence_moved(const struct fence *fence)
{
	for (size_t i = 0; i < fence->n_steps; i++)
		fence->partitions[i]->position.offset = fence->steps[i].to;
}
