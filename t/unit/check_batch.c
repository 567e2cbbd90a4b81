/* SPDX-License-Identifier: MIT */
/* What modules may ask for, and how it is taken back. */
#include "batch.h"

#include "batches.h"
#include "dead_letter.h"
#include "pg_value.h"

static const struct cqrs_column columns[] = {{.name = "id", .type = CQRS_INT4, .key = true},
                                             {.name = "at", .type = CQRS_TIMESTAMPTZ, .key = true},
                                             {.name = "note", .type = CQRS_TEXT},
                                             {.name = NULL}};
static const struct cqrs_column uuid_columns[] = {{.name = "id", .type = CQRS_UUID, .key = true},
                                                  {.name = NULL}};
static const struct cqrs_table_def def = {"app.notes", columns, CQRS_DUPLICATE_IGNORE};
static const struct cqrs_table_def uuid_def = {"things", uuid_columns, CQRS_DUPLICATE_UPDATE};
static const enum cqrs_type types[] = {CQRS_INT4, CQRS_TEXT};
static const struct cqrs_statement statement = {
    .sql = "UPDATE x", .n_params = 2, .param_types = types};

static struct cqrs_table *tables[2];
static struct cqrs_batch *batch;

static void setup(void)
{
	partitions_reset();
	tables[0] = batch_table_new(&def, 0);
	tables[1] = batch_table_new(&uuid_def, 1);
	batch = batch_new(tables, 2);
	ck_assert_ptr_nonnull(batch);
}

static void teardown(void)
{
	batch_free(batch);
	batch_table_free(tables[0]);
	batch_table_free(tables[1]);
}

static void append(int32_t id, int64_t at, const char *note)
{
	cqrs_append(batch, tables[0],
	            (struct cqrs_value[]){cqrs_int4(id), cqrs_timestamptz(at),
	                                  note ? cqrs_text(note) : cqrs_null(CQRS_TEXT)});
}

static void execute(int32_t id, const char *text)
{
	cqrs_execute(batch, &statement, (struct cqrs_value[]){cqrs_int4(id), cqrs_text(text)}, 1,
	             "no such thing");
}

START_TEST(quotes_the_names_of_a_table_once)
{
	ck_assert_str_eq(tables[0]->name, "\"app\".\"notes\"");
	ck_assert_str_eq(tables[0]->columns, "\"id\", \"at\", \"note\"");
	ck_assert_str_eq(tables[0]->key, "\"id\", \"at\"");
	ck_assert_int_eq(tables[0]->n_columns, 3);
	ck_assert_int_eq(tables[0]->n_key, 2);
	ck_assert(tables[0]->key_is_exact && !tables[0]->has_references);
	ck_assert(!tables[1]->key_is_exact);
}
END_TEST

START_TEST(keeps_a_row_as_a_copy_tuple)
{
	static const char tuple[] = "\0\3\0\0\0\4\0\0\0\7\0\0\0\10\377\374\242\376\304\310\40\1"
	                            "\0\0\0\2hi";
	begin_message(batch, 0, "x", NULL);
	append(7, 1, "hi");
	end_message(batch);
	const struct batch_rows *rows = &batch->tables[0];
	ck_assert_uint_eq(rows->n, 1);
	ck_assert_uint_eq(rows->rows[0].len, sizeof tuple - 1);
	ck_assert_mem_eq(rows->tuples.data, tuple, sizeof tuple - 1);
	ck_assert_uint_eq(batch->n_elements, 1);
	ck_assert_int_eq(batch->elements[0].index, -1);
	ck_assert_uint_eq(batch->elements[0].effects, 1);
}
END_TEST

START_TEST(orders_keys_as_the_database_does)
{
	static const int32_t ids[] = {INT32_MIN, -1, 0, 1, INT32_MAX};
	begin_message(batch, 0, "x", NULL);
	for (size_t i = 0; i < 5; i++)
		append(ids[i], 5, NULL);
	append(INT32_MAX, 6, NULL);
	end_message(batch);
	const struct batch_row *row = batch->tables[0].rows;
	for (size_t i = 1; i < 6; i++)
		ck_assert(
		    row[i - 1].key[0] < row[i].key[0] ||
		    (row[i - 1].key[0] == row[i].key[0] && row[i - 1].key[1] < row[i].key[1]));
}
END_TEST

