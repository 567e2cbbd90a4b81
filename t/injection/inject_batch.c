/* SPDX-License-Identifier: MIT */
/* Batches, and what is sent to the database of them. */
#include "injection.h"

#include "attempt.h"
#include "batch.h"
#include "dead_letter.h"
#include "fence.h"
#include "headers_json.h"
#include "partition.h"

#include <string.h>

#define TRIES      3
#define N_MESSAGES 70 /* more than a batch has room for at once */

static const struct cqrs_column columns[] = {{.name = "k", .type = CQRS_INT4, .key = true},
                                             {.name = "v", .type = CQRS_TEXT},
                                             {.name = "n", .type = CQRS_NUMERIC},
                                             {.name = "u", .type = CQRS_UUID},
                                             {.name = NULL}};
static const struct cqrs_table_def defs[] = {{"first", columns, CQRS_DUPLICATE_IGNORE},
                                             {"last", columns, CQRS_DUPLICATE_UPDATE}};
static const enum cqrs_type types[] = {CQRS_INT4, CQRS_TEXT, CQRS_TEXT_ARRAY};
static const struct cqrs_statement statement = {
    .sql = "SELECT $1, $2, $3", .n_params = 3, .param_types = types};

static const char *const topics[] = {"t"};

/* Everything of one run, on its way from new to free. */
struct store {
	struct partition partition;
	struct cqrs_table *tables[2];
	struct batch_peers peers;
	struct cqrs_batch *batch;
	struct attempt attempt;
	struct fence fence;
	struct buf sent; /* the SQL, then the bytes of its COPYs */
	int64_t offset;
};

static bool begin(struct store *s)
{
	*s = (struct store){.partition = {.position = {.offset = 10}, .topic = topics[0]},
	                    .fence = {.group = "g", .topics = topics, .redriven_by = "me"},
	                    .offset = 10};
	s->tables[0] = batch_table_new(&defs[0], 0);
	s->tables[1] = s->tables[0] ? batch_table_new(&defs[1], 1) : NULL;
	s->batch = s->tables[1] ? batch_new(s->tables, 2) : NULL;
	return s->batch && batch_join(s->batch, &s->peers);
}

static void end(struct store *s)
{
	if (s->attempt.batch)
		attempt_release(&s->attempt);
	fence_release(&s->fence);
	batch_free(s->batch);
	free(s->peers.list);
	batch_table_free(s->tables[0]);
	batch_table_free(s->tables[1]);
	buf_release(&s->sent);
}

/* What a module does with a message of `n`. */
static void decide(struct store *s, int n)
{
	const struct cqrs_value texts[] = {cqrs_text("a"), cqrs_text("b")};
	const struct cqrs_value params[] = {cqrs_int4(n), cqrs_text("p"),
	                                    cqrs_array(CQRS_TEXT_ARRAY, texts, 2)};
	const struct cqrs_value row[] = {
	    cqrs_int4(-n / 2), cqrs_text("text"), cqrs_bytes(CQRS_NUMERIC, "12.99", 5),
	    cqrs_bytes(CQRS_UUID, "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", 36)};
	const char *value = s->batch->messages[s->batch->n_messages - 1].kafka.message.value;
	cqrs_ensure(s->batch, &statement, params);
	for (int part = 0; part < 3; part++) {
		cqrs_element(s->batch, part, value + part, 1);
		cqrs_append(s->batch, s->tables[part % 2], row);
		cqrs_execute(s->batch, &statement, params, 1, "not one");
		cqrs_publish(s->batch, "events", "key", "{}");
	}
	cqrs_refuse_element(s->batch, "part %d is refused", 2);
	if (n % 8 == 7)
		cqrs_refuse(s->batch, "message %d is refused", n);
}

/* As the command bus does: a message that could not be decided is tried again, and at last it is.
 */
