/* SPDX-License-Identifier: MIT */
/* Which rows, in which order, in which SQL, and as which bytes. */
#include "attempt.h"

#include "batches.h"
#include "dead_letter.h"
#include "kafka_embedded.h"
#include "pg_value.h"

#include <librdkafka/rdkafka.h>

#define GROUP  "g"
#define N_TEXT 16
#define STAGED (ATTEMPT_SIFT | ATTEMPT_STORE)

static const struct cqrs_column key_columns[] = {{.name = "k", .type = CQRS_INT4, .key = true},
                                                 {.name = "v", .type = CQRS_TEXT},
                                                 {.name = NULL}};
static const struct cqrs_column doc_columns[] = {
    {.name = "name", .type = CQRS_TEXT, .key = true, .references = "app.names(it's)"},
    {.name = "doc", .type = CQRS_JSONB},
    {.name = NULL}};
enum { IGNORE, UPDATE, REFUSE, DOCS, N_TABLES };
static const struct cqrs_table_def defs[N_TABLES] = {
    [IGNORE] = {"first", key_columns, CQRS_DUPLICATE_IGNORE},
    [UPDATE] = {"last", key_columns, CQRS_DUPLICATE_UPDATE},
    [REFUSE] = {"one", key_columns, CQRS_DUPLICATE_REFUSE},
    [DOCS] = {"docs", doc_columns, CQRS_DUPLICATE_UPDATE},
};
static const struct cqrs_statement statement = {.sql = "SELECT 1"};

static struct cqrs_table *tables[N_TABLES];
static struct cqrs_batch *batch;
static struct attempt attempt;
static struct buf sql, bytes;

static void setup(void)
{
	partitions_reset();
	for (int i = 0; i < N_TABLES; i++)
		tables[i] = batch_table_new(&defs[i], i);
	batch = batch_new(tables, N_TABLES);
	sql = bytes = (struct buf)BUF_INIT;
}

static void teardown(void)
{
	attempt_release(&attempt);
	batch_free(batch);
	for (int i = 0; i < N_TABLES; i++)
		batch_table_free(tables[i]);
	buf_release(&sql);
	buf_release(&bytes);
}

static void append(int table, int32_t key, const char *text)
{
	cqrs_append(batch, tables[table], (struct cqrs_value[]){cqrs_int4(key), cqrs_text(text)});
}

static void put(int table, int32_t key, const char *text)
{
	begin_message(batch, 0, "v", NULL);
	append(table, key, text);
	end_message(batch);
}

static void prepare(uint32_t low, uint32_t high, unsigned way)
{
	ck_assert(attempt.batch || attempt_init(&attempt, batch, GROUP));
	ck_assert(attempt_prepare(&attempt, low, high, way));
	attempt_begin_sql(&attempt);
}

