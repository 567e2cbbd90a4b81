/* SPDX-License-Identifier: MIT */
/* Logs full of good and bad messages, and what must become of them. */
#include "sim_log.h"

#include "sim_pg.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *const sim_topics[SIM_TOPICS] = {"readings", "orders"};

/* What becomes of an element with this letter. */
struct kind {
	char letter;
	uint8_t effects[N_EFFECTS]; /* rows, statements, counted, events, dead letters, decisions */
	const char *sqlstate;       /* of its dead letter */
	const char *what;
};

static const struct kind kinds[] = {
    {'r', {1, 0, 0, 0, 0}, NULL, "a row"},
    {'c', {0, 0, 0, 0, 1}, "23514", "a row that a CHECK refuses"},
    {'m', {0, 0, 0, 0, 1}, "", "refused by the module, with a row"},
    {'k', {0, 0, 0, 0, 0}, NULL, "a row of which the first stands"},
    {'u', {0, 0, 0, 0, 0}, NULL, "a row of which the last stands"},
    {'d', {1, 0, 0, 0, 0}, NULL, "a row of which there may be one"},
    {'D', {0, 0, 0, 0, 1}, "23505", "its second"},
    {'s', {0, 1, 0, 0, 0}, NULL, "a statement"},
    {'x', {0, 0, 0, 0, 1}, "23514", "a statement that a CHECK refuses"},
    {'n', {0, 0, 1, 0, 0}, NULL, "a statement that must touch a row"},
    {'z', {0, 0, 0, 0, 1}, "", "a statement that touches none"},
    {'w', {0, 0, 0, 0, 1}, "", "a statement, and one that touches none"},
    {'e', {0, 0, 0, 1, 0}, NULL, "an event"},
    {'R', {1, 1, 0, 1, 0}, NULL, "a row, a statement, an event"},
    {'C', {0, 0, 0, 0, 1}, "23514", "the same with a row that a CHECK refuses"},
    {'p', {1, 0, 0, 0, 0}, NULL, "a row with a foreign key, and what it refers to"},
    {'q', {1, 0, 0, 0, 0}, NULL, "the same, declared"},
    {'o', {0, 0, 0, 0, 1}, "23503", "a row that refers to nothing"},
    {'f', {0, 0, 0, 0, 1}, "23503", "the same, declared"},
    /* of the message as a whole: first in the value */
    {'h', {1, 0, 0, 0, 0}, NULL, "a row of the message"},
    {'H', {0, 0, 0, 0, 1}, "23514", "a row of the message that a CHECK refuses"},
    {'M', {0, 0, 0, 0, 1}, "", "refused by the module as a whole"},
    {'a', {0, 0, 0, 0, 0, 1}, NULL, "a decision"},
    {'A', {0, 0, 0, 0, 0, 1}, NULL, "a decision behind all else"},
    {'b', {0, 0, 0, 0, 1}, "", "a decision that refuses"},
    {'B', {0, 0, 0, 0, 1}, "", "a decision that refuses, behind all else"},
    {'E', {0, 0, 0, 0, 1}, "22012", "a decision that fails"},
    {'y', {0, 0, 0, 0, 1}, "", "a decision, and a statement that touches no row"},
    {'Y', {0, 0, 0, 0, 1}, "", "a decision that refuses, and a statement"},
    {'X', {0, 0, 0, 0, 1}, "", "the same with a statement that a CHECK refuses"},
    {'Z', {0, 0, 0, 0, 1}, "", "a statement, and a decision that refuses"},
};

const char sim_whole_letters[] = "hHMaAbBEyYXZ";

#define N_KINDS       (sizeof kinds / sizeof *kinds)
#define N_WHOLE       (sizeof sim_whole_letters - 1)
#define N_OF_ELEMENTS (N_KINDS - N_WHOLE)

static const struct kind *find_kind(char letter)
{
	size_t i = 0;
	while (kinds[i].letter != letter)
		i++;
	return &kinds[i];
}

/* ---- making them ---- */

