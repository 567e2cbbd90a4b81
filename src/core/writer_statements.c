/* SPDX-License-Identifier: MIT */
/* The modules' statements of a batch, pipelined inside its transaction. */
#include "container.h"
#include "log.h"
#include "pg_writer_internal.h"

#include <stdio.h>
#include <stdlib.h>

static struct writer_statement *container(struct pg_request *request)
{
	return container_of(request, struct writer_statement, request);
}

static const struct batch_statement *asked(const struct writer_statement *s)
{
	return &s->writer->batch->statements[s->index];
}

/* Whether what was refused of the nth statement's message had done something before. */
static bool undoes(const struct pg_writer *writer, size_t nth)
{
	const struct cqrs_batch *batch = writer->batch;
	uint32_t message = asked(&writer->statements[nth])->message;
	size_t i = nth;
	while (i > 0 && asked(&writer->statements[i - 1])->message == message)
		i--;
	for (; i < writer->n_statements && asked(&writer->statements[i])->message == message; i++) {
		uint32_t element = asked(&writer->statements[i])->element;
		if (element != UINT32_MAX && writer->statements[i].touched > 0 &&
		    batch_element_is_dead(batch, element))
			return true;
	}
	return false;
}

/*
 * Refuses the elements whose statement, one of the first `n`, touched another
 * number of rows than it must.  Those behind one that has to be undone are
 * judged when they have run without it.
 */
static bool refuse_unexpected(struct pg_writer *writer, size_t n, bool *any)
{
	for (size_t i = 0; i < n; i++) {
		const struct writer_statement *s = &writer->statements[i];
		if (asked(s)->expect == CQRS_ANY_ROWS || asked(s)->expect == s->touched)
			continue;
		*any = true;
		if (!writer_refuse(writer, asked(s)->element, "", asked(s)->reason))
			return false;
		if (undoes(writer, i))
			break;
	}
	return true;
}

static const struct pg_error memory = {.sqlstate = "53200", .message = "out of memory"};

/* The database refused a statement: its element goes, or one before it that was to go anyway. */
static void refuse_culprit(struct pg_writer *writer)
{
	const struct pg_error *error = &writer->culprit_error;
	uint32_t element = asked(&writer->statements[writer->culprit])->element;
	bool unexpected = false;
	if (!refuse_unexpected(writer, writer->culprit, &unexpected)) {
		writer_failed(writer, &memory);
	} else if (unexpected) {
		writer_again(writer, 0);
	} else if (element == UINT32_MAX) {
		/* What prepares the ground must not fail for the data's sake: our mistake. */
		struct pg_error ours = *error;
		snprintf(ours.sqlstate, sizeof ours.sqlstate, "42000");
		writer_failed(writer, &ours);
	} else if (writer_refuse(writer, element, error->sqlstate, error->message)) {
		writer_again(writer, 0);
	} else {
		writer_failed(writer, &memory);
	}
}

/* All have answered, and the transaction is open, or aborted by the culprit. */
static void on_all_done(struct pg_writer *writer)
{
	const struct pg_error *error = &writer->culprit_error;
	bool unexpected = false;
	if (writer->lost) {
		writer_lost(writer, error);
		return;
	}
	if (!writer->refused) {
		if (!refuse_unexpected(writer, writer->n_statements, &unexpected))
			writer_failed(writer, &memory);
		else if (unexpected)
			writer_again(writer, 0);
		else
			writer_statements_done(writer);
		return;
	}
	enum verdict verdict = writer_verdict(error->sqlstate);
	if (verdict == VERDICT_DATA || verdict == VERDICT_DUPLICATE)
		refuse_culprit(writer);
	else
		writer_failed(writer, error);
}

static void on_result(struct pg_request *request, const PGresult *answer)
{
	container(request)->touched = atoll(PQcmdTuples((PGresult *)(uintptr_t)answer));
}