static bool take(struct store *s, int n, const struct dead_letter *letter)
{
	struct kafka_message msg = {.message = {.topic = topics[0],
	                                        .offset = s->offset,
	                                        .key = "key",
	                                        .key_len = 3,
	                                        .value = "value",
	                                        .value_len = 5}};
	for (int i = 0; i < TRIES; i++) {
		size_t before = s->batch->n_messages;
		if (i == TRIES - 1)
			injection_end();
		if (!batch_begin(s->batch, &msg, letter ? NULL : &s->partition))
			continue;
		decide(s, n);
		if (batch_end(s->batch)) {
			s->offset++;
			return !letter || batch_redrive(s->batch, letter);
		}
		MUST(s->batch->n_messages == before);
	}
	MUST(!"memory is back, and the batch still takes nothing");
	return false;
}

/* The statements and COPYs of the attempt; false: memory ran out and is said to have. */
static bool send(struct store *s, bool staged)
{
	const char *data;
	size_t len;
	attempt_begin_sql(&s->attempt);
	fence_move_sql(&s->fence, &s->sent);
	if (staged)
		attempt_staging_sql(&s->attempt, &s->sent);
	else
		attempt_rows_sql(&s->attempt, &s->sent);
	attempt_rest_sql(&s->attempt, &s->sent);
	fence_ask_sql(&s->fence, &s->sent);
	for (int i = 0; i < s->attempt.n_copies; i++) {
		while (attempt_copy_data(&s->attempt, i, &data, &len))
			buf_add(&s->sent, data, len);
		if (s->attempt.chunk.failed)
			return false;
	}
	return !s->sent.failed;
}

/* Tries again what memory was not enough for, as the writer does. */
static bool store(struct store *s, bool staged)
{
	uint32_t all = (uint32_t)s->batch->n_messages;
	for (int i = 0; i < TRIES; i++) {
		if (i == TRIES - 1)
			injection_end();
		buf_clear(&s->sent);
		if (fence_aim(&s->fence, s->batch, 0, all) &&
		    (s->attempt.batch || attempt_init(&s->attempt, s->batch, "it's")) &&
		    attempt_prepare(&s->attempt, 0, all, staged) && send(s, staged)) {
			MUST(injection_is_same(staged, s->sent.data, s->sent.len));
			return true;
		}
	}
	MUST(!"memory is back, and the batch is still not stored");
	return false;
}

static bool stores_a_batch(void)
{
	struct store s;
	bool ok = begin(&s);
	for (int i = 0; ok && i < N_MESSAGES; i++)
		ok = take(&s, i, NULL);
	ok = ok && store(&s, false);
	/* The database refuses one, and then all of another. */
	ok = ok && batch_refuse(s.batch, 1, "23514", "violates a check");
	uint32_t whole = ok ? batch_whole(s.batch, 3) : UINT32_MAX;
	ok = whole != UINT32_MAX && batch_refuse(s.batch, whole, "22001", "too long") &&
	     store(&s, true);
	end(&s);
	return ok;
}

static bool tries_a_dead_letter_again(void)
{
	const struct dead_letter one = {.id = 5, .part_index = 1, .is_whole = true},
	                         none = {.id = 6, .part_index = 9, .is_whole = true};
	struct store s;
	bool ok = begin(&s) && take(&s, 0, &one) && take(&s, 1, &none) && store(&s, false);
	end(&s);
	return ok;
}

static bool writes_and_reads_headers(void)
{
	const struct cqrs_header headers[] = {{"a", "text", 4},  {"b", "\0\377", 2},
	                                      {"a", "again", 5}, {"null", NULL, 0},
	                                      {"a", "\\x00", 4}, {"empty", "", 0}};
	struct cqrs_header *back = NULL;
	size_t n = 0;
	struct buf json = BUF_INIT;
	headers_json_write(&json, headers, 6);
	bool ok = !json.failed;
	MUST(!ok || injection_is_same(0, json.data, json.len));
	ok = ok && headers_json_read(buf_str(&json), &back, &n);
	MUST(!ok || n == 6);
	free(back);
	buf_release(&json);
	return ok;
}

static const struct injection_scenario scenarios[] = {
    {.name = "stores a batch", .run = stores_a_batch},
    {.name = "tries a dead letter again", .run = tries_a_dead_letter_again},
    {.name = "writes and reads headers", .run = writes_and_reads_headers},
    {.name = NULL},
};

const struct injection injection = {.name = "batch", .scenarios = scenarios};
