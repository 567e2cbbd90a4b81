/* SPDX-License-Identifier: MIT */
/*
 * What can be asked about sensors and their telemetry.
 *
 * The key of sensor_data is (sensor_id, time), and no index has the rows in order
 * of time alone (BRIN knows ranges).  So whatever wants the first rows of several sensors in
 * order of time asks each for its first rows, by a short range scan of the key, and merges them.
 */
#include "../sensor/sensor_schema.h"
#include "../sensor/sensor_where.h"

#include <cqrs/query.h>

#define SECOND INT64_C(1000000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static bool is(const struct cqrs_value *value, const char *text)
{
	return !value->is_null && value->s.len == strlen(text) &&
	       !memcmp(value->s.data, text, value->s.len);
}

/* False, after refusing, if no time can be in the range. */
static bool check_range(const struct cqrs_request *req, struct cqrs_answer *ans)
{
	const struct cqrs_value *from = cqrs_param(req, "from"), *to = cqrs_param(req, "to");
	if (from->is_null || to->is_null || from->i < to->i)
		return true;
	cqrs_answer_refuse(ans, "to", "to must be after from");
	return false;
}

/* ---- sensors ---- */

static const struct cqrs_param one_params[] = {
    {.name = "id",
     .type = CQRS_PARAM_INTEGER,
     .min = 1,
     .max = INT32_MAX,
     .help = "the sensor's number"},
    {.name = NULL},
};

static const struct cqrs_param list_params[] = {
    {.name = "type", .type = CQRS_PARAM_TEXT, .max = 50, .help = "only sensors of this type"},
    {.name = "location", .type = CQRS_PARAM_TEXT, .max = 50, .help = "only sensors at this place"},
    {.name = NULL},
};

static void list_sensors(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	struct where w = {.ans = ans};
	const struct cqrs_value *after = cqrs_cursor(req);
	cqrs_sql(ans, "SELECT id, type, location FROM sensors");
	where_given(&w, "type = $?", cqrs_param(req, "type"));
	where_given(&w, "location = $?", cqrs_param(req, "location"));
	if (after)
		where_add(&w, "id > $?", after, 1);
	if (cqrs_row_limit(req) != CQRS_ROWS_COUNTED)
		cqrs_sql(ans, " ORDER BY id");
}

static void get_sensor(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	cqrs_sql_bind(ans, "SELECT id, type, location FROM sensors WHERE id = ANY ($?)",
	              cqrs_param(req, "id"), 1);
}

/* ---- the newest readings ---- */

static void list_latest(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	struct where w = {.ans = ans};
	const struct cqrs_value *after = cqrs_cursor(req);
	cqrs_sql(ans, "SELECT d.time, s.id AS sensor_id, d.temperature, d.cpu"
	              " FROM sensors s CROSS JOIN LATERAL"
	              " (SELECT time, temperature, cpu FROM sensor_data"
	              " WHERE sensor_id = s.id ORDER BY time DESC LIMIT 1) d");
	if (after)
		where_add(&w, "s.id > $?", after, 1);
	if (cqrs_row_limit(req) != CQRS_ROWS_COUNTED)
		cqrs_sql(ans, " ORDER BY s.id");
}

static void get_latest(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	cqrs_sql_bind(ans,
	              "SELECT time, sensor_id, temperature, cpu FROM sensor_data"
	              " WHERE sensor_id = $? ORDER BY time DESC LIMIT 1",
	              cqrs_param(req, "id"), 1);
}

/* ---- readings ---- */

/* clang-format off */
#define CHOSEN                                                                                     \
	{.name = "sensor_id", .type = CQRS_PARAM_INTEGER, .repeatable = true, .min = 1,            \
	 .max = INT32_MAX, .help = "only readings of this sensor; may be repeated"},               \
	{.name = "location", .type = CQRS_PARAM_TEXT, .max = 50,                                   \
	 .help = "only readings of sensors at this place"},                                        \
	{.name = "from", .type = CQRS_PARAM_TIME, .help = "readings of this time and later"},      \
	{.name = "to", .type = CQRS_PARAM_TIME, .help = "readings before this time"}
/* clang-format on */

static const struct cqrs_param reading_params[] = {
    CHOSEN,
    {.name = "order",
     .type = CQRS_PARAM_CHOICE,
     .initial = "time",
     .choices = "time|-time",
     .help = "time: the oldest first; -time: the newest first"},
    {.name = NULL},
};

/* The rows behind the cursor; its time alone bounds the scan of a sensor. */
static void add_after(struct where *w, const struct cqrs_value *after, bool down)
{
	if (!after)
		return;
	where_add(w, down ? "d.time <= $?" : "d.time >= $?", after, 1);
	where_add(w, down ? "(d.time, d.sensor_id) < ($?, $?)" : "(d.time, d.sensor_id) > ($?, $?)",
	          after, 2);
}