static void on_done(struct pg_request *request, enum pg_outcome outcome,
                    const struct pg_error *error)
{
	struct writer_statement *s = container(request);
	struct pg_writer *writer = s->writer;
	if (!writer->batch)
		return; /* pg_writer_free() */
	if (outcome == PG_REFUSED && !writer->refused) {
		writer->refused = true;
		writer->culprit = (size_t)(s - writer->statements);
		writer->culprit_error = *error;
	} else if (outcome == PG_LOST && !writer->lost) {
		writer->lost = true;
		writer->culprit_error = *error;
	}
	if (++writer->n_done == writer->n_statements)
		on_all_done(writer);
}

static bool make_room(struct pg_writer *writer)
{
	const struct cqrs_batch *batch = writer->batch;
	size_t n_values = batch->param_refs.len / sizeof(struct batch_param);
	if (writer->cap_statements < batch->n_statements) {
		free(writer->statements);
		writer->statements = calloc(batch->n_statements, sizeof *writer->statements);
		writer->cap_statements = writer->statements ? batch->n_statements : 0;
	}
	if (writer->cap_values < n_values || !writer->values) {
		free(writer->values);
		free(writer->lengths);
		writer->values = calloc(n_values + 1, sizeof *writer->values);
		writer->lengths = calloc(n_values + 1, sizeof *writer->lengths);
		writer->cap_values = writer->values && writer->lengths ? n_values : 0;
	}
	return writer->cap_statements >= batch->n_statements && writer->values && writer->lengths;
}

static void fill(struct pg_writer *writer, struct writer_statement *s, size_t index)
{
	const struct cqrs_batch *batch = writer->batch;
	const struct batch_statement *statement = &batch->statements[index];
	const struct batch_param *params =
	    (const struct batch_param *)(const void *)batch->param_refs.data + statement->params;
	for (int i = 0; i < statement->statement->n_params; i++) {
		size_t at = statement->params + (size_t)i;
		writer->values[at] =
		    params[i].len < 0 ? NULL : batch->params.data + params[i].offset;
		writer->lengths[at] = params[i].len < 0 ? 0 : params[i].len;
	}
	*s = (struct writer_statement){
	    .writer = writer,
	    .index = index,
	    .request = {.sql = statement->statement->sql,
	                .n_params = statement->statement->n_params,
	                .types = statement->statement->types,
	                .values = writer->values + statement->params,
	                .lengths = writer->lengths + statement->params,
	                .on_result = on_result,
	                .done = on_done},
	};
}

static bool is_ensured(const struct batch_statement *statement)
{
	return statement->element == UINT32_MAX;
}

static void choose(struct pg_writer *writer, bool ensured)
{
	const struct cqrs_batch *batch = writer->batch;
	for (size_t i = 0; i < batch->n_statements; i++)
		if (is_ensured(&batch->statements[i]) == ensured &&
		    attempt_wants(&writer->attempt, &batch->statements[i]))
			fill(writer, &writer->statements[writer->n_statements++], i);
}

/* In the order of their declaration, so that writers who ensure the same do not deadlock. */
static int compare(const void *left, const void *right)
{
	const struct writer_statement *a = left, *b = right;
	size_t x = asked(a)->statement->index, y = asked(b)->statement->index;
	if (x != y)
		return x < y ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

/* What is ensured goes first; the others follow in the order of their messages. */
bool writer_send_statements(struct pg_writer *writer)
{
	if (!make_room(writer))
		return false;
	writer->state = WRITER_STATEMENTS;
	writer->n_statements = writer->n_done = 0;
	writer->refused = writer->lost = false;
	choose(writer, true);
	qsort(writer->statements, writer->n_statements, sizeof *writer->statements, compare);
	choose(writer, false);
	for (size_t i = 0; i < writer->n_statements; i++) {
		if (pg_conn_send(writer->conn, &writer->statements[i].request))
			continue;
		/* The connection is gone: those that were sent will say so. */
		writer->n_statements = i;
		if (!i)
			writer_lost(writer, NULL);
		return true;
	}
	pg_conn_sync(writer->conn);
	return true;
}
