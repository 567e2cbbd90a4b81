/* SPDX-License-Identifier: MIT */
/* Compares what Kafka still has with what the tables have: the course of it. */
#include "audit_internal.h"

#include "container.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_US  5000000
#define PATIENCE_US 30000000 /* without a message or an answer */
#define TURN_US     10000

static void compare(struct audit *audit, bool more);

void audit_fail(struct audit *audit, const char *fmt, ...)
{
	va_list ap;
	if (*audit->result->error)
		return; /* the first reason explains the others */
	va_start(ap, fmt);
	vsnprintf(audit->result->error, sizeof audit->result->error, fmt, ap);
	va_end(ap);
	loop_stop(audit->loop);
}

static bool has_failed(const struct audit *audit)
{
	return *audit->result->error != '\0';
}

struct audit_partition *audit_find(const struct audit *audit, int topic, int32_t partition)
{
	for (size_t i = 0; i < audit->result->n_partitions; i++) {
		struct kafka_position *position = &audit->result->partitions[i].partition.position;
		if (position->topic == topic && position->partition == partition)
			return &audit->result->partitions[i];
	}
	return NULL;
}

static void finish(struct audit *audit, struct audit_partition *p)
{
	if (p->is_done)
		return;
	p->is_done = true;
	kafka_source_stop(audit->source, &p->partition.position);
}

static bool is_finished(const struct audit *audit)
{
	for (size_t i = 0; i < audit->result->n_partitions; i++)
		if (!audit->result->partitions[i].is_done)
			return false;
	return !audit->open->n_messages && !audit->comparing->n_messages;
}

static void show_progress(const struct audit *audit)
{
	int64_t read = 0, left = 0;
	if (!audit->config->progress)
		return;
	for (size_t i = 0; i < audit->result->n_partitions; i++) {
		const struct audit_partition *p = &audit->result->partitions[i];
		read += p->count.messages;
		if (!p->is_done && p->limit > p->partition.position.offset)
			left += p->limit - p->partition.position.offset;
	}
	fprintf(stderr, "\r%" PRId64 " messages compared, at most %" PRId64 " to go \r", read,
	        left);
}

/* ---- reading ---- */

/* As much as there is room for: a table without an index is read anew for each comparison. */
static bool is_full(const struct audit *audit)
{
	return audit->open->bytes >= (size_t)audit->config->memory / 8;
}

static bool take(struct audit *audit)
{
	if (audit->next_pending < audit->n_pending)
		return true;
	audit->next_pending = 0;
	audit->n_pending = kafka_source_take(audit->source, 0, audit->pending, AUDIT_PENDING);
	return audit->n_pending > 0;
}

static void note(struct audit *audit, struct audit_partition *p, const struct kafka_message *item)
{
	/* A log may end before its position: behind it nothing is left. */
	if (item->kind == KAFKA_END)
		finish(audit, p);
	else if (!p->is_done)
		audit_fail(audit,
		           "kafka: %s [%" PRId32 "] no longer has offset %" PRId64
		           ", which was there a moment ago",
		           p->partition.topic, item->message.partition, item->message.offset);
}

/* False: memory is out. */
static bool decide(struct audit *audit, struct kafka_message *msg)
{
	struct audit_partition *p = audit_find(audit, msg->topic, msg->message.partition);
	if (p && msg->kind != KAFKA_MESSAGE) {
		note(audit, p, msg);
		return true;
	}
	if (p && msg->message.offset >= p->limit)
		finish(audit, p);
	if (!p || p->is_done) {
		kafka_message_free(msg);
		return true;
	}
	if (!command_bus_decide(audit->bus, audit->open, msg, &p->partition))
		return false;
	p->partition.position.offset = msg->message.offset + 1;
	if (p->partition.position.offset == p->limit)
		finish(audit, p);
	return true;
}

