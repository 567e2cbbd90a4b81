/* SPDX-License-Identifier: MIT */
/*
 * The statements of the write path, as the simulated PostgreSQL runs them: one
 * table, found by how they begin.
 */
#include "pg_value.h"
#include "sim_pg_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 16

const char sim_sql_ensure[] = "INSERT INTO parents (id) VALUES ($1) ON CONFLICT DO NOTHING";
const char sim_sql_insert[] = "INSERT INTO journal (element, bad) VALUES ($1, $2)";
const char sim_sql_count[] = "UPDATE counters SET n = n + 1, last = $2 WHERE id = $1";

/* ---- results ---- */

PGresult *sql_command(const char *tag, long rows)
{
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_COMMAND_OK);
	/* The one place where libpq lets an application write the tag. */
	if (rows < 0)
		snprintf(PQcmdStatus(result), 64, "%s", tag);
	else
		snprintf(PQcmdStatus(result), 64, "%s %ld", tag, rows);
	return result;
}

static PGresult *make_rows(int n, const char *const *names)
{
	PGresAttDesc columns[COLUMNS_MAX];
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	memset(columns, 0, sizeof columns);
	for (int i = 0; i < n; i++)
		columns[i].name = (char *)(uintptr_t)names[i];
	PQsetResultAttrs(result, n, columns);
	return result;
}

/* NULL: null. */
static void set_text(PGresult *result, int row, int column, const char *text)
{
	PQsetvalue(result, row, column, (char *)(uintptr_t)text, text ? (int)strlen(text) : -1);
}

static void set_number(PGresult *result, int row, int column, int64_t n)
{
	char text[24];
	snprintf(text, sizeof text, "%" PRId64, n);
	set_text(result, row, column, text);
}

static enum step answer(struct session *session, PGresult *result)
{
	session_answer(session, ANSWER_RESULT, result);
	return STEP_DONE;
}

static enum step answer_command(struct session *session, const char *tag)
{
	return answer(session, sql_command(tag, -1));
}

/* ---- reading SQL ---- */

/* The next 'literal', unquoted, and what follows it. */
static const char *next_literal(struct session *session, const char *sql, char *out, size_t size)
{
	size_t n = 0;
	const char *p = strchr(sql, '\'');
	if (!p)
		sim_abort(session->sim, "no literal in: %s", sql);
	for (p++; *p && !(p[0] == '\'' && p[1] != '\''); p++) {
		p += p[0] == '\'';
		if (n + 1 < size)
			out[n++] = *p;
	}
	out[n] = '\0';
	return p + 1;
}

/* The numbers of the next ARRAY[…]; how many. */
static size_t next_numbers(struct session *session, const char **sql, int64_t *out, size_t max)
{
	const char *p = strstr(*sql, "ARRAY[");
	size_t n = 0;
	if (!p)
		sim_abort(session->sim, "no array in: %s", *sql);
	for (p += 6; *p != ']' && n < max; p += *p == ',') {
		char *end;
		out[n++] = strtoll(p, &end, 10);
		p = end;
	}
	*sql = p;
	return n;
}

/* The names of "(a, b, c)" or "a, b FROM", unquoted, in place; how many. */
static int split_names(char *list, const char *names[COLUMNS_MAX])
{
	int n = 0;
	for (char *p = strtok(list, ", \""); p && n < COLUMNS_MAX; p = strtok(NULL, ", \""))
		names[n++] = p;
	return n;
}

static enum sim_table find_table(struct session *session, const char *name, size_t len)
{
	for (int i = 0; i < SIM_TABLES; i++)
		if (strlen(sim_table_names[i]) == len && !memcmp(sim_table_names[i], name, len))
			return (enum sim_table)i;
	sim_abort(session->sim, "no table %.*s", (int)len, name);
}

static int find_log(struct session *session, const char *topic, int32_t partition)
{
	for (int i = 0; i < SIM_TOPICS; i++)
		if (!strcmp(sim_topics[i], topic))
			return sim_log_find(session->sim, i, partition);
	sim_abort(session->sim, "no topic %s", topic);
}

/* ---- transactions ---- */

static enum step run_set(struct session *session, char *sql)
{
	static const struct {
		const char *name;
		size_t offset;
	} settings[] = {
	    {"lock_timeout = ", offsetof(struct session, lock_timeout)},
	    {"statement_timeout = ", offsetof(struct session, statement_timeout)},
	    {"idle_in_transaction_session_timeout = ", offsetof(struct session, idle_timeout)},
	};
	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
		size_t len = strlen(settings[i].name);
		if (!strncmp(sql + 4, settings[i].name, len))
			*(int64_t *)(void *)((char *)session + settings[i].offset) =
			    strtoll(sql + 4 + len, NULL, 10) * MS;
	}
	return answer_command(session, "SET");
}