START_TEST(a_uuid_is_the_same_key_in_either_case)
{
	static const char *const ids[] = {"0A0B0C0D-0e0f-4a0b-8c0d-0e0f0a0b0c0d",
	                                  "0a0b0c0d-0e0f-4a0b-8c0d-0e0f0a0b0c0d"};
	begin_message(batch, 0, "x", NULL);
	for (int i = 0; i < 2; i++) {
		struct cqrs_value id = cqrs_bytes(CQRS_UUID, ids[i], 36);
		cqrs_append(batch, tables[1], &id);
	}
	end_message(batch);
	const struct batch_row *row = batch->tables[1].rows;
	ck_assert_uint_eq(row[0].key[0], row[1].key[0]);
	ck_assert_uint_eq(row[0].key[1], row[1].key[1]);
}
END_TEST

START_TEST(refuses_the_element_and_not_the_message)
{
	static const char *value = "[1, 2]";
	begin_message(batch, 0, value, NULL);
	cqrs_element(batch, 0, value + 1, 1);
	append(1, 1, NULL);
	cqrs_refuse_element(batch, "%s is too much", "this");
	append(2, 2, NULL); /* of an element that is dead: not taken */
	cqrs_element(batch, 1, value + 4, 1);
	append(3, 3, NULL);
	end_message(batch);
	ck_assert_uint_eq(batch->n_elements, 2);
	ck_assert(batch_element_is_dead(batch, 0));
	ck_assert(!batch_element_is_dead(batch, 1));
	ck_assert(!batch->messages[0].refused);
	ck_assert_uint_eq(batch->tables[0].n, 2);
	ck_assert_uint_eq(batch->elements[1].data, 4);
	ck_assert_uint_eq(batch->elements[1].data_len, 1);
	ck_assert_uint_eq(batch->n_refusals, 1);
	ck_assert_str_eq(batch->refusals[0].reason, "this is too much");
	ck_assert_str_eq(batch->refusals[0].sqlstate, "");
}
END_TEST

START_TEST(refuses_the_message_with_all_its_elements)
{
	begin_message(batch, 0, "xx", NULL);
	cqrs_element(batch, 0, NULL, 0);
	append(1, 1, NULL);
	cqrs_refuse(batch, "no");
	cqrs_refuse(batch, "once is enough");
	cqrs_element(batch, 1, NULL, 0);
	append(2, 2, NULL);
	cqrs_refuse_element(batch, "neither");
	end_message(batch);
	ck_assert(batch->messages[0].refused);
	for (uint32_t i = 0; i < batch->n_elements; i++)
		ck_assert(batch_element_is_dead(batch, i));
	ck_assert_uint_eq(batch->n_refusals, 1);
	ck_assert_str_eq(batch->refusals[0].reason, "no");
	ck_assert_uint_eq(batch->tables[0].n, 1);
}
END_TEST

START_TEST(refuses_all_when_it_was_never_told_of_elements)
{
	begin_message(batch, 0, "x", NULL);
	append(1, 1, NULL);
	cqrs_refuse_element(batch, "no");
	end_message(batch);
	ck_assert(batch->messages[0].refused);
}
END_TEST

START_TEST(refuses_values_that_cannot_be_stored)
{
	begin_message(batch, 0, "x", NULL);
	cqrs_element(batch, 0, NULL, 0);
	append(1, 1, "\xff");
	cqrs_element(batch, 1, NULL, 0);
	cqrs_append(
	    batch, tables[0],
	    (struct cqrs_value[]){cqrs_int4(1), cqrs_null(CQRS_TIMESTAMPTZ), cqrs_null(CQRS_TEXT)});
	cqrs_element(batch, 2, NULL, 0);
	execute(1, "\xff");
	cqrs_element(batch, 3, NULL, 0);
	cqrs_publish(batch, "\xff", NULL, "{}");
	cqrs_element(batch, 4, NULL, 0);
	append(5, 5, "good");
	cqrs_publish(batch, "events", "k", "{}");
	end_message(batch);
	ck_assert_uint_eq(batch->n_refusals, 4);
	ck_assert_str_eq(batch->refusals[0].reason,
	                 "note has a value that PostgreSQL cannot store");
	ck_assert_str_eq(batch->refusals[0].sqlstate, "22000");
	ck_assert_str_eq(batch->refusals[1].reason, "at is part of the key and must not be null");
	ck_assert_str_eq(batch->refusals[1].sqlstate, "23502");
	ck_assert_str_eq(batch->refusals[2].reason,
	                 "a parameter has a value that PostgreSQL cannot store");
	ck_assert_str_eq(batch->refusals[3].reason, "an event's topic is not text");
	ck_assert_uint_eq(batch->tables[0].n, 1);
	ck_assert_uint_eq(batch->n_statements, 0);
	ck_assert_uint_eq(batch->n_events, 1);
	/* Nothing is left of the rows and events that were begun. */
	ck_assert_uint_eq(batch->tables[0].rows[0].offset, 0);
	ck_assert_uint_eq(batch->events[0].offset, 0);
}
END_TEST

