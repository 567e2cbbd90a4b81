/* SPDX-License-Identifier: MIT */
/*
 * One command under way.  Private to command_http.c, which admits it and watches
 * the time, command_course.c, which moves it, command_answer.c, which tells its
 * client, and command_outcome.c, which answers who asks for it later.
 */
#ifndef COMMAND_HTTP_INTERNAL_H
#define COMMAND_HTTP_INTERNAL_H

#include "command_db.h"
#include "command_http.h"
#include "command_request.h"
#include "forward.h"
#include "kafka_sink.h"

#define COMMAND_TOKEN_MAX 300 /* topic:partition@offset */

/* What its client waits for. */
enum command_state { COMMAND_CLAIMING, COMMAND_SENDING, COMMAND_WAITING };

struct command {
	struct command_http *bus;
	struct http_request *http;         /* NULL: it is answered, or its client is gone */
	const struct command_route *route; /* NULL: a question what became of one */
	struct param_text path[PARAM_PATH_MAX];
	enum command_state state;
	struct command_claim claim;
	bool is_claiming; /* the database has the claim */
	struct kafka_record record;
	bool is_sending; /* the sink has the record */
	struct outcome_wait wait;
	struct cqrs_forward forward;
	struct prefer prefer;
	char id[UUID_TEXT];
	char key[COMMAND_KEY_MAX + 1]; /* "": there is none */
	char token[COMMAND_TOKEN_MAX];
	int64_t deadline; /* loop_now() */
	LIST_ENTRY(command) link;
};

LIST_HEAD(command_list, command);

struct command_http {
	struct loop *loop;
	const struct command_http_config *config;
	struct health *health;
	struct kafka_sink_config sink_config;
	struct kafka_sink *sink; /* NULL: no command has come yet */
	struct health_check *sink_health;
	struct command_db_config db_config;
	struct command_db *db;
	struct command_request request; /* the one that is being decided */
	struct command_list busy, idle;
	size_t n_busy, n_idle, max_busy;
	size_t bytes, max_bytes; /* of messages that are under way */
	struct timer *sweep;
	int64_t logged_at; /* when a module's mistake was logged last */
	struct metric *in_flight, *seconds;
};

/* ---- command_http.c ---- */

/* A command, or a question (`route` NULL), under way; NULL: the client is told that there is no
 * room for it. */
struct command *command_take(struct command_http *commands, struct http_request *http,
                             const struct command_route *route);
/* Its client is answered or gone, and what it asked for has ended: then it is over. */
void command_let_go(struct command *c);

/* ---- command_course.c ---- */

/* With its request, which was read; it is let go by itself. */
void command_begin(struct command *c, struct command_request *req, const struct param_text *path);
/* Waits for its outcome until `deadline`; `once`: or what the database says now. */
void command_wait(struct command *c, int64_t deadline, bool once);
/* Its client has waited for long enough. */
void command_is_late(struct command *c);

/* ---- command_answer.c: each answers the client, and the command has none any more ---- */

/* Kafka has it. */
void command_answer_accepted(struct command *c);
/* Kafka has it, and what becomes of it is not known in time. */
void command_answer_later(struct command *c);
/* What became of it. */
void command_answer_outcome(struct command *c, const struct outcome *outcome);
/* accept() refused it, or made a mistake, or had no memory. */
void command_answer_refused(struct command *c);
/* Kafka does not have it, or does not say so; `why` is for people. */
void command_answer_away(struct command *c, const char *why);
/* Nothing was sent: the database does not say whose its key is. */
void command_answer_unclaimed(struct command *c);
/* Nothing was sent: its key stands for another command. */
void command_answer_other(struct command *c);
/* Nothing was sent. */
void command_answer_overloaded(struct http_request *http);
/* The client is taken from the command, to be answered. */
struct http_request *command_take_client(struct command *c);

/* ---- command_outcome.c ---- */

/* Adds the route that tells what became of a command; false, with a line in `errors`. */
bool command_outcome_add_route(struct command_http *commands, struct route_table *routes,
                               struct buf *errors);
/* An outcome as JSON, appended. */
void command_outcome_write(struct buf *out, const char *id, const struct outcome *outcome);
/* To a question: the outcome, or NULL, there is none; and the database has not said it in time. */
void command_outcome_answer(struct command *c, const struct outcome *outcome);
void command_outcome_unknown(struct command *c);

#endif
