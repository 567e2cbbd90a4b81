/* SPDX-License-Identifier: MIT */
/* One try to store a range of a batch: what is alive in it, in which order. */
#include "attempt.h"

#include "batch_command.h"
#include "batch_internal.h"

#include <stdlib.h>

bool attempt_init(struct attempt *attempt, struct cqrs_batch *batch, const char *group)
{
	*attempt = (struct attempt){.batch = batch, .group = group};
	attempt->tables = calloc((size_t)batch->n_tables + 1, sizeof *attempt->tables);
	attempt->cap_copies = batch->n_tables + 3;
	attempt->copies = calloc((size_t)attempt->cap_copies, sizeof *attempt->copies);
	if (attempt->tables && attempt->copies && batch_close(batch))
		return true;
	attempt_release(attempt);
	return false;
}

void attempt_release(struct attempt *attempt)
{
	for (int i = 0; attempt->tables && i < attempt->batch->n_tables; i++)
		free(attempt->tables[i].rows);
	free(attempt->tables);
	free(attempt->copies);
	buf_release(&attempt->chunk);
	*attempt = (struct attempt){.batch = NULL};
}

static bool in_range(const struct attempt *attempt, uint32_t message)
{
	return message >= attempt->low && message < attempt->high;
}

static bool is_alive(const struct attempt *attempt, uint32_t element)
{
	return in_range(attempt, attempt->batch->elements[element].message) &&
	       !batch_element_is_dead(attempt->batch, element);
}

/* ---- rows ---- */

/* Of rows with equal keys leaves the one that would stand in the end. */
static void drop_repeated(struct attempt_rows *rows)
{
	const struct cqrs_table *table = rows->source->table;
	size_t kept = 0;
	rows->repeated = 0;
	if (!table->key_is_exact || table->def->on_duplicate == CQRS_DUPLICATE_REFUSE)
		return;
	for (size_t i = 0; i < rows->n; i++) {
		const struct batch_row *row = rows->rows[i].row;
		struct attempt_row *last = kept ? &rows->rows[kept - 1] : NULL;
		if (!last || row->key[0] != last->row->key[0] || row->key[1] != last->row->key[1]) {
			rows->rows[kept++] = rows->rows[i];
			continue;
		}
		last->repeated = true;
		if (table->def->on_duplicate == CQRS_DUPLICATE_UPDATE)
			last->row = row;
	}
	rows->repeated = rows->n - kept;
	rows->n = kept;
}

static bool make_room(struct attempt_rows *rows, size_t n)
{
	free(rows->rows);
	rows->rows = malloc(n * sizeof *rows->rows);
	rows->cap = rows->rows ? n : 0;
	return rows->cap;
}

static bool choose_rows(struct attempt *attempt, int table)
{
	struct attempt_rows *rows = &attempt->tables[table];
	rows->source = &attempt->batch->tables[table];
	rows->n = rows->repeated = rows->present = rows->stored = rows->refused = rows->skipped = 0;
	if (rows->cap < rows->source->n && !make_room(rows, rows->source->n))
		return false;
	for (size_t i = 0; i < rows->source->n; i++)
		if (is_alive(attempt, rows->source->rows[i].element))
			rows->rows[rows->n++] = (struct attempt_row){.row = &rows->source->rows[i]};
	drop_repeated(rows);
	return true;
}

static bool has_rows(const struct attempt *attempt)
{
	for (int i = 0; i < attempt->batch->n_tables; i++)
		if (attempt->tables[i].n)
			return true;
	return false;
}

/* Nothing but sifting enforces `references`. */
bool attempt_has_references(const struct attempt *attempt)
{
	for (int i = 0; i < attempt->batch->n_tables; i++)
		if (attempt->tables[i].n && attempt->batch->tables[i].table->has_references)
			return true;
	return false;
}

bool attempt_ignores(const struct attempt *attempt, int table)
{
	const struct cqrs_table *t = attempt->batch->tables[table].table;
	return attempt->tables[table].n && t->n_key &&
	       t->def->on_duplicate == CQRS_DUPLICATE_IGNORE;
}