START_TEST(a_reason_is_utf8_whatever_was_said)
{
	char longest[600];
	memset(longest, 'a', sizeof longest);
	/* Cut at 499 bytes, in the middle of a character. */
	memcpy(longest + 498, "\xc3\xa9", 2);
	longest[599] = '\0';
	begin_message(batch, 0, "x", NULL);
	cqrs_element(batch, 0, NULL, 0);
	cqrs_refuse_element(batch, "%s", longest);
	cqrs_element(batch, 1, NULL, 0);
	cqrs_refuse_element(batch, "caf\xc3\xa9 \xff\xed\xa0\x80!");
	end_message(batch);
	const char *reason = batch->refusals[0].reason;
	ck_assert(pg_value_is_text(reason, strlen(reason)));
	ck_assert_uint_eq(strlen(reason), 499);
	ck_assert_int_eq(reason[498], '?');
	ck_assert_str_eq(batch->refusals[1].reason, "caf\xc3\xa9 ???"
	                                            "?!");
}
END_TEST

START_TEST(keeps_parameters_of_statements)
{
	begin_message(batch, 0, "x", NULL);
	execute(7, "hi");
	cqrs_ensure(batch, &statement, (struct cqrs_value[]){cqrs_int4(8), cqrs_null(CQRS_TEXT)});
	end_message(batch);
	const struct batch_param *p = (const void *)batch->param_refs.data;
	ck_assert_uint_eq(batch->n_statements, 2);
	ck_assert_uint_eq(batch->statements[0].element, 0);
	ck_assert_int_eq((int)batch->statements[0].expect, 1);
	ck_assert_uint_eq(batch->statements[1].element, UINT32_MAX);
	ck_assert_int_eq((int)batch->statements[1].expect, CQRS_ANY_ROWS);
	ck_assert_uint_eq(batch->statements[1].params, 2);
	ck_assert_int_eq(p[1].len, 2);
	ck_assert_mem_eq(batch->params.data + p[1].offset, "hi", 2);
	ck_assert_mem_eq(batch->params.data + p[2].offset, "\0\0\0\10", 4);
	ck_assert_int_eq(p[3].len, -1);
	ck_assert_uint_eq(batch->elements[0].effects, 1);
}
END_TEST

START_TEST(ensures_even_when_the_message_is_refused)
{
	begin_message(batch, 0, "x", NULL);
	cqrs_refuse(batch, "no");
	cqrs_ensure(batch, &statement, (struct cqrs_value[]){cqrs_int4(8), cqrs_text("")});
	execute(1, "not");
	end_message(batch);
	ck_assert_uint_eq(batch->n_statements, 1);
	ck_assert_uint_eq(batch->statements[0].element, UINT32_MAX);
}
END_TEST

/* One message with one of everything. */
static void one_of_everything(void)
{
	cqrs_element(batch, 0, NULL, 0);
	append(1, 1, "one");
	execute(1, "one");
	cqrs_ensure(batch, &statement, (struct cqrs_value[]){cqrs_int4(8), cqrs_text("")});
	cqrs_publish(batch, "events", NULL, "{}");
	cqrs_element(batch, 1, NULL, 0);
	cqrs_refuse_element(batch, "no");
}

