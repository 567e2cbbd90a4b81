/* SPDX-License-Identifier: MIT */
/* What the answers of an audit say about each reading. */
#include "audit_internal.h"

#include "batch_internal.h"
#include "container.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool audit_judge_begin(struct audit *audit)
{
	const struct cqrs_batch *batch = audit->comparing;
	audit->n_letters = 0;
	for (int i = 0; i < batch->n_tables; i++) {
		size_t n = batch->tables[i].n;
		if (audit->cap_verdicts[i] < n) {
			free(audit->verdicts[i]);
			audit->verdicts[i] = calloc(n, sizeof **audit->verdicts);
			audit->cap_verdicts[i] = audit->verdicts[i] ? n : 0;
			if (!audit->verdicts[i])
				return false;
		}
		for (size_t j = 0; j < n; j++)
			audit->verdicts[i][j] = AUDIT_MISSING;
	}
	return true;
}

/* ---- dead letters ---- */

static int compare(const void *left, const void *right)
{
	const struct audit_letter *a = left, *b = right;
	if (a->topic != b->topic)
		return a->topic < b->topic ? -1 : 1;
	if (a->partition != b->partition)
		return a->partition < b->partition ? -1 : 1;
	if (a->offset != b->offset)
		return a->offset < b->offset ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

static void read_letters(struct audit *audit, const PGresult *answer)
{
	for (int i = 0; i < PQntuples(answer); i++) {
		if (!batch_grow((void **)&audit->letters, audit->n_letters, &audit->cap_letters,
		                sizeof *audit->letters)) {
			audit->out_of_memory = true;
			return;
		}
		audit->letters[audit->n_letters++] = (struct audit_letter){
		    .topic = command_bus_find_topic(audit->bus, PQgetvalue(answer, i, 0)),
		    .partition = atoi(PQgetvalue(answer, i, 1)),
		    .offset = strtoll(PQgetvalue(answer, i, 2), NULL, 10),
		    .index = PQgetisnull(answer, i, 3) ? -1 : atoi(PQgetvalue(answer, i, 3)),
		};
	}
	if (audit->n_letters)
		qsort(audit->letters, audit->n_letters, sizeof *audit->letters, compare);
}

/* Whether the element, or its message as a whole, has a dead letter. */
static bool has_letter(const struct audit *audit, uint32_t element)
{
	const struct batch_element *e = &audit->comparing->elements[element];
	const struct kafka_message *kafka = &audit->comparing->messages[e->message].kafka;
	struct audit_letter letter = {.topic = kafka->topic,
	                              .partition = kafka->message.partition,
	                              .offset = kafka->message.offset,
	                              .index = e->index};
	if (!audit->n_letters)
		return false;
	if (bsearch(&letter, audit->letters, audit->n_letters, sizeof letter, compare))
		return true;
	letter.index = -1;
	return bsearch(&letter, audit->letters, audit->n_letters, sizeof letter, compare);
}

/* ---- rows ---- */

/* Where a row stands: its table and, "(block,slot)", its place there. */
struct place {
	uint32_t table, block;
	uint16_t slot;
};

static struct place read_place(const PGresult *answer, int row)
{
	struct place place = {.table = (uint32_t)strtoul(PQgetvalue(answer, row, 2), NULL, 10)};
	char *comma;
	place.block = (uint32_t)strtoul(PQgetvalue(answer, row, 3) + 1, &comma, 10);
	place.slot = (uint16_t)strtoul(comma + 1, NULL, 10);
	return place;
}

static void mark(struct audit *audit, const struct place *place, enum row_mark what)
{
	row_marks_set(&audit->marks, place->table, place->block, place->slot, what);
}

/* A table with a key: the row that has it. */
static void judge_keyed(struct audit *audit, enum audit_verdict *verdict, const struct place *place,
                        bool differs)
{
	enum row_mark before =
	    row_marks_get(&audit->marks, place->table, place->block, place->slot);
	if (*verdict != AUDIT_MISSING) {
		/* The key stands in two rows: the database has no constraint on it. */
		if (before == ROW_UNSEEN)
			mark(audit, place, ROW_EXTRA);
		return;
	}
	*verdict = differs || before == ROW_SAME ? AUDIT_DUPLICATE : AUDIT_PRESENT;
	if (!differs)
		mark(audit, place, ROW_SAME);
	else if (before == ROW_UNSEEN)
		mark(audit, place, ROW_OTHER);
}

/* A table without: as many equal rows as messages asked for. */
static void judge_keyless(struct audit *audit, enum audit_verdict *verdict,
                          const struct place *place)
{
	if (*verdict != AUDIT_MISSING ||
	    row_marks_get(&audit->marks, place->table, place->block, place->slot) != ROW_UNSEEN)
		return;
	*verdict = AUDIT_PRESENT;
	mark(audit, place, ROW_SAME);
}

static void read_rows(struct audit *audit, const PGresult *answer)
{
	if (!PQntuples(answer))
		return;
	int table = atoi(PQgetvalue(answer, 0, 0));
	const struct batch_rows *rows = &audit->comparing->tables[table];
	for (int i = 0; i < PQntuples(answer); i++) {
		size_t n = strtoul(PQgetvalue(answer, i, 1), NULL, 10);
		uint32_t element = rows->rows[n].element;
		enum audit_verdict *verdict = &audit->verdicts[table][n];
		struct place place = read_place(answer, i);
		if (batch_element_is_dead(audit->comparing, element) || has_letter(audit, element))
			*verdict = AUDIT_DEAD;
		else if (rows->table->n_key)
			judge_keyed(audit, verdict, &place, *PQgetvalue(answer, i, 4) == 't');
		else
			judge_keyless(audit, verdict, &place);
	}
}

void audit_judge_answer(struct audit *audit, const PGresult *answer)
{
	const char *first = PQfname(answer, 0);
	if (!strcmp(first, "cqrs_table"))
		read_rows(audit, answer);
	else if (!strcmp(first, "topic"))
		read_letters(audit, answer);
	/* Or it says how the bounds were set. */
}

/* ---- counting ---- */

static void count(struct audit *audit, uint32_t element, enum audit_verdict verdict,
                  const char *table)
{
	const struct batch_element *e = &audit->comparing->elements[element];
	const struct batch_message *message = &audit->comparing->messages[e->message];
	struct audit_count *count =
	    &container_of(message->partition, struct audit_partition, partition)->count;
	if (verdict == AUDIT_MISSING && has_letter(audit, element))
		verdict = AUDIT_DEAD;
	count->readings++;
	count->present += verdict == AUDIT_PRESENT;
	count->dead += verdict == AUDIT_DEAD;
	count->duplicate += verdict == AUDIT_DUPLICATE;
	count->missing += verdict == AUDIT_MISSING;
	if (verdict == AUDIT_MISSING)
		audit->missing(audit->owner, message->partition->topic,
		               message->partition->position.partition,
		               message->kafka.message.offset, e->index, table);
}

void audit_judge_end(struct audit *audit)
{
	const struct cqrs_batch *batch = audit->comparing;
	for (size_t i = 0; i < batch->n_messages; i++)
		container_of(batch->messages[i].partition, struct audit_partition, partition)
		    ->count.messages++;
	for (int i = 0; i < batch->n_tables; i++) {
		const struct batch_rows *rows = &batch->tables[i];
		/* What the module has refused meanwhile is counted below. */
		for (size_t j = 0; j < rows->n; j++)
			if (!batch_element_is_dead(batch, rows->rows[j].element))
				count(audit, rows->rows[j].element, audit->verdicts[i][j],
				      rows->table->def->name);
	}
	for (size_t i = 0; i < batch->n_refusals; i++) {
		const struct batch_element *e = &batch->elements[batch->refusals[i].element];
		if (e->index < 0 || !batch->messages[e->message].refused)
			count(audit, batch->refusals[i].element, AUDIT_MISSING, NULL);
	}
}
