/* SPDX-License-Identifier: MIT */
/* What becomes of a batch: stored, fenced, refused, or tried again later. */
#include "backoff.h"
#include "log.h"
#include "pg_writer_internal.h"

#include <stdio.h>
#include <string.h>

/* For what no time heals. */
#define ADVICE                                                                                 \
	": nothing is lost, but nothing is stored before somebody puts back what is missing, " \
	"or grants the right; it is tried again and again"

static struct metric *commands(struct metrics *metrics, const char *outcome)
{
	struct buf labels = BUF_INIT;
	metrics_label(&labels, "outcome", outcome);
	struct metric *metric =
	    metrics_counter(metrics, "cqrsd_commands_total", metrics_labels(&labels),
	                    "Messages with a command-id, by what became of them");
	buf_release(&labels);
	return metric;
}

void writer_make_metrics(struct pg_writer *writer, struct metrics *metrics)
{
	static const double rows[] = {1, 10, 100, 1000, 2000, 5000, 10000, 20000, 50000, 100000};
	struct writer_metrics *m = &writer->m;
	writer->metrics = metrics;
	m->rows = metrics_counter(metrics, "cqrsd_rows_stored_total", "", "Rows stored");
	m->duplicates = metrics_counter(metrics, "cqrsd_rows_duplicate_total", "",
	                                "Rows whose key was there already");
	m->batches = metrics_counter(metrics, "cqrsd_batches_total", "", "Transactions committed");
	m->fenced = metrics_counter(metrics, "cqrsd_batches_fenced_total", "",
	                            "Batches dropped because another member had moved the offsets");
	m->retries = metrics_counter(metrics, "cqrsd_write_retries_total", "",
	                             "Tries that PostgreSQL refused for a reason that passes");
	m->batch_rows = metrics_histogram(metrics, "cqrsd_batch_rows", "", "Rows in a transaction",
	                                  rows, sizeof rows / sizeof *rows);
	m->commit_seconds = metrics_histogram(metrics, "cqrsd_commit_seconds", "",
	                                      "From sending the rows to the answer of the COMMIT",
	                                      metrics_seconds, metrics_n_seconds);
	m->latency = metrics_histogram(metrics, "cqrsd_latency_seconds", "",
	                               "From a message's timestamp to its COMMIT (sampled)",
	                               metrics_seconds, metrics_n_seconds);
	m->applied = commands(metrics, "applied");
	m->refused = commands(metrics, "refused");
	m->repeated = commands(metrics, "repeated");
}

static void count_latency(struct pg_writer *writer)
{
	const struct cqrs_batch *batch = writer->batch;
	int64_t now = loop_wall_clock(writer->loop);
	/* A sample is enough: at most 64 of each batch. */
	uint32_t step = (writer->high - writer->low) / 64 + 1;
	for (uint32_t i = writer->low; i < writer->high; i += step) {
		int64_t made = batch->messages[i].kafka.message.timestamp_us;
		if (made > 0)
			metric_observe(writer->m.latency, (double)(now - made) / 1e6);
	}
}

static void count_dead_letters(struct pg_writer *writer)
{
	const struct cqrs_batch *batch = writer->batch;
	for (size_t i = 0; writer->attempt.n_dead && i < batch->n_refusals; i++) {
		struct buf labels = BUF_INIT;
		if (!attempt_is_dead_letter(&writer->attempt, i))
			continue;
		const char *state = batch->refusals[i].sqlstate;
		metrics_label(&labels, "reason", *state ? state : "module");
		metric_add(metrics_counter(writer->metrics, "cqrsd_dead_letters_total",
		                           metrics_labels(&labels),
		                           "Messages and elements refused, by SQLSTATE"),
		           1);
		buf_release(&labels);
	}
}

static void count_commands(struct pg_writer *writer)
{
	const struct attempt *attempt = &writer->attempt;
	size_t all = attempt->high_command - attempt->low_command;
	if (!all)
		return;
	metric_add(writer->m.refused, (double)attempt->n_refused_commands);
	metric_add(writer->m.repeated, (double)attempt->n_repeated);
	metric_add(writer->m.applied,
	           (double)(all - attempt->n_refused_commands - attempt->n_repeated));
}

void writer_stored(struct pg_writer *writer)
{
	struct cqrs_batch *batch = writer->batch;
	metric_add(writer->m.batches, 1);
	metric_add(writer->m.rows, (double)attempt_stored(&writer->attempt));
	metric_add(writer->m.duplicates, (double)attempt_duplicates(&writer->attempt));
	metric_observe(writer->m.batch_rows, (double)attempt_stored(&writer->attempt));
	metric_observe(writer->m.commit_seconds,
	               (double)(loop_now(writer->loop) - writer->began_us) / 1e6);
	count_latency(writer);
	count_dead_letters(writer);
	count_commands(writer);
	fence_moved(&writer->fence);
	writer->tries = 0;
	writer->unknown = writer->in_transaction = false;
	writer->low = writer->high;
	writer->high = (uint32_t)batch->n_messages;
	writer_habit_stored(&writer->habit, writer->needed);
	writer->way = writer->habit.usual;
	writer->needed = ATTEMPT_DIRECT;
	if (writer->low == writer->high)
		writer_finish(writer, false);
	else
		writer_try(writer);
}