START_TEST(takes_a_message_back_when_memory_is_out)
{
	static const char *value = "x";
	begin_message(batch, 0, value, NULL);
	one_of_everything();
	end_message(batch);
	struct cqrs_batch before = *batch;
	struct buf *bufs[] = {&batch->tables[0].tuples, &batch->params, &batch->param_refs,
	                      &batch->event_tuples};
	for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++) {
		bufs[i]->max = bufs[i]->len + bufs[i]->len / 2;
		begin_message(batch, 1, value, NULL);
		one_of_everything();
		one_of_everything();
		ck_assert(!batch_end(batch));
		bufs[i]->max = 0;
		ck_assert_uint_eq(batch->n_messages, 1);
		ck_assert_uint_eq(batch->n_elements, before.n_elements);
		ck_assert_uint_eq(batch->n_statements, before.n_statements);
		ck_assert_uint_eq(batch->n_events, before.n_events);
		ck_assert_uint_eq(batch->n_refusals, before.n_refusals);
		ck_assert_uint_eq(batch->n_rows, before.n_rows);
		ck_assert_uint_eq(batch->bytes, before.bytes);
		ck_assert_uint_eq(batch->params.len, before.params.len);
		ck_assert_uint_eq(batch->param_refs.len, before.param_refs.len);
		ck_assert_uint_eq(batch->event_tuples.len, before.event_tuples.len);
		ck_assert_uint_eq(batch->tables[0].n, 1);
		ck_assert_uint_eq(batch->tables[0].tuples.len, batch->tables[0].rows[0].len);
	}
	begin_message(batch, 1, value, NULL);
	append(2, 2, NULL);
	end_message(batch);
	ck_assert_uint_eq(batch->tables[0].n, 2);
}
END_TEST

START_TEST(a_message_that_asks_for_too_much_is_refused_as_a_whole)
{
	batch->message_max = 20000;
	begin_message(batch, 0, "good", NULL);
	append(1, 1, "stays");
	end_message(batch);
	begin_message(batch, 0, "greedy", NULL);
	for (int i = 0; i < 1000; i++) {
		cqrs_element(batch, i, NULL, 0);
		append(i, i, "one of many");
		cqrs_refuse_element(batch, "whatever");
	}
	end_message(batch);
	begin_message(batch, 0, "good", NULL);
	append(2, 2, "stays, too");
	end_message(batch);
	ck_assert_uint_eq(batch->n_rows, 2);
	ck_assert_uint_eq(batch->n_refusals, 1);
	ck_assert(batch->messages[1].refused && !batch->messages[2].refused);
	ck_assert(batch->effects_lost);
	ck_assert_ptr_nonnull(strstr(batch->refusals[0].reason, "20000 bytes"));
	ck_assert_uint_lt(batch->bytes, 2000);
}
END_TEST

START_TEST(the_database_refuses_an_element_later)
{
	begin_message(batch, 0, "x", NULL);
	cqrs_element(batch, 0, NULL, 0);
	append(1, 1, NULL);
	cqrs_element(batch, 1, NULL, 0);
	append(2, 2, NULL);
	end_message(batch);
	begin_message(batch, 0, "y", NULL);
	append(3, 3, NULL);
	end_message(batch);
	ck_assert(batch_refuse(batch, 1, "23514", "too hot"));
	ck_assert(batch_refuse(batch, 1, "23502", "and then"));
	ck_assert_uint_eq(batch->n_refusals, 1);
	ck_assert_str_eq(batch->refusals[0].sqlstate, "23514");
	ck_assert(!batch_element_is_dead(batch, 0) && batch_element_is_dead(batch, 1));
	uint32_t whole = batch_whole(batch, 0);
	ck_assert(batch_refuse(batch, whole, "22000", "all of it"));
	ck_assert(batch_element_is_dead(batch, 0));
	ck_assert(!batch_element_is_dead(batch, 2));
}
END_TEST

START_TEST(a_cleared_batch_is_empty_and_another)
{
	uint64_t number = cqrs_batch_number(batch);
	begin_message(batch, 0, "x", NULL);
	one_of_everything();
	end_message(batch);
	ck_assert_uint_gt(batch->bytes, 0);
	batch->effects_lost = true;
	batch_clear(batch);
	ck_assert_uint_ne(cqrs_batch_number(batch), number);
	ck_assert_uint_eq(batch->n_messages + batch->n_elements + batch->n_statements +
	                      batch->n_events + batch->n_refusals + batch->n_rows + batch->bytes +
	                      batch->tables[0].n + batch->tables[0].tuples.len + batch->params.len +
	                      batch->param_refs.len,
	                  0);
	ck_assert(!batch->effects_lost);
}
END_TEST