static enum step run_begin(struct session *session, char *sql)
{
	(void)sql;
	session->block = true;
	return answer_command(session, "BEGIN");
}

/* Outside of a block it ends the implicit transaction of the Query so far. */
static enum step run_commit(struct session *session, char *sql)
{
	(void)sql;
	if (session->aborted) {
		session_roll_back(session);
		return answer_command(session, "ROLLBACK");
	}
	enum step step = session_commit(session);
	return step == STEP_DONE ? answer_command(session, "COMMIT") : step;
}

static enum step run_rollback(struct session *session, char *sql)
{
	(void)sql;
	session_roll_back(session);
	return answer_command(session, "ROLLBACK");
}

/* ---- offsets ---- */

/* What the session sees: only cqrs.advance() itself has moved anything. */
static int64_t offset_now(const struct session *session, int log)
{
	for (size_t i = session->n_changes; i-- > 0;)
		if (session->changes[i].kind == CHANGE_OFFSET && session->changes[i].log == log)
			return session->changes[i].to;
	return session->sim->logs->logs[log].stored;
}

/* What matches is locked row by row, in an order that nobody knows. */
static enum step move_offsets(struct session *session, const int *logs, const int64_t *from,
                              const int64_t *to, const int64_t *marks, size_t n)
{
	size_t first = (size_t)session->id % n;
	for (; session->at < n; session->at++) {
		size_t i = (session->at + first) % n;
		if (logs[i] < 0 || offset_now(session, logs[i]) != from[i])
			return session_refuse(session, "CQ001", "fence");
		enum step step = take_lock(session, LOCK_OFFSET, logs[i]);
		if (step != STEP_DONE)
			return step;
		struct change *change = add_change(session, CHANGE_OFFSET);
		change->log = logs[i];
		change->from = from[i];
		change->to = to[i];
		change->mark = marks[i];
	}
	return STEP_DONE;
}

static enum step run_advance(struct session *session, char *sql)
{
	int64_t partitions[SIM_LOGS], from[SIM_LOGS], to[SIM_LOGS], marks[SIM_LOGS];
	int logs[SIM_LOGS];
	char text[64];
	static const char *const names[] = {"advance"};
	const char *p = next_literal(session, sql, text, sizeof text), *topics = p;
	const char *end = strchr(p, ']');
	p = end;
	size_t n = next_numbers(session, &p, partitions, SIM_LOGS);
	if (next_numbers(session, &p, from, SIM_LOGS) != n ||
	    next_numbers(session, &p, to, SIM_LOGS) != n ||
	    next_numbers(session, &p, marks, SIM_LOGS) != n || !n)
		sim_abort(session->sim, "arrays of different lengths: %s", sql);
	for (size_t i = 0; i < n; i++) {
		topics = next_literal(session, topics, text, sizeof text);
		logs[i] = find_log(session, text, (int32_t)partitions[i]);
	}
	enum step step = move_offsets(session, logs, from, to, marks, n);
	if (step != STEP_DONE)
		return step;
	PGresult *result = make_rows(1, names);
	set_text(result, 0, 0, "");
	return answer(session, result);
}

#define READ_OFFSETS                             \
	"SELECT topic, partition, next_offset, " \
	"CASE WHEN last_offset = next_offset - 1 THEN last_mark END FROM cqrs.offsets"

static enum step run_read_offsets(struct session *session, char *sql)
{
	static const char *const names[] = {"topic", "partition", "next_offset", "case"};
	int row = 0;
	(void)sql;
	PGresult *result = make_rows(4, names);
	for (int i = 0; i < session->sim->logs->n; i++) {
		const struct sim_log *log = &session->sim->logs->logs[i];
		if (offset_now(session, i) < 0)
			continue;
		set_text(result, row, 0, sim_topics[log->topic]);
		set_number(result, row, 1, log->partition);
		set_number(result, row, 2, offset_now(session, i));
		if (log->mark)
			set_number(result, row, 3, log->mark);
		row++;
	}
	return answer(session, result);
}