/* What the rows at hand make of the way that was asked for. */
static unsigned choose_way(const struct attempt *attempt, unsigned way)
{
	if (!has_rows(attempt))
		return ATTEMPT_DIRECT;
	/* A row that would be refused is, even if its key is there. */
	if (way & ATTEMPT_SKIP || attempt_has_references(attempt))
		way |= ATTEMPT_SIFT;
	return way & ATTEMPT_STORE ? way & ~(unsigned)ATTEMPT_SKIP : way;
}

bool attempt_prepare(struct attempt *attempt, uint32_t low, uint32_t high, unsigned way)
{
	const struct cqrs_batch *batch = attempt->batch;
	attempt->low = low;
	attempt->high = high;
	attempt->needed = ATTEMPT_DIRECT;
	attempt->n_events = attempt->n_dead = 0;
	for (int i = 0; i < batch->n_tables; i++)
		if (!choose_rows(attempt, i))
			return false;
	attempt->way = choose_way(attempt, way);
	attempt_choose_commands(attempt);
	for (size_t i = 0; i < batch->n_events; i++)
		attempt->n_events += is_alive(attempt, batch->events[i].element);
	for (size_t i = 0; i < batch->n_refusals; i++)
		attempt->n_dead += attempt_is_dead_letter(attempt, i);
	return true;
}

bool attempt_is_dead_letter(const struct attempt *attempt, size_t refusal)
{
	const struct cqrs_batch *batch = attempt->batch;
	uint32_t element = batch->refusals[refusal].element;
	return in_range(attempt, batch->elements[element].message) &&
	       batch_refusal_counts(batch, refusal) && !batch_refusal_is_told(batch, refusal);
}

bool attempt_has_statements(const struct attempt *attempt)
{
	const struct cqrs_batch *batch = attempt->batch;
	for (size_t i = 0; i < batch->n_statements; i++)
		if (attempt_wants(attempt, &batch->statements[i]))
			return true;
	return false;
}

bool attempt_wants(const struct attempt *attempt, const struct batch_statement *statement)
{
	return statement->element == UINT32_MAX ? in_range(attempt, statement->message)
	                                        : is_alive(attempt, statement->element);
}

static size_t stored(const struct attempt *attempt, int table)
{
	const struct attempt_rows *rows = &attempt->tables[table];
	return attempt->way & ATTEMPT_STORE ? rows->stored
	                                    : rows->n - rows->refused - rows->skipped;
}

size_t attempt_stored(const struct attempt *attempt)
{
	size_t n = 0;
	for (int i = 0; i < attempt->batch->n_tables; i++)
		n += stored(attempt, i);
	return n;
}

/* Rows of the range whose key was there. */
static size_t conflicts(const struct attempt *attempt, int table)
{
	const struct attempt_rows *rows = &attempt->tables[table];
	size_t dealt_with = rows->refused + stored(attempt, table);
	return rows->present + (rows->n > dealt_with ? rows->n - dealt_with : 0);
}

size_t attempt_duplicates(const struct attempt *attempt)
{
	size_t n = 0;
	for (int i = 0; i < attempt->batch->n_tables; i++)
		n += attempt->tables[i].repeated + conflicts(attempt, i);
	return n;
}

unsigned attempt_needed(const struct attempt *attempt)
{
	unsigned needed = attempt->needed;
	for (int i = 0; i < attempt->batch->n_tables; i++)
		if (conflicts(attempt, i))
			needed |= attempt_ignores(attempt, i) ? ATTEMPT_SKIP | ATTEMPT_SIFT
			                                      : ATTEMPT_STORE;
	return needed;
}

unsigned attempt_after_duplicate(const struct attempt *attempt)
{
	for (int i = 0; i < attempt->batch->n_tables; i++)
		if (attempt_ignores(attempt, i) && !(attempt->way & ATTEMPT_STORE))
			return ATTEMPT_SKIP;
	return ATTEMPT_STORE;
}
