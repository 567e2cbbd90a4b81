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
	return writer_asked(s, 0);
}

static bool is_dead(const struct pg_writer *writer, const struct batch_statement *statement)
{
	return statement->element != UINT32_MAX &&
	       batch_element_is_dead(writer->batch, statement->element);
}

/* Whether what was refused of the nth statement's message had done something before. */
static bool undoes(const struct pg_writer *writer, size_t nth)
{
	const struct writer_statement *all = writer->statements, *s = &all[nth];
	uint32_t message = asked(s)->message;
	/* The message's decision may be the last of one that asks for others, too, or the first. */
	while (s > all && writer_asked(s - 1, s[-1].n - 1)->message == message)
		s--;
	for (; s < all + writer->n_statements; s++) {
		const struct batch_statement *first = asked(s), *last = writer_asked(s, s->n - 1);
		const struct batch_statement *its = first->message == message ? first : last;
		if (its->message != message)
			break;
		if (is_dead(writer, its) && (s->touched > 0 || its->statement->decides))
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
		if (is_dead(writer, asked(s)))
			continue; /* its message's decision has refused it */
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
	const struct writer_statement *s = &writer->statements[writer->culprit];
	uint32_t element = asked(s)->element;
	bool unexpected = false;
	if (!refuse_unexpected(writer, writer->culprit, &unexpected)) {
		writer_failed(writer, &memory);
	} else if (unexpected) {
		writer_again(writer, 0);
	} else if (s->n > 1) {
		writer_divide(writer, error); /* which of them is not known */
	} else if (element == UINT32_MAX) {
		/* What prepares the ground must not fail for the data's sake: our mistake. */
		struct pg_error ours = *error;
		snprintf(ours.sqlstate, sizeof ours.sqlstate, "42000");
		writer_failed(writer, &ours);
	} else if (is_dead(writer, asked(s))) {
		/* Its message's decision has refused it, and will not be asked once more. */
		writer_confirm(writer, asked(s)->message);
		writer_again(writer, 0);
	} else if (writer_refuse(writer, element, error->sqlstate, error->message)) {
		writer_again(writer, 0);
	} else {
		writer_failed(writer, &memory);
	}
}

/* None was refused by the database. */
static void judge(struct pg_writer *writer)
{
	bool unexpected = false;
	if (writer->unfit)
		writer_failed(writer, writer->unfit);
	else if (!refuse_unexpected(writer, writer->n_statements, &unexpected))
		writer_failed(writer, &memory);
	else if (unexpected || writer_undoes_decided(writer))
		writer_again(writer, 0);
	else if (writer->batch->decides && !writer_prepare(writer)) /* without what was refused */
		writer_failed(writer, &memory);
	else
		writer_statements_done(writer);
}

/* All have answered, and the transaction is open, or aborted by the culprit. */
static void on_all_done(struct pg_writer *writer)
{
	const struct pg_error *error = &writer->culprit_error;
	if (writer->lost) {
		writer_lost(writer, error);
		return;
	}
	if (!writer->refused) {
		judge(writer);
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
	struct writer_statement *s = container(request);
	if (!asked(s)->statement->decides)
		s->touched = atoll(PQcmdTuples((PGresult *)(uintptr_t)answer));
	else if (PQresultStatus(answer) == PGRES_TUPLES_OK && !s->writer->unfit)
		s->writer->unfit = writer_read_decisions(s, answer);
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
		free(writer->members);
		writer->members = calloc(batch->n_statements, sizeof *writer->members);
		writer->cap_statements =
		    writer->statements && writer->members ? batch->n_statements : 0;
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
	for (int i = 0; !statement->statement->decides && i < statement->statement->n_params; i++) {
		size_t at = statement->params + (size_t)i;
		writer->values[at] =
		    params[i].len < 0 ? NULL : batch->params.data + params[i].offset;
		writer->lengths[at] = params[i].len < 0 ? 0 : params[i].len;
	}
	*s = (struct writer_statement){
	    .writer = writer,
	    .index = index,
	    .first = writer->n_members,
	    .n = 1,
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
	for (size_t i = 0; i < batch->n_statements; i++) {
		struct writer_statement *end = &writer->statements[writer->n_statements];
		if (is_ensured(&batch->statements[i]) != ensured ||
		    !attempt_wants(&writer->attempt, &batch->statements[i]))
			continue;
		if (writer->n_statements && writer_extends(end - 1, &batch->statements[i])) {
			end[-1].n++;
		} else {
			fill(writer, end, i);
			writer->n_statements++;
		}
		writer->members[writer->n_members++] = (uint32_t)i;
	}
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
	writer->n_statements = writer->n_members = writer->n_done = 0;
	writer->refused = writer->lost = false;
	writer->unfit = NULL;
	choose(writer, true);
	qsort(writer->statements, writer->n_statements, sizeof *writer->statements, compare);
	choose(writer, false);
	if (!writer_fill_decisions(writer))
		return false;
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
