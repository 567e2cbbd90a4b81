/* SPDX-License-Identifier: MIT */
/* Puts dead letters through their modules again, some at a time, each exactly once. */
#include "redrive.h"

#include "batch.h"
#include "dead_letter.h"
#include "headers_json.h"
#include "json_tree.h"
#include "pg_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One of the run at hand; the batch borrows from it. */
struct redriven {
	struct dead_letter letter;
	struct cqrs_header *headers;
	int topic; /* of the bus; -1: no module takes it */
};

struct redrive {
	struct loop *loop;
	struct command_bus *bus;
	const struct redrive_config *config;
	struct health *health;     /* a process is ready without its redrives */
	struct metrics *rehearsed; /* what did not happen is not counted */
	struct pg_writer_config writer_config;
	struct pg_writer *writer;
	struct cqrs_batch *batch;
	struct timer *timer; /* calls done() when there was nothing to store */
	PGresult *rows;
	struct redriven *list;
	size_t n;
	struct redrive_result result;
	char why[512];
	redrive_done_fn *done;
	void *owner;
};

static void forget(struct redrive *redrive)
{
	for (size_t i = 0; i < redrive->n; i++)
		free(redrive->list[i].headers);
	free(redrive->list);
	PQclear(redrive->rows);
	redrive->list = NULL;
	redrive->rows = NULL;
	redrive->n = 0;
}

/* ---- what became of them ---- */

/* Takes the reference. */
static void show(struct redrive *redrive, json_t *entry)
{
	if (json_array_size(redrive->result.letters) < REDRIVE_SHOWN)
		json_tree_append(&redrive->result.letters, entry);
	else
		json_decref(entry);
}

static json_t *entry(const struct dead_letter *letter, const char *outcome, const char *reason,
                     const char *sqlstate, size_t refusals)
{
	return json_pack("{s:I, s:s, s:i, s:I, s:o, s:s, s:s?, s:s?, s:I}", "id",
	                 (json_int_t)letter->id, "topic", letter->topic, "partition",
	                 (int)letter->partition, "offset", (json_int_t)letter->offset, "part_index",
	                 letter->part_index < 0 ? json_null() : json_integer(letter->part_index),
	                 "outcome", outcome, "reason", reason, "sqlstate", sqlstate, "refusals",
	                 (json_int_t)refusals);
}

static void note(struct redrive *redrive, uint32_t message)
{
	const struct cqrs_batch *batch = redrive->batch;
	const struct dead_letter *letter = batch->messages[message].letter;
	const struct batch_refusal *first = NULL;
	size_t n = 0;
	for (size_t i = 0; i < batch->n_refusals; i++) {
		if (batch->elements[batch->refusals[i].element].message != message ||
		    !batch_refusal_counts(batch, i))
			continue;
		first = first ? first : &batch->refusals[i];
		n++;
	}
	redrive->result.redriven += !first;
	redrive->result.refused += first != NULL;
	show(redrive, entry(letter, first ? "refused" : "redriven", first ? first->reason : NULL,
	                    first && *first->sqlstate ? first->sqlstate : NULL, n));
}

/* The first `stored` messages are; the fence of the others, if any, was lost. */
static void conclude(struct redrive *redrive, uint32_t stored, bool fence_lost)
{
	uint32_t message = 0;
	for (size_t i = 0; i < redrive->n; i++) {
		const struct redriven *r = &redrive->list[i];
		if (r->topic >= 0) {
			if (message < stored)
				note(redrive, message);
			message++;
		} else if (!fence_lost) {
			redrive->result.skipped++;
			show(redrive,
			     entry(&r->letter, "skipped", "no module takes this topic", NULL, 0));
		}
	}
	redrive->result.fence_lost = fence_lost;
	if (!fence_lost && redrive->n)
		redrive->result.last_id = redrive->list[redrive->n - 1].letter.id;
	command_bus_done(redrive->bus, redrive->batch, !fence_lost && !redrive->config->rehearsal);
	forget(redrive);
	redrive->done(redrive->owner);
}

static void on_stored(void *owner, struct pg_writer *writer, struct cqrs_batch *batch, bool fenced)
{
	(void)batch;
	conclude(owner, pg_writer_stored(writer), fenced);
}

/* None of them had a module. */
static void on_timer(void *arg)
{
	conclude(arg, 0, false);
}