static enum step run_add_offsets(struct session *session, char *sql)
{
	char text[64];
	long added = 0;
	const char *p = strstr(sql, "VALUES ");
	while ((p = strchr(p, '('))) {
		p = next_literal(session, p, text, sizeof text);
		p = next_literal(session, p, text, sizeof text);
		long partition;
		long long next;
		if (sscanf(p, ", %ld, %lld)", &partition, &next) != 2)
			sim_abort(session->sim, "no offset in: %s", p);
		int log = find_log(session, text, (int32_t)partition);
		if (log < 0)
			sim_abort(session->sim, "no such partition: %s", p);
		enum step step = take_lock(session, LOCK_OFFSET, log);
		if (step != STEP_DONE)
			return step;
		if (offset_now(session, log) >= 0)
			continue;
		struct change *change = add_change(session, CHANGE_OFFSET);
		change->log = log;
		change->is_gap = true; /* or nothing */
		change->from = -1;
		change->to = next;
		added++;
	}
	return answer(session, sql_command("INSERT 0", added));
}

/* "SELECT … FROM cqrs.record_gap('group', 'topic', partition, from, to, 'reason')" */
static enum step run_record_gap(struct session *session, char *sql)
{
	static const char *const names[] = {"since", "is_new"};
	char text[64];
	long partition;
	long long from, to;
	const char *p = next_literal(session, strstr(sql, "record_gap("), text, sizeof text);
	p = next_literal(session, p, text, sizeof text);
	if (sscanf(p, ", %ld, %lld, %lld, 'deleted')", &partition, &from, &to) != 3)
		sim_abort(session->sim, "no gap in: %s", sql);
	int log = find_log(session, text, (int32_t)partition);
	enum step step = take_lock(session, LOCK_OFFSET, log);
	if (step != STEP_DONE)
		return step;
	if (offset_now(session, log) != from)
		return session_refuse(session, "CQ001", "fence");
	struct change *change = add_change(session, CHANGE_OFFSET);
	change->is_gap = true;
	change->log = log;
	change->from = from;
	change->to = to;
	PGresult *result = make_rows(2, names);
	set_text(result, 0, 0, "2023-11-14T22:13:20Z");
	set_text(result, 0, 1, "t");
	return answer(session, result);
}

static bool has_moved(const struct session *session)
{
	for (size_t i = 0; i < session->n_changes; i++)
		if (session->changes[i].kind == CHANGE_OFFSET)
			return true;
	return false;
}

/* Ends sessions that wait for a member in the middle of a transaction that is too old. */
static enum step run_evict(struct session *session, char *sql)
{
	static const char *const names[] = {"evict"};
	struct session *other, *next;
	const char *p = strstr(sql, "interval '");
	int64_t older = p ? strtoll(p + 10, NULL, 10) : 0, n = 0;
	if (older <= 0)
		sim_abort(session->sim, "no interval in: %s", sql);
	for (other = TAILQ_FIRST(&session->sim->server->sessions); other; other = next) {
		bool waits = other->copy_asked && !other->copy && STAILQ_EMPTY(&other->arrived);
		bool idle = other->block && !other->packet && STAILQ_EMPTY(&other->arrived);
		next = TAILQ_NEXT(other, link);
		if (other == session || !other->began || !(waits || idle) || !has_moved(other) ||
		    other->began >= session->sim->now - older)
			continue;
		session_kill(other, "57P01", "evicted");
		n++;
	}
	PGresult *result = make_rows(1, names);
	set_number(result, 0, 0, n);
	return answer(session, result);
}

/* ---- COPY ---- */

struct field {
	const char *data; /* NULL: null */
	int len;
};

struct copy {
	struct session *session;
	const char *p, *end;
	const char *names[COLUMNS_MAX];
	int n;
	struct field fields[COLUMNS_MAX]; /* of the tuple at hand */
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
		change->log = find_log(copy->session, topic, (int32_t)integer(copy, "partition"));
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
	return copy_into_table(copy, find_table(session, table, len));
}

static const char stage_prefix[] = "cqrs_stage_";

/* "COPY table (columns) FROM STDIN BINARY"; a stage has all the columns of its table. */
static enum step run_copy(struct session *session, char *sql)
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
	copy.n = split_names(list, copy.names);
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
	else
		step = copy_rows(&copy, *table == '"' ? table + 1 : table,
		                 *table == '"' ? len - 2 : len);
	if (step != STEP_DONE)
		return step;
	if (copy.p != copy.end)
		sim_abort(session->sim, "COPY data go on behind their end: %s", sql);
	return answer_command(session, "COPY 1");
}

/* ---- staging ---- */

static enum step run_nothing(struct session *session, char *sql)
{
	(void)sql;
	return answer_command(session, "DONE");
}