static uint64_t some_kinds(struct sim *sim)
{
	uint64_t some = sim_random(sim, UINT32_MAX);
	if (sim_chance(sim, 30))
		some &= sim_random(sim, UINT32_MAX);
	/* Which of two is the first depends on what is skipped. */
	if (sim->odds[FAULT_RETENTION])
		for (size_t i = 0; i < N_OF_ELEMENTS; i++)
			some &=
			    ~((uint64_t)(kinds[i].letter == 'd' || kinds[i].letter == 'D') << i);
	return some | 1; /* rows there are always */
}

void sim_logs_init(struct sim *sim)
{
	struct sim_logs *logs = sim->logs;
	logs->n_topics = sim_between(sim, 1, SIM_TOPICS);
	logs->kinds = some_kinds(sim);
	logs->whole = sim_chance(sim, 30) ? 50 : 10;
	logs->commands = sim_chance(sim, 50) ? 0 : sim_chance(sim, 50) ? 20 : 100;
	for (int topic = 0; topic < logs->n_topics; topic++) {
		int partitions = sim_between(sim, 1, 3);
		for (int i = 0; i < partitions; i++) {
			struct sim_log *log = &logs->logs[logs->n++];
			log->topic = topic;
			log->partition = i;
			log->stored = -1;
			log->exists = i == 0 || sim_chance(sim, 80);
			log->begin = log->end = sim_chance(sim, 70) ? 0 : sim_between(sim, 1, 20);
			log->planned = sim_between(sim, 3, sim_chance(sim, 20) ? SIM_RECORDS : 16);
		}
	}
}

int sim_log_find(const struct sim *sim, int topic, int32_t partition)
{
	for (int i = 0; i < sim->logs->n; i++)
		if (sim->logs->logs[i].topic == topic && sim->logs->logs[i].partition == partition)
			return i;
	return -1;
}

static char choose_letter(struct sim *sim)
{
	for (;;) {
		size_t i = sim_random(sim, N_OF_ELEMENTS);
		if (sim->logs->kinds & (UINT64_C(1) << i))
			return kinds[i].letter;
	}
}

/* The number of an element: its key, counter or parent. */
static char choose_number(struct sim *sim, int log, char letter)
{
	switch (letter) {
	case 'k':
		return (char)sim_random(sim, 12);
	case 'u':
	case 'd':
		return (char)(log * 8 + (int)sim_random(sim, 8));
	case 'n':
		return (char)sim_random(sim, 2);
	case 'z':
	case 'w':
		return SIM_MISSING;
	case 'o':
	case 'f':
		return (char)(SIM_PARENTS + (int)sim_random(sim, 20));
	default:
		return (char)sim_random(sim, 20);
	}
}

static void add_element(struct sim_record *record, char letter, char number)
{
	record->value[record->len++] = letter;
	record->value[record->len++] = number;
}

/* Keys that a refused message has are no keys. */
static void note_keys(struct sim_log *log, struct sim_record *record)
{
	for (int i = 0; i < record->len; i += 2) {
		int key = record->value[i + 1];
		if (record->value[i] != 'd')
			continue;
		if (log->first[key])
			record->value[i] = 'D';
		log->first[key] = true;
	}
}

/* It has an id, and perhaps is a command that was sent before. */
static void make_command(struct sim *sim, int number, struct sim_record *record)
{
	const struct sim_log *log = &sim->logs->logs[number];
	/* One of those before it; its own is not made yet. */
	const struct sim_record *first = &log->records[sim_random(sim, (uint32_t)log->n + 1)];
	int64_t repeated = first->command;
	record->command = sim_command(number, log->n);
	/* Which of two is the first depends on what is skipped. */
	if (repeated && !sim->odds[FAULT_RETENTION] && sim_chance(sim, 50)) {
		record->command = repeated;
		record->repeats = true;
		record->len = first->len;
		memcpy(record->value, first->value, sizeof first->value);
	}
	record->waited = sim_chance(sim, 50);
	snprintf(record->id, sizeof record->id, "00000000-0000-7000-8000-%012" PRIx64,
	         (uint64_t)record->command);
}

