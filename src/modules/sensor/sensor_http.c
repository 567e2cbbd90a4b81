/* SPDX-License-Identifier: MIT */
/* The sensors system over HTTP: requests become messages. */
#include "sensor_http.h"

#include "sensor_json.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- readings ---- */

/* The next reading of a body; false: it is refused, or this is no JSON. */
static bool check_reading(struct reading *reading, struct cqrs_json_reader *r,
                          enum cqrs_json_kind kind, enum cqrs_time_unit unit, size_t nth,
                          struct cqrs_forward *out)
{
	reading->wrong = "a reading must be an object";
	if (kind == CQRS_JSON_OBJECT ? !reading_read(reading, r, unit) : !cqrs_json_skip(r, kind))
		return false;
	if (reading->wrong)
		cqrs_forward_refuse(out, 422, "invalid_reading", NULL, "reading %zu: %s", nth,
		                    reading->wrong);
	return !reading->wrong;
}

/* The sensor of the first reading; 0: something is refused, or this is no JSON. */
static int64_t check_readings(struct cqrs_json_reader *r, enum cqrs_time_unit unit,
                              struct cqrs_forward *out)
{
	struct reading reading;
	int64_t first = 0;
	size_t nth = 0;
	enum cqrs_json_kind kind = cqrs_json_next(r);
	bool array = kind == CQRS_JSON_ARRAY;
	while (!array || (kind = cqrs_json_next(r)) != CQRS_JSON_END) {
		if (!check_reading(&reading, r, kind, unit, ++nth, out))
			return 0;
		first = first ? first : reading.sensor_id;
		if (!array)
			break;
	}
	if (!nth)
		cqrs_forward_refuse(out, 422, "invalid_reading", NULL, "there is no reading in it");
	return cqrs_json_next(r) == CQRS_JSON_DONE ? first : 0;
}

/* The body as it is: what the topic's other messages are, too. */
static void accept_readings(void *self, const struct cqrs_request *req, struct cqrs_forward *out)
{
	const struct sensor_http *http = self;
	struct cqrs_json_reader r;
	char key[24];
	size_t len;
	const void *body = cqrs_request_body(req, &len);
	cqrs_json_reader_init(&r, body, len);
	int64_t first = check_readings(&r, http->unit, out);
	if (first) {
		int key_len = snprintf(key, sizeof key, "%" PRId64, first);
		cqrs_forward(out, http->readings, key, (size_t)key_len, body, len);
	} else if (r.no_memory) {
		cqrs_forward_no_memory(out);
	} else {
		cqrs_forward_refuse(out, 400, "invalid_body", NULL,
		                    "the body is not JSON: %s at byte %zu",
		                    r.error ? r.error : "unexpected end", cqrs_json_offset(&r));
	}
	cqrs_json_reader_release(&r);
}

/* ---- descriptions ---- */

/* False: it is refused, or memory is out. */
static bool check_sensor(json_t *object, int64_t id, struct cqrs_forward *out)
{
	char wrong[SENSOR_WRONG_MAX];
	const json_t *other = json_object_get(object, "id");
	if (!json_is_object(object))
		cqrs_forward_refuse(out, 422, "invalid_sensor", NULL, "a sensor must be an object");
	else if (other && (!json_is_integer(other) || json_integer_value(other) != id))
		cqrs_forward_refuse(out, 422, "invalid_sensor", "id",
		                    "id is another one than in the path: leave it out");
	else if (!sensor_text(object, "type", wrong) || !sensor_text(object, "location", wrong))
		cqrs_forward_refuse(out, 422, "invalid_sensor", NULL, "%s", wrong);
	else if (json_object_set_new(object, "id", json_integer(id)))
		cqrs_forward_no_memory(out);
	else
		return true;
	return false;
}

static void accept_sensor(void *self, const struct cqrs_request *req, struct cqrs_forward *out)
{
	const struct sensor_http *http = self;
	char key[24];
	int64_t id = cqrs_param(req, "id")->i;
	int len = snprintf(key, sizeof key, "%" PRId64, id);
	json_t *object = cqrs_request_json(req, out);
	if (object && check_sensor(object, id, out))
		cqrs_forward_json(out, http->sensors, key, (size_t)len, object);
	json_decref(object);
}

/* ---- routes ---- */

#define TEXT_OF(macro) #macro
#define TEXT(macro)    TEXT_OF(macro)

#define READING_SCHEMA                                                                      \
	"{\"type\":\"object\",\"required\":[\"ts\",\"sensor_id\"],"                         \
	"\"anyOf\":[{\"required\":[\"temperature\"]},{\"required\":[\"cpu\"]}],"            \
	"\"properties\":{"                                                                  \
	"\"ts\":{\"type\":[\"integer\",\"string\"],\"format\":\"date-time\",\"minimum\":0," \
	"\"maximum\":9223372036854775807},"                                                 \
	"\"sensor_id\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":2147483647},"        \
	"\"temperature\":{\"type\":[\"number\",\"null\"]},"                                 \
	"\"cpu\":{\"type\":[\"number\",\"null\"]}}}"

#define TEXT_SCHEMA "{\"type\":\"string\",\"maxLength\":" TEXT(SENSOR_TEXT_MAX) "}"

static const struct cqrs_param sensor_params[] = {
    {.name = "id",
     .type = CQRS_PARAM_INTEGER,
     .min = 1,
     .max = INT32_MAX,
     .help = "number of the sensor"},
    {.name = NULL},
};

static const struct cqrs_command_route readings_route = {
    .method = "POST",
    .path = "/sensor-data",
    .summary = "Stores readings: an array of them, or one alone",
    .body = "{\"oneOf\":[" READING_SCHEMA ","
            "{\"type\":\"array\",\"minItems\":1,\"items\":" READING_SCHEMA "}]}",
    .status = 202,
    .accept = accept_readings,
};

static const struct cqrs_command_route sensor_route = {
    .method = "PUT",
    .path = "/sensors/{id}",
    .summary = "Describes a sensor",
    .params = sensor_params,
    .body = "{\"type\":\"object\",\"properties\":{\"type\":" TEXT_SCHEMA
            ",\"location\":" TEXT_SCHEMA "}}",
    .status = 200,
    .accept = accept_sensor,
};

void sensor_http_setup(struct cqrs_setup *setup)
{
	cqrs_setup_route(setup, &readings_route);
	cqrs_setup_route(setup, &sensor_route);
}
