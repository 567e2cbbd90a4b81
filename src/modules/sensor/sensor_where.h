/* SPDX-License-Identifier: MIT */
/* Conditions of a statement that are there only if the request has the parameter. */
#ifndef SENSOR_WHERE_H
#define SENSOR_WHERE_H

#include <cqrs/query.h>

/* Appends conditions to `ans`, the first after WHERE (unless there is one) and others after AND. */
struct where {
	struct cqrs_answer *ans;
	bool any;
};

/* The condition has a `$?` for each of the `n` values, which are copied. */
void where_add(struct where *w, const char *condition, const struct cqrs_value *values, size_t n);
/* The same with one value, if it is not null. */
void where_given(struct where *w, const char *condition, const struct cqrs_value *value);

/* The number of the only sensor that `sensor_id` has, the request's; NULL: none, or several. */
const struct cqrs_value *where_only_sensor(const struct cqrs_request *req);
/* The parameters sensor_id, location, from and to, as conditions on readings `d` alone: each can
 * use the key. */
void where_chosen(struct where *w, const struct cqrs_request *req);

#endif
