/* SPDX-License-Identifier: MIT */
/* Which dead letters are meant. */
#include "letter_filter.h"

#include "pg_value.h"
#include "timestamp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void letter_filter_release(struct letter_filter *filter)
{
	buf_release(&filter->ids);
}

/* A number above 0. */
static bool parse_number(const char *text, int64_t *n)
{
	char *end;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || value <= 0)
		return false;
	*n = value;
	return true;
}

static bool set_number(int64_t *to, const char *name, const char *text, struct buf *error)
{
	if (parse_number(text, to))
		return true;
	buf_printf(error, "%s must be a number above 0, not \"%.40s\"", name, text);
	return false;
}

static bool set_text(char *to, size_t room, const char *name, const char *text, struct buf *error)
{
	size_t len = strlen(text);
	if (len && len < room && pg_value_is_text(text, len)) {
		memcpy(to, text, len + 1);
		return true;
	}
	buf_printf(error, "%s must be text of 1 to %zu bytes", name, room - 1);
	return false;
}

static bool add_id(struct letter_filter *filter, const char *text, struct buf *error)
{
	int64_t id;
	if (!set_number(&id, "an id", text, error))
		return false;
	if (filter->n_ids == LETTER_IDS_MAX) {
		buf_printf(error, "more than %d ids", LETTER_IDS_MAX);
		return false;
	}
	buf_printf(&filter->ids, "%s%" PRId64, filter->n_ids++ ? "," : "", id);
	return true;
}

static bool set_since(struct letter_filter *filter, const char *text, int64_t now_us,
                      struct buf *error)
{
	int64_t us, ago;
	bool is_ago = duration_parse(text, strlen(text), &ago) && ago <= now_us;
	if (is_ago)
		us = now_us - ago;
	if (is_ago || timestamp_parse(text, strlen(text), now_us, &us)) {
		timestamp_format(filter->since, us);
		return true;
	}
	buf_printf(error,
	           "since must be a time such as 2022-03-04T15:55:00Z, or how long ago, such as "
	           "2h, not \"%.40s\"",
	           text);
	return false;
}

static bool set_all(struct letter_filter *filter, const char *text, struct buf *error)
{
	filter->all = !*text || !strcmp(text, "true");
	if (filter->all || !strcmp(text, "false"))
		return true;
	buf_printf(error, "all must be true or false, not \"%.40s\"", text);
	return false;
}

bool letter_filter_set(struct letter_filter *filter, const char *name, const char *text,
                       int64_t now_us, struct buf *error)
{
	if (!strcmp(name, "id"))
		return add_id(filter, text, error);
	if (!strcmp(name, "topic"))
		return set_text(filter->topic, sizeof filter->topic, name, text, error);
	if (!strcmp(name, "reason"))
		return set_text(filter->reason, sizeof filter->reason, name, text, error);
	if (!strcmp(name, "sqlstate"))
		return set_text(filter->sqlstate, sizeof filter->sqlstate, name, text, error);
	if (!strcmp(name, "since"))
		return set_since(filter, text, now_us, error);
	if (!strcmp(name, "before"))
		return set_number(&filter->before, name, text, error);
	if (!strcmp(name, "limit"))
		return set_number(&filter->limit, name, text, error);
	if (!strcmp(name, "all"))
		return set_all(filter, text, error);
	buf_printf(error,
	           "there is no condition \"%.40s\": there are id, topic, reason, sqlstate, since, "
	           "before, limit and all",
	           name);
	return false;
}

bool letter_filter_is_open(const struct letter_filter *filter)
{
	return !filter->n_ids && !*filter->topic && !*filter->reason && !*filter->sqlstate &&
	       !*filter->since && !filter->before;
}