static void pump(struct audit *audit)
{
	int64_t until = loop_now(audit->loop) + TURN_US;
	bool more = true;
	while (!has_failed(audit) && !is_full(audit) && (more = take(audit))) {
		if (!decide(audit, &audit->pending[audit->next_pending])) {
			audit_fail(audit, "out of memory");
			return;
		}
		audit->next_pending++;
		timer_arm(audit->patience, PATIENCE_US);
		if (loop_now(audit->loop) >= until) {
			timer_arm(audit->turn, 0);
			break;
		}
	}
	compare(audit, more);
}

void audit_begin(struct audit *audit)
{
	timer_arm(audit->turn, 0);
}

static void on_turn(void *arg)
{
	pump(arg);
}

/* ---- comparing ---- */

static void compare(struct audit *audit, bool more)
{
	if (has_failed(audit) || audit->asking)
		return;
	if (is_finished(audit)) {
		audit->result->complete = true;
		loop_stop(audit->loop);
		return;
	}
	if (!audit->open->n_messages || (more && !is_full(audit)))
		return;
	struct cqrs_batch *batch = audit->open;
	audit->open = audit->comparing;
	audit->comparing = batch;
	audit_compare_sql(audit);
	audit->request.sql = buf_str(&audit->sql);
	if (!audit_judge_begin(audit) || audit->sql.failed)
		audit_fail(audit, "out of memory");
	else
		audit->asking = pg_conn_send(audit->conn, &audit->request);
}

static void on_compared(struct audit *audit)
{
	audit_judge_end(audit);
	command_bus_done(audit->bus, audit->comparing, true);
	timer_arm(audit->patience, PATIENCE_US);
	show_progress(audit);
	pump(audit);
}

/* ---- PostgreSQL ---- */

static void on_result(struct pg_request *request, const PGresult *answer)
{
	struct audit *audit = container_of(request, struct audit, request);
	if (PQresultStatus(answer) != PGRES_TUPLES_OK)
		return;
	if (audit->result->partitions)
		audit_judge_answer(audit, answer);
	else
		audit_read_positions(audit, answer);
}

static bool on_copy(struct pg_request *request, int nth, const char **data, size_t *len)
{
	return audit_copy_data(container_of(request, struct audit, request), nth, data, len);
}

static void on_done(struct pg_request *request, enum pg_outcome outcome,
                    const struct pg_error *error)
{
	struct audit *audit = container_of(request, struct audit, request);
	audit->asking = false;
	if (has_failed(audit))
		return;
	if (outcome != PG_DONE)
		audit_fail(audit, "postgres: %s%s%s", error->message,
		           *error->sqlstate ? ", SQLSTATE " : "", error->sqlstate);
	else if (audit->out_of_memory || audit->copy.chunk.failed)
		audit_fail(audit, "out of memory");
	else if (audit->comparing->n_messages)
		on_compared(audit);
	else
		audit_resolve(audit);
}

static void on_ready(void *owner, struct pg_conn *conn)
{
	struct audit *audit = owner;
	audit_begin_sql(audit);
	audit->request.sql = buf_str(&audit->sql);
	if (audit->sql.failed)
		audit_fail(audit, "out of memory");
	else
		audit->asking = pg_conn_send(conn, &audit->request);
}

static void on_lost(void *owner, struct pg_conn *conn, const struct pg_error *error)
{
	(void)conn;
	audit_fail(owner, "postgres: %s", error ? error->message : "connection lost");
}

static const struct pg_conn_events conn_events = {.on_ready = on_ready, .on_lost = on_lost};

/* ---- Kafka ---- */

static void on_messages(void *owner, int lane)
{
	(void)lane;
	pump(owner);
}

/* What was deleted and made anew meanwhile is not in the tables, and is missed. */
static void on_doubt(void *owner)
{
	(void)owner;
}

static void on_brokers(void *owner, const char *why_not)
{
	struct audit *audit = owner;
	snprintf(audit->brokers_say, sizeof audit->brokers_say, "%s", why_not ? why_not : "");
}

static const struct kafka_source_events source_events = {
    .on_messages = on_messages,
    .on_doubt = on_doubt,
    .on_brokers = on_brokers,
};

