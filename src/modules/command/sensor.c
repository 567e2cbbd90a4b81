/* SPDX-License-Identifier: MIT */
/*
 * The sensors system, commands: telemetry readings become rows of sensor_data,
 * descriptions of sensors become rows of sensors.
 */
#include "../sensor/sensor_http.h"
#include "../sensor/sensor_json.h"

#include <cqrs/command.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REMEMBERED     8192 /* entries of each memory; a power of two */
#define NEW_PARTITIONS 64   /* that one message may cause */
#define NEW_SENSORS    1024 /* ids in one statement */
#define RETAIN_US      INT64_C(600000000)

enum { UNKNOWN_CREATE, UNKNOWN_REFUSE };

struct sensor_options {
	const char *readings, *sensors;
	int timestamp_unit, on_duplicate, unknown_sensors;
	int64_t partition, retention;
};

#define OPTION(member, named, of_type, ...)                                    \
	{                                                                      \
		.name = named, .type = CQRS_OPTION_##of_type,                  \
		.offset = offsetof(struct sensor_options, member), __VA_ARGS__ \
	}

static const struct cqrs_option options[] = {
    OPTION(readings, "topics.readings", STRING, .initial = "logger.sensor.ts",
           .help = "topic of the readings: an array of them, or one alone"),
    OPTION(sensors, "topics.sensors", STRING, .initial = "logger.sensor.instance",
           .help = "topic of the descriptions of sensors"),
    OPTION(timestamp_unit, "timestamp_unit", CHOICE, .initial = "auto",
           .choices = "auto|s|ms|us|ns", .help = "unit of integer timestamps; auto: by magnitude"),
    OPTION(on_duplicate, "on_duplicate", CHOICE, .initial = "ignore", .choices = "ignore|update",
           .help = "a reading of the same sensor and time again: the first or the last stands"),
    OPTION(unknown_sensors, "unknown_sensors", CHOICE, .initial = "create",
           .choices = "create|refuse",
           .help = "readings of a sensor not in the table: register it, or make them dead letters"),
    OPTION(partition, "partition", DURATION, .initial = "1d", .min = INT64_C(3600000000),
           .max = INT64_C(31622400000000), .help = "width of the partitions of sensor_data"),
    OPTION(retention, "retention", DURATION, .initial = "0s", .min = 0,
           .max = INT64_C(3153600000000000),
           .help = "drop partitions whose readings are all older; 0s: keep for ever"),
    CQRS_OPTIONS_END,
};

/*
 * What was ensured, and in which batches.  When the first of them is stored nobody has to
 * ask any more; until then every batch asks for itself, and knows by `last` that it has.
 */
struct ensured {
	int64_t key;
	uint64_t first, last; /* numbers of batches; 0: free */
};

/* When full it is forgotten as a whole. */
struct memory {
	struct ensured slots[REMEMBERED];
	size_t n;
};

struct sensor {
	struct sensor_http http; /* first */
	const struct sensor_options *options;
	struct cqrs_column columns[5];
	struct cqrs_table_def def;
	struct cqrs_table *data;
	struct cqrs_statement *ensure_partition, *ensure_sensors, *put_sensor, *register_sensor;
	struct memory partitions, sensors;
	/* of the message at hand */
	struct cqrs_value new_sensors[NEW_SENSORS];
	size_t n_new_sensors;
	int n_new_partitions;
};

/* ---- memory ---- */

static struct ensured *find(struct memory *memory, int64_t key)
{
	size_t i = (size_t)(((uint64_t)key * UINT64_C(0x9E3779B97F4A7C15)) >> 40);
	for (;; i++) {
		i &= REMEMBERED - 1;
		if (!memory->slots[i].first || memory->slots[i].key == key)
			break;
	}
	memory->slots[i].key = key;
	return &memory->slots[i];
}

static void forget(struct memory *memory)
{
	if (memory->n)
		memset(memory, 0, sizeof *memory);
}

/* Whether it can be relied on in this batch. */
static bool is_known(struct memory *memory, int64_t key, const struct cqrs_batch *batch)
{
	const struct ensured *ensured = find(memory, key);
	return ensured->first && (ensured->last == cqrs_batch_number(batch) ||
	                          cqrs_batch_sees(batch, ensured->first));
}

static void remember(struct memory *memory, int64_t key, const struct cqrs_batch *batch)
{
	if (!find(memory, key)->first && ++memory->n > REMEMBERED / 2) {
		forget(memory);
		memory->n = 1;
	}
	struct ensured *ensured = find(memory, key);
	ensured->last = cqrs_batch_number(batch);
	if (!ensured->first)
		ensured->first = ensured->last;
}

/* ---- readings ---- */

static void ensure_sensors(struct sensor *self, struct cqrs_batch *batch)
{
	struct cqrs_value ids = cqrs_array(CQRS_INT4_ARRAY, self->new_sensors, self->n_new_sensors);
	if (self->n_new_sensors)
		cqrs_ensure(batch, self->ensure_sensors, &ids);
	self->n_new_sensors = 0;
}