/* All bytes of a COPY, whose pieces are of the size that a socket likes. */
static void read_copy(int nth)
{
	const char *data;
	size_t len;
	buf_clear(&bytes);
	while (attempt_copy_data(&attempt, nth, &data, &len)) {
		ck_assert_uint_le(len, 2 * 65536);
		buf_add(&bytes, data, len);
	}
	ck_assert(!attempt.chunk.failed);
	ck_assert_uint_ge(bytes.len, 21);
	ck_assert_mem_eq(bytes.data, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
	ck_assert_mem_eq(bytes.data + bytes.len - 2, "\377\377", 2);
}

/* The fields of the tuple at `*at`; how many.  len -1: null. */
struct field {
	const char *data;
	int32_t len;
};

static int next_tuple(size_t *at, struct field *fields)
{
	int n = (int16_t)pg_get16(bytes.data + *at);
	*at += 2;
	for (int i = 0; i < n; i++) {
		fields[i].len = (int32_t)pg_get32(bytes.data + *at);
		*at += 4;
		fields[i].data = bytes.data + *at;
		*at += fields[i].len < 0 ? 0 : (size_t)fields[i].len;
	}
	return n;
}

static void is_field(const struct field *field, const char *data, int32_t len)
{
	ck_assert_int_eq(field->len, len);
	if (len > 0)
		ck_assert_mem_eq(field->data, data, (size_t)len);
}

/* The keys and texts of a table's COPY as one text. */
static const char *copied(int nth)
{
	static char text[512];
	struct field fields[8];
	size_t at = 19, used = 0;
	int n, skip = attempt.copies[nth].what == ATTEMPT_STAGE;
	read_copy(nth);
	text[0] = '\0';
	for (int row = 0; (n = next_tuple(&at, fields)) >= 0; row++) {
		ck_assert_int_eq(n, 2 + skip);
		if (skip)
			ck_assert_int_eq((int)pg_get32(fields[0].data), row);
		used += (size_t)snprintf(text + used, sizeof text - used, "%s%d%.*s",
		                         row ? " " : "", (int)pg_get32(fields[skip].data),
		                         fields[skip + 1].len, fields[skip + 1].data);
	}
	ck_assert_uint_eq(at, bytes.len);
	return text;
}

START_TEST(sorts_rows_by_key)
{
	put(REFUSE, 3, "a");
	put(REFUSE, -1, "b");
	put(REFUSE, 2, "c");
	put(REFUSE, 2, "d");
	prepare(0, 4, ATTEMPT_DIRECT);
	attempt_rows_sql(&attempt, &sql);
	ck_assert_str_eq(buf_str(&sql), "COPY \"one\" (\"k\", \"v\") FROM STDIN BINARY;");
	ck_assert_str_eq(copied(0), "-1b 2c 2d 3a");
	ck_assert_uint_eq(attempt_duplicates(&attempt), 0);
	ck_assert_uint_eq(attempt_stored(&attempt), 4);
}
END_TEST

START_TEST(of_one_key_the_first_or_the_last_stands)
{
	put(IGNORE, 2, "a");
	put(IGNORE, 1, "b");
	put(IGNORE, 2, "c");
	put(UPDATE, 2, "a");
	put(UPDATE, 1, "b");
	put(UPDATE, 2, "c");
	prepare(0, 6, ATTEMPT_DIRECT);
	attempt_rows_sql(&attempt, &sql);
	ck_assert_str_eq(copied(0), "1b 2a");
	ck_assert_str_eq(copied(1), "1b 2c");
	ck_assert_uint_eq(attempt_duplicates(&attempt), 2);
	ck_assert_uint_eq(attempt_stored(&attempt), 4);
}
END_TEST

START_TEST(takes_a_range)
{
	for (int i = 0; i < 6; i++) {
		begin_message(batch, i % N_PARTITIONS, "v", NULL);
		append(IGNORE, i, "x");
		cqrs_publish(batch, "e", NULL, "{}");
		end_message(batch);
	}
	prepare(1, 4, ATTEMPT_DIRECT);
	attempt_rows_sql(&attempt, &sql);
	ck_assert_str_eq(copied(0), "1x 2x 3x");
	ck_assert_uint_eq(attempt.n_events, 3);
}
END_TEST

START_TEST(knows_which_refusals_are_dead_letters)
{
	begin_message(batch, 0, "v", NULL);
	cqrs_element(batch, 0, NULL, 0);
	cqrs_refuse_element(batch, "counts");
	cqrs_element(batch, 1, NULL, 0);
	append(IGNORE, 1, "x");
	end_message(batch);
	begin_message(batch, 0, "v", NULL);
	cqrs_element(batch, 0, NULL, 0);
	append(IGNORE, 2, "x");
	cqrs_refuse_element(batch, "does not count");
	cqrs_refuse(batch, "counts for all");
	end_message(batch);
	put(IGNORE, 3, "x");
	prepare(0, 3, ATTEMPT_DIRECT);
	ck_assert_uint_eq(attempt.n_dead, 2);
	ck_assert(attempt_is_dead_letter(&attempt, 0));
	ck_assert(!attempt_is_dead_letter(&attempt, 1));
	ck_assert(attempt_is_dead_letter(&attempt, 2));
	attempt_rows_sql(&attempt, &sql);
	ck_assert_str_eq(copied(0), "1x 3x");
	prepare(1, 2, ATTEMPT_DIRECT);
	ck_assert_uint_eq(attempt.n_dead, 1);
}
END_TEST

START_TEST(runs_the_statements_of_its_range_that_are_alive)
{
	begin_message(batch, 0, "v", NULL);
	cqrs_execute(batch, &statement, NULL, CQRS_ANY_ROWS, NULL);
	cqrs_ensure(batch, &statement, NULL);
	cqrs_refuse(batch, "no");
	end_message(batch);
	begin_message(batch, 0, "v", NULL);
	cqrs_execute(batch, &statement, NULL, CQRS_ANY_ROWS, NULL);
	end_message(batch);
	put(IGNORE, 1, "x");
	prepare(0, 2, ATTEMPT_DIRECT);
	ck_assert(!attempt_wants(&attempt, &batch->statements[0]));
	ck_assert(attempt_wants(&attempt, &batch->statements[1]));
	ck_assert(attempt_wants(&attempt, &batch->statements[2]));
	ck_assert(attempt_has_statements(&attempt));
	prepare(1, 2, ATTEMPT_DIRECT);
	ck_assert(!attempt_wants(&attempt, &batch->statements[1]));
	ck_assert(attempt_has_statements(&attempt));
	prepare(2, 3, ATTEMPT_DIRECT);
	ck_assert(!attempt_has_statements(&attempt));
}
END_TEST

START_TEST(copies_events_that_are_alive)
{
	struct field fields[3];
	size_t at = 19;
	begin_message(batch, 0, "v", NULL);
	cqrs_element(batch, 0, NULL, 0);
	cqrs_publish(batch, "topic", "key", "{\"a\":1}");
	cqrs_element(batch, 1, NULL, 0);
	cqrs_publish(batch, "topic", "key", "{\"dead\":1}");
	cqrs_refuse_element(batch, "no");
	end_message(batch);
	prepare(0, 1, ATTEMPT_DIRECT);
	attempt_rest_sql(&attempt, &sql);
	ck_assert_ptr_nonnull(
	    strstr(buf_str(&sql), "COPY cqrs.outbox (topic, key, payload) FROM STDIN BINARY;"));
	read_copy(0);
	ck_assert_int_eq(next_tuple(&at, fields), 3);
	is_field(&fields[0], "topic", 5);
	is_field(&fields[1], "key", 3);
	is_field(&fields[2], "{\"a\":1}", 7);
	ck_assert_int_eq(next_tuple(&at, fields), -1);
}
END_TEST

/* ---- a message with headers, which only a broker can make ---- */

static struct kafka_embedded *broker;
static rd_kafka_t *consumer;

static rd_kafka_t *client(rd_kafka_type_t type)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_conf_set(conf, "bootstrap.servers", kafka_embedded_brokers(broker), NULL, 0);
	rd_kafka_conf_set(conf, "group.id", "check", NULL, 0);
	rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
	return rd_kafka_new(type, conf, NULL, 0);
}

