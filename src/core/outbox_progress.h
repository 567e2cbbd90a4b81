/* SPDX-License-Identifier: MIT */
/*
 * What the relay tells of its progress: that all events of commands up to some
 * offsets are in Kafka, and where the last of them stand.
 *
 *   IDLE ─(asked how far commands have come)─► PENDING ─(their events are sent)─► TELLING ─► IDLE
 *
 * The relay reads the outbox in the order of ids: when it comes to a row behind the
 * last one that there was when it asked, or to none, all before it is sent.
 */
#ifndef OUTBOX_PROGRESS_H
#define OUTBOX_PROGRESS_H

#include "buf.h"
#include "health.h"
#include "kafka_sink.h"
#include <libpq-fe.h>

/* How far commands have come; and, once their events are sent, where those stand. */
#define OUTBOX_REACHED_SQL  "SELECT commands, last_id FROM cqrs.reached()"
#define OUTBOX_REQUIRED_SQL "SELECT cqrs.required()"

enum outbox_telling { PROGRESS_IDLE, PROGRESS_PENDING, PROGRESS_TELLING };

struct outbox_progress {
	const char *topic;
	struct health *checks;
	struct health_check *health; /* NULL: nothing was told yet */
	bool is_orphan;
	enum outbox_telling state;
	bool wanted;         /* something may have come on since it was asked last */
	bool is_sent;        /* all that it waited for */
	struct buf commands; /* PENDING: JSON, as cqrs.reached() says it */
	struct buf told;     /* the same, that was told last */
	int64_t last_id;
	struct buf value;
	struct kafka_record record;
};

/* Borrows both for good; NULL: no memory. */
struct outbox_progress *outbox_progress_new(const char *topic, struct health *health);
/* It lives on until the sink has answered, and does nothing more. */
void outbox_progress_free(struct outbox_progress *progress);
/* Whether OUTBOX_REACHED_SQL is to be asked; and its answer. */
bool outbox_progress_asks(const struct outbox_progress *progress);
void outbox_progress_reached(struct outbox_progress *progress, const PGresult *answer);
/* The first row that the relay has read, and those before it have been sent; INT64_MAX: none. */
void outbox_progress_at(struct outbox_progress *progress, int64_t id);
/* Whether OUTBOX_REQUIRED_SQL is to be asked; and its answer, which is told with the rest. */
bool outbox_progress_is_due(const struct outbox_progress *progress);
/* False: it is still due, since the sink is full or memory is out. */
bool outbox_progress_tell(struct outbox_progress *progress, struct kafka_sink *sink,
                          const PGresult *answer);

#endif