static const char *const refused_names[] = {"cqrs_table", "stored", "refused", "state", "reason"};

static void add_refused(PGresult *result, int table, int32_t n, const char *state)
{
	int row = PQntuples(result);
	set_number(result, row, 0, table);
	set_text(result, row, 1, NULL);
	set_number(result, row, 2, n);
	set_text(result, row, 3, state);
	set_text(result, row, 4, "refused by the database");
}

/* Why sifting takes the row out; NULL: it does not.  The catalog knows about every second check. */
static const char *sifted(const struct session *session, int table, const struct sim_row *row)
{
	bool has_parent = table == SIM_CHILDREN || table == SIM_REFERRING;
	if (row->bad && row->element % 2 == 0)
		return "23514";
	return has_parent && !find_parent(session, row->k) ? "23503" : NULL;
}

static void sift(struct session *session, int table, PGresult *result)
{
	struct stage *stage = &session->stages[table];
	size_t kept = 0;
	for (size_t i = 0; i < stage->n; i++) {
		const char *state = sifted(session, table, &stage->rows[i]);
		int row = PQntuples(result);
		if (!state) {
			stage->rows[kept++] = stage->rows[i];
			continue;
		}
		set_number(result, row, 0, table);
		set_number(result, row, 1, stage->rows[i].n);
		set_text(result, row, 2, state);
		set_text(result, row, 3, "sifted out");
	}
	stage->n = kept;
}

/* "SELECT * FROM cqrs.sift(ARRAY[N, N]::integer[], …)" */
static enum step run_sift(struct session *session, char *sql)
{
	static const char *const names[] = {"cqrs_table", "refused", "state", "reason"};
	PGresult *result = make_rows(4, names);
	char *number = strchr(sql, '[');
	while (*number != ']')
		sift(session, (int)strtol(number + 1, &number, 10), result);
	return answer(session, result);
}

/* "SELECT N AS cqrs_table, count(*) AS present FROM cqrs_stage_N JOIN …" */
static enum step count_present(struct session *session, int table)
{
	static const char *const names[] = {"cqrs_table", "present"};
	const struct stage *stage = &session->stages[table];
	PGresult *result = make_rows(2, names);
	int64_t n = 0;
	for (size_t i = 0; i < stage->n; i++)
		n += find_key(session, (enum sim_table)table, stage->rows[i].k) != 0;
	set_number(result, 0, 0, table);
	set_number(result, 0, 1, n);
	return answer(session, result);
}

static void answer_store(struct session *session, int table)
{
	static const char *const states[] = {"23514", "23503", "23505"};
	const struct stage *stage = &session->stages[table];
	PGresult *result = make_rows(5, refused_names);
	int64_t stored = 0;
	for (size_t i = 0; i < stage->n; i++) {
		char outcome = session->outcomes[i];
		stored += outcome == 's';
		if (outcome >= '0' && outcome <= '2')
			add_refused(result, table, stage->rows[i].n, states[outcome - '0']);
	}
	int row = PQntuples(result);
	set_number(result, row, 0, table);
	set_number(result, row, 1, stored);
	for (int i = 2; i < 5; i++)
		set_text(result, row, i, NULL);
	answer(session, result);
}

/* cqrs.store(): row by row, as if every range had been halved. */
static enum step store(struct session *session, int table, enum on_conflict conflict)
{
	struct stage *stage = &session->stages[table];
	bool stored;
	if (!session->outcomes)
		session->outcomes = calloc(stage->n + 1, 1);
	for (; session->at < stage->n; session->at++) {
		char *outcome = &session->outcomes[session->at];
		enum step step = insert_row(session, (enum sim_table)table,
		                            &stage->rows[session->at], conflict, &stored);
		if (step == STEP_DONE) {
			*outcome = stored ? 's' : 'i';
			continue;
		}
		if (step != STEP_FAILED || strncmp(session->sqlstate, "23", 2))
			return step;
		*outcome = session->sqlstate[4] == '4'   ? '0'
		           : session->sqlstate[4] == '3' ? '1'
		                                         : '2';
	}
	answer_store(session, table);
	return STEP_DONE;
}

static enum step run_staged(struct session *session, char *sql)
{
	int table = atoi(sql + 7);
	if (strstr(sql, "count(*) AS present"))
		return count_present(session, table);
	if (!strstr(sql, "* FROM cqrs.store("))
		sim_abort(session->sim, "no such statement: %s", sql);
	if (strstr(sql, "ON CONFLICT DO NOTHING"))
		return store(session, table, CONFLICT_IGNORE);
	return store(session, table,
	             strstr(sql, "DO UPDATE SET") ? CONFLICT_UPDATE : CONFLICT_REFUSE);
}

