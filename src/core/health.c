/* SPDX-License-Identifier: MIT */
/* What keeps the process from doing its work right now, and since when. */
#include "health.h"

#include "log.h"
#include "timestamp.h"
#include "utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define REASON_MAX 512

struct health_check {
	struct health *health;
	STAILQ_ENTRY(health_check) link;
	bool ok, was_ok;     /* now; ever */
	int64_t failed_at;   /* loop_now(): how long it lasted */
	int64_t failed_wall; /* for people */
	char reason[REASON_MAX];
	char name[];
};

STAILQ_HEAD(health_list, health_check);

struct health {
	struct loop *loop;
	struct health_list checks;
};

struct health *health_new(struct loop *loop)
{
	struct health *health = calloc(1, sizeof *health);
	if (!health)
		return NULL;
	health->loop = loop;
	STAILQ_INIT(&health->checks);
	return health;
}

void health_free(struct health *health)
{
	struct health_check *check;
	if (!health)
		return;
	while ((check = STAILQ_FIRST(&health->checks))) {
		STAILQ_REMOVE_HEAD(&health->checks, link);
		free(check);
	}
	free(health);
}

static void begin_failure(struct health_check *check)
{
	check->ok = false;
	check->failed_at = loop_now(check->health->loop);
	check->failed_wall = loop_wall_clock(check->health->loop);
}

struct health_check *health_add(struct health *health, const char *name)
{
	struct health_check *check = calloc(1, sizeof *check + strlen(name) + 1);
	if (!check)
		return NULL;
	check->health = health;
	strcpy(check->name, name);
	strcpy(check->reason, "starting");
	begin_failure(check);
	STAILQ_INSERT_TAIL(&health->checks, check, link);
	return check;
}

void health_ok(struct health_check *check)
{
	if (check->ok)
		return;
	double seconds = (double)(loop_now(check->health->loop) - check->failed_at) / 1e6;
	if (check->was_ok)
		log_info("%s: fine again after %.1f s", check->name, seconds);
	else
		log_info("%s: ready", check->name);
	check->ok = check->was_ok = true;
	check->reason[0] = '\0';
}

/* A server's error may have several lines, and bytes that JSON cannot carry. */
static void clean(char *text)
{
	size_t len = strlen(text);
	while (len && (text[len - 1] == '\n' || text[len - 1] == ' '))
		text[--len] = '\0';
	utf8_mend(text);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20)
			*p = ' ';
}

void health_fail(struct health_check *check, const char *fmt, ...)
{
	char reason[REASON_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(reason, sizeof reason, fmt, ap);
	va_end(ap);
	clean(reason);
	if (!check->ok && strcmp(reason, check->reason) == 0)
		return;
	/* Another reason for the same failure does not make it a new one. */
	if (check->ok)
		begin_failure(check);
	strcpy(check->reason, reason);
	log_warning("%s: %s", check->name, reason);
}

bool health_is_ready(const struct health *health)
{
	const struct health_check *check;
	STAILQ_FOREACH (check, &health->checks, link)
		if (!check->ok)
			return false;
	return true;
}

json_t *health_json(const struct health *health)
{
	const struct health_check *check;
	json_t *reasons = json_array();
	bool ok = true;
	STAILQ_FOREACH (check, &health->checks, link) {
		char since[40];
		if (check->ok)
			continue;
		timestamp_format(since, check->failed_wall);
		if (json_array_append_new(reasons,
		                          json_pack("{s:s, s:s, s:s}", "check", check->name,
		                                    "reason", check->reason, "since", since)))
			ok = false;
	}
	if (!ok) {
		json_decref(reasons);
		return NULL;
	}
	return json_pack("{s:b, s:o}", "ready", health_is_ready(health), "reasons", reasons);
}