static void say_record(struct sim *sim, int number, const struct sim_record *record)
{
	char text[8 * SIM_ELEMENTS + 1] = "";
	const struct sim_log *log = &sim->logs->logs[number];
	for (int i = 0; i < record->len; i += 2)
		snprintf(text + strlen(text), 8, " %c%d", record->value[i], record->value[i + 1]);
	say(sim, -1, "%s [%d] offset %d:%s%s%s%s", sim_topics[log->topic], (int)log->partition,
	    (int)record->offset, text, record->command ? ", command " : "", record->id,
	    record->waited ? ", waited for" : "");
}

void sim_log_append(struct sim *sim, int number)
{
	struct sim_log *log = &sim->logs->logs[number];
	struct sim_record *record = &log->records[log->n];
	bool refused = false;
	int n = sim_between(sim, 0, sim_chance(sim, 30) ? SIM_ELEMENTS - 1 : 2);
	*record = (struct sim_record){.offset = log->end};
	if (n && sim_chance(sim, sim->logs->whole)) {
		char letter = sim_whole_letters[sim_random(sim, N_WHOLE)];
		refused = find_kind(letter)->effects[EFFECT_DEAD];
		add_element(record, letter, 0);
	}
	for (int i = 0; i < n; i++) {
		char letter = choose_letter(sim);
		if (letter == 'D')
			letter = 'd';
		add_element(record, letter, choose_number(sim, number, letter));
	}
	if (sim_chance(sim, sim->logs->commands))
		make_command(sim, number, record);
	if (!refused && !record->repeats)
		note_keys(log, record);
	say_record(sim, number, record);
	log->end++;
	/* What a compaction took away, or a transaction marker. */
	if (sim_chance(sim, 15))
		log->end += sim_between(sim, 1, 3);
	log->n++;
}

void sim_log_delete(struct sim *sim, int number)
{
	struct sim_log *log = &sim->logs->logs[number];
	if (log->begin == log->end)
		return;
	log->begin = sim_between(sim, (int)log->begin + 1, (int)log->end);
	say(sim, -1, "%s [%d] begins at %d now", sim_topics[log->topic], (int)log->partition,
	    (int)log->begin);
}

bool sim_logs_are_stored(const struct sim *sim)
{
	for (int i = 0; i < sim->logs->n; i++) {
		const struct sim_log *log = &sim->logs->logs[i];
		if (log->n < log->planned || log->stored <= log->records[log->n - 1].offset)
			return false;
	}
	return true;
}

/* ---- looking ---- */

static struct sim_record *find_record(struct sim *sim, int number, int64_t offset)
{
	struct sim_log *log = &sim->logs->logs[number];
	for (int i = 0; number < sim->logs->n && i < log->n; i++)
		if (log->records[i].offset == offset)
			return &log->records[i];
	return NULL;
}

static bool is_of_message(char letter)
{
	return letter && strchr(sim_whole_letters, letter);
}

static const struct kind *kind_of_whole(const struct sim_record *record)
{
	return record->len && is_of_message(record->value[0]) ? find_kind(record->value[0]) : NULL;
}

/* What must become of it, `index` < 0 of the message as a whole; NULL: nothing. */
static const struct kind *expected(const struct sim_record *record, int index)
{
	const struct kind *whole = kind_of_whole(record);
	if (record->repeats)
		return NULL;
	if (index < 0)
		return whole;
	if (whole && (whole->effects[EFFECT_DEAD] || index == 0))
		return NULL;
	return 2 * index < record->len ? find_kind(record->value[2 * index]) : NULL;
}

/* Of a record with a command-id: what cqrs.outcomes says. */
static int expected_status(const struct sim_record *record, int status)
{
	const struct kind *whole = kind_of_whole(record);
	bool any_key = false;
	if (whole && whole->effects[EFFECT_DEAD])
		return strchr("bBYXZ", whole->letter) ? 404 : 422;
	if (whole || !record->len)
		return 200;
	for (int i = 0; i < record->len; i += 2) {
		if (!find_kind(record->value[i])->effects[EFFECT_DEAD])
			return 200;
		any_key |= record->value[i] == 'D';
	}
	/* All are refused: which is found first depends. */
	return any_key && status == 409 ? 409 : 422;
}

