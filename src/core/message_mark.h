/* SPDX-License-Identifier: MIT */
/*
 * A fingerprint of a message: it tells whether a log is still the one that was
 * read.  Kept in cqrs.offsets, so the same message has the same mark in every
 * process and for good.
 */
#ifndef MESSAGE_MARK_H
#define MESSAGE_MARK_H

#include <cqrs/command.h>
#include <stdint.h>

/* Of timestamp, key and value; of long ones only the beginning and the end count. */
int64_t message_mark(const struct cqrs_message *msg);

#endif
