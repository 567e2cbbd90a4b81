/* SPDX-License-Identifier: MIT */
/*
 * The sensors system over HTTP: POST /sensor-data and PUT /sensors/{id} become
 * the messages that others send to Kafka themselves.
 */
#ifndef SENSOR_HTTP_H
#define SENSOR_HTTP_H

#include <cqrs/command.h>
#include <cqrs/time.h>

/* First in what the module's start() returns: requests find it there. */
struct sensor_http {
	const char *readings, *sensors; /* topics */
	enum cqrs_time_unit unit;
};

void sensor_http_setup(struct cqrs_setup *setup);

#endif