/* Who waits for a command that is refused has no need of a dead letter. */
static bool is_told(const struct sim_record *record)
{
	return record->command && record->waited && expected_status(record, 0) >= 400;
}

static unsigned wanted(const struct sim_record *record, int index, int effect)
{
	const struct kind *kind = expected(record, index);
	if (!kind || (effect == EFFECT_DEAD && is_told(record)))
		return 0;
	return kind->effects[effect];
}

static const char *const effect_names[] = {"row",   "row of a statement", "count",
                                           "event", "dead letter",        "decision"};

static void name_element(const struct sim *sim, int64_t element, char *text, size_t size)
{
	const struct sim_log *log = &sim->logs->logs[element >> 32];
	snprintf(text, size, "%s [%" PRId32 "] offset %d element %d", sim_topics[log->topic],
	         log->partition, (int)(element >> 8 & 0xffffff), (int)(element & 0xff) - 1);
}

void sim_oracle_effect(struct sim *sim, enum sim_effect effect, int64_t element)
{
	char name[80];
	int number = (int)(element >> 32), index = (int)(element & 0xff) - 1;
	struct sim_record *record = find_record(sim, number, element >> 8 & 0xffffff);
	if (!record || index >= SIM_ELEMENTS)
		sim_abort(sim, "a %s of an element that never was", effect_names[effect]);
	const struct kind *kind = expected(record, index);
	unsigned want = wanted(record, index, effect);
	unsigned got = ++record->counts[index + 1][effect];
	name_element(sim, element, name, sizeof name);
	if (record->skipped) {
		sim_fail(sim, "wrong: %s was skipped and has a %s", name, effect_names[effect]);
	} else if (got > want && want) {
		sim->doubled++;
		sim_fail(sim, "doubled: %s has %u × %s", name, got, effect_names[effect]);
	} else if (got > want) {
		sim_fail(sim, "wrong: %s (%s) has a %s", name, kind ? kind->what : "nothing",
		         effect_names[effect]);
	}
}

void sim_oracle_dead(struct sim *sim, int log, int64_t offset, int index, const char *sqlstate,
                     const char *payload, int len)
{
	struct sim_record *record = find_record(sim, log, offset);
	if (!record)
		sim_abort(sim, "a dead letter of a message that never was");
	const struct kind *kind = expected(record, index);
	const char *data = record->value + (index < 0 ? 0 : 2 * index);
	int want = index < 0 ? record->len : 2;
	if (kind && kind->sqlstate && strcmp(kind->sqlstate, sqlstate))
		sim_fail(sim,
		         "wrong: offset %" PRId64
		         " element %d (%s): dead letter with SQLSTATE \"%s\"",
		         offset, index, kind->what, sqlstate);
	if (len != want || memcmp(payload, data, (size_t)len))
		sim_fail(sim, "wrong: offset %" PRId64 " element %d: payload of its dead letter",
		         offset, index);
	sim_oracle_effect(sim, EFFECT_DEAD, sim_element(log, offset, index));
}

/* The position goes past it: it must be there now. */
static void check_element(struct sim *sim, int log, const struct sim_record *record, int index)
{
	char name[80];
	const struct kind *kind = expected(record, index);
	if (!kind)
		return;
	sim->logs->passed++;
	name_element(sim, sim_element(log, record->offset, index), name, sizeof name);
	for (int i = 0; i < N_EFFECTS; i++) {
		if (record->counts[index + 1][i] >= wanted(record, index, i))
			continue;
		sim->lost++;
		sim_fail(sim, "lost: %s (%s) has no %s", name, kind->what, effect_names[i]);
	}
	int key = record->value[2 * (index < 0 ? 0 : index) + 1];
	if ((kind->letter == 'k' && !sim_server_find(sim, SIM_KEYED, key)) ||
	    (kind->letter == 'u' && !sim_server_find(sim, SIM_LATEST, key))) {
		sim->lost++;
		sim_fail(sim, "lost: %s (%s) is not there", name, kind->what);
	}
}

