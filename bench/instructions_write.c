/* SPDX-License-Identifier: MIT */
/* The hot parts of the write path: from a message to what libpq is given. */
#include "instructions.h"

#include "attempt.h"
#include "command_bus_internal.h"
#include "option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH      100 /* messages */
#define READINGS   100 /* in each */
#define ROWS       (BATCH * READINGS)
#define GATEWAYS   10
#define PARTITIONS 4

extern const struct cqrs_command_module cqrs_command_sensor;

static struct health *health;
static const struct command_bus_config bus_config = {
    .brokers = "", .group = "g", .start = "earliest", .dsn = "", .writers = 1, .memory = 64 << 20};
static struct command_bus *bus;
static void *options, *module;
static struct cqrs_batch *batch, *other;
static struct attempt attempt;
static char many[BATCH][READINGS * 80], one[ROWS][80];

static size_t write_reading(char *out, size_t room, int64_t ts, int64_t sensor)
{
	return (size_t)snprintf(
	    out, room, "{\"ts\":%lld,\"sensor_id\":%lld,\"temperature\":%.1f,\"cpu\":%.1f}",
	    (long long)ts, (long long)sensor, 15 + (double)((ts * 7 + sensor) % 200) / 10,
	    (double)((ts + sensor * 3) % 1000) / 10);
}

/*
 * Ten gateways send a hundred readings a second each; each partition has those
 * of some gateways, and comes in a piece.
 */
static void write_messages(void)
{
	size_t n = 0;
	for (int p = 0; p < PARTITIONS; p++)
		for (int i = 0; i < BATCH; i++) {
			int gateway = i % GATEWAYS;
			size_t len = 0;
			if (gateway % PARTITIONS != p)
				continue;
			for (int k = 0; k < READINGS; k++) {
				int64_t ts = START_S + i / GATEWAYS;
				int64_t sensor = gateway * READINGS + k + 1;
				many[n][len++] = k ? ',' : '[';
				len +=
				    write_reading(many[n] + len, sizeof many[n] - len, ts, sensor);
				write_reading(one[n * READINGS + (size_t)k], sizeof *one, ts,
				              sensor);
			}
			many[n][len++] = ']';
			many[n++][len] = '\0';
		}
}

static void decide(const char *value)
{
	struct kafka_message msg = {.message = {.topic = bus->topic_names[0],
	                                        .timestamp_us = START_S * 1000000,
	                                        .value = value,
	                                        .value_len = strlen(value)}};
	must(batch_begin(batch, &msg, NULL));
	bus->topics[0].handle(module, &msg.message, batch);
	must(batch_end(batch));
}

/* The batch before it was stored, too. */
static void empty_batch(void)
{
	batch_clear(other);
	batch_clear(batch);
}

static void decide_many(void)
{
	for (int i = 0; i < BATCH; i++)
		decide(many[i]);
	must(batch->tables[0].n == ROWS && !batch->n_refusals);
}

static void decide_ones(void)
{
	for (int i = 0; i < ROWS; i++)
		decide(one[i]);
	must(batch->tables[0].n == ROWS && !batch->n_refusals);
}

static void fill_batch(void)
{
	empty_batch();
	decide_many();
}

/* The same rows as if each sensor had sent its own, whenever it liked. */
static void fill_batch_anyhow(void)
{
	empty_batch();
	for (int i = 0; i < ROWS; i++)
		decide(one[i * 7919 % ROWS]);
}

static void sort_batch(void)
{
	must(batch_close(batch));
	must(attempt_prepare(&attempt, 0, (uint32_t)batch->n_messages, ATTEMPT_DIRECT));
	must(attempt.tables[0].n == ROWS);
}

static void begin_copy(void)
{
	struct buf sql = BUF_INIT;
	fill_batch();
	sort_batch();
	attempt_begin_sql(&attempt);
	attempt_rows_sql(&attempt, &sql);
	must(!sql.failed);
	buf_release(&sql);
}

static void copy_batch(void)
{
	const char *data;
	size_t len, n = 0;
	while (attempt_copy_data(&attempt, 0, &data, &len))
		n += len;
	must(n > (size_t)ROWS * 46);
}

static const struct part parts[] = {
    {"decode", "message of 100 readings to COPY fields", BATCH, empty_batch, decide_many},
    {"decode-single", "message of one reading to COPY fields", ROWS, empty_batch, decide_ones},
    {"sort", "batch of 10,000 rows, as gateways send them", 1, fill_batch, sort_batch},
    {"sort-anyhow", "batch of 10,000 rows in no order", 1, fill_batch_anyhow, sort_batch},
    {"copy", "batch of 10,000 rows to what libpq is given", 1, begin_copy, copy_batch},
    {.name = NULL},
};

const struct part *instructions_start_writing(struct loop *loop, struct metrics *metrics)
{
	const char *error;
	struct buf why = BUF_INIT;
	health = health_new(loop);
	bus = command_bus_new(loop, &bus_config, metrics, health);
	options = calloc(1, cqrs_command_sensor.options_size);
	must(health && bus && options);
	for (const struct cqrs_option *o = cqrs_command_sensor.options; o->name; o++)
		must(option_set(o, o->initial, false, options, &why));
	struct cqrs_setup *setup = command_bus_setup(bus, &cqrs_command_sensor);
	module = cqrs_command_sensor.start(setup, options);
	must(command_bus_add(bus, setup, module, &error));
	batch = command_bus_batch(bus);
	other = command_bus_batch(bus);
	must(batch && other && attempt_init(&attempt, batch, "g"));
	write_messages();
	return parts;
}

void instructions_stop_writing(void)
{
	attempt_release(&attempt);
	batch_free(batch);
	batch_free(other);
	cqrs_command_sensor.stop(module);
	command_bus_free(bus);
	health_free(health);
	free(options);
}
