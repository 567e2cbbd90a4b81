/* SPDX-License-Identifier: MIT */
/* The hot parts of the read path: from a request to a statement, from rows to text. */
#include "instructions.h"

#include "answer.h"
#include "http_connection.h"
#include "pg_value.h"
#include "query_route.h"
#include "row_writer.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUESTS 100
#define SERIES   100

extern const struct cqrs_query_module cqrs_query_sensor;

static struct loop *turning;
static struct route_table table;
static struct cqrs_routes routes = {.module = "sensor", .table = &table};
static struct cqrs_request request;
static struct cqrs_answer answer;
static struct row_writer writer;
static struct buf text;
static struct http_server_config http_config = {.name = "http",
                                                .listen = "127.0.0.1:0",
                                                .max_body = 65536,
                                                .max_connections = 10,
                                                .header_timeout_us = 3600000000,
                                                .body_timeout_us = 3600000000,
                                                .idle_timeout_us = 3600000000,
                                                .write_timeout_us = 3600000000};
static struct http_server *server;
static int client = -1;
static PGresult *sensor, *series, *averages;

static const char by_key[] = "GET /api/v1/sensors/417 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
                             "User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n";
static const char by_query[] =
    "GET /api/v1/sensor-data?sensor_id=417&from=2022-03-04T00:00:00Z&to=2022-03-05T00:00:00Z"
    "&limit=100 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/7.88.1\r\n"
    "Accept: application/json\r\n\r\n";

static void add(PGresult *rows, int row, int column, struct cqrs_value value)
{
	struct buf b = BUF_INIT;
	must(pg_value_encode(&b, &value) && PQsetvalue(rows, row, column, b.data, (int)b.len));
	buf_release(&b);
}

static PGresult *result(int n, PGresAttDesc *columns)
{
	PGresult *rows = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	for (int i = 0; i < n; i++)
		columns[i].format = 1;
	must(rows && PQsetResultAttrs(rows, n, columns));
	return rows;
}

static void make_results(void)
{
	PGresAttDesc of_sensor[] = {{.name = "id", .typid = PG_OID_INT4},
	                            {.name = "type", .typid = PG_OID_VARCHAR},
	                            {.name = "location", .typid = PG_OID_VARCHAR}};
	PGresAttDesc of_series[] = {{.name = "time", .typid = PG_OID_TIMESTAMPTZ},
	                            {.name = "sensor_id", .typid = PG_OID_INT4},
	                            {.name = "temperature", .typid = PG_OID_FLOAT8},
	                            {.name = "cpu", .typid = PG_OID_FLOAT8}};
	PGresAttDesc of_averages[] = {{.name = "period", .typid = PG_OID_TIMESTAMPTZ},
	                              {.name = "avg_temp", .typid = PG_OID_FLOAT8},
	                              {.name = "avg_cpu", .typid = PG_OID_FLOAT8},
	                              {.name = "count", .typid = PG_OID_INT8}};
	sensor = result(3, of_sensor);
	add(sensor, 0, 0, cqrs_int4(417));
	add(sensor, 0, 1, cqrs_text("a"));
	add(sensor, 0, 2, cqrs_text("ceiling of hall \"B\""));
	series = result(4, of_series);
	averages = result(4, of_averages);
	for (int i = 0; i < SERIES; i++) {
		int64_t ts = START_S + i * 300;
		add(series, i, 0, cqrs_timestamptz(ts * 1000000 + i * 1000));
		add(series, i, 1, cqrs_int4(417));
		add(series, i, 2, cqrs_float8(15 + (double)(ts % 199) / 10));
		add(series, i, 3, cqrs_float8((double)(ts % 997) / 10));
		add(averages, i, 0, cqrs_timestamptz(ts * 1000000));
		add(averages, i, 1, cqrs_float8(15 + (double)(ts % 199) / 7));
		add(averages, i, 2, cqrs_float8((double)(ts % 997) / 7));
		add(averages, i, 3, cqrs_int8(300));
	}
}

static void handle(void *owner, struct http_request *req)
{
	static const char body[] = "{\"id\":417,\"type\":\"a\",\"location\":\"floor\"}\n";
	(void)owner;
	http_request_set_route(req, "/api/v1/sensors/{id}");
	http_respond_header(req, "Vary", "Accept");
	http_respond(req, 200, "application/json", body, sizeof body - 1);
}