static void on_patience(void *arg)
{
	struct audit *audit = arg;
	audit_fail(audit, "nothing was heard for %d s%s%s", PATIENCE_US / 1000000,
	           *audit->brokers_say ? ", and Kafka cannot be reached: " : "",
	           audit->brokers_say);
}

/* ---- life ---- */

static bool init(struct audit *audit)
{
	const struct audit_config *config = audit->config;
	audit->source_config = (struct kafka_source_config){
	    .brokers = config->brokers,
	    .group = config->group, /* for its rights; nobody joins it */
	    .topics = command_bus_topics(audit->bus, &audit->n_topics),
	    .lanes = 1,
	    .session_timeout_us = 10000000,
	    .queue_bytes = config->memory / 4,
	    .properties = config->properties,
	};
	audit->source_config.n_topics = audit->n_topics;
	audit_setup_sql(audit->bus, &audit->setup);
	audit->conn_config = (struct pg_conn_config){
	    .name = "postgres",
	    .dsn = config->dsn,
	    .setup = buf_str(&audit->setup),
	    .network_timeout_us = CONNECT_US,
	    .max_statements = 1,
	};
	audit->request = (struct pg_request){
	    .n_params = -1, .on_result = on_result, .copy = on_copy, .done = on_done};
	row_marks_init(&audit->marks, (size_t)config->memory / 4);
	audit->open = command_bus_batch(audit->bus);
	audit->comparing = command_bus_batch(audit->bus);
	audit->patience = timer_new(audit->loop, on_patience, audit);
	audit->turn = timer_new(audit->loop, on_turn, audit);
	audit->conn = pg_conn_new(audit->loop, &audit->conn_config, &conn_events, audit);
	if (!audit->open || !audit->comparing || !audit->patience || !audit->turn || !audit->conn)
		return false;
	audit->verdicts = calloc((size_t)audit->open->n_tables + 1, sizeof *audit->verdicts);
	audit->cap_verdicts =
	    calloc((size_t)audit->open->n_tables + 1, sizeof *audit->cap_verdicts);
	audit->source = kafka_source_new(audit->loop, &audit->source_config, &source_events, audit);
	return !audit->setup.failed && audit->verdicts && audit->cap_verdicts && audit->source;
}

static void release(struct audit *audit)
{
	pg_conn_free(audit->conn);
	while (audit->next_pending < audit->n_pending)
		kafka_message_free(&audit->pending[audit->next_pending++]);
	for (int i = 0; audit->verdicts && i < audit->open->n_tables; i++)
		free(audit->verdicts[i]);
	free(audit->verdicts);
	free(audit->cap_verdicts);
	batch_free(audit->open);
	batch_free(audit->comparing);
	kafka_source_free(audit->source);
	timer_free(audit->patience);
	timer_free(audit->turn);
	row_marks_release(&audit->marks);
	free(audit->letters);
	buf_release(&audit->sql);
	buf_release(&audit->setup);
	buf_release(&audit->copy.chunk);
	free(audit);
}

void audit_run(struct loop *loop, struct command_bus *bus, const struct audit_config *config,
               audit_missing_fn *missing, void *owner, struct audit_result *result)
{
	struct audit *audit = calloc(1, sizeof *audit);
	*result = (struct audit_result){.complete = false};
	if (!audit) {
		snprintf(result->error, sizeof result->error, "out of memory");
		return;
	}
	audit->loop = loop;
	audit->bus = bus;
	audit->config = config;
	audit->missing = missing;
	audit->owner = owner;
	audit->result = result;
	if (init(audit)) {
		timer_arm(audit->patience, PATIENCE_US);
		pg_conn_start(audit->conn);
		loop_run(loop);
		result->doubled = row_marks_count(&audit->marks, ROW_EXTRA);
		result->changed = row_marks_count(&audit->marks, ROW_OTHER);
		result->marks_full = audit->marks.is_full;
	} else {
		audit_fail(audit, "out of memory");
	}
	release(audit);
}

void audit_result_release(struct audit_result *result)
{
	free(result->partitions);
	result->partitions = NULL;
}