/* Makes sure that there is a partition; false: this message had enough new ones. */
static bool ensure_partition(struct sensor *self, struct cqrs_batch *batch, int64_t time_us)
{
	int64_t low = time_us - time_us % self->options->partition;
	if (is_known(&self->partitions, low, batch))
		return true;
	if (self->n_new_partitions == NEW_PARTITIONS)
		return false;
	self->n_new_partitions++;
	remember(&self->partitions, low, batch);
	struct cqrs_value range[] = {cqrs_timestamptz(low),
	                             cqrs_timestamptz(low + self->options->partition)};
	cqrs_ensure(batch, self->ensure_partition, range);
	return true;
}

static void accept(struct sensor *self, struct cqrs_batch *batch, const struct reading *reading)
{
	int32_t id = (int32_t)reading->sensor_id;
	if (reading->wrong) {
		cqrs_refuse_element(batch, "%s", reading->wrong);
		return;
	}
	if (!ensure_partition(self, batch, reading->time_us)) {
		cqrs_refuse_element(batch,
		                    "the readings of one message may open %d partitions of "
		                    "sensor_data, this would be one more",
		                    NEW_PARTITIONS);
		return;
	}
	if (self->options->unknown_sensors == UNKNOWN_CREATE &&
	    !is_known(&self->sensors, id, batch)) {
		remember(&self->sensors, id, batch);
		self->new_sensors[self->n_new_sensors++] = cqrs_int4(id);
		if (self->n_new_sensors == NEW_SENSORS)
			ensure_sensors(self, batch);
	}
	struct cqrs_value row[] = {cqrs_int4(id), cqrs_timestamptz(reading->time_us),
	                           reading->temperature, reading->cpu};
	cqrs_append(batch, self->data, row);
}

/* Where the element begins that was read when the reader stood at `at`: behind space and comma. */
static size_t element_begin(const char *value, size_t at)
{
	while (value[at] == ',' || value[at] == ' ' || value[at] == '\n' || value[at] == '\r' ||
	       value[at] == '\t')
		at++;
	return at;
}

/* The elements of an array whose '[' was just read; false: not JSON. */
static bool read_array(struct sensor *self, struct cqrs_json_reader *r, const char *value,
                       struct cqrs_batch *batch)
{
	enum cqrs_json_kind kind;
	struct reading reading;
	size_t at = cqrs_json_offset(r);
	for (int32_t i = 0; (kind = cqrs_json_next(r)) != CQRS_JSON_END; i++) {
		bool is_reading = kind == CQRS_JSON_OBJECT;
		if (is_reading ? !reading_read(&reading, r, self->http.unit)
		               : !cqrs_json_skip(r, kind))
			return false;
		size_t begin = element_begin(value, at);
		at = cqrs_json_offset(r);
		/* The whole value in each dead letter of "[0,0,0,…]" would be its square. */
		cqrs_element(batch, i, value + begin, at - begin);
		if (is_reading)
			accept(self, batch, &reading);
		else
			cqrs_refuse_element(batch, "a reading must be an object");
	}
	return true;
}

static void handle_readings(void *arg, const struct cqrs_message *msg, struct cqrs_batch *batch)
{
	struct sensor *self = arg;
	struct cqrs_json_reader r;
	struct reading reading;
	bool ok = false;
	if (!msg->value) {
		cqrs_refuse(batch, "a message without value is not a reading");
		return;
	}
	self->n_new_sensors = 0;
	self->n_new_partitions = 0;
	cqrs_json_reader_init(&r, msg->value, msg->value_len);
	enum cqrs_json_kind kind = cqrs_json_next(&r);
	if (kind == CQRS_JSON_ARRAY)
		ok = read_array(self, &r, msg->value, batch);
	else if (kind == CQRS_JSON_OBJECT)
		ok = reading_read(&reading, &r, self->http.unit);
	if (ok)
		ok = cqrs_json_next(&r) == CQRS_JSON_DONE;
	if (r.no_memory)
		cqrs_no_memory(batch);
	else if (!ok)
		cqrs_refuse(batch, "not JSON: %s at byte %zu", r.error ? r.error : "unexpected end",
		            cqrs_json_offset(&r));
	else if (kind == CQRS_JSON_OBJECT)
		accept(self, batch, &reading);
	ensure_sensors(self, batch);
	cqrs_json_reader_release(&r);
}

/* ---- sensors ---- */