/* From the bytes to the statement, as query_bus.c does; `bytes` are copied, as they are decoded. */
static void understand(const char *bytes)
{
	struct http_parser parser;
	struct param_text values[PARAM_PATH_MAX];
	struct param_error error;
	size_t len = strlen(bytes);
	char data[1024];
	memcpy(data, bytes, len);
	http_parser_init(&parser, 65536);
	must(http_parser_feed(&parser, data, &len) == HTTP_PARSE_DONE);
	data[parser.path.at + parser.path.len] = '\0';
	data[parser.query.at + parser.query.len] = '\0';
	struct query_route *route =
	    (struct query_route *)route_find(&table, data + parser.path.at, values);
	must(route && param_parse(&route->base.params, &request, values,
	                          parser.query.len ? data + parser.query.at : "", START_S * 1000000,
	                          &error));
	request.row_limit = 101;
	answer_clear(&answer);
	route->def->query(routes.self, &request, &answer);
	must(answer_finish(&answer) && !answer.refused);
}

static void understand_keys(void)
{
	for (int i = 0; i < REQUESTS; i++)
		understand(by_key);
}

static void understand_queries(void)
{
	for (int i = 0; i < REQUESTS; i++)
		understand(by_query);
}

/* A turn of the loop for each. */
static void exchange(void)
{
	char read_back[1024];
	for (int i = 0; i < REQUESTS; i++) {
		must(write(client, by_key, sizeof by_key - 1) == sizeof by_key - 1);
		event_base_loop(loop_base(turning), EVLOOP_NONBLOCK);
		must(read(client, read_back, sizeof read_back) > 100);
	}
}

static void write_json(const PGresult *rows)
{
	struct buf error = BUF_INIT;
	buf_clear(&text);
	must(row_writer_init(&writer, rows, ROW_TIME_RFC3339, &error));
	for (int i = 0; i < PQntuples(rows); i++)
		row_writer_json(&writer, rows, i, &text);
	must(!text.failed);
}

static void write_sensor(void)
{
	for (int i = 0; i < REQUESTS; i++)
		write_json(sensor);
}

static void write_series(void)
{
	write_json(series);
}

static void write_averages(void)
{
	write_json(averages);
}

static void write_series_csv(void)
{
	struct buf error = BUF_INIT;
	buf_clear(&text);
	must(row_writer_init(&writer, series, ROW_TIME_RFC3339, &error));
	for (int i = 0; i < SERIES; i++)
		row_writer_csv(&writer, series, i, &text);
	must(!text.failed);
}

static const struct part parts[] = {
    {"request", "request by key: parsed, routed, decided", REQUESTS, NULL, understand_keys},
    {"request-query", "request with a query string, the same", REQUESTS, NULL, understand_queries},
    {"exchange", "request read and answered, a turn of the loop", REQUESTS, NULL, exchange},
    {"row", "one sensor as JSON", REQUESTS, NULL, write_sensor},
    {"series", "100 readings as JSON", 1, NULL, write_series},
    {"series-csv", "100 readings as CSV", 1, NULL, write_series_csv},
    {"averages", "100 periods as JSON, of full precision", 1, NULL, write_averages},
    {.name = NULL},
};

const struct part *instructions_start_reading(struct loop *loop, struct metrics *metrics)
{
	int ends[2];
	turning = loop;
	routes.self = cqrs_query_sensor.start(&routes, NULL);
	must(routes.self && !routes.error.len);
	server = http_server_new(loop, &http_config, metrics, handle, NULL);
	must(server && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
	must(http_connection_new(server, ends[0], NULL) != NULL);
	client = ends[1];
	make_results();
	return parts;
}

void instructions_stop_reading(void)
{
	close(client);
	http_server_free(server);
	cqrs_query_sensor.stop(routes.self);
	route_table_release(&table);
	param_release(&request);
	answer_release(&answer);
	row_writer_release(&writer);
	buf_release(&text);
	PQclear(sensor);
	PQclear(series);
	PQclear(averages);
}
