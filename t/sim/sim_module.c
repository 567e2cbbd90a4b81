/* SPDX-License-Identifier: MIT */
/* A command module that asks for what the letters of a message say: kinds[] in sim_log.c. */
#include "sim_log.h"
#include "sim_member.h"
#include "sim_pg.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sim_module {
	struct sim *sim;
	struct cqrs_table *tables[SIM_TABLES];
	struct cqrs_statement *ensure, *insert, *count;
	struct cqrs_decision *decide;
	uint64_t ensured[SIM_PARENTS]; /* in which batch; 0: not that we know of */
};

static const struct cqrs_column plain[] = {{.name = "k", .type = CQRS_INT8},
                                           {.name = "element", .type = CQRS_INT8},
                                           {.name = "bad", .type = CQRS_INT4},
                                           {.name = NULL}};
static const struct cqrs_column keyed[] = {{.name = "k", .type = CQRS_INT8, .key = true},
                                           {.name = "element", .type = CQRS_INT8},
                                           {.name = "bad", .type = CQRS_INT4},
                                           {.name = NULL}};
static const struct cqrs_column referring[] = {
    {.name = "k", .type = CQRS_INT8, .references = "parents(id)"},
    {.name = "element", .type = CQRS_INT8},
    {.name = "bad", .type = CQRS_INT4},
    {.name = NULL}};

static const struct cqrs_table_def defs[SIM_TABLES] = {
    [SIM_FACTS] = {"facts", plain, CQRS_DUPLICATE_REFUSE},
    [SIM_KEYED] = {"keyed", keyed, CQRS_DUPLICATE_IGNORE},
    [SIM_LATEST] = {"latest", keyed, CQRS_DUPLICATE_UPDATE},
    [SIM_SINGLE] = {"single", keyed, CQRS_DUPLICATE_REFUSE},
    [SIM_CHILDREN] = {"children", plain, CQRS_DUPLICATE_REFUSE},
    [SIM_REFERRING] = {"referring", referring, CQRS_DUPLICATE_REFUSE},
};

/* ---- effects ---- */

/* The element at hand. */
struct asked {
	struct sim_module *module;
	struct cqrs_batch *batch;
	int64_t element;
	int number; /* its key, counter or parent */
};

static void append(const struct asked *a, enum sim_table table, int bad)
{
	cqrs_append(
	    a->batch, a->module->tables[table],
	    (struct cqrs_value[]){cqrs_int8(a->number), cqrs_int8(a->element), cqrs_int4(bad)});
}

static void insert(const struct asked *a, int bad)
{
	cqrs_execute(a->batch, a->module->insert,
	             (struct cqrs_value[]){cqrs_int8(a->element), cqrs_int4(bad)}, 1,
	             "nothing was inserted");
}

static void count(const struct asked *a)
{
	cqrs_execute(a->batch, a->module->count,
	             (struct cqrs_value[]){cqrs_int4(a->number), cqrs_int8(a->element)}, 1,
	             "there is no such counter");
}

enum { DECIDED, REFUSED, FAILS };

static void decide(const struct asked *a, int what)
{
	cqrs_decide(a->batch, a->module->decide,
	            (struct cqrs_value[]){cqrs_int8(a->element), cqrs_int4(what)});
}

static void publish(const struct asked *a)
{
	char text[32];
	snprintf(text, sizeof text, "%" PRId64, a->element);
	cqrs_publish(a->batch, "events", NULL, text);
}

static void ensure(const struct asked *a)
{
	uint64_t *known = &a->module->ensured[a->number];
	if (*known && cqrs_batch_sees(a->batch, *known))
		return;
	cqrs_ensure(a->batch, a->module->ensure, (struct cqrs_value[]){cqrs_int4(a->number)});
	*known = cqrs_batch_number(a->batch);
}

/* Of the message as a whole. */
static void ask_whole(const struct asked *a, char letter)
{
	struct asked missing = *a;
	missing.number = SIM_MISSING;
	if (letter == 'Z')
		insert(a, 0);
	decide(a, letter == 'E' ? FAILS : strchr("aAy", letter) ? DECIDED : REFUSED);
	if (letter == 'y')
		count(&missing);
	else if (letter == 'Y' || letter == 'X')
		insert(a, letter == 'X');
}

