/* SPDX-License-Identifier: MIT */
/* What a transaction moves first, and what it says of a COMMIT without an answer. */
#include "fence.h"

#include "batches.h"
#include "core_schema.h"
#include "dead_letter.h"

static struct dead_letter letters[] = {{.id = 1, .part_index = -1}, {.id = 2, .part_index = -1}};
static struct cqrs_batch *batch;
static struct fence fence;
static struct buf sql;
static PGconn *pg;

static void exec(const char *text)
{
	PGresult *result = PQexec(pg, text);
	ExecStatusType status = PQresultStatus(result);
	ck_assert_msg(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK, "%s: %s", text,
	              PQerrorMessage(pg));
	PQclear(result);
}

static void setup(void)
{
	pg = PQconnectdb(pg_server_dsn);
	exec("SET client_min_messages = warning; DROP SCHEMA IF EXISTS cqrs CASCADE;"
	     "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE SCHEMA cqrs");
	core_schema(pg);
	exec("INSERT INTO cqrs.offsets VALUES ('g''', 't', 0, 10), ('g''', 't', 1, 10),"
	     "('g''', 'it''s', 7, 10)");
	exec("INSERT INTO cqrs.dead_letters (consumer_group, topic, partition, \"offset\", reason)"
	     " SELECT 'g''', 't', 0, n, 'why' FROM generate_series(1, 2) n");
	partitions_reset();
	batch = batch_new(NULL, 0);
	fence = (struct fence){.group = "g'", .topics = topic_names, .redriven_by = "me'"};
	sql = (struct buf)BUF_INIT;
}

static void teardown(void)
{
	fence_release(&fence);
	buf_release(&sql);
	batch_free(batch);
	PQfinish(pg);
}

static void put(int partition)
{
	begin_message(batch, partition, "v", NULL);
	end_message(batch);
}

static void redrive(struct dead_letter *letter)
{
	static const struct kafka_message msg = {.message = {.topic = "t"}};
	ck_assert(batch_begin(batch, &msg, NULL));
	end_message(batch);
	ck_assert(batch_redrive(batch, letter));
}

/* Two partitions and two letters. */
static void aim_at_all(void)
{
	put(0);
	redrive(&letters[0]);
	put(2);
	redrive(&letters[1]);
	ck_assert(fence_aim(&fence, batch, 0, 4));
}

/* Its SQLSTATE, "" if it went well. */
static const char *move(void)
{
	static char state[6];
	buf_clear(&sql);
	fence_move_sql(&fence, &sql);
	PGresult *result = PQexec(pg, buf_str(&sql));
	const char *said = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	snprintf(state, sizeof state, "%s", said ? said : "");
	PQclear(result);
	return state;
}

static enum fence_stand ask(void)
{
	PGresult *answer;
	buf_clear(&sql);
	fence_ask_sql(&fence, &sql);
	ck_assert(PQsendQuery(pg, buf_str(&sql)));
	while ((answer = PQgetResult(pg))) {
		ck_assert_int_eq(PQresultStatus(answer), PGRES_TUPLES_OK);
		fence_read(&fence, answer);
		PQclear(answer);
	}
	return fence_stand(&fence);
}

START_TEST(moves_each_partition_behind_its_last_message)
{
	for (int i = 0; i < 6; i++)
		put(i % N_PARTITIONS);
	next_offsets[0] += 100; /* offsets have holes */
	put(0);
	ck_assert(fence_aim(&fence, batch, 1, 4));
	ck_assert_uint_eq(fence.n_steps, 3);
	ck_assert_int_eq(fence.steps[0].from.partition, 1);
	ck_assert_int_eq((int)fence.steps[0].to, 11);
	ck_assert_int_eq(fence.steps[1].from.topic, 1);
	ck_assert_int_eq((int)fence.steps[2].from.offset, 10);
	ck_assert_int_eq((int)fence.steps[2].to, 12);
	ck_assert(fence_aim(&fence, batch, 0, 7));
	ck_assert_uint_eq(fence.n_steps, 3);
	ck_assert_int_eq((int)fence.steps[0].to, 113);
	fence_moved(&fence);
	ck_assert_int_eq((int)partitions[0].position.offset, 113);
	ck_assert_int_eq((int)partitions[2].position.offset, 12);
}
END_TEST

START_TEST(moves_partitions_and_letters_once)
{
	aim_at_all();
	ck_assert_int_eq(ask(), FENCE_BEFORE);
	ck_assert_str_eq(move(), "");
	ck_assert_int_eq(ask(), FENCE_BEHIND);
	ck_assert_str_eq(move(), FENCE_LOST);
	ck_assert_int_eq(ask(), FENCE_BEHIND);
}
END_TEST

START_TEST(moves_nothing_when_one_letter_is_not_open)
{
	aim_at_all();
	exec("UPDATE cqrs.dead_letters SET resolution = 'discarded', resolved_at = now(), "
	     "resolved_by = 'x' WHERE id = 2");
	ck_assert_str_eq(move(), FENCE_LOST);
	ck_assert_int_eq(ask(), FENCE_ELSEWHERE);
	exec("UPDATE cqrs.dead_letters SET resolution = NULL, resolved_at = NULL, "
	     "resolved_by = NULL WHERE id = 2");
	ck_assert_int_eq(ask(), FENCE_BEFORE);
}
END_TEST

START_TEST(moves_nothing_when_one_partition_is_elsewhere)
{
	aim_at_all();
	exec("UPDATE cqrs.offsets SET next_offset = 9 WHERE topic = 't' AND partition = 0");
	ck_assert_str_eq(move(), FENCE_LOST);
	ck_assert_int_eq(ask(), FENCE_ELSEWHERE);
	exec("DELETE FROM cqrs.offsets WHERE topic = 't' AND partition = 0");
	ck_assert_int_eq(ask(), FENCE_ELSEWHERE);
}
END_TEST

START_TEST(a_letter_that_somebody_else_redrove_is_elsewhere)
{
	redrive(&letters[0]);
	ck_assert(fence_aim(&fence, batch, 0, 1));
	exec("SELECT cqrs.redrive('g''', '{1}', 'you')");
	ck_assert_int_eq(ask(), FENCE_ELSEWHERE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fence");
	TCase *cases = tcase_create("fence");
	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, moves_each_partition_behind_its_last_message);
	tcase_add_test(cases, moves_partitions_and_letters_once);
	tcase_add_test(cases, moves_nothing_when_one_letter_is_not_open);
	tcase_add_test(cases, moves_nothing_when_one_partition_is_elsewhere);
	tcase_add_test(cases, a_letter_that_somebody_else_redrove_is_elsewhere);
	suite_add_tcase(suite, cases);
	pg_server_start("check_fence");
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	pg_server_stop();
	return failed != 0;
}
