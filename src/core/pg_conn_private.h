/* SPDX-License-Identifier: MIT */
/*
 * The inside of a connection, shared by pg_conn.c (its life), pg_connect.c
 * (its beginning), pg_pipeline.c (its requests), pg_answers.c, pg_conninfo.c and pg_error.c. Nobody
 * else includes this.
 */
#ifndef PG_CONN_PRIVATE_H
#define PG_CONN_PRIVATE_H

#include "pg_conn.h"
#include "pg_hosts.h"
#include "pg_statement_cache.h"
#include <event2/event.h>
#include <event2/event_struct.h>

/* Flags of pg_request.phase. */
enum {
	REQUEST_SENT = 1,   /* libpq has it; else it waits for the mode to change */
	REQUEST_PARSE = 2,  /* the answer to its Parse comes first */
	REQUEST_SINGLE = 4, /* single-row mode is on for it */
	REQUEST_LAST = 8,   /* a Sync follows it */
	REQUEST_OWN = 16,   /* the connection's own: setup, DEALLOCATE */
};

TAILQ_HEAD(pg_request_list, pg_request);

struct pg_conn {
	struct loop *loop;
	const struct pg_conn_config *config;
	const struct pg_conn_events *events;
	void *owner;

	/* its life */
	enum pg_conn_state state;
	PGconn *pg; /* NULL in PG_CONN_WAITING, and while a name is looked up */
	struct pg_hosts_lookup *lookup;
	struct event io;
	short watched;       /* EV_READ | EV_WRITE as `io` waits for; 0: not added */
	struct timer *timer; /* WAITING: backoff.  CONNECTING, SETUP: deadline.  READY: silence */
	struct timer *turn;  /* goes on where a turn was cut short; tells of a loss */
	unsigned failures;   /* in a row; one that was ready for a moment only is one more */
	int64_t ready_us;    /* when it became so */
	int64_t heard_us;    /* when the server was last seen at work, or was asked while idle */
	bool was_ready;      /* before `lost` */
	unsigned timeouts;   /* which address comes first */
	bool tell_loss;      /* `lost` is not yet told */
	bool has_last_words; /* `lost` is what the server said as it closed */
	struct pg_error lost;
	char logged[512]; /* the last reason in the log: the same one is not repeated */
	int depth;        /* callbacks under way */
	bool freed;       /* pg_conn_free() was called inside one of them */

	/* its requests */
	struct pg_request_list requests;
	struct pg_request *at;   /* whose answer comes next; NULL: nothing is expected */
	struct pg_request *next; /* the first that libpq does not have; NULL: none */
	int in_flight;
	uint64_t group; /* of bound requests; one more with each Sync */
	struct pg_statement_cache statements;
	struct pg_request_list closing; /* DEALLOCATEs to send after the next Sync */
	struct pg_request setup;
	struct pg_error error; /* of the group or simple Query at hand */
	const char *copy_data; /* left of the piece at hand */
	size_t copy_len;
	bool copying;
	bool want_write;
	bool paused;
	bool broken; /* reading failed: what was read before is still worked on */
};

/* pg_conn.c: tears the connection down; the loss is told in the next turn. */
void pg_conn_lose(struct pg_conn *conn, const struct pg_error *error);
/* The same with libpq's reason, or the server's last words if there are any. */
void pg_conn_lose_by_libpq(struct pg_conn *conn);
/* Waits for what there is to wait for. */
void pg_conn_watch(struct pg_conn *conn);
/* The same for an event of its descriptor, or none. */
void pg_conn_watch_for(struct pg_conn *conn, short what);
void pg_conn_unwatch(struct pg_conn *conn);
void pg_conn_set_state(struct pg_conn *conn, enum pg_conn_state state);
/* The first request is in flight: from now on the server owes an answer. */
void pg_conn_expect(struct pg_conn *conn);

/* pg_connect.c */
void pg_conn_connect(struct pg_conn *conn);
/* Its descriptor is ready while it connects. */
void pg_conn_poll(struct pg_conn *conn);

/* pg_pipeline.c */
static inline bool pg_request_is_simple(const struct pg_request *req)
{
	return req->n_params < 0;
}
void pg_conn_send_setup(struct pg_conn *conn, pg_done_fn *done);
/* Gives libpq what may go now. */
void pg_conn_submit(struct pg_conn *conn);
void pg_conn_flush(struct pg_conn *conn);
/* Takes the request out of the list and calls its done(). */
void pg_conn_finish(struct pg_conn *conn, struct pg_request *req, enum pg_outcome outcome,
                    const struct pg_error *error);
/* Takes the statement out of the cache, and off the server after the next Sync. */
void pg_conn_close_statement(struct pg_conn *conn, struct pg_statement *statement);
/* Takes the statement out of the cache: the server does not have it. */
void pg_conn_drop_statement(struct pg_conn *conn, struct pg_statement *statement);
/* Forgets what the lost connection knew; the requests stay in the list. */
void pg_conn_forget(struct pg_conn *conn);
/* Ends all requests with PG_LOST. */
void pg_conn_fail_requests(struct pg_conn *conn, const struct pg_error *error);

/* pg_answers.c */
/* Works on what was read, and goes on writing; for a millisecond or so. */
void pg_conn_work(struct pg_conn *conn);
/* The server closed the connection: works on all that was read before. */
void pg_conn_work_to_the_end(struct pg_conn *conn);

#define PG_NETWORK_TIMEOUT_US 10000000
static inline int64_t pg_conn_network_timeout_us(const struct pg_conn_config *config)
{
	return config->network_timeout_us ? config->network_timeout_us : PG_NETWORK_TIMEOUT_US;
}

/*
 * pg_conninfo.c: begins to connect; NULL and the reason when that fails at once.
 * With `hosts` their addresses take the place of the names.  The one with the
 * number `first` (modulo how many there are) is tried before the others.
 */
PGconn *pg_conninfo_open(const struct pg_conn_config *config, const struct pg_hosts *hosts,
                         unsigned first, struct pg_error *error);
/*
 * The hosts (and ports, "" if none are given) of the dsn when one of them is a
 * name to be looked up; both are freed with free().  What a service file names
 * is not seen here: libpq looks it up itself, and blocks.
 */
bool pg_conninfo_names(const char *dsn, char **host, char **port);

/* pg_error.c */
void pg_error_from_text(struct pg_error *error, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void pg_error_from_result(struct pg_error *error, const PGresult *result);
/* FATAL or PANIC: the server closes the connection after it. */
bool pg_error_is_fatal(const PGresult *result);

#endif