/* ---- the statements ---- */

static const struct {
	const char *begins;
	enum step (*run)(struct session *session, char *sql);
	bool when_aborted;
} statements[] = {
    {"SET CONSTRAINTS ALL IMMEDIATE", run_nothing, false},
    {"SET ", run_set, false},
    /* Shared: only an operator takes it alone, and there is none here. */
    {"SELECT pg_advisory_lock_shared(", run_nothing, false},
    {"BEGIN", run_begin, false},
    {"COMMIT", run_commit, true},
    {"ROLLBACK", run_rollback, true},
    {"SELECT cqrs.advance(", run_advance, false},
    {"SELECT cqrs.evict(", run_evict, false},
    {READ_OFFSETS, run_read_offsets, false},
    {"SELECT to_char(since AT TIME ZONE 'UTC', ", run_record_gap, false},
    {"UPDATE cqrs.gaps g SET to_offset = o.next_offset", run_nothing, false},
    {"INSERT INTO cqrs.offsets (", run_add_offsets, false},
    {"COPY ", run_copy, false},
    {"CREATE TEMP TABLE IF NOT EXISTS cqrs_stage_", run_nothing, false},
    {"DROP INDEX IF EXISTS pg_temp.cqrs_stage_", run_nothing, false},
    {"SELECT * FROM cqrs.sift(", run_sift, false},
    {"SELECT ", run_staged, false},
};

/* Where the statement ends: behind its semicolon, or at the end of the text. */
static char *end_of(char *sql)
{
	bool quoted = false;
	while (*sql && (quoted || *sql != ';'))
		quoted ^= *sql++ == '\'';
	return sql + (*sql == ';');
}

enum step sql_run(struct session *session, char *sql, char **end)
{
	sql += strspn(sql, " ");
	char *behind = *end = end_of(sql);
	char last = behind > sql ? behind[-1] : '\0', kept = *behind;
	enum step step;
	size_t i = 0;
	while (i < sizeof statements / sizeof *statements &&
	       strncmp(sql, statements[i].begins, strlen(statements[i].begins)) != 0)
		i++;
	if (i == sizeof statements / sizeof *statements)
		sim_abort(session->sim, "no such statement: %s", sql);
	if (session->aborted && !statements[i].when_aborted)
		return session_refuse(session, "25P02", "current transaction is aborted");
	struct packet *packet = session->packet;
	if (last == ';')
		behind[-1] = '\0';
	*behind = '\0';
	step = statements[i].run(session, sql);
	if (step == STEP_ENDED)
		return step;
	assert(packet == session->packet);
	*behind = kept;
	if (last == ';')
		behind[-1] = last;
	return step;
}

static enum step run_ensure(struct session *session, const int64_t *params)
{
	enum step step = take_lock(session, LOCK_PARENT, params[0]);
	if (step != STEP_DONE)
		return step;
	bool there = find_parent(session, params[0]);
	if (!there)
		add_change(session, CHANGE_PARENT)->k = params[0];
	return answer(session, sql_command("INSERT 0", !there));
}

static enum step run_insert(struct session *session, const int64_t *params)
{
	if (params[1])
		return session_refuse(session, "23514", "new row violates check constraint");
	struct change *change = add_change(session, CHANGE_EFFECT);
	change->effect = EFFECT_STATEMENT;
	change->element = params[0];
	return answer(session, sql_command("INSERT 0", 1));
}

static enum step run_count(struct session *session, const int64_t *params)
{
	if (params[0] == SIM_MISSING)
		return answer(session, sql_command("UPDATE", 0));
	enum step step = take_lock(session, LOCK_COUNTER, params[0]);
	if (step != STEP_DONE)
		return step;
	struct change *change = add_change(session, CHANGE_EFFECT);
	change->effect = EFFECT_COUNTER;
	change->element = params[1];
	return answer(session, sql_command("UPDATE", 1));
}

enum step sql_run_bound(struct session *session, const struct packet *packet)
{
	if (packet->sql == sim_sql_ensure)
		return run_ensure(session, packet->params);
	if (packet->sql == sim_sql_insert)
		return run_insert(session, packet->params);
	if (packet->sql == sim_sql_count)
		return run_count(session, packet->params);
	sim_abort(session->sim, "no such statement: %s", packet->sql);
}