/* ---- deciding ---- */

/* False when memory is out. */
static bool decide(struct redrive *redrive, struct redriven *r)
{
	const struct dead_letter *letter = &r->letter;
	struct kafka_message msg = {.topic = r->topic};
	msg.message = (struct cqrs_message){.topic = letter->topic,
	                                    .partition = letter->partition,
	                                    .offset = letter->offset,
	                                    .key = letter->key,
	                                    .key_len = letter->key_len,
	                                    .value = letter->payload,
	                                    .value_len = letter->payload_len};
	if (!headers_json_read(letter->headers, &r->headers, &msg.message.n_headers))
		return false;
	msg.message.headers = r->headers;
	return command_bus_decide(redrive->bus, redrive->batch, &msg, NULL) &&
	       batch_redrive(redrive->batch, letter);
}

bool redrive_run(struct redrive *redrive, PGresult *rows)
{
	size_t n = (size_t)PQntuples(rows);
	redrive->result.fence_lost = false;
	redrive->rows = rows;
	redrive->list = calloc(n + 1, sizeof *redrive->list);
	bool ok = redrive->list != NULL;
	while (ok && redrive->n < n) {
		struct redriven *r = &redrive->list[redrive->n];
		dead_letter_read(&r->letter, redrive->rows, (int)redrive->n++);
		r->topic = command_bus_find_topic(redrive->bus, r->letter.topic);
		ok = r->topic < 0 || decide(redrive, r);
	}
	if (!ok) {
		command_bus_done(redrive->bus, redrive->batch, false);
		forget(redrive);
		return false;
	}
	if (redrive->batch->n_messages)
		pg_writer_store(redrive->writer, redrive->batch);
	else
		timer_arm(redrive->timer, 0);
	return true;
}

const char *redrive_give_up(struct redrive *redrive)
{
	json_t *health = health_json(redrive->health);
	const char *why = json_string_value(
	    json_object_get(json_array_get(json_object_get(health, "reasons"), 0), "reason"));
	snprintf(redrive->why, sizeof redrive->why, "%s", why ? why : "no answer");
	json_decref(health);
	if (!pg_writer_cancel(redrive->writer))
		return NULL;
	command_bus_done(redrive->bus, redrive->batch, false);
	forget(redrive);
	return redrive->why;
}

const struct redrive_result *redrive_result(const struct redrive *redrive)
{
	return &redrive->result;
}

/* ---- life ---- */

struct redrive *redrive_new(struct loop *loop, struct command_bus *bus,
                            const struct redrive_config *config, struct metrics *metrics,
                            redrive_done_fn *done, void *owner)
{
	struct redrive *redrive = calloc(1, sizeof *redrive);
	if (!redrive)
		return NULL;
	redrive->loop = loop;
	redrive->bus = bus;
	redrive->config = config;
	redrive->done = done;
	redrive->owner = owner;
	redrive->writer_config = (struct pg_writer_config){.name = "postgres redrive",
	                                                   .dsn = config->dsn,
	                                                   .group = config->group,
	                                                   .redriven_by = config->by,
	                                                   .rehearsal = config->rehearsal,
	                                                   .timeout_us = config->timeout_us,
	                                                   .max_statements = 64};
	redrive->health = health_new(loop);
	redrive->timer = timer_new(loop, on_timer, redrive);
	redrive->batch = command_bus_batch(bus);
	redrive->result.letters = json_array();
	if (config->rehearsal)
		metrics = redrive->rehearsed = metrics_new();
	if (redrive->health && metrics)
		redrive->writer = pg_writer_new(loop, &redrive->writer_config, metrics,
		                                redrive->health, on_stored, redrive);
	if (redrive->writer && redrive->timer && redrive->batch && redrive->result.letters)
		return redrive;
	redrive_free(redrive);
	return NULL;
}

void redrive_free(struct redrive *redrive)
{
	if (!redrive)
		return;
	pg_writer_free(redrive->writer);
	if (redrive->batch && redrive->batch->n_messages)
		command_bus_done(redrive->bus, redrive->batch, false);
	batch_free(redrive->batch);
	forget(redrive);
	timer_free(redrive->timer);
	health_free(redrive->health);
	metrics_free(redrive->rehearsed);
	json_decref(redrive->result.letters);
	free(redrive);
}
