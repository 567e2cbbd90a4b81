/* SPDX-License-Identifier: MIT */
/* COPY FROM STDIN BINARY, as the simulated PostgreSQL runs it. */
#include "pg_value.h"
#include "sim_sql.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct field {
	const char *data; /* NULL: null */
	int len;
};

struct copy {
	struct session *session;
	const char *p, *end;
	const char *names[SQL_COLUMNS_MAX];
	int n;
	struct field fields[SQL_COLUMNS_MAX]; /* of the tuple at hand */
};

static void need(const struct copy *copy, ptrdiff_t n)
{
	if (copy->end - copy->p < n)
		sim_abort(copy->session->sim, "COPY data end too early");
}

/* The next tuple; false behind the last. */
static bool next_tuple(struct copy *copy)
{
	need(copy, 2);
	int n = (int16_t)pg_get16(copy->p);
	copy->p += 2;
	if (n < 0)
		return false;
	if (n != copy->n)
		sim_abort(copy->session->sim, "a tuple of %d columns, not %d", n, copy->n);
	for (int i = 0; i < n; i++) {
		need(copy, 4);
		int len = (int32_t)pg_get32(copy->p);
		copy->p += 4;
		copy->fields[i] = (struct field){len < 0 ? NULL : copy->p, len};
		if (len > 0) {
			need(copy, len);
			copy->p += len;
		}
	}
	return true;
}

static const struct field *column(const struct copy *copy, const char *name)
{
	for (int i = 0; i < copy->n; i++)
		if (!strcmp(copy->names[i], name))
			return &copy->fields[i];
	sim_abort(copy->session->sim, "COPY has no column %s", name);
}

static int64_t integer(const struct copy *copy, const char *name)
{
	const struct field *field = column(copy, name);
	if (field->len == 4)
		return (int32_t)pg_get32(field->data);
	if (field->len == 8)
		return (int64_t)pg_get64(field->data);
	sim_abort(copy->session->sim, "%s is no integer", name);
}

static struct sim_row read_row(const struct copy *copy)
{
	return (struct sim_row){.k = integer(copy, "k"),
	                        .element = integer(copy, "element"),
	                        .bad = (int32_t)integer(copy, "bad")};
}

/* Of tuples before `at` nothing is left to do. */
static enum step copy_into_table(struct copy *copy, enum sim_table table)
{
	struct session *session = copy->session;
	bool stored;
	for (size_t i = 0; next_tuple(copy); i++) {
		struct sim_row row = read_row(copy);
		if (i < session->at)
			continue;
		enum step step = insert_row(session, table, &row, CONFLICT_REFUSE, &stored);
		if (step != STEP_DONE)
			return step;
		session->at++;
	}
	return STEP_DONE;
}

static void copy_into_stage(struct copy *copy, struct stage *stage)
{
	/* The number comes first and has no name of the module's. */
	while (next_tuple(copy)) {
		if (stage->n == stage->cap) {
			stage->cap = stage->cap ? 2 * stage->cap : 16;
			stage->rows = realloc(stage->rows, stage->cap * sizeof *stage->rows);
			assert(stage->rows);
		}
		stage->rows[stage->n] = read_row(copy);
		stage->rows[stage->n++].n = (int32_t)integer(copy, "cqrs_n");
	}
}

static void copy_events(struct copy *copy)
{
	while (next_tuple(copy)) {
		const struct field *payload = column(copy, "payload");
		char text[32];
		struct change *change = add_change(copy->session, CHANGE_EFFECT);
		snprintf(text, sizeof text, "%.*s", payload->len, payload->data);
		change->effect = EFFECT_EVENT;
		change->element = strtoll(text, NULL, 10);
	}
}