/* The first `limit` readings of all chosen sensors are among the first `limit` of each. */
static void merge_readings(const struct cqrs_request *req, struct cqrs_answer *ans, bool down)
{
	struct where inner = {.ans = ans, .any = true}, outer = {.ans = ans};
	struct cqrs_value limit = cqrs_int8(cqrs_row_limit(req));
	cqrs_sql(ans, "SELECT d.time, d.sensor_id, d.temperature, d.cpu"
	              " FROM sensors s CROSS JOIN LATERAL"
	              " (SELECT d.time, d.sensor_id, d.temperature, d.cpu FROM sensor_data d"
	              " WHERE d.sensor_id = s.id");
	where_given(&inner, "d.time >= $?", cqrs_param(req, "from"));
	where_given(&inner, "d.time < $?", cqrs_param(req, "to"));
	add_after(&inner, cqrs_cursor(req), down);
	cqrs_sql(ans, down ? " ORDER BY d.time DESC" : " ORDER BY d.time");
	cqrs_sql_bind(ans, " LIMIT $?) d", &limit, 1);
	where_given(&outer, "s.id = ANY($?)", cqrs_param(req, "sensor_id"));
	where_given(&outer, "s.location = $?", cqrs_param(req, "location"));
}

static void list_readings(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	struct where w = {.ans = ans};
	bool down = is(cqrs_param(req, "order"), "-time");
	if (!check_range(req, ans))
		return;
	if (cqrs_row_limit(req) > 0 && !where_only_sensor(req)) {
		merge_readings(req, ans, down);
	} else {
		cqrs_sql(ans,
		         "SELECT d.time, d.sensor_id, d.temperature, d.cpu FROM sensor_data d");
		where_chosen(&w, req);
		add_after(&w, cqrs_cursor(req), down);
	}
	if (cqrs_row_limit(req) != CQRS_ROWS_COUNTED)
		cqrs_sql(ans, down ? " ORDER BY d.time DESC, d.sensor_id DESC"
		                   : " ORDER BY d.time, d.sensor_id");
}

/* ---- averages ---- */

#define POINTS_MAX 10000

static const struct cqrs_param average_params[] = {
    CHOSEN,
    {.name = "bucket",
     .type = CQRS_PARAM_DURATION,
     .min = 1000,
     .max = 366 * DAY,
     .help = "the width of a period, 30m if nothing else is said; periods are counted from "
             "1970-01-01T00:00:00Z"},
    {.name = "points",
     .type = CQRS_PARAM_INTEGER,
     .min = 1,
     .max = POINTS_MAX,
     .help = "instead of bucket: the smallest round width that gives at most so many periods "
             "between from and to"},
    {.name = "group_by",
     .type = CQRS_PARAM_CHOICE,
     .choices = "sensor|location",
     .help = "one row in each period for each of these, instead of one for all"},
    {.name = NULL},
};

/* The smallest width that people use and that cuts [from, to) into at most `points` periods. */
static int64_t choose_width(int64_t from, int64_t to, int64_t points)
{
	static const int64_t widths[] = {
	    SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 15 * SECOND, 30 * SECOND,
	    MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
	    HOUR,   2 * HOUR,   3 * HOUR,   6 * HOUR,    12 * HOUR,   DAY,
	};
	for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
		if ((to - 1) / widths[i] - from / widths[i] < points)
			return widths[i];
	}
	int64_t days = (to - from) / DAY / points + 1;
	while ((to - 1) / (days * DAY) - from / (days * DAY) >= points)
		days++;
	return days * DAY;
}

/* The width of a period; 0 after refusing. */
static int64_t bucket_of(const struct cqrs_request *req, struct cqrs_answer *ans)
{
	const struct cqrs_value *bucket = cqrs_param(req, "bucket");
	const struct cqrs_value *points = cqrs_param(req, "points");
	const struct cqrs_value *from = cqrs_param(req, "from"), *to = cqrs_param(req, "to");
	if (!check_range(req, ans))
		return 0;
	if (points->is_null)
		return bucket->is_null ? 30 * MINUTE : bucket->i;
	if (!bucket->is_null) {
		cqrs_answer_refuse(ans, "points", "give either bucket or points, not both");
		return 0;
	}
	if (from->is_null || to->is_null) {
		cqrs_answer_refuse(ans, "points",
		                   "points needs from and to, as in from=now-24h&to=now");
		return 0;
	}
	return choose_width(from->i, to->i, points->i);
}

/* Begins where the period of the first value ends, which is as wide as the second says. */
#define NEXT_PERIOD "$? + $? * interval '1 microsecond'"

/* What the rows of a period are grouped by besides; its column's place in the key. */
enum group { GROUP_NONE, GROUP_SENSOR, GROUP_LOCATION };

static const struct {
	const char *column, *from, *order, *after;
} groups[] = {
    [GROUP_NONE] = {"", " FROM sensor_data d", "1", NULL},
    [GROUP_SENSOR] = {", d.sensor_id", " FROM sensor_data d", "1, 2",
                      "(d.time >= " NEXT_PERIOD " OR d.sensor_id > $?)"},
    [GROUP_LOCATION] = {", s.location", " FROM sensor_data d JOIN sensors s ON s.id = d.sensor_id",
                        "1, 2", "(d.time >= " NEXT_PERIOD " OR s.location > $?)"},
};

