/* SPDX-License-Identifier: MIT */
/*
 * How far events have come, told by the relay of those who publish them
 * (outbox_progress.h) to those who have views of them, over a topic of Kafka.
 *
 * Inside the bus it is a module like others: it stores what it is told, in the order
 * of the topic and exactly once.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include "buf.h"
#include "command_bus.h"

/* Has the bus listen, if one of its modules has a view of events; false after logging why. */
bool progress_join(struct command_bus *bus);
/* Appends statements that tell the database what feeds the tables of the bus's modules. */
void progress_register_sql(const struct command_bus *bus, struct buf *sql);

#endif