static void copy_dead_letters(struct copy *copy)
{
	char topic[64];
	while (next_tuple(copy)) {
		const struct field *name = column(copy, "topic");
		const struct field *payload = column(copy, "payload");
		const struct field *state = column(copy, "sqlstate");
		const struct field *index = column(copy, "part_index");
		struct change *change = add_change(copy->session, CHANGE_DEAD);
		snprintf(topic, sizeof topic, "%.*s", name->len, name->data);
		change->log = sql_log(copy->session, topic, (int32_t)integer(copy, "partition"));
		change->from = integer(copy, "offset");
		change->index = index->data ? (int32_t)pg_get32(index->data) : -1;
		if (state->data)
			snprintf(change->sqlstate, sizeof change->sqlstate, "%.*s", state->len,
			         state->data);
		if (!payload->data)
			continue;
		if (payload->len > (int)sizeof change->payload)
			sim_abort(copy->session->sim, "a payload of %d bytes", payload->len);
		memcpy(change->payload, payload->data, (size_t)payload->len);
		change->len = payload->len;
	}
}

static enum step copy_outcomes(struct copy *copy)
{
	char topic[64];
	for (size_t i = 0; next_tuple(copy); i++) {
		const struct field *name = column(copy, "topic");
		struct change outcome = {.kind = CHANGE_OUTCOME};
		if (i < copy->session->at)
			continue;
		snprintf(topic, sizeof topic, "%.*s", name->len, name->data);
		outcome.log = sql_log(copy->session, topic, (int32_t)integer(copy, "partition"));
		outcome.from = integer(copy, "offset");
		outcome.status = (int16_t)pg_get16(column(copy, "status")->data);
		enum step step =
		    sql_insert_outcome(copy->session, column(copy, "command_id")->data, outcome);
		if (step != STEP_DONE)
			return step;
		copy->session->at++;
	}
	return STEP_DONE;
}

static size_t count_tuples(struct copy copy)
{
	size_t n = 0;
	while (next_tuple(&copy))
		n++;
	return n;
}

static enum step copy_rows(struct copy *copy, const char *table, size_t len)
{
	struct session *session = copy->session;
	/* More rows than one message can have: divided, it goes. */
	if (!session->at && count_tuples(*copy) > SIM_ELEMENTS &&
	    sim_fault(session->sim, FAULT_TOO_BIG, session->member))
		return session_refuse(session, "54000", "too many rows");
	return copy_into_table(copy, sql_table(session, table, len));
}

static const char stage_prefix[] = "cqrs_stage_";

/* "COPY table (columns) FROM STDIN BINARY"; a stage has all the columns of its table. */
enum step sql_copy(struct session *session, char *sql)
{
	char list[256] = "cqrs_n, k, element, bad";
	const char *table = sql + 5;
	size_t len = strcspn(table, " ");
	struct copy copy = {.session = session};
	if (!session->copy) {
		session->copy_asked = true;
		session_answer(session, ANSWER_COPY, NULL);
		return STEP_COPY;
	}
	if (table[len + 1] == '(')
		snprintf(list, sizeof list, "%.*s", (int)strcspn(table + len + 2, ")"),
		         table + len + 2);
	copy.n = sql_names(list, copy.names);
	copy.p = session->copy->text;
	copy.end = copy.p + session->copy->len;
	need(&copy, 19);
	if (memcmp(copy.p, "PGCOPY\n\377\r\n\0", 11))
		sim_abort(session->sim, "COPY data do not begin as such: %s", sql);
	copy.p += 19;
	enum step step = STEP_DONE;
	if (!strncmp(table, stage_prefix, sizeof stage_prefix - 1))
		copy_into_stage(&copy, &session->stages[atoi(table + sizeof stage_prefix - 1)]);
	else if (!strncmp(table, "cqrs.outbox", len))
		copy_events(&copy);
	else if (!strncmp(table, "cqrs.dead_letters", len))
		copy_dead_letters(&copy);
	else if (!strncmp(table, "cqrs.outcomes", len))
		step = copy_outcomes(&copy);
	else
		step = copy_rows(&copy, *table == '"' ? table + 1 : table,
		                 *table == '"' ? len - 2 : len);
	if (step != STEP_DONE)
		return step;
	if (copy.p != copy.end)
		sim_abort(session->sim, "COPY data go on behind their end: %s", sql);
	return sql_answer_command(session, "COPY 1");
}
