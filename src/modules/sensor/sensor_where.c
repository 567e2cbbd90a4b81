/* SPDX-License-Identifier: MIT */
/* Conditions of a statement about readings. */
#include "sensor_where.h"

void where_add(struct where *w, const char *condition, const struct cqrs_value *values, size_t n)
{
	cqrs_sql(w->ans, w->any ? " AND " : " WHERE ");
	cqrs_sql_bind(w->ans, condition, values, n);
	w->any = true;
}

void where_given(struct where *w, const char *condition, const struct cqrs_value *value)
{
	if (!value->is_null)
		where_add(w, condition, value, 1);
}

const struct cqrs_value *where_only_sensor(const struct cqrs_request *req)
{
	const struct cqrs_value *ids = cqrs_param(req, "sensor_id");
	return !ids->is_null && ids->a.n == 1 ? ids->a.items : NULL;
}

void where_chosen(struct where *w, const struct cqrs_request *req)
{
	const struct cqrs_value *only = where_only_sensor(req);
	if (only)
		where_add(w, "d.sensor_id = $?", only, 1);
	else
		where_given(w, "d.sensor_id = ANY($?)", cqrs_param(req, "sensor_id"));
	where_given(w, "d.sensor_id IN (SELECT id FROM sensors WHERE location = $?)",
	            cqrs_param(req, "location"));
	where_given(w, "d.time >= $?", cqrs_param(req, "from"));
	where_given(w, "d.time < $?", cqrs_param(req, "to"));
}