static void produce(void)
{
	rd_kafka_t *producer = client(RD_KAFKA_PRODUCER);
	rd_kafka_headers_t *headers = rd_kafka_headers_new(8);
	rd_kafka_header_add(headers, "a", -1, "1\"", -1);
	rd_kafka_header_add(headers, "none", -1, NULL, 0);
	rd_kafka_header_add(headers, "twice", -1, "x", -1);
	rd_kafka_header_add(headers, "twice", -1, "y", -1);
	rd_kafka_header_add(headers, "twice", -1, "z", -1);
	rd_kafka_header_add(headers, "raw", -1, "\xff\x01", 2);
	rd_kafka_header_add(headers, "nul", -1, "a\0b", 3);
	ck_assert(!rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("t"), RD_KAFKA_V_PARTITION(0),
	                             RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END));
	ck_assert(!rd_kafka_flush(producer, 10000));
	rd_kafka_destroy(producer);
}

static void add_headers(struct batch_message *message)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	broker = kafka_embedded_new();
	ck_assert(kafka_embedded_add_topic(broker, "t"));
	produce();
	consumer = client(RD_KAFKA_CONSUMER);
	rd_kafka_topic_partition_list_add(list, "t", 0)->offset = 0;
	rd_kafka_assign(consumer, list);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_message_t *m = rd_kafka_consumer_poll(consumer, 10000);
	ck_assert(m && !m->err);
	message->kafka.handle = m;
}