static void ask(const struct asked *a, char letter)
{
	if (strchr("aAbBEyYXZ", letter)) {
		ask_whole(a, letter);
		return;
	}
	switch (letter) {
	case 'r':
	case 'h':
		append(a, SIM_FACTS, 0);
		break;
	case 'c':
	case 'H':
		append(a, SIM_FACTS, 1);
		break;
	case 'm':
		append(a, SIM_FACTS, 0);
		cqrs_refuse_element(a->batch, "the module does not like it");
		break;
	case 'k':
		append(a, SIM_KEYED, 0);
		break;
	case 'u':
		append(a, SIM_LATEST, 0);
		break;
	case 'd':
	case 'D':
		append(a, SIM_SINGLE, 0);
		break;
	case 's':
		insert(a, 0);
		break;
	case 'x':
		insert(a, 1);
		break;
	case 'n':
	case 'z':
		count(a);
		break;
	case 'w':
		insert(a, 0);
		count(a);
		break;
	case 'e':
		publish(a);
		break;
	case 'R':
	case 'C':
		publish(a);
		insert(a, 0);
		append(a, SIM_FACTS, letter == 'C');
		break;
	case 'p':
	case 'q':
		ensure(a);
		append(a, letter == 'p' ? SIM_CHILDREN : SIM_REFERRING, 0);
		break;
	case 'o':
		append(a, SIM_CHILDREN, 0);
		break;
	case 'f':
		append(a, SIM_REFERRING, 0);
		break;
	default:
		sim_abort(a->module->sim, "no element %c", letter);
	}
}

static void handle(struct sim_module *module, int topic, const struct cqrs_message *msg,
                   struct cqrs_batch *batch)
{
	const char *value = msg->value;
	int log = sim_log_find(module->sim, topic, msg->partition);
	struct asked a = {.module = module, .batch = batch};
	bool refused = false;
	for (size_t i = 0; i < msg->value_len; i += 2) {
		bool whole = i == 0 && strchr(sim_whole_letters, value[0]);
		a.element = sim_element(log, msg->offset, whole ? -1 : (int)i / 2);
		a.number = (unsigned char)value[i + 1];
		if (!whole)
			cqrs_element(batch, (int32_t)i / 2, value + i, 2);
		if (value[i] == 'M')
			refused = true;
		else if (value[i] != 'A' && value[i] != 'B')
			ask(&a, value[i]);
	}
	if (msg->value_len && (value[0] == 'A' || value[0] == 'B')) {
		a.element = sim_element(log, msg->offset, -1);
		ask(&a, value[0]);
	}
	if (refused)
		cqrs_refuse(batch, "the module does not like any of it");
}

static void handle_first(void *self, const struct cqrs_message *msg, struct cqrs_batch *batch)
{
	handle(self, 0, msg, batch);
}

static void handle_second(void *self, const struct cqrs_message *msg, struct cqrs_batch *batch)
{
	handle(self, 1, msg, batch);
}

/* ---- life ---- */

static void dropped(void *self)
{
	struct sim_module *module = self;
	memset(module->ensured, 0, sizeof module->ensured);
}

const struct cqrs_command_module sim_module = {.abi = CQRS_ABI, .name = "sim", .dropped = dropped};

struct sim_module *sim_module_new(struct sim *sim, struct cqrs_setup *setup)
{
	static const enum cqrs_type id[] = {CQRS_INT4}, element_bad[] = {CQRS_INT8, CQRS_INT4},
	                            id_element[] = {CQRS_INT4, CQRS_INT8},
	                            element_what[] = {CQRS_INT8, CQRS_INT4};
	static cqrs_handle_fn *const handlers[SIM_TOPICS] = {handle_first, handle_second};
	struct sim_module *module = calloc(1, sizeof *module);
	assert(module);
	module->sim = sim;
	for (int i = 0; i < SIM_TABLES; i++)
		module->tables[i] = cqrs_setup_table(setup, &defs[i]);
	module->ensure = cqrs_setup_statement(setup, sim_sql_ensure, id, 1);
	module->insert = cqrs_setup_statement(setup, sim_sql_insert, element_bad, 2);
	module->count = cqrs_setup_statement(setup, sim_sql_count, id_element, 2);
	module->decide = cqrs_setup_decision(setup, "decide", element_what, 2);
	for (int i = 0; i < sim->logs->n_topics; i++)
		cqrs_setup_topic(setup, sim_topics[i], handlers[i]);
	return module;
}

void sim_module_free(struct sim_module *module)
{
	free(module);
}
