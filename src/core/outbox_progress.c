/* SPDX-License-Identifier: MIT */
/* What the relay tells of its progress. */
#include "outbox_progress.h"

#include "container.h"
#include "pg_value.h"

#include <stdlib.h>

/* All in one partition, so that it comes in order. */
static const char key[] = "progress";

struct outbox_progress *outbox_progress_new(const char *topic, struct health *health)
{
	struct outbox_progress *progress = calloc(1, sizeof *progress);
	if (!progress)
		return NULL;
	progress->topic = topic;
	progress->checks = health;
	progress->wanted = true;
	return progress;
}

static void destroy(struct outbox_progress *progress)
{
	buf_release(&progress->commands);
	buf_release(&progress->told);
	buf_release(&progress->value);
	free(progress);
}

void outbox_progress_free(struct outbox_progress *progress)
{
	if (progress && progress->state == PROGRESS_TELLING)
		progress->is_orphan = true;
	else if (progress)
		destroy(progress);
}

bool outbox_progress_asks(const struct outbox_progress *progress)
{
	return progress->wanted && progress->state == PROGRESS_IDLE;
}

/* Also of a failure to remember it: then it is asked again. */
static bool is_told(const struct outbox_progress *progress, const char *commands, size_t len)
{
	return progress->told.len == len && !memcmp(progress->told.data, commands, len);
}

void outbox_progress_reached(struct outbox_progress *progress, const PGresult *answer)
{
	if (PQntuples(answer) != 1 || PQnfields(answer) != 2)
		return;
	const char *commands = PQgetvalue(answer, 0, 0);
	size_t len = (size_t)PQgetlength(answer, 0, 0);
	progress->wanted = false;
	if (!len || is_told(progress, commands, len))
		return;
	buf_clear(&progress->commands);
	buf_add(&progress->commands, commands, len);
	if (progress->commands.failed) {
		progress->wanted = true;
		return;
	}
	progress->state = PROGRESS_PENDING;
	progress->is_sent = false;
	progress->last_id =
	    PQgetisnull(answer, 0, 1) ? INT64_MIN : (int64_t)pg_get64(PQgetvalue(answer, 0, 1));
}

void outbox_progress_at(struct outbox_progress *progress, int64_t id)
{
	if (progress->state == PROGRESS_PENDING && id > progress->last_id)
		progress->is_sent = true;
}

bool outbox_progress_is_due(const struct outbox_progress *progress)
{
	return progress->state == PROGRESS_PENDING && progress->is_sent;
}

static void on_told(struct kafka_record *record, int32_t partition, int64_t offset,
                    const char *error)
{
	struct outbox_progress *progress = container_of(record, struct outbox_progress, record);
	(void)partition;
	(void)offset;
	progress->state = PROGRESS_IDLE;
	if (progress->is_orphan) {
		destroy(progress);
		return;
	}
	if (!progress->health)
		progress->health = health_add(progress->checks, "outbox progress");
	buf_clear(&progress->told);
	if (error) {
		progress->wanted = true;
		health_fail(progress->health, "%s: %s", progress->topic, error);
	} else {
		buf_add(&progress->told, progress->commands.data, progress->commands.len);
		health_ok(progress->health);
	}
}

bool outbox_progress_tell(struct outbox_progress *progress, struct kafka_sink *sink,
                          const PGresult *answer)
{
	struct buf *value = &progress->value;
	buf_clear(value);
	buf_puts(value, "{\"commands\":");
	buf_add(value, progress->commands.data, progress->commands.len);
	buf_puts(value, ",\"requires\":");
	buf_puts(value, PQgetvalue(answer, 0, 0));
	buf_putc(value, '}');
	progress->record = (struct kafka_record){.topic = progress->topic,
	                                         .partition = KAFKA_PARTITION_ANY,
	                                         .key = key,
	                                         .key_len = sizeof key - 1,
	                                         .value = value->data,
	                                         .value_len = value->len,
	                                         .done = on_told};
	if (value->failed || !kafka_sink_send(sink, &progress->record))
		return false;
	progress->state = PROGRESS_TELLING;
	return true;
}