static void forget_headers(void)
{
	batch_clear(batch);
	rd_kafka_destroy(consumer);
	kafka_embedded_free(broker);
}

START_TEST(a_dead_letter_has_all_there_is_to_know)
{
	static const char json[] = "\1{\"a\":\"1\\\"\",\"none\":null,\"twice\":[\"x\",\"y\",\"z\"],"
	                           "\"raw\":\"\\\\xff01\",\"nul\":\"\\\\x610062\"}";
	static const char *value = "[1, 2]";
	struct field f[12];
	size_t at = 19;
	begin_message(batch, 2, value, "key");
	cqrs_element(batch, 1, value + 4, 1);
	cqrs_refuse_element(batch, "why");
	end_message(batch);
	add_headers(&batch->messages[0]);
	begin_message(batch, 1, NULL, NULL);
	cqrs_refuse(batch, "nothing");
	end_message(batch);
	ck_assert(batch_refuse(batch, batch_whole(batch, 0), "23514", "all"));
	prepare(0, 2, ATTEMPT_DIRECT);
	attempt_rest_sql(&attempt, &sql);
	ck_assert_uint_eq(attempt.n_dead, 2);
	read_copy(0);
	ck_assert_int_eq(next_tuple(&at, f), 12);
	is_field(&f[1], "t", 1);
	is_field(&f[2], "\0\0\0\1", 4);
	for (int i = 4; i < 8; i++)
		is_field(&f[i], NULL, -1);
	is_field(&f[8], "\1", 1);
	is_field(&f[9], "nothing", 7);
	is_field(&f[10], NULL, -1);
	is_field(&f[11], NULL, -1);
	ck_assert_int_eq(next_tuple(&at, f), 12);
	is_field(&f[0], GROUP, 1);
	is_field(&f[1], "it's", 4);
	is_field(&f[2], "\0\0\0\7", 4);
	is_field(&f[3], "\0\0\0\0\0\0\0\12", 8);
	is_field(&f[4], NULL, -1);
	is_field(&f[5], "key", 3);
	is_field(&f[6], json, (int32_t)sizeof json - 1);
	is_field(&f[7], value, 6);
	is_field(&f[8], "\1", 1);
	is_field(&f[9], "all", 3);
	is_field(&f[10], "23514", 5);
	ck_assert_int_eq(next_tuple(&at, f), -1);
	forget_headers();
}
END_TEST

START_TEST(a_dead_letter_of_an_element_has_its_part_alone)
{
	static const char *value = "[1, 2]";
	struct field f[12];
	size_t at = 19;
	begin_message(batch, 0, value, NULL);
	cqrs_element(batch, 1, value + 4, 1);
	cqrs_refuse_element(batch, "why");
	end_message(batch);
	prepare(0, 1, ATTEMPT_DIRECT);
	attempt_rest_sql(&attempt, &sql);
	read_copy(0);
	next_tuple(&at, f);
	is_field(&f[4], "\0\0\0\1", 4);
	is_field(&f[7], "2", 1);
	is_field(&f[8], "\0", 1);
}
END_TEST

START_TEST(a_dead_letter_without_a_part_of_its_own_says_so)
{
	struct field f[12];
	size_t at = 19;
	begin_message(batch, 0, "[1, 2]", NULL);
	cqrs_element(batch, 1, NULL, 0);
	cqrs_refuse_element(batch, "why");
	end_message(batch);
	prepare(0, 1, ATTEMPT_DIRECT);
	attempt_rest_sql(&attempt, &sql);
	read_copy(0);
	next_tuple(&at, f);
	is_field(&f[4], "\0\0\0\1", 4);
	is_field(&f[7], "[1, 2]", 6);
	is_field(&f[8], "\1", 1);
}
END_TEST

