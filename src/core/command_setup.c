/* SPDX-License-Identifier: MIT */
/* What command modules declare while they start: topics, tables, statements. */
#include "batch_internal.h"
#include "command_bus_internal.h"
#include "container.h"
#include "log.h"
#include "pg_value.h"
#include "shadow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cqrs_setup {
	struct command_bus *bus;
	const struct cqrs_command_module *module;
	char error[512]; /* "": nothing is wrong */
	bool publishes;
	struct cqrs_setup *next;
};

struct cqrs_setup *command_bus_setup(struct command_bus *bus,
                                     const struct cqrs_command_module *module)
{
	struct cqrs_setup *setup = calloc(1, sizeof *setup);
	if (!setup)
		return NULL;
	setup->bus = bus;
	setup->module = module;
	setup->next = bus->setups;
	bus->setups = setup;
	return setup;
}

void cqrs_setup_fail(struct cqrs_setup *setup, const char *fmt, ...)
{
	va_list ap;
	/* The first mistake is the one that explains the others. */
	if (*setup->error)
		return;
	va_start(ap, fmt);
	vsnprintf(setup->error, sizeof setup->error, fmt, ap);
	va_end(ap);
}

static bool is_topic_name(const char *name)
{
	size_t len =
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
	return len && !name[len] && len <= 249 && strcmp(name, ".") && strcmp(name, "..");
}

void cqrs_setup_topic(struct cqrs_setup *setup, const char *topic, cqrs_handle_fn *handle)
{
	struct command_bus *bus = setup->bus;
	struct buf labels = BUF_INIT;
	if (!is_topic_name(topic)) {
		cqrs_setup_fail(setup, "\"%s\" is not a name that a Kafka topic can have", topic);
		return;
	}
	int taken = command_bus_find_topic(bus, topic);
	if (taken >= 0) {
		int by = bus->topics[taken].module;
		cqrs_setup_fail(setup, "topic %s has a handler already, in module %s", topic,
		                by == bus->n_modules ? setup->module->name
		                                     : bus->modules[by].module->name);
		return;
	}
	if (bus->n_topics == COMMAND_TOPICS_MAX) {
		cqrs_setup_fail(setup, "more than %d topics", COMMAND_TOPICS_MAX);
		return;
	}
	metrics_label(&labels, "topic", topic);
	bus->topics[bus->n_topics] = (struct bus_topic){
	    .handle = handle,
	    .module = bus->n_modules, /* which it becomes when it has started */
	    .messages = metrics_counter(bus->metrics, "cqrsd_messages_total",
	                                metrics_labels(&labels), "Messages decided"),
	};
	bus->topic_names[bus->n_topics++] = topic;
	buf_release(&labels);
}

/* "table(column)", each of a length that PostgreSQL can have. */
static bool is_reference(const char *text)
{
	int len = 0;
	return sscanf(text, "%*127[^(](%*63[^)])%n", &len) == 0 && len && !text[len];
}

struct cqrs_table *cqrs_setup_table(struct cqrs_setup *setup, const struct cqrs_table_def *def)
{
	struct command_bus *bus = setup->bus;
	bool key = true;
	int n = 0;
	for (const struct cqrs_column *c = def->columns; c->name; c++, n++) {
		if (c->key && !key)
			cqrs_setup_fail(setup, "table %s: the columns of the key must stand first",
			                def->name);
		key = c->key;
		if (c->type > CQRS_TIMESTAMPTZ)
			cqrs_setup_fail(setup,
			                "table %s: column %s: arrays are for parameters only",
			                def->name, c->name);
		if (c->references && !is_reference(c->references))
			cqrs_setup_fail(setup,
			                "table %s: column %s: references must be \"table(column)\"",
			                def->name, c->name);
	}
	if (n == 0 || n > CQRS_COLUMNS_MAX)
		cqrs_setup_fail(setup, "table %s: 1 to %d columns", def->name, CQRS_COLUMNS_MAX);
	if (bus->n_tables == COMMAND_TABLES_MAX)
		cqrs_setup_fail(setup, "more than %d tables", COMMAND_TABLES_MAX);
	if (bus->config->shadow_of)
		cqrs_setup_fail(setup,
		                "it cannot be rebuilt: it declares a table, where a statement that "
		                "names the table with its schema is needed");
	if (*setup->error)
		return NULL;
	struct cqrs_table *table = batch_table_new(def, bus->n_tables);
	if (table)
		bus->tables[bus->n_tables++] = table;
	else
		cqrs_setup_fail(setup, "out of memory");
	return table;
}

