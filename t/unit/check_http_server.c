/* SPDX-License-Identifier: MIT */
/* The server over real sockets: a client in the same process, and the loop turned by hand. */
#include "http_server.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_US 3000000
#define GET(path)   "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static struct http_server_config config;
static struct loop *loop;
static struct metrics *metrics;
static struct http_server *server;

/* Requests that the handler left open, in order; NULL when the client is gone. */
static struct http_request *open_requests[32];
static int n_open, n_gone, n_requests;
static size_t streamed; /* bytes written to a stream */
static bool stream_ended;
static struct http_request *stream;

static void on_gone(void *arg)
{
	struct http_request **slot = arg;
	*slot = NULL;
	n_gone++;
}

static void on_stream_gone(void *arg)
{
	(void)arg;
	stream = NULL;
	n_gone++;
}

#define STREAM_SIZE (8 << 20)

static void on_writable(void *arg)
{
	static char piece[10000];
	(void)arg;
	memset(piece, 'x', sizeof piece);
	while (streamed < STREAM_SIZE) {
		size_t n =
		    STREAM_SIZE - streamed < sizeof piece ? STREAM_SIZE - streamed : sizeof piece;
		streamed += n;
		if (!http_stream_write(stream, piece, n))
			return;
	}
	stream_ended = true;
	http_stream_end(stream);
	stream = NULL;
}

static void begin_stream(struct http_request *req)
{
	stream = req;
	http_request_on_gone(req, on_stream_gone, NULL);
	http_stream_begin(req, 200, "text/plain", on_writable, NULL);
	on_writable(NULL);
}

static void echo(struct http_request *req)
{
	struct buf out = BUF_INIT;
	size_t len;
	const char *body = http_request_body(req, &len);
	buf_printf(&out, "%s %s?%s ", http_request_method_name(req), http_request_path(req),
	           http_request_query(req));
	buf_add(&out, body, len);
	http_respond(req, 200, "text/plain", out.data, out.len);
	buf_release(&out);
}

static void handle(void *owner, struct http_request *req)
{
	const char *path = http_request_path(req);
	(void)owner;
	n_requests++;
	http_request_set_route(req, "/route");
	if (strcmp(path, "/later") == 0) {
		open_requests[n_open] = req;
		http_request_on_gone(req, on_gone, &open_requests[n_open++]);
	} else if (strcmp(path, "/stream") == 0) {
		begin_stream(req);
	} else if (strcmp(path, "/cut") == 0) {
		http_stream_begin(req, 200, "text/plain", NULL, NULL);
		http_stream_write(req, "half", 4);
		http_stream_abort(req, "the test says so");
	} else if (strcmp(path, "/problem") == 0) {
		http_respond_problem(req, 400, "bad_thing", "thing", "The \"thing\" is %s.",
		                     "bad\n\xff");
	} else if (strcmp(path, "/header") == 0) {
		const char *value = http_request_header(req, "X-List");
		http_respond_header(req, "X-Inject", "a\r\nX-Evil: b");
		http_respond(req, 200, "text/plain", value ? value : "none",
		             value ? strlen(value) : 4);
	} else if (strcmp(path, "/nothing") == 0) {
		http_respond(req, 204, NULL, NULL, 0);
	} else if (strcmp(path, "/large") == 0) {
		static char large[300000];
		memset(large, 'l', sizeof large);
		http_respond(req, 200, "text/plain", large, sizeof large);
	} else {
		echo(req);
	}
}

static void start(void)
{
	loop = loop_new();
	metrics = metrics_new();
	server = http_server_new(loop, &config, metrics, handle, NULL);
	ck_assert_ptr_nonnull(server);
}

static void setup(void)
{
	config = (struct http_server_config){.name = "http",
	                                     .listen = "127.0.0.1:0",
	                                     .header_timeout_us = 5000000,
	                                     .body_timeout_us = 5000000,
	                                     .idle_timeout_us = 5000000,
	                                     .write_timeout_us = 5000000,
	                                     .max_body = 100000,
	                                     .max_connections = 100};
	n_open = n_gone = n_requests = 0;
	streamed = 0;
	stream_ended = false;
	stream = NULL;
	start();
}

static void stop(void)
{
	http_server_free(server);
	metrics_free(metrics);
	loop_free(loop);
}

static void restart(void)
{
	stop();
	start();
}

static void turn(void)
{
	event_base_loop(loop_base(loop), EVLOOP_NONBLOCK);
}

static void turn_for(int64_t us)
{
	int64_t until = loop_now(loop) + us;
	while (loop_now(loop) < until) {
		turn();
		usleep(500);
	}
}

/* ---- the client ---- */

static int connect_to(const char *address)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	const char *colon = strrchr(address, ':');
	in.sin_port = htons((uint16_t)atoi(colon + 1));
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static int client(void)
{
	return connect_to(http_server_address(server));
}

static void say_bytes(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
		if (n < 0) {
			ck_assert_int_eq(errno, EAGAIN);
			turn();
			continue;
		}
		text += n;
		len -= (size_t)n;
	}
}