void writer_fenced(struct pg_writer *writer)
{
	metric_add(writer->m.fenced, 1);
	log_warning("%s: fence lost, a batch of %zu messages is dropped: another process has moved "
	            "what it was to move",
	            writer->config->name, writer->batch->n_messages);
	writer->batch->effects_lost = true;
	writer_finish(writer, true);
}

/* ---- not stored ---- */

bool writer_refuse(struct pg_writer *writer, uint32_t element, const char *sqlstate,
                   const char *reason)
{
	writer->batch->effects_lost = true;
	return batch_refuse(writer->batch, element, sqlstate, reason);
}

void writer_wait(struct pg_writer *writer, const char *sqlstate, const char *message, bool slow)
{
	unsigned tries = (unsigned)++writer->tries;
	int64_t delay = slow ? backoff_us(writer->loop, tries, 2000000, 15000000)
	                     : backoff_us(writer->loop, tries, 50000, 5000000);
	/* lock_not_available, query_canceled */
	writer->blocked = !strcmp(sqlstate, "55P03") || !strcmp(sqlstate, "57014");
	metric_add(writer->m.retries, 1);
	snprintf(writer->why, sizeof writer->why, "%s (SQLSTATE %s)%s", message, sqlstate,
	         slow ? ADVICE : "");
	health_fail(writer->health, "%s", writer->why);
	writer_again(writer, delay);
}

void writer_postpone(struct pg_writer *writer, const struct pg_error *error)
{
	enum verdict verdict = writer_verdict(error->sqlstate);
	/* Its transaction ends with the connection. */
	if (verdict == VERDICT_ELSEWHERE)
		writer->in_transaction = false;
	writer_wait(writer, error->sqlstate, error->message, verdict == VERDICT_SCHEMA);
	if (verdict == VERDICT_ELSEWHERE)
		pg_conn_reset(writer->conn, writer->why);
}

void writer_divide(struct pg_writer *writer, const struct pg_error *error)
{
	if (writer->high - writer->low > 1) {
		writer->high = writer->low + (writer->high - writer->low) / 2;
		writer_again(writer, 0);
		return;
	}
	if (writer_confirm(writer, writer->low)) {
		writer_again(writer, 0);
		return;
	}
	/* Not even its dead letter: that is not the message's fault. */
	if (writer->batch->messages[writer->low].refused) {
		writer_wait(writer, error->sqlstate, error->message, true);
		return;
	}
	uint32_t whole = batch_whole(writer->batch, writer->low);
	if (whole == UINT32_MAX || !writer_refuse(writer, whole, error->sqlstate, error->message))
		writer_wait(writer, "53200", "out of memory", false);
	else
		writer_again(writer, 0);
}

/* The range is refused: by `first`, or else by both ways, it is known which row of it is. */
static void another_way(struct pg_writer *writer, unsigned first, const struct pg_error *error)
{
	unsigned way = writer->attempt.way;
	if (way == (ATTEMPT_SIFT | ATTEMPT_STORE)) {
		writer_divide(writer, error);
		return;
	}
	writer->way = way & first ? ATTEMPT_SIFT | ATTEMPT_STORE : way | first;
	writer_habit_refused(&writer->habit, writer->way);
	writer_again(writer, 0);
}

void writer_failed(struct pg_writer *writer, const struct pg_error *error)
{
	/* Nothing of an implicit transaction is left; an explicit one wants its ROLLBACK. */
	switch (writer_verdict(error->sqlstate)) {
	case VERDICT_FENCED:
		if (writer->in_transaction) {
			writer->fenced = true;
			writer_again(writer, 0);
		} else {
			writer_fenced(writer);
		}
		break;
	case VERDICT_DUPLICATE:
		another_way(writer, attempt_after_duplicate(&writer->attempt), error);
		break;
	case VERDICT_DATA:
		another_way(writer, ATTEMPT_SIFT, error);
		break;
	case VERDICT_FORMAT:
		if (writer->attempt.way & ATTEMPT_STORE)
			writer_wait(writer, error->sqlstate, error->message, true);
		else
			another_way(writer, ATTEMPT_STORE, error);
		break;
	case VERDICT_TOO_BIG:
		/* A message is refused for its own size (class 54), not for a server that is slow.
		 */
		if (writer->high - writer->low == 1 && strncmp(error->sqlstate, "54", 2) != 0)
			writer_wait(writer, error->sqlstate, error->message, false);
		else
			writer_divide(writer, error);
		break;
	case VERDICT_SCHEMA:
	case VERDICT_ELSEWHERE:
	case VERDICT_TRANSIENT:
		writer_postpone(writer, error);
		break;
	}
}

void writer_lost(struct pg_writer *writer, const struct pg_error *error)
{
	attempt_forgive(&writer->attempt);
	/* Only the Query that commits can have done so. */
	if (writer->state == WRITER_STORING)
		writer->unknown = true;
	writer->in_transaction = writer->fenced = false;
	snprintf(writer->why, sizeof writer->why, "%s", error ? error->message : "connection lost");
	writer->state = WRITER_WAITING; /* on_ready() comes back */
	timer_disarm(writer->timer);
}
