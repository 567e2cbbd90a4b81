/* SPDX-License-Identifier: MIT */
/*
 * What a command module is, and what it may ask for.
 *
 * A command module turns one message into effects on a batch: rows, statements,
 * events, refusals.  The core stores the effects of a batch, its dead letters
 * and the new offsets in one transaction.  Module code never waits: it has no
 * socket, no connection and no callback but the ones below, all of them called
 * from the event loop's thread.
 */
#ifndef CQRS_COMMAND_H
#define CQRS_COMMAND_H

#include <cqrs/abi.h>
#include <cqrs/option.h>
#include <cqrs/param.h>
#include <cqrs/value.h>

struct cqrs_setup;     /* the module while it starts */
struct cqrs_batch;     /* collects the effects of the message at hand */
struct cqrs_table;     /* a declared table */
struct cqrs_statement; /* a declared statement */
struct cqrs_decision;  /* a declared function that decides */

struct cqrs_header {
	const char *name;
	const void *value; /* NULL: the header has no value */
	size_t value_len;
};

/* One message.  Everything in it is borrowed until the handler returns. */
struct cqrs_message {
	const char *topic;
	int32_t partition;
	int64_t offset;
	int64_t timestamp_us; /* when Kafka says it was made; 0: unknown */
	const void *key;      /* NULL: no key */
	size_t key_len;
	const void *value; /* NULL: a tombstone */
	size_t value_len;
	const struct cqrs_header *headers;
	size_t n_headers;
};

/*
 * The core itself reads two headers.  `command-id`, a UUID, makes a message a
 * command: what becomes of it is kept in cqrs.outcomes, and a message with the same
 * id is not applied again, whatever its module asks for.  `prefer: wait` says that
 * somebody waits for the outcome: then a refusal of the message is no dead letter.
 */

/*
 * Decides one message.  Called once for each message in the order of its
 * partition, and again for the same message when its batch was not stored.
 * A handler that asks for nothing has accepted the message.
 *
 * It is also called for a dead letter that somebody has tried again, however
 * old: then `value` is what the letter kept, the element alone if that is what
 * was refused and cqrs_element() said which bytes it is.  A module should take
 * an element as a message of its own.
 */
typedef void cqrs_handle_fn(void *self, const struct cqrs_message *msg, struct cqrs_batch *batch);

/* ---- while starting ---- */

/*
 * Whatever is declared wrongly keeps the module from starting, with a sentence
 * that says why: start() need not look at what these functions return.
 */

/* Messages of `topic`, which is borrowed until stop(), go to `handle`.  A topic has one handler. */
CQRS_EXPORT void cqrs_setup_topic(struct cqrs_setup *setup, const char *topic,
                                  cqrs_handle_fn *handle);

/* What the second row with the same key means. */
enum cqrs_duplicate {
	CQRS_DUPLICATE_REFUSE, /* a dead letter */
	CQRS_DUPLICATE_IGNORE, /* the first one stands; counted */
	CQRS_DUPLICATE_UPDATE, /* the last one stands; counted */
};

struct cqrs_column {
	const char *name;
	enum cqrs_type type;
	bool key; /* part of the key; columns of the key stand first, in key order */
	/* "table(column)" that must hold the value, or the row is a dead letter; NULL: no such rule
	 */
	const char *references;
};

#define CQRS_COLUMNS_MAX 32

struct cqrs_table_def {
	const char *name;                  /* "sensor_data" or "schema.table" */
	const struct cqrs_column *columns; /* at most CQRS_COLUMNS_MAX, ends with name NULL */
	enum cqrs_duplicate on_duplicate;
};

/* The definition is borrowed until stop(). */
CQRS_EXPORT struct cqrs_table *cqrs_setup_table(struct cqrs_setup *setup,
                                                const struct cqrs_table_def *def);