START_TEST(a_part_that_is_refused_again_is_still_that_part)
{
	static const struct dead_letter letter = {.id = 258, .part_index = 7};
	struct field f[12];
	size_t at = 19;
	begin_message(batch, 0, "2", NULL);
	cqrs_refuse(batch, "again");
	end_message(batch);
	ck_assert(batch_redrive(batch, &letter));
	prepare(0, 1, ATTEMPT_DIRECT);
	attempt_rest_sql(&attempt, &sql);
	read_copy(0);
	next_tuple(&at, f);
	is_field(&f[4], "\0\0\0\7", 4);
	is_field(&f[7], "2", 1);
	is_field(&f[8], "\0", 1);
	is_field(&f[11], "\0\0\0\0\0\0\1\2", 8);
}
END_TEST

START_TEST(hands_a_big_payload_over_in_pieces)
{
	enum { SIZE = 1000000 };
	static char value[SIZE + 1];
	struct field f[12];
	size_t at = 19;
	for (int i = 0; i < SIZE; i++)
		value[i] = (char)('a' + i % 23);
	begin_message(batch, 0, value, NULL);
	cqrs_refuse(batch, "too long");
	end_message(batch);
	put(IGNORE, 1, "x");
	prepare(0, 2, ATTEMPT_DIRECT);
	attempt_rows_sql(&attempt, &sql);
	attempt_rest_sql(&attempt, &sql);
	ck_assert_str_eq(copied(0), "1x");
	read_copy(1);
	next_tuple(&at, f);
	is_field(&f[7], value, SIZE);
	/* Again from the beginning, for the next attempt. */
	attempt_begin_sql(&attempt);
	attempt_rest_sql(&attempt, &sql);
	read_copy(0);
	ck_assert_uint_gt(bytes.len, SIZE);
}
END_TEST

START_TEST(copies_many_rows)
{
	enum { ROWS = 30000 };
	struct field f[2];
	size_t at = 19;
	for (int i = 0; i < ROWS; i++)
		put(IGNORE, ROWS - i, "some text");
	prepare(0, ROWS, ATTEMPT_DIRECT);
	attempt_rows_sql(&attempt, &sql);
	read_copy(0);
	for (int i = 1; i <= ROWS; i++) {
		ck_assert_int_eq(next_tuple(&at, f), 2);
		ck_assert_int_eq((int)pg_get32(f[0].data), i);
	}
	ck_assert_int_eq(next_tuple(&at, f), -1);
}
END_TEST

START_TEST(stages_with_numbers_and_checks_references)
{
	begin_message(batch, 0, "v", NULL);
	cqrs_append(batch, tables[DOCS],
	            (struct cqrs_value[]){cqrs_text("n"), cqrs_bytes(CQRS_JSONB, "{}", 2)});
	end_message(batch);
	put(UPDATE, 1, "x");
	prepare(0, 2, STAGED);
	attempt_staging_sql(&attempt, &sql);
	static const char *const parts[] = {
	    "CREATE TEMP TABLE IF NOT EXISTS cqrs_stage_3 (cqrs_n integer,",
	    " \"name\" text, \"doc\" bytea) ON COMMIT DELETE ROWS;",
	    "COPY cqrs_stage_3 FROM STDIN BINARY;",
	    "cqrs.sift(ARRAY[1, 3]::integer[], ARRAY['\"last\"', '\"docs\"']::regclass[],"
	    " ARRAY[3]::integer[], ARRAY['name']::text[], ARRAY['\"app\".\"names\"']::text[],"
	    " ARRAY['it''s']::text[], ARRAY['name is not in app.names(it''s)']::text[]);",
	    "SET CONSTRAINTS ALL IMMEDIATE;",
	    "ON CONFLICT (\"k\") DO UPDATE SET \"v\" = EXCLUDED.\"v\"",
	    "SELECT DISTINCT ON (\"name\")",
	    "ORDER BY \"name\", cqrs_n DESC",
	    ", 0, 1);"};
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		ck_assert_msg(strstr(buf_str(&sql), parts[i]) != NULL, "%s\nis not in\n%s",
		              parts[i], buf_str(&sql));
	ck_assert_ptr_null(strstr(buf_str(&sql), "cqrs_stage_0"));
	ck_assert_str_eq(copied(0), "1x");
	prepare(1, 2, STAGED);
}
END_TEST