static const char *const average_key[] = {"period", "sensor_id", "location", NULL};

/* The rows of the periods and groups behind the cursor: whole ones, as each is all or nothing. */
static void add_periods_after(struct where *w, const struct cqrs_value *after, enum group group,
                              struct cqrs_value step)
{
	if (!after)
		return;
	if (group == GROUP_NONE) {
		where_add(w, "d.time >= " NEXT_PERIOD, (struct cqrs_value[]){after[0], step}, 2);
		return;
	}
	where_add(w, "d.time >= $?", after, 1);
	where_add(w, groups[group].after, (struct cqrs_value[]){after[0], step, after[group]}, 3);
}

static void average(const struct cqrs_request *req, struct cqrs_answer *ans, const char *more)
{
	const struct cqrs_value *by = cqrs_param(req, "group_by");
	enum group group = by->is_null        ? GROUP_NONE
	                   : is(by, "sensor") ? GROUP_SENSOR
	                                      : GROUP_LOCATION;
	struct where w = {.ans = ans};
	int64_t width = bucket_of(req, ans);
	struct cqrs_value step = cqrs_int8(width);
	if (!width)
		return;
	cqrs_sql_bind(ans,
	              "SELECT date_bin($? * interval '1 microsecond', d.time,"
	              " timestamptz '1970-01-01 00:00:00+00') AS period",
	              &step, 1);
	cqrs_sql(ans, groups[group].column);
	cqrs_sql(ans, ", avg(d.temperature) AS avg_temp, avg(d.cpu) AS avg_cpu, count(*) AS count");
	cqrs_sql(ans, more);
	cqrs_sql(ans, groups[group].from);
	where_chosen(&w, req);
	add_periods_after(&w, cqrs_cursor(req), group, step);
	cqrs_sql(ans, " GROUP BY ");
	cqrs_sql(ans, groups[group].order);
	if (cqrs_row_limit(req) == CQRS_ROWS_COUNTED)
		return;
	cqrs_sql(ans, " ORDER BY ");
	cqrs_sql(ans, groups[group].order);
}

static void list_averages(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	average(req, ans, "");
}

/*
 * The last value of a period is the greatest (time, sensor, value): an array,
 * as these compare part by part and their maximum needs no sort and no memory.
 */
#define LAST(column)                                                         \
	"(max(ARRAY[date_part('epoch', d.time), d.sensor_id, d." column "])" \
	" FILTER (WHERE d." column " IS NOT NULL))[3]"

static void list_averages_and_latest(void *self, const struct cqrs_request *req,
                                     struct cqrs_answer *ans)
{
	(void)self;
	average(req, ans,
	        ", " LAST("temperature") " AS last_temp, " LAST(
	            "cpu") " AS last_cpu"
	                   ", min(d.temperature) AS min_temp, max(d.temperature) AS max_temp"
	                   ", min(d.cpu) AS min_cpu, max(d.cpu) AS max_cpu");
}

/* ---- the module ---- */

static const char *const sensor_key[] = {"id", NULL};
static const char *const latest_key[] = {"sensor_id", NULL};
static const char *const reading_key[] = {"time", "sensor_id", NULL};

static const struct cqrs_route routes[] = {
    {.path = "/sensors",
     .summary = "All sensors",
     .params = list_params,
     .query = list_sensors,
     .object = SENSOR_SCHEMA,
     .key = sensor_key},
    {.path = "/sensors/{id}",
     .summary = "One sensor",
     .params = one_params,
     .query = get_sensor,
     .object = SENSOR_SCHEMA,
     .one = true,
     .lookup = "id"},
    {.path = "/sensors/latest",
     .summary = "The newest reading of every sensor",
     .query = list_latest,
     .object = READING_SCHEMA,
     .key = latest_key},
    {.path = "/sensors/{id}/latest",
     .summary = "The newest reading of one sensor",
     .params = one_params,
     .query = get_latest,
     .object = READING_SCHEMA,
     .one = true},
    {.path = "/sensor-data",
     .summary = "Readings",
     .params = reading_params,
     .query = list_readings,
     .object = READING_SCHEMA,
     .key = reading_key},
    {.path = "/sensor-data/avg",
     .summary = "Averages per period",
     .params = average_params,
     .query = list_averages,
     .object = AVERAGE_SCHEMA,
     .key = average_key},
    {.path = "/sensor-data/avg-latest",
     .summary = "Averages, last, least and greatest values per period",
     .params = average_params,
     .query = list_averages_and_latest,
     .object = AVERAGE_LATEST_SCHEMA,
     .key = average_key},
};

static void *start(struct cqrs_routes *list, const void *options)
{
	static char instance; /* nothing to remember between requests */
	(void)options;
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
		cqrs_routes_add(list, &routes[i]);
	return &instance;
}

static void stop(void *self)
{
	(void)self;
}

CQRS_QUERY_MODULE(sensor, .summary = "Sensors and their telemetry", .start = start, .stop = stop);