/* What a statement says, or what it says of the shadow that is to be filled; NULL: no memory. */
static const char *sql_of(struct command_bus *bus, const char *sql)
{
	if (!bus->config->shadow_of)
		return sql;
	if (!batch_grow((void **)&bus->shadows, bus->n_shadows, &bus->cap_shadows,
	                sizeof *bus->shadows))
		return NULL;
	char *text = shadow_sql(bus->config->shadow_of, sql);
	if (text)
		bus->shadows[bus->n_shadows++] = text;
	return text;
}

static void statement_free(struct cqrs_statement *statement)
{
	if (statement)
		free(statement->types);
	free(statement);
}

struct cqrs_statement *cqrs_setup_statement(struct cqrs_setup *setup, const char *sql,
                                            const enum cqrs_type *types, size_t n)
{
	struct command_bus *bus = setup->bus;
	if (n > PG_PARAMS_MAX) {
		cqrs_setup_fail(setup, "statement \"%s\": at most %d parameters", sql,
		                PG_PARAMS_MAX);
		return NULL;
	}
	struct cqrs_statement *statement = calloc(1, sizeof *statement);
	struct cqrs_statement **grown =
	    realloc(bus->statements, (bus->n_statements + 1) * sizeof *grown);
	if (grown)
		bus->statements = grown;
	if (statement)
		statement->types = calloc(n + 1, sizeof *statement->types);
	const char *text = sql_of(bus, sql);
	if (!statement || !grown || !statement->types || !text) {
		cqrs_setup_fail(setup, "out of memory");
		statement_free(statement);
		return NULL;
	}
	statement->index = bus->n_statements;
	statement->sql = text;
	statement->n_params = (int)n;
	statement->param_types = types;
	for (size_t i = 0; i < n; i++)
		statement->types[i] = pg_value_oid(types[i]);
	bus->statements[bus->n_statements++] = statement;
	return statement;
}

static struct cqrs_decision *add_decision(struct cqrs_setup *setup, const char *function,
                                          const enum cqrs_type *types, size_t n, bool many)
{
	struct command_bus *bus = setup->bus;
	if (bus->config->shadow_of)
		cqrs_setup_fail(setup, "it cannot be rebuilt: it decides, and is no view");
	if (n == 0 || n > CQRS_PARAMS_DECIDED)
		cqrs_setup_fail(setup, "decision %s: 1 to %d parameters", function,
		                CQRS_PARAMS_DECIDED);
	for (size_t i = 0; i < n; i++)
		if (!pg_value_array_oid(types[i]))
			cqrs_setup_fail(setup, "decision %s: an array is no parameter of it",
			                function);
	if (*setup->error)
		return NULL;
	struct cqrs_decision *decision = batch_decision_new(function, types, n, many);
	if (!decision || !batch_grow((void **)&bus->decisions, bus->n_decisions,
	                             &bus->cap_decisions, sizeof(struct cqrs_decision *))) {
		cqrs_setup_fail(setup, "out of memory");
		batch_decision_free(decision);
		return NULL;
	}
	bus->decisions[bus->n_decisions++] = decision;
	return decision;
}

struct cqrs_decision *cqrs_setup_decision(struct cqrs_setup *setup, const char *function,
                                          const enum cqrs_type *types, size_t n)
{
	return add_decision(setup, function, types, n, false);
}

struct cqrs_decision *cqrs_setup_decisions(struct cqrs_setup *setup, const char *function,
                                           const enum cqrs_type *types, size_t n)
{
	return add_decision(setup, function, types, n, true);
}

void cqrs_setup_route(struct cqrs_setup *setup, const struct cqrs_command_route *def)
{
	struct command_bus *bus = setup->bus;
	struct buf why = BUF_INIT;
	struct command_route *route = command_route_new(setup->module->name, def, &why);
	if (route) {
		route->module = bus->n_modules; /* which it becomes when it has started */
		STAILQ_INSERT_TAIL(&bus->routes, route, link);
	} else {
		cqrs_setup_fail(setup, "route %s %s: %s", def->method, def->path, buf_str(&why));
	}
	buf_release(&why);
}

struct command_route *command_bus_take_route(struct command_bus *bus)
{
	struct command_route *route = STAILQ_FIRST(&bus->routes);
	if (!route)
		return NULL;
	STAILQ_REMOVE_HEAD(&bus->routes, link);
	route->self = bus->modules[route->module].self;
	return route;
}

void cqrs_setup_publishes(struct cqrs_setup *setup)
{
	setup->publishes = true;
}

void cqrs_setup_projects(struct cqrs_setup *setup)
{
	setup->bus->projects = true;
}