static void put_sensor(struct sensor *self, const json_t *object, struct cqrs_batch *batch)
{
	char wrong[SENSOR_WRONG_MAX];
	const json_t *id = json_object_get(object, "id");
	const char *type = sensor_text(object, "type", wrong);
	const char *location = type ? sensor_text(object, "location", wrong) : NULL;
	if (!location) {
		cqrs_refuse(batch, "%s", wrong);
		return;
	}
	if (!id) {
		struct cqrs_value params[] = {cqrs_text(type), cqrs_text(location)};
		cqrs_execute(batch, self->register_sensor, params, CQRS_ANY_ROWS, NULL);
		return;
	}
	if (!json_is_integer(id) || json_integer_value(id) < 1 ||
	    json_integer_value(id) > INT32_MAX) {
		cqrs_refuse(batch, "id must be an integer of 1 to 2147483647");
		return;
	}
	struct cqrs_value params[] = {cqrs_int4((int32_t)json_integer_value(id)), cqrs_text(type),
	                              cqrs_text(location)};
	cqrs_execute(batch, self->put_sensor, params, 1, "the sensor was not stored");
}

static void handle_sensors(void *arg, const struct cqrs_message *msg, struct cqrs_batch *batch)
{
	if (!msg->value) {
		cqrs_refuse(batch, "a message without value is not a sensor");
		return;
	}
	json_t *object = cqrs_message_json(batch, msg);
	if (json_is_object(object))
		put_sensor(arg, object, batch);
	else if (object)
		cqrs_refuse(batch, "a sensor must be an object");
	json_decref(object);
}

/* ---- life ---- */

static void dropped(void *arg)
{
	struct sensor *self = arg;
	forget(&self->partitions);
	forget(&self->sensors);
}

static void declare_data(struct sensor *self, struct cqrs_setup *setup)
{
	bool refuse = self->options->unknown_sensors == UNKNOWN_REFUSE;
	const struct cqrs_column columns[] = {
	    {.name = "sensor_id",
	     .type = CQRS_INT4,
	     .key = true,
	     .references = refuse ? "sensors(id)" : NULL},
	    {.name = "time", .type = CQRS_TIMESTAMPTZ, .key = true},
	    {.name = "temperature", .type = CQRS_FLOAT8},
	    {.name = "cpu", .type = CQRS_FLOAT8},
	    {.name = NULL},
	};
	memcpy(self->columns, columns, sizeof columns);
	self->def = (struct cqrs_table_def){
	    .name = "sensor_data",
	    .columns = self->columns,
	    .on_duplicate =
	        self->options->on_duplicate ? CQRS_DUPLICATE_UPDATE : CQRS_DUPLICATE_IGNORE,
	};
	self->data = cqrs_setup_table(setup, &self->def);
}

static void declare_statements(struct sensor *self, struct cqrs_setup *setup)
{
	static const enum cqrs_type range[] = {CQRS_TIMESTAMPTZ, CQRS_TIMESTAMPTZ};
	static const enum cqrs_type ids[] = {CQRS_INT4_ARRAY};
	static const enum cqrs_type sensor[] = {CQRS_INT4, CQRS_TEXT, CQRS_TEXT};
	self->ensure_partition =
	    cqrs_setup_statement(setup, "SELECT sensor_data_partition($1, $2)", range, 2);
	/* In order, so that two writers do not wait for each other. */
	self->ensure_sensors = cqrs_setup_statement(
	    setup,
	    "INSERT INTO sensors (id) SELECT id FROM unnest($1) AS id ORDER BY id"
	    " ON CONFLICT DO NOTHING",
	    ids, 1);
	self->put_sensor = cqrs_setup_statement(
	    setup,
	    "INSERT INTO sensors (id, type, location) VALUES ($1, $2, $3)"
	    " ON CONFLICT (id) DO UPDATE SET type = EXCLUDED.type, location = EXCLUDED.location",
	    sensor, 3);
	self->register_sensor =
	    cqrs_setup_statement(setup, "SELECT sensor_register($1, $2)", sensor + 1, 2);
}

static void *start(struct cqrs_setup *setup, const void *opts)
{
	struct sensor *self = calloc(1, sizeof *self);
	char sql[100];
	if (!self) {
		cqrs_setup_fail(setup, "out of memory");
		return NULL;
	}
	self->options = opts;
	self->http =
	    (struct sensor_http){.readings = self->options->readings,
	                         .sensors = self->options->sensors,
	                         .unit = (enum cqrs_time_unit)self->options->timestamp_unit};
	cqrs_setup_topic(setup, self->options->readings, handle_readings);
	cqrs_setup_topic(setup, self->options->sensors, handle_sensors);
	declare_data(self, setup);
	declare_statements(self, setup);
	sensor_http_setup(setup);
	if (self->options->retention) {
		snprintf(sql, sizeof sql,
		         "SELECT sensor_data_retain(interval '%" PRId64 " microseconds')",
		         self->options->retention);
		cqrs_setup_periodic(setup, RETAIN_US, sql);
	}
	return self;
}

static void stop(void *self)
{
	free(self);
}

CQRS_COMMAND_MODULE(sensor, .summary = "stores telemetry and descriptions of sensors",
                    .options = options, .options_size = sizeof(struct sensor_options),
                    .start = start, .stop = stop, .dropped = dropped);
