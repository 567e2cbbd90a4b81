/* SPDX-License-Identifier: MIT */
/*
 * The fence: what a transaction moves first, by compare-and-set, so that all
 * that follows in it happens once.
 *
 * A message comes from a partition, whose offset moves from where this process
 * left it to behind the message, or it is a dead letter that is tried again,
 * which moves from open to redriven.  If one of them does not stand where it
 * must, the database raises FENCE_LOST and nothing of the transaction stays.
 * The same rows tell what became of a COMMIT whose answer was lost.
 */
#ifndef FENCE_H
#define FENCE_H

#include "batch.h"
#include "buf.h"
#include "offsets.h"

#define FENCE_LOST OFFSETS_FENCE

/* All of it stands before the transaction, or behind it; anything else is somebody else's work. */
enum fence_stand { FENCE_BEFORE, FENCE_BEHIND, FENCE_ELSEWHERE };

struct fence {
	const char *group;
	const char *const *topics; /* names of kafka_position.topic */
	const char *redriven_by;   /* who has dead letters tried again; NULL: there are none */
	struct offsets_step *steps;
	struct partition **partitions; /* whose steps these are */
	size_t n_steps, cap_steps, cap_partitions;
	int64_t *letters;
	size_t n_letters, cap_letters;
	size_t before, behind; /* as the answers said */
};

/* For the messages low <= i < high of a batch and no others; false when memory is out. */
bool fence_aim(struct fence *fence, const struct cqrs_batch *batch, uint32_t low, uint32_t high);
/* Frees what fence_aim() has made. */
void fence_release(struct fence *fence);

/* Appends the statements that move it. */
void fence_move_sql(const struct fence *fence, struct buf *sql);
/* Appends those that ask where it stands; fence_read() is to be given each of their answers. */
void fence_ask_sql(struct fence *fence, struct buf *sql);
void fence_read(struct fence *fence, const PGresult *answer);
enum fence_stand fence_stand(const struct fence *fence);

/* The transaction is committed: the partitions stand behind it. */
void fence_moved(const struct fence *fence);

#endif