bool sim_log_has_outcome(const struct sim *sim, int64_t command)
{
	return sim->logs->logs[(command >> 32) - 1].records[command & 0xff].has_outcome;
}

void sim_oracle_outcome(struct sim *sim, int log, int64_t offset, int64_t command, int status,
                        bool notified)
{
	struct sim_record *record = find_record(sim, log, offset);
	if (!record || record->command != command)
		sim_abort(sim, "an outcome of a command that never was");
	if (record->repeats || record->has_outcome) {
		sim->doubled++;
		sim_fail(sim, "doubled: offset %" PRId64 " has an outcome again", offset);
	}
	if (record->skipped || status != expected_status(record, status))
		sim_fail(sim, "wrong: offset %" PRId64 " has the outcome %d", offset, status);
	if (record->waited && !notified)
		sim_fail(sim, "wrong: who waits for offset %" PRId64 " is not told", offset);
	record->has_outcome = true;
}

static void check_outcome(struct sim *sim, const struct sim_record *record)
{
	if (!record->command || record->repeats || record->has_outcome)
		return;
	sim->lost++;
	sim_fail(sim, "lost: offset %" PRId64 " has no outcome", record->offset);
}

static void move(struct sim *sim, int number, int64_t from, int64_t to)
{
	struct sim_log *log = &sim->logs->logs[number];
	if (from != log->stored || to <= from)
		sim_fail(sim, "wrong: %s [%" PRId32 "] moves from %" PRId64 " to %" PRId64,
		         sim_topics[log->topic], log->partition, from, to);
	if (to > log->end)
		sim_fail(sim, "wrong: %s [%" PRId32 "] moves to %" PRId64 ", behind its end",
		         sim_topics[log->topic], log->partition, to);
	log->stored = to;
}

void sim_oracle_skipped(struct sim *sim, int number, int64_t from, int64_t to)
{
	struct sim_log *log = &sim->logs->logs[number];
	move(sim, number, from, to);
	for (int i = 0; i < log->n; i++) {
		struct sim_record *record = &log->records[i];
		if (record->offset < from || record->offset >= to)
			continue;
		record->skipped = true;
		if (record->offset < log->begin)
			continue;
		sim->lost++;
		sim_fail(sim, "lost: %s [%" PRId32 "] offset %" PRId64 " is there and is skipped",
		         sim_topics[log->topic], log->partition, record->offset);
	}
}

void sim_oracle_moved(struct sim *sim, int number, int64_t from, int64_t to)
{
	struct sim_log *log = &sim->logs->logs[number];
	move(sim, number, from, to);
	for (int i = 0; i < log->n; i++) {
		if (log->records[i].offset < from || log->records[i].offset >= to)
			continue;
		for (int index = -1; index < SIM_ELEMENTS; index++)
			check_element(sim, number, &log->records[i], index);
		check_outcome(sim, &log->records[i]);
	}
}

/* The last element with each key that was not skipped stands in table `latest`. */
static void check_latest(struct sim *sim, int number)
{
	const struct sim_log *log = &sim->logs->logs[number];
	int64_t last[SIM_KEYS] = {0};
	for (int i = 0; i < log->n; i++) {
		const struct sim_record *record = &log->records[i];
		for (int index = 0; !record->skipped && 2 * index < record->len; index++) {
			const struct kind *kind = expected(record, index);
			if (kind && kind->letter == 'u')
				last[(int)record->value[2 * index + 1]] =
				    sim_element(number, record->offset, index);
		}
	}
	for (int key = 0; key < SIM_KEYS; key++)
		if (last[key] && sim_server_find(sim, SIM_LATEST, key) != last[key])
			sim_fail(sim,
			         "wrong: in %s [%" PRId32 "] not the last row with key %d stands",
			         sim_topics[log->topic], log->partition, key);
}

void sim_oracle_end(struct sim *sim)
{
	for (int i = 0; i < sim->logs->n; i++)
		check_latest(sim, i);
}