/* Three elements: 0 is refused, 1 appends, 2 appends and the letter is of it. */
static bool redrive_part(int32_t part)
{
	static struct dead_letter letter = {.id = 1, .is_whole = true};
	letter.part_index = part;
	begin_message(batch, 0, "[]", NULL);
	cqrs_element(batch, 0, NULL, 0);
	cqrs_refuse_element(batch, "bad");
	cqrs_element(batch, 1, NULL, 0);
	append(1, 2, NULL);
	cqrs_element(batch, 2, NULL, 0);
	append(1, 2, NULL);
	end_message(batch);
	return batch_redrive(batch, &letter);
}

START_TEST(redrives_one_element_of_a_message_that_was_kept_whole)
{
	ck_assert(redrive_part(2));
	ck_assert_uint_eq(batch->n_refusals, 0);
	ck_assert(batch_element_is_dead(batch, 0));
	ck_assert(batch_element_is_dead(batch, 1));
	ck_assert(!batch_element_is_dead(batch, 2));
	ck_assert(redrive_part(0));
	ck_assert_uint_eq(batch->n_refusals, 1);
	ck_assert_str_eq(batch->refusals[0].reason, "bad");
	ck_assert(batch_element_is_dead(batch, 5));
}
END_TEST

START_TEST(refuses_a_redrive_whose_element_is_not_there)
{
	ck_assert(redrive_part(3));
	ck_assert_uint_eq(batch->n_refusals, 1);
	ck_assert(batch_refusal_counts(batch, 0));
	ck_assert(batch_element_is_dead(batch, 2));
	ck_assert_str_eq(batch->refusals[0].reason, "the message has no such part any more");
}
END_TEST

START_TEST(sees_itself_and_what_is_done_with_but_no_peer)
{
	struct cqrs_batch *other = batch_new(tables, 2);
	struct batch_peers peers = {.n = 0};
	ck_assert(batch_join(batch, &peers) && batch_join(other, &peers));
	uint64_t number = cqrs_batch_number(other);
	ck_assert(cqrs_batch_sees(batch, cqrs_batch_number(batch)));
	ck_assert(!cqrs_batch_sees(batch, number));
	ck_assert(cqrs_batch_sees(other, number));
	batch_clear(other);
	ck_assert(cqrs_batch_sees(batch, number));
	number = cqrs_batch_number(other);
	batch_free(other);
	ck_assert(cqrs_batch_sees(batch, number));
	batch_free(batch);
	batch = NULL;
	free(peers.list);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("batch");
	TCase *cases = tcase_create("batch");
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, quotes_the_names_of_a_table_once);
	tcase_add_test(cases, keeps_a_row_as_a_copy_tuple);
	tcase_add_test(cases, orders_keys_as_the_database_does);
	tcase_add_test(cases, a_uuid_is_the_same_key_in_either_case);
	tcase_add_test(cases, refuses_the_element_and_not_the_message);
	tcase_add_test(cases, refuses_the_message_with_all_its_elements);
	tcase_add_test(cases, refuses_all_when_it_was_never_told_of_elements);
	tcase_add_test(cases, refuses_values_that_cannot_be_stored);
	tcase_add_test(cases, a_reason_is_utf8_whatever_was_said);
	tcase_add_test(cases, keeps_parameters_of_statements);
	tcase_add_test(cases, ensures_even_when_the_message_is_refused);
	tcase_add_test(cases, takes_a_message_back_when_memory_is_out);
	tcase_add_test(cases, a_message_that_asks_for_too_much_is_refused_as_a_whole);
	tcase_add_test(cases, the_database_refuses_an_element_later);
	tcase_add_test(cases, a_cleared_batch_is_empty_and_another);
	tcase_add_test(cases, redrives_one_element_of_a_message_that_was_kept_whole);
	tcase_add_test(cases, refuses_a_redrive_whose_element_is_not_there);
	tcase_add_test(cases, sees_itself_and_what_is_done_with_but_no_peer);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
