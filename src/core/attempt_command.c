/* SPDX-License-Identifier: MIT */
/* The commands of an attempt: which were applied before, and the outcomes of the others. */
#include "attempt.h"

#include "batch_command.h"
#include "dead_letter.h"
#include "pg_value.h"
#include "utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KNOWN "cqrs_known"

bool attempt_has_commands(const struct attempt *attempt)
{
	return attempt->low_command < attempt->high_command;
}

void attempt_choose_commands(struct attempt *attempt)
{
	attempt->low_command = batch_first_command(attempt->batch, attempt->low);
	attempt->high_command = batch_first_command(attempt->batch, attempt->high);
}

static const struct dead_letter *letter_of(const struct attempt *attempt,
                                           const struct batch_command *command)
{
	return attempt->batch->messages[command->message].letter;
}

/* A part that is refused again says nothing new of its message. */
static bool has_outcome(const struct attempt *attempt, const struct batch_command *command)
{
	const struct dead_letter *letter = letter_of(attempt, command);
	if (command->repeated || command->shadowed)
		return false;
	return !letter || letter->part_index < 0 || !command->refused;
}

/* Appends the ids of the commands of the range, or only of those with an outcome. */
static void add_ids(const struct attempt *attempt, struct buf *sql, bool outcomes)
{
	const char *comma = "";
	buf_puts(sql, "'{");
	for (size_t i = attempt->low_command; i < attempt->high_command; i++) {
		char text[36];
		const struct batch_command *command = &attempt->batch->commands[i];
		if (outcomes && !has_outcome(attempt, command))
			continue;
		pg_uuid_format(text, command->id);
		buf_puts(sql, comma);
		buf_add(sql, text, sizeof text);
		comma = ",";
	}
	buf_puts(sql, "}'::uuid[]");
}

/* ---- applied before ---- */

/* Who tries a dead letter again wants it to be applied whatever became of it. */
static bool is_redriven(const struct attempt *attempt)
{
	return attempt->batch->messages[attempt->low].letter;
}

void attempt_known_sql(const struct attempt *attempt, struct buf *sql)
{
	if (!attempt_has_commands(attempt) || is_redriven(attempt))
		return;
	/* One look-up for each: without OFFSET all of a large table might be read. */
	buf_puts(sql, "SELECT u.n AS " KNOWN " FROM unnest(");
	add_ids(attempt, sql, false);
	buf_puts(sql, ") WITH ORDINALITY AS u (id, n) WHERE EXISTS (SELECT FROM cqrs.outcomes o"
	              " WHERE o.command_id = u.id OFFSET 0);");
}

bool attempt_read_known(const struct attempt *attempt, const PGresult *answer)
{
	int n = PQntuples(answer);
	if (PQnfields(answer) != 1 || strcmp(PQfname(answer, 0), KNOWN) != 0)
		return false;
	for (int i = 0; i < n; i++) {
		size_t at = attempt->low_command + strtoul(PQgetvalue(answer, i, 0), NULL, 10) - 1;
		batch_repeat(attempt->batch, &attempt->batch->commands[at]);
	}
	return n > 0;
}

/* ---- outcomes ---- */

void attempt_settle(struct attempt *attempt)
{
	struct cqrs_batch *batch = attempt->batch;
	attempt->n_outcomes = attempt->n_refused_commands = attempt->n_repeated = 0;
	attempt->waited = false;
	if (!attempt_has_commands(attempt))
		return;
	batch_settle(batch, attempt->low_command, attempt->high_command);
	for (size_t i = attempt->low_command; i < attempt->high_command; i++) {
		const struct batch_command *command = &batch->commands[i];
		attempt->n_outcomes += has_outcome(attempt, command);
		attempt->n_refused_commands += !command->repeated && command->refused;
		attempt->n_repeated += command->repeated;
		attempt->waited |= command->waited;
	}
	attempt->n_dead = 0;
	for (size_t i = 0; i < batch->n_refusals; i++)
		attempt->n_dead += attempt_is_dead_letter(attempt, i);
}

void attempt_outcomes_sql(struct attempt *attempt, struct buf *sql)
{
	if (attempt->n_outcomes && is_redriven(attempt)) {
		buf_puts(sql, "DELETE FROM cqrs.outcomes WHERE command_id = ANY (");
		add_ids(attempt, sql, true);
		buf_puts(sql, ");");
	}
	if (attempt->n_outcomes) {
		buf_puts(sql, "COPY cqrs.outcomes (command_id, topic, partition, \"offset\", "
		              "status, reason, body) FROM STDIN BINARY;");
		attempt_add_copy(attempt, ATTEMPT_OUTCOMES, 0);
	}
	if (attempt->waited)
		buf_puts(sql, "SELECT pg_notify('cqrs_outcomes', '');");
}

/* What is to be said to people; empty: nothing. */
struct saying {
	char text[600];
	const char *reason;
	size_t len;
};

static void find_reason(const struct attempt *attempt, const struct batch_command *command,
                        struct saying *saying)
{
	const struct cqrs_batch *batch = attempt->batch;
	*saying = (struct saying){.text = ""};
	if (command->refusal == UINT32_MAX) {
		saying->len = command->reason_len;
		if (saying->len)
			saying->reason = batch->said.data + command->reason;
		return;
	}
	saying->reason = batch->refusals[command->refusal].reason;
	if (!command->refused) {
		snprintf(saying->text, sizeof saying->text, "refused parts: %u, the first: %s",
		         command->n_refusals, saying->reason);
		utf8_mend(saying->text); /* it may have been cut off */
		saying->reason = saying->text;
	}
	saying->len = strlen(saying->reason);
}

static int status_of(const struct attempt *attempt, const struct batch_command *command)
{
	if (command->refused)
		return batch_refusal_status(&attempt->batch->refusals[command->refusal]);
	return command->status ? command->status : 200;
}

/* Bytes that are as PostgreSQL wants them: text, a uuid, jsonb. */
static struct cqrs_value bytes(const void *data, size_t len)
{
	return len ? cqrs_bytes(CQRS_BYTEA, data, len) : cqrs_null(CQRS_BYTEA);
}

void attempt_add_outcome(struct attempt *attempt, size_t number)
{
	const struct cqrs_batch *batch = attempt->batch;
	const struct batch_command *command = &batch->commands[number];
	const struct cqrs_message *msg = &batch->messages[command->message].kafka.message;
	struct saying saying;
	if (!has_outcome(attempt, command))
		return;
	find_reason(attempt, command, &saying);
	const struct cqrs_value fields[] = {
	    bytes(command->id, sizeof command->id),
	    bytes(msg->topic, strlen(msg->topic)),
	    cqrs_int4(msg->partition),
	    cqrs_int8(msg->offset),
	    cqrs_int2((int16_t)status_of(attempt, command)),
	    bytes(saying.reason, saying.len),
	    bytes(batch->said.data + command->body, command->body_len),
	};
	buf_put16(&attempt->chunk, sizeof fields / sizeof *fields);
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		pg_value_add_field(&attempt->chunk, &fields[i]);
}
