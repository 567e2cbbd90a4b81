/* SPDX-License-Identifier: MIT */
/*
 * What the sensors system is told, in JSON, and the rules for it: the same for
 * messages and over HTTP.
 */
#ifndef SENSOR_JSON_H
#define SENSOR_JSON_H

#include <cqrs/json.h>
#include <cqrs/time.h>
#include <cqrs/value.h>
#include <jansson.h>

#define SENSOR_TEXT_MAX  50  /* characters of type and location, as in sql/ */
#define SENSOR_WRONG_MAX 100 /* bytes that say what is wrong with one of them */

struct reading {
	int64_t time_us;
	int64_t sensor_id;
	struct cqrs_value temperature, cpu;
	bool has_time, has_id;
	const char *wrong; /* NULL: nothing; a constant */
};

/* Reads the members of an object whose '{' was just read; false: not JSON. */
bool reading_read(struct reading *reading, struct cqrs_json_reader *r, enum cqrs_time_unit unit);

/*
 * A member of a sensor's description that is text, "" if it is not there; NULL,
 * and `wrong` says why: it is not text that fits.
 */
const char *sensor_text(const json_t *object, const char *name, char wrong[SENSOR_WRONG_MAX]);

#endif
