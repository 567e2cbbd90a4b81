/* SPDX-License-Identifier: MIT */
/* Readings and descriptions of sensors, in JSON. */
#include "sensor_json.h"

#include <stdio.h>
#include <string.h>

/* ---- readings ---- */

static void read_time(const struct cqrs_json_reader *r, enum cqrs_json_kind kind,
                      enum cqrs_time_unit unit, struct reading *reading)
{
	reading->has_time = true;
	if (kind == CQRS_JSON_INTEGER) {
		if (!cqrs_time_from_epoch(r->integer, unit, &reading->time_us))
			reading->wrong = "ts is outside of the years 1970 to 2200";
	} else if (kind == CQRS_JSON_STRING) {
		if (!cqrs_time_from_rfc3339(r->text, r->text_len, &reading->time_us))
			reading->wrong = "ts is not an RFC 3339 time of the years 1970 to 2200";
	} else {
		reading->wrong = "ts must be an integer or an RFC 3339 string";
	}
}

static void read_number(const struct cqrs_json_reader *r, enum cqrs_json_kind kind,
                        struct cqrs_value *value, struct reading *reading, const char *wrong)
{
	if (kind == CQRS_JSON_INTEGER || kind == CQRS_JSON_REAL)
		*value = cqrs_float8(r->real);
	else if (kind == CQRS_JSON_NULL)
		*value = cqrs_null(CQRS_FLOAT8);
	else
		reading->wrong = wrong;
}

static bool is_named(const char *name, size_t len, const char *expected, size_t expected_len)
{
	return len == expected_len && !memcmp(name, expected, len);
}

#define IS(name) is_named(text, len, name, sizeof name - 1)

enum member { MEMBER_OTHER, MEMBER_TS, MEMBER_ID, MEMBER_TEMPERATURE, MEMBER_CPU };

static enum member member_named(const char *text, size_t len)
{
	return IS("ts")            ? MEMBER_TS
	       : IS("sensor_id")   ? MEMBER_ID
	       : IS("temperature") ? MEMBER_TEMPERATURE
	       : IS("cpu")         ? MEMBER_CPU
	                           : MEMBER_OTHER;
}

bool reading_read(struct reading *reading, struct cqrs_json_reader *r, enum cqrs_time_unit unit)
{
	enum cqrs_json_kind kind;
	*reading =
	    (struct reading){.temperature = cqrs_null(CQRS_FLOAT8), .cpu = cqrs_null(CQRS_FLOAT8)};
	while ((kind = cqrs_json_next(r)) == CQRS_JSON_STRING) {
		enum member member = member_named(r->text, r->text_len);
		kind = cqrs_json_next(r);
		if (member == MEMBER_TS) {
			read_time(r, kind, unit, reading);
		} else if (member == MEMBER_ID) {
			reading->has_id = true;
			reading->sensor_id = kind == CQRS_JSON_INTEGER ? r->integer : 0;
			if (reading->sensor_id < 1 || reading->sensor_id > INT32_MAX)
				reading->wrong = "sensor_id must be an integer of 1 to 2147483647";
		} else if (member == MEMBER_TEMPERATURE) {
			read_number(r, kind, &reading->temperature, reading,
			            "temperature must be a number or null");
		} else if (member == MEMBER_CPU) {
			read_number(r, kind, &reading->cpu, reading,
			            "cpu must be a number or null");
		}
		if (!cqrs_json_skip(r, kind))
			return false;
	}
	if (!reading->has_time || !reading->has_id)
		reading->wrong = reading->wrong      ? reading->wrong
		                 : reading->has_time ? "sensor_id is missing"
		                                     : "ts is missing";
	else if (!reading->wrong && reading->temperature.is_null && reading->cpu.is_null)
		reading->wrong = "temperature and cpu are both missing";
	return kind == CQRS_JSON_END;
}

/* ---- descriptions ---- */

const char *sensor_text(const json_t *object, const char *name, char wrong[SENSOR_WRONG_MAX])
{
	const json_t *member = json_object_get(object, name);
	size_t characters = 0;
	if (!member)
		return "";
	if (!json_is_string(member)) {
		snprintf(wrong, SENSOR_WRONG_MAX, "%s must be a string", name);
		return NULL;
	}
	for (const char *p = json_string_value(member); *p; p++)
		characters += (*p & 0xC0) != 0x80; /* not a continuation byte of UTF-8 */
	if (characters > SENSOR_TEXT_MAX) {
		snprintf(wrong, SENSOR_WRONG_MAX, "%s has %zu characters, at most %d fit", name,
		         characters, SENSOR_TEXT_MAX);
		return NULL;
	}
	return json_string_value(member);
}