static void say(int fd, const char *text)
{
	say_bytes(fd, text, strlen(text));
}

static char answer[1 << 20];
static size_t answer_len;

/* Reads what is there; 0: end, -1: reset, 1: maybe more. */
static int hear(int fd)
{
	ssize_t n = recv(fd, answer + answer_len, sizeof answer - 1 - answer_len, 0);
	if (n < 0)
		return errno == EAGAIN ? 1 : -1;
	answer_len += (size_t)n;
	answer[answer_len] = '\0';
	return n > 0;
}

static void forget(void)
{
	answer_len = 0;
	answer[0] = '\0';
}

/* Turns the loop until the answer has `text` in it. */
static void hears(int fd, const char *text)
{
	int64_t until = loop_now(loop) + PATIENCE_US;
	while (!strstr(answer, text) && loop_now(loop) < until) {
		turn();
		hear(fd);
	}
	ck_assert_msg(strstr(answer, text) != NULL, "\"%s\" does not come, but\n%s", text, answer);
}

/* Turns the loop until the server closes; true: in order. */
static bool hears_the_end(int fd)
{
	int64_t until = loop_now(loop) + PATIENCE_US;
	int more = 1;
	while (more == 1 && loop_now(loop) < until) {
		turn();
		more = hear(fd);
	}
	ck_assert_msg(more != 1, "the server does not close; it said\n%s", answer);
	return more == 0;
}

static int count(const char *text)
{
	int n = 0;
	for (const char *at = answer; (at = strstr(at, text)); at++)
		n++;
	return n;
}

static double counted(const char *name, const char *labels)
{
	return metric_value(metrics_counter(metrics, name, labels, ""));
}

static double connections(void)
{
	return metric_value(
	    metrics_gauge(metrics, "cqrsd_http_connections", "listener=\"http\"", ""));
}

static void until_connections(double n)
{
	int64_t until = loop_now(loop) + PATIENCE_US;
	while (connections() != n && loop_now(loop) < until)
		turn();
	ck_assert_double_eq(connections(), n);
}

static void until_open(int n)
{
	int64_t until = loop_now(loop) + PATIENCE_US;
	while (n_open < n && loop_now(loop) < until)
		turn();
	ck_assert_int_eq(n_open, n);
}

static void end(int fd)
{
	forget();
	close(fd);
}

/* ---- requests and responses ---- */

START_TEST(answers_with_the_usual_headers)
{
	int fd = client();
	say(fd, "GET /a%20b?c=d HTTP/1.1\r\nHost: a\r\nX-Request-Id: id-1\r\n\r\n");
	hears(fd, "GET /a b?c=d ");
	ck_assert_int_eq(strncmp(answer, "HTTP/1.1 200 OK\r\n", 17), 0);
	ck_assert_ptr_nonnull(strstr(answer, "\r\nServer: cqrsd\r\n"));
	ck_assert_ptr_nonnull(strstr(answer, "\r\nContent-Type: text/plain\r\n"));
	ck_assert_ptr_nonnull(strstr(answer, "\r\nContent-Length: 13\r\n"));
	ck_assert_ptr_nonnull(strstr(answer, "\r\nX-Request-Id: id-1\r\n"));
	ck_assert_ptr_nonnull(strstr(answer, " GMT\r\n"));
	ck_assert_ptr_null(strstr(answer, "Connection:"));
	end(fd);
}
END_TEST

START_TEST(keeps_the_connection)
{
	int fd = client();
	for (int i = 0; i < 5; i++) {
		forget();
		say(fd, GET("/x"));
		hears(fd, "GET /x? ");
	}
	ck_assert_double_eq(connections(), 1);
	ck_assert_double_eq(
	    counted("cqrsd_http_requests_total",
	            "listener=\"http\",route=\"/route\",method=\"GET\",status=\"200\""),
	    5);
	end(fd);
}
END_TEST

