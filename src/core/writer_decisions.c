/* SPDX-License-Identifier: MIT */
/*
 * Decisions: those that follow each other are one statement, whose parameters are
 * arrays and whose answer has a row for each.
 */
#include "batch_command.h"
#include "batch_internal.h"
#include "pg_value.h"
#include "pg_writer_internal.h"

bool writer_extends(const struct writer_statement *s, const struct batch_statement *statement)
{
	return statement->statement->decides &&
	       writer_asked(s, 0)->statement == statement->statement;
}

/* ---- parameters ---- */

static const struct batch_param *param(const struct writer_statement *s, size_t k, int nth)
{
	const struct batch_param *params =
	    (const struct batch_param *)(const void *)s->writer->batch->param_refs.data;
	return &params[writer_asked(s, k)->params + (size_t)nth];
}

static size_t array_size(const struct writer_statement *s, int nth)
{
	size_t size = PG_ARRAY_HEADER;
	for (size_t k = 0; k < s->n; k++) {
		int32_t len = param(s, k, nth)->len;
		size += 4 + (len < 0 ? 0 : (size_t)len);
	}
	return size;
}

static void add_array(struct pg_writer *writer, const struct writer_statement *s, int nth)
{
	struct buf *arrays = &writer->arrays;
	size_t start = arrays->len, at = writer_asked(s, 0)->params + (size_t)nth;
	enum cqrs_type type = writer_asked(s, 0)->statement->param_types[nth];
	pg_array_begin(arrays, pg_value_oid(type), true, s->n);
	for (size_t k = 0; k < s->n; k++) {
		const struct batch_param *p = param(s, k, nth);
		buf_put32(arrays, (uint32_t)(p->len < 0 ? -1 : p->len));
		if (p->len > 0)
			buf_add(arrays, writer->batch->params.data + p->offset, (size_t)p->len);
	}
	writer->values[at] = arrays->data + start;
	writer->lengths[at] = (int)(arrays->len - start);
}

bool writer_fill_decisions(struct pg_writer *writer)
{
	size_t size = 0;
	buf_clear(&writer->arrays);
	if (!writer->batch->decides)
		return true;
	for (size_t i = 0; i < writer->n_statements; i++) {
		const struct writer_statement *s = &writer->statements[i];
		for (int nth = 0;
		     writer_asked(s, 0)->statement->decides && nth < s->request.n_params; nth++)
			size += array_size(s, nth);
	}
	/* All at once: they stay where they are. */
	if (size && !buf_reserve(&writer->arrays, size))
		return false;
	for (size_t i = 0; i < writer->n_statements; i++) {
		const struct writer_statement *s = &writer->statements[i];
		for (int nth = 0;
		     writer_asked(s, 0)->statement->decides && nth < s->request.n_params; nth++)
			add_array(writer, s, nth);
	}
	return true;
}

/* ---- answers ---- */

enum { STATUS, REASON, BODY, FIELDS };

static const struct pg_error strange = {
    .sqlstate = "42804", /* datatype_mismatch */
    .message = "a function that a module calls to decide does not return cqrs.outcome"};
static const struct pg_error memory = {.sqlstate = "53200", .message = "out of memory"};
static const struct pg_error too_much = {
    .sqlstate = "54000", /* program_limit_exceeded */
    .message = "what its decision says takes more memory than one message may; more `memory` in "
               "the configuration allows for more"};

/* As cqrs.outcome is. */
static bool is_outcome(const PGresult *answer, size_t n)
{
	return PQntuples(answer) == (int)n && PQnfields(answer) == FIELDS &&
	       PQftype(answer, STATUS) == PG_OID_INT2 && PQftype(answer, REASON) == PG_OID_TEXT &&
	       PQftype(answer, BODY) == PG_OID_JSONB;
}

static int read_status(const PGresult *answer, int row)
{
	const unsigned char *bytes = (const unsigned char *)PQgetvalue(answer, row, STATUS);
	return PQgetisnull(answer, row, STATUS) ? 0 : (int16_t)(bytes[0] << 8 | bytes[1]);
}

static struct batch_answer read_answer(const PGresult *answer, int row)
{
	struct batch_answer said = {.status = read_status(answer, row)};
	if (!PQgetisnull(answer, row, REASON))
		said.reason = PQgetvalue(answer, row, REASON);
	if (!PQgetisnull(answer, row, BODY)) {
		said.body = PQgetvalue(answer, row, BODY);
		said.body_len = (size_t)PQgetlength(answer, row, BODY);
	}
	return said;
}

const struct pg_error *writer_read_decisions(struct writer_statement *s, const PGresult *answer)
{
	struct cqrs_batch *batch = s->writer->batch;
	if (!is_outcome(answer, s->n))
		return &strange;
	for (size_t k = 0; k < s->n; k++) {
		struct batch_answer said = read_answer(answer, (int)k);
		if (!batch_decided(batch, writer_asked(s, k), &said))
			return &memory;
		if (batch->said.len > batch->message_max)
			return &too_much;
	}
	return NULL;
}

/* Whether its message has other statements than the nth of the batch, which ask for an effect. */
static bool has_others(const struct cqrs_batch *batch, uint32_t nth)
{
	const struct batch_statement *all = batch->statements;
	uint32_t i = nth;
	while (i > 0 && all[i - 1].message == all[nth].message)
		i--;
	for (; i < batch->n_statements && all[i].message == all[nth].message; i++)
		if (i != nth && all[i].element != UINT32_MAX)
			return true;
	return false;
}

bool writer_confirm(struct pg_writer *writer, uint32_t message)
{
	if (!batch_confirm(writer->batch, message))
		return false;
	writer->batch->effects_lost = true;
	return true;
}

bool writer_undoes_decided(struct pg_writer *writer)
{
	const struct cqrs_batch *batch = writer->batch;
	bool any = false;
	for (size_t i = 0; batch->decides && i < writer->n_members; i++) {
		uint32_t nth = writer->members[i], message = batch->statements[nth].message;
		if (batch->statements[nth].statement->decides && batch->messages[message].refused &&
		    has_others(batch, nth))
			any |= writer_confirm(writer, message);
	}
	return any;
}