/* An answer of the staging SQL with one row. */
static PGresult *answer(const char *table, const char *stored, const char *refused)
{
	static char names[5][16] = {"cqrs_table", "stored", "refused", "state", "reason"};
	PGresAttDesc columns[5] = {{.name = NULL}};
	const char *values[] = {table, stored, refused, stored ? NULL : "23514",
	                        stored ? NULL : "too hot"};
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	for (int i = 0; i < 5; i++)
		columns[i].name = names[i];
	PQsetResultAttrs(result, 5, columns);
	for (int i = 0; i < 5; i++) {
		char text[N_TEXT];
		snprintf(text, sizeof text, "%s", values[i] ? values[i] : "");
		PQsetvalue(result, 0, i, values[i] ? text : NULL,
		           values[i] ? (int)strlen(text) : -1);
	}
	return result;
}

static bool redo_after(const char *table, const char *refused)
{
	bool redo = false;
	PGresult *result = answer(table, NULL, refused);
	ck_assert(attempt_read_staged(&attempt, result, &redo));
	PQclear(result);
	return redo;
}

START_TEST(learns_what_staging_refused)
{
	begin_message(batch, 0, "v", NULL);
	cqrs_element(batch, 0, NULL, 0);
	append(REFUSE, 2, "a");
	cqrs_element(batch, 1, NULL, 0);
	append(REFUSE, 1, "b");
	end_message(batch);
	prepare(0, 1, STAGED);
	bool redo = false;
	PGresult *result = answer("2", "1", NULL);
	ck_assert(attempt_read_staged(&attempt, result, &redo));
	PQclear(result);
	ck_assert(!redo_after("2", "0"));
	ck_assert(batch_element_is_dead(batch, 1) && !batch_element_is_dead(batch, 0));
	ck_assert_str_eq(batch->refusals[0].reason, "too hot");
	ck_assert_uint_eq(attempt.n_dead, 1);
	ck_assert_uint_eq(attempt_stored(&attempt), 1);
	ck_assert_uint_eq(attempt_duplicates(&attempt), 0);
	ck_assert(!redo);
}
END_TEST

/* What the staging SQL answers: one row, of so many fields. */
static bool redo_after_answer(int n, const char *const names[], const char *const values[])
{
	PGresAttDesc columns[4] = {{.name = NULL}};
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	char text[4][N_TEXT];
	bool redo = false;
	for (int i = 0; i < n; i++) {
		snprintf(text[i], N_TEXT, "%s", names[i]);
		columns[i].name = text[i];
	}
	PQsetResultAttrs(result, n, columns);
	for (int i = 0; i < n; i++) {
		snprintf(text[i], N_TEXT, "%s", values[i]);
		PQsetvalue(result, 0, i, text[i], (int)strlen(text[i]));
	}
	ck_assert(attempt_read_staged(&attempt, result, &redo));
	PQclear(result);
	return redo;
}

static bool redo_after_sifting(const char *table, const char *refused)
{
	return redo_after_answer(4, (const char *[]){"cqrs_table", "refused", "state", "reason"},
	                         (const char *[]){table, refused, "23514", "too hot"});
}