/* `sql` has the parameters $1..$n of these types; both are borrowed until stop(). */
CQRS_EXPORT struct cqrs_statement *cqrs_setup_statement(struct cqrs_setup *setup, const char *sql,
                                                        const enum cqrs_type *types, size_t n);

/*
 * `function` ("apply" or "schema.apply") is a function of the database with 1 to
 * CQRS_PARAMS_DECIDED parameters of these types, which are no arrays, that RETURNS
 * cqrs.outcome (status smallint, reason text, body jsonb; sql/007-commands.sql).  It
 * decides a command by what is stored, does it, and may publish by cqrs.publish().
 * For what a client did wrong it returns a status from 400 on, having changed
 * nothing, and raises no error.  Both are borrowed until stop().
 */
#define CQRS_PARAMS_DECIDED 32
CQRS_EXPORT struct cqrs_decision *cqrs_setup_decision(struct cqrs_setup *setup,
                                                      const char *function,
                                                      const enum cqrs_type *types, size_t n);

/*
 * The same of a function that decides many commands by one call, which is quicker: its
 * parameters are arrays of these types with an element for each command, and it
 * RETURNS SETOF cqrs.outcome, one for each in their order.
 */
CQRS_EXPORT struct cqrs_decision *cqrs_setup_decisions(struct cqrs_setup *setup,
                                                       const char *function,
                                                       const enum cqrs_type *types, size_t n);

/*
 * The module publishes events, by whatever it does with messages: who wants to see what
 * a message has done waits for these events, too.
 */
CQRS_EXPORT void cqrs_setup_publishes(struct cqrs_setup *setup);
/*
 * The module's tables, its view, are made of events that others publish.  `cqrsd rebuild` can
 * make it anew if all of it stands in the schema of the module's name, which statements name
 * ("SELECT product_view.project($1)"), and if there are no other declarations than topics
 * and statements.
 */
CQRS_EXPORT void cqrs_setup_projects(struct cqrs_setup *setup);

/*
 * Runs `sql`, which has no parameters, in a transaction of its own soon after
 * the start and then every `period_us` (at least a second); a failure is logged and tried again
 * next time.  `sql` is copied.
 */
CQRS_EXPORT void cqrs_setup_periodic(struct cqrs_setup *setup, int64_t period_us, const char *sql);

/* A command over HTTP: see below.  `route` is borrowed until stop(). */
struct cqrs_command_route;
CQRS_EXPORT void cqrs_setup_route(struct cqrs_setup *setup, const struct cqrs_command_route *route);

/* Says why start() is about to return NULL. */
CQRS_EXPORT void cqrs_setup_fail(struct cqrs_setup *setup, const char *fmt, ...) CQRS_PRINTF(2, 3);

/* ---- while deciding ---- */

/*
 * What follows belongs to element `index` (from 0) of the message, until the
 * next call; before the first call it belongs to the message as a whole.  What
 * is refused of an element costs that element alone.  `data` is the element's
 * own part of the message's value and is kept in its dead letter instead of
 * the whole value; NULL: the whole value is kept.
 */
CQRS_EXPORT void cqrs_element(struct cqrs_batch *batch, int32_t index, const void *data,
                              size_t len);

/*
 * Appends a row, one value per column, of the column's type or null.  Rows are
 * stored after the statements of their batch.  A value that PostgreSQL cannot
 * hold (a NUL in text, bytes that are not UTF-8) refuses the element.
 */
CQRS_EXPORT void cqrs_append(struct cqrs_batch *batch, const struct cqrs_table *table,
                             const struct cqrs_value *row);

/* Accepts any number of touched rows. */
#define CQRS_ANY_ROWS (-1)

/*
 * Queues a statement; statements run in the order of their messages.  When it
 * touches another number of rows than `rows`, the element is refused with
 * `reason`, which is borrowed until stop().
 */
CQRS_EXPORT void cqrs_execute(struct cqrs_batch *batch, const struct cqrs_statement *statement,
                              const struct cqrs_value *params, int64_t rows, const char *reason);