bool command_bus_add(struct command_bus *bus, struct cqrs_setup *setup, void *self,
                     const char **error)
{
	*error = setup->error;
	if (bus->n_modules == COMMAND_TOPICS_MAX) {
		cqrs_setup_fail(setup, "more than %d command modules", COMMAND_TOPICS_MAX);
		return false;
	}
	if (!self)
		cqrs_setup_fail(setup, "it did not start and did not say why");
	bus->modules[bus->n_modules++] = (struct bus_module){setup->module, self, setup->publishes};
	return !*setup->error;
}

const char *const *command_bus_topics(const struct command_bus *bus, int *n)
{
	*n = bus->n_topics;
	return bus->topic_names;
}

const struct cqrs_table_def *command_bus_table(const struct command_bus *bus, int i)
{
	return i < bus->n_tables ? bus->tables[i]->def : NULL;
}

void command_bus_on_events(struct command_bus *bus, loop_fn *events, void *arg)
{
	bus->on_events = events;
	bus->events_arg = arg;
}

/* ---- from time to time ---- */

#define SOON_US        1000000 /* after the start, and when there was no connection */
#define FORGET_US      2000000
#define FORGET_AT_MOST 50000

static void on_periodic_done(struct pg_request *request, enum pg_outcome outcome,
                             const struct pg_error *error)
{
	struct bus_periodic *p = container_of(request, struct bus_periodic, request);
	p->running = false;
	if (outcome == PG_REFUSED)
		log_warning("postgres control: \"%s\": %s (SQLSTATE %s)", p->sql, error->message,
		            error->sqlstate);
}

static void on_periodic(void *arg)
{
	struct bus_periodic *p = arg;
	bool sent = p->running || pg_conn_send(p->bus->control, &p->request);
	p->running |= sent;
	timer_arm(p->timer, sent ? p->period_us : SOON_US);
}

static bool add_periodic(struct command_bus *bus, int64_t period_us, const char *sql)
{
	struct bus_periodic *p = calloc(1, sizeof *p);
	if (p)
		p->sql = strdup(sql);
	if (!p || !p->sql) {
		free(p);
		return false;
	}
	p->bus = bus;
	p->period_us = period_us > SOON_US ? period_us : SOON_US;
	p->request = (struct pg_request){.sql = p->sql, .n_params = -1, .done = on_periodic_done};
	p->next = bus->periodics;
	bus->periodics = p;
	return true;
}

void cqrs_setup_periodic(struct cqrs_setup *setup, int64_t period_us, const char *sql)
{
	/* The view itself goes on being looked after by those who feed it. */
	if (!setup->bus->config->shadow_of && !add_periodic(setup->bus, period_us, sql))
		cqrs_setup_fail(setup, "out of memory");
}

/* What became of commands is kept for a time, and deleted in small steps. */
static bool forget_commands(struct command_bus *bus)
{
	char sql[100];
	if (!bus->config->keep_outcomes_us)
		return true;
	snprintf(sql, sizeof sql, "SELECT cqrs.forget_commands('%" PRId64 " us', %d)",
	         bus->config->keep_outcomes_us, FORGET_AT_MOST);
	return add_periodic(bus, FORGET_US, sql);
}

bool periodics_start(struct command_bus *bus)
{
	if (!forget_commands(bus))
		return false;
	for (struct bus_periodic *p = bus->periodics; p; p = p->next) {
		p->timer = timer_new(bus->loop, on_periodic, p);
		if (!p->timer)
			return false;
		timer_arm(p->timer, SOON_US);
	}
	return true;
}

void setup_release(struct command_bus *bus)
{
	struct bus_periodic *p;
	struct cqrs_setup *setup;
	while ((p = bus->periodics)) {
		bus->periodics = p->next;
		timer_free(p->timer);
		free(p->sql);
		free(p);
	}
	while ((setup = bus->setups)) {
		bus->setups = setup->next;
		free(setup);
	}
	struct command_route *route;
	while ((route = STAILQ_FIRST(&bus->routes))) {
		STAILQ_REMOVE_HEAD(&bus->routes, link);
		route_free(&route->base);
	}
	for (size_t i = 0; i < bus->n_statements; i++)
		statement_free(bus->statements[i]);
	free(bus->statements);
	for (size_t i = 0; i < bus->n_decisions; i++)
		batch_decision_free(bus->decisions[i]);
	free(bus->decisions);
	for (int i = 0; i < bus->n_tables; i++)
		batch_table_free(bus->tables[i]);
	for (size_t i = 0; i < bus->n_shadows; i++)
		free(bus->shadows[i]);
	free(bus->shadows);
}