START_TEST(copies_what_sifting_left)
{
	for (int i = 1; i < 4; i++)
		put(IGNORE, i, "x");
	put(IGNORE, 3, "y");
	prepare(0, 4, ATTEMPT_SIFT);
	attempt_staging_sql(&attempt, &sql);
	ck_assert_ptr_nonnull(strstr(buf_str(&sql), "cqrs.sift("));
	ck_assert_ptr_null(strstr(buf_str(&sql), "cqrs.store("));
	ck_assert_int_eq(attempt_needed(&attempt), ATTEMPT_DIRECT);
	ck_assert(!redo_after_sifting("0", "1"));
	ck_assert_int_eq(attempt_needed(&attempt), ATTEMPT_SIFT);
	ck_assert_uint_eq(attempt.n_dead, 1);
	attempt_begin_sql(&attempt);
	attempt_rows_sql(&attempt, &sql);
	ck_assert_str_eq(copied(0), "1x 3x");
	ck_assert_uint_eq(attempt_stored(&attempt), 2);
	ck_assert_uint_eq(attempt_duplicates(&attempt), 1);
	/* The one that the other 3 gave way to is refused. */
	ck_assert(redo_after_sifting("0", "2"));
}
END_TEST

START_TEST(copies_what_is_not_there_yet)
{
	static const char *const names[] = {"cqrs_table", "duplicate"};
	put(IGNORE, 1, "x");
	put(IGNORE, 2, "x");
	put(UPDATE, 3, "x");
	prepare(0, 3, ATTEMPT_SKIP);
	ck_assert_int_eq(attempt.way, ATTEMPT_SKIP | ATTEMPT_SIFT);
	attempt_staging_sql(&attempt, &sql);
	ck_assert_ptr_nonnull(strstr(buf_str(&sql), "cqrs.sift("));
	ck_assert_ptr_nonnull(strstr(buf_str(&sql), "cqrs.duplicates(ARRAY[0]::integer[], "));
	ck_assert(!redo_after_answer(2, names, (const char *[]){"0", "1"}));
	attempt_begin_sql(&attempt);
	attempt_rows_sql(&attempt, &sql);
	ck_assert_str_eq(copied(0), "1x");
	ck_assert_uint_eq(attempt_stored(&attempt), 2);
	ck_assert_uint_eq(attempt_duplicates(&attempt), 1);
	ck_assert_uint_eq(attempt.n_dead, 0);
	ck_assert_int_eq(attempt_needed(&attempt), ATTEMPT_SKIP | ATTEMPT_SIFT);
}
END_TEST

START_TEST(after_a_duplicate_skips_where_it_may)
{
	put(IGNORE, 1, "x");
	put(UPDATE, 1, "x");
	prepare(0, 2, ATTEMPT_DIRECT);
	ck_assert_int_eq(attempt_after_duplicate(&attempt), ATTEMPT_SKIP);
	prepare(1, 2, ATTEMPT_DIRECT);
	ck_assert_int_eq(attempt_after_duplicate(&attempt), ATTEMPT_STORE);
	prepare(0, 2, ATTEMPT_SKIP | ATTEMPT_STORE);
	ck_assert_int_eq(attempt.way, STAGED);
	ck_assert_int_eq(attempt_after_duplicate(&attempt), ATTEMPT_STORE);
}
END_TEST

START_TEST(knows_that_staging_met_duplicates)
{
	bool redo = false;
	put(IGNORE, 1, "x");
	put(IGNORE, 2, "x");
	put(IGNORE, 2, "y");
	prepare(0, 3, STAGED);
	PGresult *result = answer("0", "1", NULL);
	ck_assert(attempt_read_staged(&attempt, result, &redo));
	PQclear(result);
	ck_assert_uint_eq(attempt_duplicates(&attempt), 2);
	ck_assert_int_eq(attempt_needed(&attempt), ATTEMPT_SIFT | ATTEMPT_SKIP);
	prepare(0, 3, ATTEMPT_STORE);
	result = answer("0", "2", NULL);
	ck_assert(attempt_read_staged(&attempt, result, &redo));
	PQclear(result);
	ck_assert_uint_eq(attempt_duplicates(&attempt), 1);
	ck_assert_int_eq(attempt_needed(&attempt), ATTEMPT_DIRECT);
	ck_assert(!redo);
}
END_TEST