START_TEST(reads_bodies_of_both_kinds)
{
	int fd = client();
	say(fd, "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
	        "PUT /q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	        "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n");
	hears(fd, "PUT /q? abcdef");
	ck_assert_ptr_nonnull(strstr(answer, "POST /p? hello"));
	end(fd);
}
END_TEST

START_TEST(reads_a_request_byte_by_byte)
{
	static const char text[] =
	    "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "3\r\nabc\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n";
	int fd = client();
	for (size_t i = 0; i < sizeof text - 1; i++) {
		say_bytes(fd, text + i, 1);
		turn();
	}
	hears(fd, "GET /next? ");
	ck_assert_ptr_nonnull(strstr(answer, "POST /p? abc"));
	end(fd);
}
END_TEST

START_TEST(reads_the_largest_body)
{
	int fd = client();
	char *body = malloc(100000);
	memset(body, 'b', 100000);
	say(fd, "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
	say_bytes(fd, body, 99999);
	turn_for(20000);
	ck_assert_uint_eq(answer_len, 0);
	say(fd, "c");
	hears(fd, "bc");
	free(body);
	end(fd);
}
END_TEST

START_TEST(answers_pipelined_requests_in_their_order)
{
	int fd = client();
	say(fd, GET("/later") GET("/one") GET("/later") GET("/two"));
	until_open(2);
	turn_for(20000);
	hear(fd);
	ck_assert_uint_eq(answer_len, 0);
	http_respond(open_requests[1], 200, "text/plain", "second", 6);
	turn_for(20000);
	hear(fd);
	ck_assert_uint_eq(answer_len, 0);
	http_respond(open_requests[0], 200, "text/plain", "first", 5);
	hears(fd, "GET /two? ");
	const char *first = strstr(answer, "first"), *one = strstr(answer, "GET /one? ");
	const char *second = strstr(answer, "second");
	ck_assert(first && one && second && first < one && one < second);
	ck_assert_int_eq(count("HTTP/1.1 200 OK"), 4);
	end(fd);
}
END_TEST

START_TEST(reads_no_further_than_so_many_open_requests)
{
	int fd = client();
	for (int i = 0; i < 20; i++)
		say(fd, GET("/later"));
	turn_for(50000);
	ck_assert_int_eq(n_open, 16);
	for (int i = 0; i < 16; i++)
		http_respond(open_requests[i], 204, NULL, NULL, 0);
	until_open(20);
	for (int i = 16; i < 20; i++)
		http_respond(open_requests[i], 200, "text/plain", "last", i == 19 ? 4 : 0);
	hears(fd, "last");
	ck_assert_int_eq(count("HTTP/1.1"), 20);
	end(fd);
}
END_TEST

START_TEST(reads_no_further_while_answers_are_not_taken)
{
	int fd = client();
	for (int i = 0; i < 100; i++)
		say(fd, GET("/large"));
	turn_for(100000);
	ck_assert_int_lt(n_requests, 60);
	int64_t until = loop_now(loop) + PATIENCE_US;
	size_t total = 0;
	while (total < 100 * (size_t)300000 && loop_now(loop) < until) {
		turn();
		forget();
		hear(fd);
		total += answer_len;
	}
	ck_assert_int_eq(n_requests, 100);
	end(fd);
}
END_TEST

START_TEST(answers_head_without_a_body)
{
	int fd = client();
	say(fd, "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" GET("/y"));
	hears(fd, "GET /y? ");
	ck_assert_ptr_null(strstr(answer, "HEAD /x"));
	ck_assert_ptr_nonnull(strstr(answer, "Content-Length: 9\r\n"));
	forget();
	say(fd, "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n" GET("/z"));
	hears(fd, "GET /z? ");
	ck_assert_ptr_null(strstr(answer, "xxx"));
	forget();
	say(fd, "HEAD /problem HTTP/1.1\r\nHost: a\r\n\r\n" GET("/z"));
	hears(fd, "GET /z? ");
	ck_assert_ptr_null(strstr(answer, "about:blank"));
	end(fd);
}
END_TEST

START_TEST(sends_neither_body_nor_length_with_204)
{
	int fd = client();
	say(fd, GET("/nothing") GET("/y"));
	hears(fd, "GET /y? ");
	ck_assert_int_eq(count("Content-Length"), 1);
	end(fd);
}
END_TEST

START_TEST(joins_repeated_headers_and_lets_none_be_injected)
{
	int fd = client();
	say(fd, "GET /header HTTP/1.1\r\nHost: a\r\nX-List: a\r\nx-list:b\r\nX-LIST: c\r\n\r\n");
	hears(fd, "a, b, c");
	ck_assert_ptr_nonnull(strstr(answer, "X-Inject: a  X-Evil: b\r\n"));
	end(fd);
}
END_TEST

START_TEST(answers_options_for_the_whole_server)
{
	int fd = client();
	say(fd, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
	hears(fd, "Allow: GET, HEAD");
	ck_assert_int_eq(n_requests, 0);
	end(fd);
}
END_TEST

START_TEST(closes_when_the_client_asks_for_it)
{
	int fd = client();
	say(fd, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/never"));
	ck_assert(hears_the_end(fd));
	ck_assert_ptr_nonnull(strstr(answer, "Connection: close\r\n"));
	ck_assert_ptr_nonnull(strstr(answer, "GET /x? "));
	ck_assert_int_eq(n_requests, 1);
	end(fd);
	until_connections(0);
}
END_TEST

START_TEST(speaks_http_1_0)
{
	int fd = client();
	say(fd, "GET /x HTTP/1.0\r\n\r\n");
	ck_assert(hears_the_end(fd));
	ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 200 OK\r\n"));
	ck_assert_ptr_nonnull(strstr(answer, "Connection: close\r\n"));
	end(fd);
}
END_TEST

START_TEST(invites_the_body_that_is_announced)
{
	int fd = client();
	say(fd, "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
	hears(fd, "HTTP/1.1 100 Continue\r\n\r\n");
	ck_assert_int_eq(n_requests, 0);
	say(fd, "ab");
	hears(fd, "POST /p? ab");
	ck_assert_int_eq(count("100 Continue"), 1);
	forget();
	say(fd,
	    "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nc");
	turn_for(20000);
	say(fd, "d");
	hears(fd, "POST /p? cd");
	ck_assert_int_eq(count("100 Continue"), 0);
	end(fd);
}
END_TEST

START_TEST(invites_no_body_before_earlier_answers)
{
	int fd = client();
	say(fd, GET("/later") "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: "
	                      "100-continue\r\n\r\n");
	until_open(1);
	turn_for(20000);
	hear(fd);
	ck_assert_uint_eq(answer_len, 0);
	http_respond(open_requests[0], 200, "text/plain", "first", 5);
	hears(fd, "HTTP/1.1 100 Continue\r\n\r\n");
	ck_assert_ptr_nonnull(strstr(answer, "first"));
	say(fd, "ab");
	hears(fd, "POST /p? ab");
	end(fd);
}
END_TEST

/* ---- refusals ---- */

START_TEST(answers_problems_as_json)
{
	int fd = client();
	say(fd, "GET /problem HTTP/1.1\r\nHost: a\r\n"
	        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n");
	hears(fd, "}\n");
	ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 400 Bad Request\r\n"));
	ck_assert_ptr_nonnull(strstr(answer, "Content-Type: application/problem+json\r\n"));
	ck_assert_ptr_nonnull(strstr(
	    answer,
	    "\r\n\r\n{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,"
	    "\"detail\":\"The \\\"thing\\\" is bad\\n\xef\xbf\xbd.\",\"instance\":\"/problem\","
	    "\"code\":\"bad_thing\",\"param\":\"thing\","
	    "\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\"}\n"));
	end(fd);
}
END_TEST

START_TEST(makes_a_trace_id_when_there_is_none_that_is_valid)
{
	static const char *const bad[] = {
	    "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
	    "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
	    "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
	    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
	    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
	    "0af7651916cd43dd8448eb211c80319c",
	};
	int fd = client();
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char text[200];
		forget();
		snprintf(text, sizeof text,
		         "GET /problem HTTP/1.1\r\nHost: a\r\ntraceparent: %s\r\n\r\n", bad[i]);
		say(fd, text);
		hears(fd, "}\n");
		const char *id = strstr(answer, "\"trace_id\":\"");
		ck_assert_ptr_nonnull(id);
		ck_assert_uint_eq(strspn(id + 12, "0123456789abcdef"), 32);
		ck_assert_msg(strncmp(id + 12, "0af765", 6) != 0 &&
		                  strncmp(id + 12, "000000", 6) != 0,
		              "%s", bad[i]);
	}
	end(fd);
}
END_TEST

START_TEST(refuses_in_order_and_reads_nothing_behind)
{
	int fd = client();
	say(fd, GET("/later") "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: "
	                      "1\r\n\r\nx" GET("/evil"));
	until_open(1);
	turn_for(20000);
	hear(fd);
	ck_assert_uint_eq(answer_len, 0);
	http_respond(open_requests[0], 200, "text/plain", "first", 5);
	ck_assert(hears_the_end(fd));
	const char *first = strstr(answer, "first"), *refusal = strstr(answer, "HTTP/1.1 400");
	ck_assert(first && refusal && first < refusal);
	ck_assert_ptr_nonnull(strstr(answer, "\"code\":\"duplicate_content_length\""));
	ck_assert_ptr_nonnull(strstr(refusal, "Connection: close\r\n"));
	ck_assert_int_eq(n_requests, 1);
	ck_assert_double_eq(counted("cqrsd_http_refused_total",
	                            "listener=\"http\",reason=\"duplicate_content_length\""),
	                    1);
	end(fd);
}
END_TEST

START_TEST(lets_the_client_read_why_its_body_is_too_large)
{
	int fd = client();
	char *body = calloc(1, 100000);
	say(fd, "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
	for (int i = 0; i < 10; i++)
		say_bytes(fd, body, 100000);
	ck_assert(hears_the_end(fd));
	ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 413 Content Too Large\r\n"));
	free(body);
	end(fd);
}
END_TEST

START_TEST(refuses_what_does_not_fit_into_memory)
{
	config.max_body = 10000;
	config.max_memory = 40000;
	restart();
	int fds[8];
	char body[9000];
	memset(body, 'b', sizeof body);
	for (int i = 0; i < 8; i++) {
		fds[i] = client();
		say(fds[i], "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n");
		say_bytes(fds[i], body, sizeof body);
	}
	turn_for(50000);
	int refused = 0;
	for (int i = 0; i < 8; i++) {
		forget();
		hear(fds[i]);
		refused += strstr(answer, "HTTP/1.1 503") && strstr(answer, "Retry-After: 1\r\n");
		close(fds[i]);
	}
	ck_assert_int_ge(refused, 2);
	ck_assert_int_le(refused, 6);
	until_connections(0);
	int fd = client();
	forget();
	say(fd, GET("/again"));
	hears(fd, "GET /again? ");
	end(fd);
}
END_TEST

START_TEST(tells_who_is_one_too_many)
{
	config.max_connections = 2;
	restart();
	int a = client(), b = client(), c = client();
	say(c, GET("/x"));
	ck_assert(hears_the_end(c));
	ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 503 Service Unavailable\r\n"));
	ck_assert_ptr_nonnull(strstr(answer, "\"code\":\"too_many_connections\""));
	ck_assert_ptr_nonnull(strstr(answer, "Retry-After: "));
	close(c);
	forget();
	say(b, GET("/x"));
	hears(b, "GET /x? ");
	close(a);
	until_connections(1);
	int d = client();
	forget();
	say(d, GET("/y"));
	hears(d, "GET /y? ");
	close(b);
	end(d);
}
END_TEST

START_TEST(limits_the_connections_of_a_client)
{
	config.max_connections_per_client = 2;
	restart();
	int a = client(), b = client(), c = client();
	say(c, GET("/x"));
	ck_assert(hears_the_end(c));
	ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 429 Too Many Requests\r\n"));
	ck_assert_ptr_nonnull(strstr(answer, "\"code\":\"too_many_connections_of_client\""));
	ck_assert_ptr_nonnull(strstr(answer, "Retry-After: "));
	ck_assert_int_eq(n_requests, 0);
	close(c);
	close(a);
	until_connections(1);
	int d = client();
	forget();
	say(d, GET("/y"));
	hears(d, "GET /y? ");
	close(b);
	end(d);
}
END_TEST

START_TEST(limits_the_requests_of_a_client)
{
	config.rate_limit = 3;
	restart();
	int a = client(), b = client();
	say(a, GET("/a") GET("/b"));
	hears(a, "GET /b? ");
	ck_assert_ptr_nonnull(strstr(answer, "RateLimit-Policy: \"client\";q=3;w=1\r\n"));
	ck_assert_ptr_nonnull(strstr(answer, "RateLimit: \"client\";r=2;t=1\r\n"));
	ck_assert_ptr_nonnull(strstr(answer, "RateLimit: \"client\";r=1;t=1\r\n"));
	forget();
	say(b, GET("/c") GET("/d") GET("/e"));
	hears(b, "GET /c? ");
	hears(b, "r=0;t=1\r\nRetry-After: 1\r\n");
	ck_assert_int_eq(count("HTTP/1.1 200 OK"), 1);
	ck_assert_int_eq(count("HTTP/1.1 429 Too Many Requests"), 2);
	ck_assert_int_eq(n_requests, 3);
	/* The connection goes on, and after a while the client is served again. */
	forget();
	int64_t until = loop_now(loop) + PATIENCE_US;
	while (!strstr(answer, "GET /f? ") && loop_now(loop) < until) {
		say(b, GET("/f"));
		turn_for(50000);
		hear(b);
	}
	ck_assert_ptr_nonnull(strstr(answer, "GET /f? "));
	ck_assert_double_ge(
	    counted("cqrsd_http_refused_total", "listener=\"http\",reason=\"rate_limited\""), 2);
	close(a);
	end(b);
}
END_TEST

static double slow_readers(void)
{
	return counted("cqrsd_http_refused_total", "listener=\"http\",reason=\"slow_reader\"");
}

/* A client that asks for much more than the kernel takes, all at once, and reads nothing. */
static int greedy_client(void)
{
	static char large[1 << 20];
	int fd = client(), first = n_open;
	for (int i = 0; i < 16; i++)
		say(fd, GET("/later"));
	until_open(first + 16);
	for (int i = first; i < n_open; i++)
		http_respond(open_requests[i], 200, "text/plain", large, sizeof large);
	turn_for(20000);
	return fd;
}

START_TEST(lets_the_slowest_reader_go_when_answers_take_too_much_memory)
{
	config.max_output = 32 << 20; /* buffers may be half as large again as what is in them */
	restart();
	int a = greedy_client();
	ck_assert_double_eq(slow_readers(), 0);
	int b = greedy_client();
	ck_assert_double_eq(slow_readers(), 1);
	ck_assert_double_eq(connections(), 1);
	/* The second is still there. */
	size_t total = 0;
	int64_t until = loop_now(loop) + PATIENCE_US;
	while (total < 16 << 20 && loop_now(loop) < until) {
		forget();
		ck_assert_int_eq(hear(b), 1);
		total += answer_len;
		turn();
	}
	ck_assert_uint_ge(total, 16 << 20);
	close(a);
	end(b);
}
END_TEST

/* Only client connections: there is no descriptor left for the server's side of the last. */
START_TEST(accepts_again_when_there_are_descriptors_again)
{
	struct rlimit old, tight;
	int fd = client(), spare = dup(fd);
	getrlimit(RLIMIT_NOFILE, &old);
	tight = old;
	tight.rlim_cur = (rlim_t)spare;
	close(spare);
	setrlimit(RLIMIT_NOFILE, &tight);
	say(fd, GET("/x"));
	turn_for(30000);
	ck_assert_double_eq(connections(), 0);
	setrlimit(RLIMIT_NOFILE, &old);
	hears(fd, "GET /x? ");
	end(fd);
}
END_TEST

/* ---- deadlines ---- */

static void with_timeouts(int64_t header_us, int64_t body_us, int64_t idle_us)
{
	config.header_timeout_us = header_us;
	config.body_timeout_us = body_us;
	config.idle_timeout_us = idle_us;
	config.write_timeout_us = idle_us;
	restart();
}

START_TEST(waits_only_so_long_for_a_header)
{
	with_timeouts(60000, 5000000, 5000000);
	int fd = client();
	int64_t began = loop_now(loop);
	/* A byte now and then does not help. */
	for (int i = 0; i < 10; i++) {
		say(fd, i ? "a" : "GET /");
		turn_for(10000);
	}
	ck_assert(hears_the_end(fd));
	ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 408 Request Timeout\r\n"));
	ck_assert_ptr_nonnull(strstr(answer, "\"code\":\"header_timeout\""));
	ck_assert_int_ge(loop_now(loop) - began, 60000);
	end(fd);
}
END_TEST

START_TEST(waits_only_so_long_for_a_body)
{
	with_timeouts(5000000, 60000, 5000000);
	int fd = client();
	say(fd, "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
	for (int i = 0; i < 10; i++) {
		say(fd, "a");
		turn_for(10000);
	}
	ck_assert(hears_the_end(fd));
	ck_assert_ptr_nonnull(strstr(answer, "\"code\":\"body_timeout\""));
	end(fd);
}
END_TEST

START_TEST(closes_idle_connections_without_a_word)
{
	with_timeouts(5000000, 5000000, 60000);
	int fd = client(), silent = client();
	say(fd, GET("/x"));
	hears(fd, "GET /x? ");
	forget();
	hears_the_end(fd);
	ck_assert_uint_eq(answer_len, 0);
	hears_the_end(silent);
	ck_assert_uint_eq(answer_len, 0);
	close(silent);
	end(fd);
}
END_TEST

START_TEST(counts_an_empty_line_as_idle)
{
	with_timeouts(50000, 5000000, 150000);
	int fd = client();
	say(fd, "\r\n");
	turn_for(80000);
	say(fd, GET("/x"));
	hears(fd, "GET /x? ");
	forget();
	say(fd, "\r\n");
	hears_the_end(fd);
	ck_assert_uint_eq(answer_len, 0);
	end(fd);
}
END_TEST

START_TEST(has_no_deadline_for_the_handler)
{
	with_timeouts(50000, 50000, 50000);
	int fd = client();
	say(fd, GET("/later"));
	until_open(1);
	turn_for(150000);
	ck_assert_int_eq(n_gone, 0);
	http_respond(open_requests[0], 200, "text/plain", "late", 4);
	hears(fd, "late");
	end(fd);
}
END_TEST

START_TEST(gives_up_on_who_does_not_read)
{
	with_timeouts(5000000, 5000000, 60000);
	int fd = client();
	say(fd, GET("/stream"));
	int64_t until = loop_now(loop) + PATIENCE_US;
	while (!n_gone && loop_now(loop) < until)
		turn();
	ck_assert_msg(n_gone == 1, "%zu bytes written, %s", streamed,
	              stream_ended ? "all" : "not all");
	ck_assert(!stream_ended);
	until_connections(0);
	ck_assert_double_eq(
	    counted("cqrsd_http_refused_total", "listener=\"http\",reason=\"write_timeout\""), 1);
	end(fd);
}
END_TEST

/* ---- streams ---- */

START_TEST(streams_in_chunks_and_waits_for_a_slow_reader)
{
	int fd = client();
	say(fd, GET("/stream") GET("/after"));
	turn_for(100000);
	/* What the kernel takes on both sides, and not much more. */
	ck_assert_uint_lt(streamed, STREAM_SIZE);
	size_t at_rest = streamed, total = 0;
	turn_for(50000);
	ck_assert_uint_eq(streamed, at_rest);
	int64_t until = loop_now(loop) + PATIENCE_US;
	while (!strstr(answer, "GET /after? ") && loop_now(loop) < until) {
		turn();
		forget();
		hear(fd);
		for (size_t i = 0; i < answer_len; i++)
			total += answer[i] == 'x';
	}
	ck_assert(stream_ended);
	/* And one in "text/plain", which is the other answer's as well. */
	ck_assert_uint_ge(total, STREAM_SIZE);
	ck_assert_uint_le(total, STREAM_SIZE + 2);
	ck_assert_ptr_nonnull(strstr(answer, "0\r\n\r\nHTTP/1.1 200 OK\r\n"));
	end(fd);
}
END_TEST

START_TEST(streams_to_http_1_0_until_it_closes)
{
	int fd = client();
	say(fd, "GET /stream HTTP/1.0\r\n\r\n");
	int64_t until = loop_now(loop) + PATIENCE_US;
	size_t total = 0;
	int more = 1;
	bool chunked = false;
	while (more == 1 && loop_now(loop) < until) {
		turn();
		forget();
		more = hear(fd);
		total += answer_len;
		chunked = chunked || strstr(answer, "chunked");
	}
	ck_assert_int_eq(more, 0);
	ck_assert(!chunked);
	ck_assert_uint_gt(total, STREAM_SIZE);
	end(fd);
}
END_TEST

START_TEST(cuts_a_response_so_that_the_client_notices)
{
	int fd = client();
	say(fd, GET("/cut") GET("/never"));
	hears_the_end(fd);
	ck_assert_ptr_nonnull(strstr(answer, "4\r\nhalf\r\n"));
	ck_assert_ptr_null(strstr(answer, "\r\n0\r\n"));
	ck_assert_int_eq(count("HTTP/1.1"), 1);
	close(fd);
	forget();
	fd = client();
	say(fd, "GET /cut HTTP/1.0\r\n\r\n");
	ck_assert(!hears_the_end(fd));
	end(fd);
}
END_TEST

/* ---- ends ---- */

START_TEST(tells_the_handler_that_the_client_is_gone)
{
	int fd = client();
	struct linger now = {.l_onoff = 1, .l_linger = 0};
	say(fd, GET("/later") GET("/later"));
	until_open(2);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	end(fd);
	until_connections(0);
	ck_assert_int_eq(n_gone, 2);
}
END_TEST

START_TEST(answers_a_client_that_has_said_its_last_word)
{
	int fd = client();
	say(fd, GET("/x") GET("/later"));
	shutdown(fd, SHUT_WR);
	until_open(1);
	turn_for(20000);
	http_respond(open_requests[0], 200, "text/plain", "answer", 6);
	ck_assert(hears_the_end(fd));
	ck_assert_ptr_nonnull(strstr(answer, "answer"));
	ck_assert_ptr_nonnull(strstr(answer, "GET /x? "));
	end(fd);
	until_connections(0);
}
END_TEST

START_TEST(takes_a_client_for_gone_that_said_its_last_word_long_ago)
{
	int fd = client();
	say(fd, GET("/later"));
	until_open(1);
	end(fd);
	int64_t until = loop_now(loop) + PATIENCE_US;
	while (!n_gone && loop_now(loop) < until)
		turn();
	ck_assert_int_eq(n_gone, 1);
	until_connections(0);
}
END_TEST

START_TEST(forgets_half_a_request)
{
	int fd = client();
	say(fd, "GET /x HTTP/1.1\r\nHo");
	turn_for(10000);
	shutdown(fd, SHUT_WR);
	ck_assert(hears_the_end(fd));
	ck_assert_uint_eq(answer_len, 0);
	ck_assert_int_eq(n_requests, 0);
	end(fd);
}
END_TEST

static void on_drained(void *arg)
{
	*(bool *)arg = true;
}

START_TEST(drains_what_is_under_way_and_nothing_else)
{
	bool drained = false;
	int idle = client(), busy = client();
	say(busy, GET("/later"));
	until_open(1);
	http_server_drain(server, on_drained, &drained);
	ck_assert(!drained);
	hears_the_end(idle);
	turn_for(20000);
	ck_assert(!drained);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	in.sin_port = htons((uint16_t)atoi(strrchr(http_server_address(server), ':') + 1));
	ck_assert_int_ne(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
	close(fd);
	http_respond(open_requests[0], 200, "text/plain", "done", 4);
	hears_the_end(busy);
	ck_assert_ptr_nonnull(strstr(answer, "done"));
	ck_assert_ptr_nonnull(strstr(answer, "Connection: close\r\n"));
	close(idle);
	end(busy);
	int64_t until = loop_now(loop) + PATIENCE_US;
	while (!drained && loop_now(loop) < until)
		turn();
	ck_assert(drained);
}
END_TEST

START_TEST(drains_at_once_but_not_from_inside_when_nobody_is_there)
{
	bool drained = false;
	http_server_drain(server, on_drained, &drained);
	ck_assert(!drained);
	turn_for(20000);
	ck_assert(drained);
}
END_TEST

START_TEST(ends_with_open_requests)
{
	int fd = client();
	say(fd, GET("/later") GET("/x"));
	until_open(1);
	restart();
	ck_assert_int_eq(n_gone, 1);
	end(fd);
}
END_TEST

/* ---- listening ---- */

START_TEST(listens_where_it_is_told)
{
	char path[] = "/tmp/check_http_XXXXXX", where[64];
	ck_assert_ptr_nonnull(mkdtemp(path));
	snprintf(where, sizeof where, "unix:%s/s", path);
	config.listen = where;
	restart();
	ck_assert_str_eq(http_server_address(server), where);
	/* Somebody serves it: a second one is refused, and does no harm. */
	ck_assert_ptr_null(http_server_new(loop, &config, metrics, handle, NULL));
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", where + 5);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	say(fd, GET("/x"));
	hears(fd, "GET /x? ");
	end(fd);
	stop();
	ck_assert_int_ne(access(where + 5, F_OK), 0);
	/* One that was left behind by a process that was killed is no obstacle. */
	int stale = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(stale, (struct sockaddr *)&sun, sizeof sun), 0);
	close(stale);
	start();
	config.listen = "127.0.0.1:0";
	restart();
	ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

START_TEST(says_why_it_cannot_listen)
{
	static const char *const bad[] = {"127.0.0.1", "127.0.0.1:http",   ":80",          "::1:80",
	                                  "unix:",     "127.0.0.1:99999x", "192.0.2.1:80", ""};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct http_server_config other = config;
		other.listen = bad[i];
		ck_assert_msg(!http_server_new(loop, &other, metrics, handle, NULL), "%s", bad[i]);
	}
	struct http_server_config taken = config;
	taken.listen = http_server_address(server);
	ck_assert_ptr_null(http_server_new(loop, &taken, metrics, handle, NULL));
}
END_TEST

START_TEST(listens_on_ipv6)
{
	config.listen = "[::1]:0";
	restart();
	const char *address = http_server_address(server);
	ck_assert_int_eq(strncmp(address, "[::1]:", 6), 0);
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	in6.sin6_port = htons((uint16_t)atoi(address + 6));
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&in6, sizeof in6), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	say(fd, GET("/x"));
	hears(fd, "GET /x? ");
	end(fd);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http_server");
	TCase *tc = tcase_create("http_server");
	tcase_add_checked_fixture(tc, setup, stop);
	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, answers_with_the_usual_headers);
	tcase_add_test(tc, keeps_the_connection);
	tcase_add_test(tc, reads_bodies_of_both_kinds);
	tcase_add_test(tc, reads_a_request_byte_by_byte);
	tcase_add_test(tc, reads_the_largest_body);
	tcase_add_test(tc, answers_pipelined_requests_in_their_order);
	tcase_add_test(tc, reads_no_further_than_so_many_open_requests);
	tcase_add_test(tc, reads_no_further_while_answers_are_not_taken);
	tcase_add_test(tc, answers_head_without_a_body);
	tcase_add_test(tc, sends_neither_body_nor_length_with_204);
	tcase_add_test(tc, joins_repeated_headers_and_lets_none_be_injected);
	tcase_add_test(tc, answers_options_for_the_whole_server);
	tcase_add_test(tc, closes_when_the_client_asks_for_it);
	tcase_add_test(tc, speaks_http_1_0);
	tcase_add_test(tc, invites_the_body_that_is_announced);
	tcase_add_test(tc, invites_no_body_before_earlier_answers);
	tcase_add_test(tc, answers_problems_as_json);
	tcase_add_test(tc, makes_a_trace_id_when_there_is_none_that_is_valid);
	tcase_add_test(tc, refuses_in_order_and_reads_nothing_behind);
	tcase_add_test(tc, lets_the_client_read_why_its_body_is_too_large);
	tcase_add_test(tc, refuses_what_does_not_fit_into_memory);
	tcase_add_test(tc, tells_who_is_one_too_many);
	tcase_add_test(tc, limits_the_connections_of_a_client);
	tcase_add_test(tc, limits_the_requests_of_a_client);
	tcase_add_test(tc, lets_the_slowest_reader_go_when_answers_take_too_much_memory);
	tcase_add_test(tc, accepts_again_when_there_are_descriptors_again);
	tcase_add_test(tc, waits_only_so_long_for_a_header);
	tcase_add_test(tc, waits_only_so_long_for_a_body);
	tcase_add_test(tc, closes_idle_connections_without_a_word);
	tcase_add_test(tc, counts_an_empty_line_as_idle);
	tcase_add_test(tc, has_no_deadline_for_the_handler);
	tcase_add_test(tc, gives_up_on_who_does_not_read);
	tcase_add_test(tc, streams_in_chunks_and_waits_for_a_slow_reader);
	tcase_add_test(tc, streams_to_http_1_0_until_it_closes);
	tcase_add_test(tc, cuts_a_response_so_that_the_client_notices);
	tcase_add_test(tc, tells_the_handler_that_the_client_is_gone);
	tcase_add_test(tc, answers_a_client_that_has_said_its_last_word);
	tcase_add_test(tc, takes_a_client_for_gone_that_said_its_last_word_long_ago);
	tcase_add_test(tc, forgets_half_a_request);
	tcase_add_test(tc, drains_what_is_under_way_and_nothing_else);
	tcase_add_test(tc, drains_at_once_but_not_from_inside_when_nobody_is_there);
	tcase_add_test(tc, ends_with_open_requests);
	tcase_add_test(tc, listens_where_it_is_told);
	tcase_add_test(tc, says_why_it_cannot_listen);
	tcase_add_test(tc, listens_on_ipv6);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
