/* SPDX-License-Identifier: MIT */
/*
 * The same prepared statement again and again over some connections, as fast as PostgreSQL
 * answers: what pgbench does, but also with results in binary, and for arrays.
 *
 *     select DSN CLIENTS IN_FLIGHT SECONDS text|binary IDS SQL [PARAMETER...]
 *
 * An @ in a parameter is a random number from 1 to IDS.  Each client is a thread with one
 * connection; with more than one IN_FLIGHT it sends so many, then one Sync, in pipeline mode.
 * Prints how many statements were answered in a second.
 */
#include <assert.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PARAMETERS 16
#define TEXT       128
#define CLIENTS    256

struct task {
	const char *dsn, *sql;
	int clients, in_flight, ids, n_parameters;
	double seconds;
	bool binary;
	char **parameters;
	pthread_barrier_t ready;
};

struct client {
	const struct task *task;
	PGconn *conn;
	unsigned seed;
	unsigned long answered;
	double elapsed;
	char texts[PARAMETERS][TEXT];
	const char *values[PARAMETERS];
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void demand(const struct client *c, bool condition)
{
	if (condition)
		return;
	fprintf(stderr, "select: %s\n", PQerrorMessage(c->conn));
	exit(1);
}

static void fill_parameters(struct client *c)
{
	const struct task *t = c->task;
	for (int i = 0; i < t->n_parameters; i++) {
		const char *from = t->parameters[i], *at = strchr(from, '@');
		c->values[i] = from;
		if (!at)
			continue;
		snprintf(c->texts[i], TEXT, "%.*s%d%s", (int)(at - from), from,
		         rand_r(&c->seed) % t->ids + 1, at + 1);
		c->values[i] = c->texts[i];
	}
}

static void send_one(struct client *c)
{
	const struct task *t = c->task;
	fill_parameters(c);
	demand(c, PQsendQueryPrepared(c->conn, "s", t->n_parameters, c->values, NULL, NULL,
	                              t->binary));
}

/* One result with rows and the NULL behind it. */
static void take_one(struct client *c)
{
	PGresult *result = PQgetResult(c->conn);
	demand(c, PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0);
	PQclear(result);
	result = PQgetResult(c->conn);
	assert(!result);
	c->answered++;
}

static void ask(struct client *c)
{
	int n = c->task->in_flight;
	for (int i = 0; i < n; i++)
		send_one(c);
	if (n > 1)
		demand(c, PQpipelineSync(c->conn));
	for (int i = 0; i < n; i++)
		take_one(c);
	if (n > 1) {
		PGresult *sync = PQgetResult(c->conn);
		demand(c, PQresultStatus(sync) == PGRES_PIPELINE_SYNC);
		PQclear(sync);
	}
}

static void connect_and_prepare(struct client *c)
{
	c->conn = PQconnectdb(c->task->dsn);
	demand(c, PQstatus(c->conn) == CONNECTION_OK);
	PGresult *result = PQprepare(c->conn, "s", c->task->sql, 0, NULL);
	demand(c, PQresultStatus(result) == PGRES_COMMAND_OK);
	PQclear(result);
	demand(c, c->task->in_flight == 1 || PQenterPipelineMode(c->conn));
}

static void *run(void *arg)
{
	struct client *c = arg;
	connect_and_prepare(c);
	ask(c);
	pthread_barrier_wait((pthread_barrier_t *)&c->task->ready);
	c->answered = 0;
	double begin = now(), end = begin + c->task->seconds;
	while ((c->elapsed = now()) < end)
		ask(c);
	c->elapsed -= begin;
	PQfinish(c->conn);
	return NULL;
}

static bool read_arguments(struct task *t, int argc, char **argv)
{
	if (argc < 8 || argc - 8 > PARAMETERS)
		return false;
	*t = (struct task){
	    .dsn = argv[1],
	    .clients = atoi(argv[2]),
	    .in_flight = atoi(argv[3]),
	    .seconds = atof(argv[4]),
	    .binary = !strcmp(argv[5], "binary"),
	    .ids = atoi(argv[6]),
	    .sql = argv[7],
	    .n_parameters = argc - 8,
	    .parameters = argv + 8,
	};
	for (int i = 0; i < t->n_parameters; i++) {
		if (strlen(t->parameters[i]) > TEXT - 16)
			return false;
	}
	return t->clients > 0 && t->clients <= CLIENTS && t->in_flight > 0 && t->ids > 0;
}

int main(int argc, char **argv)
{
	static struct client clients[CLIENTS];
	pthread_t threads[CLIENTS];
	struct task task;
	double rate = 0;
	if (!read_arguments(&task, argc, argv)) {
		fprintf(stderr, "usage: select DSN CLIENTS IN_FLIGHT SECONDS text|binary IDS SQL "
		                "[PARAMETER...]\n");
		return 64;
	}
	pthread_barrier_init(&task.ready, NULL, (unsigned)task.clients);
	for (int i = 0; i < task.clients; i++) {
		clients[i].task = &task;
		clients[i].seed = (unsigned)i + 1;
		if (pthread_create(&threads[i], NULL, run, &clients[i]) != 0)
			return 1;
	}
	for (int i = 0; i < task.clients; i++) {
		pthread_join(threads[i], NULL);
		rate += (double)clients[i].answered / clients[i].elapsed;
	}
	printf("%.3f\n", rate);
	return 0;
}