START_TEST(sifts_at_least_where_references_are_declared)
{
	begin_message(batch, 0, "v", NULL);
	cqrs_append(batch, tables[DOCS],
	            (struct cqrs_value[]){cqrs_text("n"), cqrs_bytes(CQRS_JSONB, "{}", 2)});
	end_message(batch);
	put(IGNORE, 1, "x");
	prepare(0, 2, ATTEMPT_STORE);
	ck_assert_int_eq(attempt.way, STAGED);
	prepare(0, 2, ATTEMPT_DIRECT);
	ck_assert_int_eq(attempt.way, ATTEMPT_SIFT);
	prepare(1, 2, ATTEMPT_DIRECT);
	ck_assert_int_eq(attempt.way, ATTEMPT_DIRECT);
}
END_TEST

START_TEST(has_nothing_to_stage_without_rows)
{
	begin_message(batch, 0, "v", NULL);
	cqrs_execute(batch, &statement, NULL, CQRS_ANY_ROWS, NULL);
	end_message(batch);
	prepare(0, 1, STAGED);
	ck_assert_int_eq(attempt.way, ATTEMPT_DIRECT);
}
END_TEST

START_TEST(starts_over_when_a_refusal_costs_more_than_its_row)
{
	begin_message(batch, 0, "v", NULL);
	append(REFUSE, 1, "a");
	append(REFUSE, 2, "b");
	end_message(batch);
	prepare(0, 1, STAGED);
	ck_assert(redo_after("2", "1"));
	ck_assert(batch->messages[0].refused);
	batch_clear(batch);
	/* The message as a whole, with elements beside it. */
	begin_message(batch, 0, "v", NULL);
	append(REFUSE, 1, "a");
	cqrs_element(batch, 0, NULL, 0);
	append(REFUSE, 2, "b");
	end_message(batch);
	put(REFUSE, 3, "c");
	prepare(0, 2, STAGED);
	ck_assert(!redo_after("2", "2"));
	ck_assert(redo_after("2", "0"));
	batch_clear(batch);
	/* The row was preferred to another with the same key. */
	put(IGNORE, 1, "a");
	put(IGNORE, 1, "b");
	prepare(0, 2, STAGED);
	ck_assert(redo_after("0", "0"));
	prepare(0, 2, STAGED);
	attempt_staging_sql(&attempt, &sql);
	ck_assert_str_eq(copied(0), "1b");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("attempt");
	TCase *cases = tcase_create("attempt");
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, sorts_rows_by_key);
	tcase_add_test(cases, of_one_key_the_first_or_the_last_stands);
	tcase_add_test(cases, takes_a_range);
	tcase_add_test(cases, knows_which_refusals_are_dead_letters);
	tcase_add_test(cases, runs_the_statements_of_its_range_that_are_alive);
	tcase_add_test(cases, copies_events_that_are_alive);
	tcase_add_test(cases, a_dead_letter_has_all_there_is_to_know);
	tcase_add_test(cases, a_dead_letter_of_an_element_has_its_part_alone);
	tcase_add_test(cases, a_dead_letter_without_a_part_of_its_own_says_so);
	tcase_add_test(cases, a_part_that_is_refused_again_is_still_that_part);
	tcase_add_test(cases, hands_a_big_payload_over_in_pieces);
	tcase_add_test(cases, copies_many_rows);
	tcase_add_test(cases, stages_with_numbers_and_checks_references);
	tcase_add_test(cases, learns_what_staging_refused);
	tcase_add_test(cases, copies_what_sifting_left);
	tcase_add_test(cases, copies_what_is_not_there_yet);
	tcase_add_test(cases, after_a_duplicate_skips_where_it_may);
	tcase_add_test(cases, knows_that_staging_met_duplicates);
	tcase_add_test(cases, sifts_at_least_where_references_are_declared);
	tcase_add_test(cases, has_nothing_to_stage_without_rows);
	tcase_add_test(cases, starts_over_when_a_refusal_costs_more_than_its_row);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