/*
 * Asks the database about the message as a whole, at most once.  Decisions are made
 * in the order of messages, and of statements, those that follow each other by one
 * call of the database.  A status from 400 on refuses the message; what the function
 * raises does, too.  The outcome has what it says.
 */
CQRS_EXPORT void cqrs_decide(struct cqrs_batch *batch, const struct cqrs_decision *decision,
                             const struct cqrs_value *params);

/*
 * Queues a statement that prepares the ground for this message and others: a
 * partition, a row that others refer to.  It must be harmless to repeat, and
 * stays in the batch when the message that asked for it is refused.  It runs
 * before all statements of cqrs_execute(), in the order of declaration.
 */
CQRS_EXPORT void cqrs_ensure(struct cqrs_batch *batch, const struct cqrs_statement *statement,
                             const struct cqrs_value *params);

/*
 * For modules that remember what they have ensured: the batch's number, and
 * whether what was ensured in batch `number` can be relied on in `batch`,
 * because it is stored or runs before the rows of the same batch.  What was
 * not stored is told by dropped().  A batch fills while another is stored, so
 * remember the first that has ensured something: the newest may never be done with.
 */
CQRS_EXPORT uint64_t cqrs_batch_number(const struct cqrs_batch *batch);
CQRS_EXPORT bool cqrs_batch_sees(const struct cqrs_batch *batch, uint64_t number);

/*
 * Publishes an event through the outbox; `key` may be NULL.  `json` is sent as
 * it is; key and value together may have 900,000 bytes.
 */
CQRS_EXPORT void cqrs_publish(struct cqrs_batch *batch, const char *topic, const char *key,
                              const char *json);

/*
 * Refuses the message: all its effects are dropped and it becomes a dead letter.
 * The outcome of a command has `status`, an HTTP status from 400 to 499; 422 for
 * cqrs_refuse().
 */
CQRS_EXPORT void cqrs_refuse(struct cqrs_batch *batch, const char *fmt, ...) CQRS_PRINTF(2, 3);
CQRS_EXPORT void cqrs_refuse_status(struct cqrs_batch *batch, int status, const char *fmt, ...)
    CQRS_PRINTF(3, 4);

/* Memory is out: nothing is kept of the message, which is no fault of its, and it is decided again
 * later. */
CQRS_EXPORT void cqrs_no_memory(struct cqrs_batch *batch);

/*
 * The value of the message as a json_t of jansson, for json_decref().  NULL: it is no JSON, or has
 * a member twice, and is refused; or there is no memory, see cqrs_no_memory().
 */
CQRS_EXPORT struct json_t *cqrs_message_json(struct cqrs_batch *batch,
                                             const struct cqrs_message *msg);

/* Refuses the element at hand: its effects are dropped and it becomes a dead letter. */
CQRS_EXPORT void cqrs_refuse_element(struct cqrs_batch *batch, const char *fmt, ...)
    CQRS_PRINTF(2, 3);

/* ---- commands over HTTP ---- */

/*
 * A request becomes one message, which is decided like all others when it comes
 * back from Kafka.  It is answered when Kafka has it, with Command-Id and
 * Consistency-Token; or, if the client prefers that, when it was applied.
 *
 * To the message's headers the core adds command-id, content-type, traceparent,
 * and where the request has them idempotency-key, if-match and prefer.
 */
struct cqrs_forward; /* collects the message that a request becomes, and its answer */

/*
 * Validates a request, and either refuses it or forwards one message.  Called
 * twice for a repeated Idempotency-Key, so it must not remember anything.
 */
typedef void cqrs_accept_fn(void *self, const struct cqrs_request *req, struct cqrs_forward *out);

