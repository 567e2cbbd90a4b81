/* SPDX-License-Identifier: MIT */
/* What answers about sensors look like, in JSON Schema for the OpenAPI document. */
#ifndef SENSOR_SCHEMA_H
#define SENSOR_SCHEMA_H

#define TIME \
	"{\"type\":[\"string\",\"number\"],\"description\":\"RFC 3339, or as time_format says\"}"
#define VALUE "{\"type\":[\"number\",\"null\"]}"
#define WHICH "\"sensor_id\":{\"type\":\"integer\",\"minimum\":1}"

#define SENSOR_SCHEMA                                                                       \
	"{\"type\":\"object\",\"required\":[\"id\",\"type\",\"location\"],\"properties\":{" \
	"\"id\":{\"type\":\"integer\",\"minimum\":1},"                                      \
	"\"type\":{\"type\":\"string\"},\"location\":{\"type\":\"string\"}}}"

#define READING_SCHEMA                                                                        \
	"{\"type\":\"object\",\"required\":[\"time\",\"sensor_id\",\"temperature\",\"cpu\"]," \
	"\"properties\":{\"time\":" TIME "," WHICH ","                                        \
	"\"temperature\":" VALUE ",\"cpu\":" VALUE "}}"

/* One of sensor_id and location is there with group_by. */
#define AVERAGE_REQUIRED "\"period\",\"avg_temp\",\"avg_cpu\",\"count\""
#define AVERAGE_MEMBERS                                 \
	"\"period\":" TIME "," WHICH ","                \
	"\"location\":{\"type\":\"string\"},"           \
	"\"avg_temp\":" VALUE ",\"avg_cpu\":" VALUE "," \
	"\"count\":{\"type\":\"integer\",\"minimum\":1}"

#define AVERAGE_SCHEMA                                              \
	"{\"type\":\"object\",\"required\":[" AVERAGE_REQUIRED "]," \
	"\"properties\":{" AVERAGE_MEMBERS "}}"

#define AVERAGE_LATEST_SCHEMA                                                            \
	"{\"type\":\"object\",\"required\":[" AVERAGE_REQUIRED ","                       \
	"\"last_temp\",\"last_cpu\",\"min_temp\",\"max_temp\",\"min_cpu\",\"max_cpu\"]," \
	"\"properties\":{" AVERAGE_MEMBERS ","                                           \
	"\"last_temp\":" VALUE ",\"last_cpu\":" VALUE ","                                \
	"\"min_temp\":" VALUE ",\"max_temp\":" VALUE ","                                 \
	"\"min_cpu\":" VALUE ",\"max_cpu\":" VALUE "}}"

#endif