struct cqrs_command_route {
	const char *method;  /* POST, PUT, PATCH or DELETE */
	const char *path;    /* below /api/v1: "/products/{id}" */
	const char *summary; /* one line */
	const struct cqrs_param
	    *params;        /* at most CQRS_PARAMS_MAX, ends with name NULL; NULL: none */
	const char *body;   /* JSON Schema of the body; NULL: it has none */
	const char *answer; /* JSON Schema of the answer's body; NULL: it has none */
	int status;         /* when it is accepted: 200, 201 or 202, whose body is the core's */
	cqrs_accept_fn *accept;
};

/* The body as it was sent, not terminated; "" if there is none. */
CQRS_EXPORT const void *cqrs_request_body(const struct cqrs_request *req, size_t *len);
/* The body as a json_t of jansson, for json_decref(); NULL: refused with 400, or no memory. */
CQRS_EXPORT struct json_t *cqrs_request_json(const struct cqrs_request *req,
                                             struct cqrs_forward *out);
/* The command's id, the text of a UUIDv7; for a repeated Idempotency-Key that of the first time. */
CQRS_EXPORT const char *cqrs_request_id(const struct cqrs_request *req);
/* The version that If-Match demands, in decimal digits, or "*"; NULL: none. */
CQRS_EXPORT const char *cqrs_request_if_match(const struct cqrs_request *req);

/*
 * The message, once; all is copied.  `key` may be NULL; key and value together may have 900,000
 * bytes, more is refused.
 */
CQRS_EXPORT void cqrs_forward(struct cqrs_forward *out, const char *topic, const void *key,
                              size_t key_len, const void *value, size_t len);
/* The same with a json_t of jansson as the value, borrowed; NULL: there was no memory for it. */
CQRS_EXPORT void cqrs_forward_json(struct cqrs_forward *out, const char *topic, const void *key,
                                   size_t key_len, const struct json_t *value);
/* One more header of it, at most CQRS_FORWARD_HEADERS_MAX, in small letters; copied. */
#define CQRS_FORWARD_HEADERS_MAX 8
CQRS_EXPORT void cqrs_forward_header(struct cqrs_forward *out, const char *name, const char *value);
/* `location` is below /api/v1, "/products/…"; `json` the body; both are copied and may be NULL. */
CQRS_EXPORT void cqrs_forward_answer(struct cqrs_forward *out, const char *location,
                                     const char *json);
/* The request cannot be taken for lack of memory; its client may try again. */
CQRS_EXPORT void cqrs_forward_no_memory(struct cqrs_forward *out);
/*
 * Answers a problem instead: `status` of 400 to 499, `code` for programs ("name_too_long", borrowed
 * until stop()), `param` the parameter or member at fault (NULL: none).
 */
CQRS_EXPORT void cqrs_forward_refuse(struct cqrs_forward *out, int status, const char *code,
                                     const char *param, const char *fmt, ...) CQRS_PRINTF(5, 6);

/* ---- the module itself ---- */

struct cqrs_command_module {
	unsigned abi;                      /* CQRS_ABI; always the first member */
	const char *name;                  /* as in `commands:` */
	const char *summary;               /* one line for people */
	const struct cqrs_option *options; /* NULL: none */
	size_t options_size;               /* of the struct that the options fill */
	/* Returns the instance, which is not NULL even if it has no state; NULL after
	 * cqrs_setup_fail().  `options` live until stop(). */
	void *(*start)(struct cqrs_setup *setup, const void *options);
	void (*stop)(void *self);
	/* Something that was asked for was not stored after all: forget what was
	 * remembered because of it.  NULL: the module remembers nothing. */
	void (*dropped)(void *self);
};

/* CQRS_COMMAND_MODULE(sensor, .summary = "…", .start = start, .stop = stop); */
#define CQRS_COMMAND_MODULE(id, ...)                                           \
	CQRS_EXPORT extern const struct cqrs_command_module cqrs_command_##id; \
	const struct cqrs_command_module cqrs_command_##id = {                 \
	    .abi = CQRS_ABI, .name = #id, __VA_ARGS__}

#endif
