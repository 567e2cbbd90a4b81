/* SPDX-License-Identifier: MIT */
/* kafka_source.h on the simulated cluster: a member, its fetchers, its lanes. */
#include "sim_kafka.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define LANE_MAX     64 /* who does not take is not sent more */
#define HEARTBEAT_US (1000 * MS)

struct entry {
	STAILQ_ENTRY(entry) link;
	enum kafka_kind kind;
	int log;
	int64_t offset;
	const struct sim_record *record;
	bool outdated; /* fetched before the last start: nobody gets it, but there it is */
};
STAILQ_HEAD(entries, entry);

/* A copy of its own, so that who looks into it too late is found out. */
struct loan {
	struct sim *sim;
	const struct sim_record *record;
	char value[2 * SIM_ELEMENTS];
};

struct lane {
	struct kafka_source *source;
	int index, n;
	struct entries entries;
	struct timer *tell; /* on_messages() */
};

struct fetcher {
	bool active;
	int64_t position;
	bool told_end, told_range; /* since it last moved */
};

/* One of two questions at a time. */
struct resolution {
	struct kafka_position *list;
	size_t n;
	kafka_resolved_fn *resolved;
	kafka_ranges_fn *ranged;
};

/* As the member sees itself. */
enum source_state {
	SOURCE_OUT,      /* is to join */
	SOURCE_JOINING,  /* waits to be given partitions */
	SOURCE_GIVEN,    /* on_assigned() was called */
	SOURCE_REVOKING, /* on_revoked() was called */
};

struct kafka_source {
	struct sim *sim;
	struct loop *loop;
	int member;
	const struct kafka_source_config *config;
	const struct kafka_source_events *events;
	void *owner;
	enum source_state state;
	struct lane *lanes;
	struct fetcher fetchers[SIM_LOGS];
	struct timer *heartbeat, *fetch, *give, *resolve, *brokers;
	struct resolution resolution;
	bool brokers_away;
	/* what the group gave us, and is yet to be told */
	int given_generation, given[SIM_LOGS], n_given;
};

static loop_fn on_tell, on_heartbeat, on_fetch, on_give, on_resolve, on_brokers;

/* ---- life ---- */

struct kafka_source *kafka_source_new(struct loop *loop, const struct kafka_source_config *config,
                                      const struct kafka_source_events *events, void *owner)
{
	struct kafka_source *source = calloc(1, sizeof *source);
	assert(source);
	*source = (struct kafka_source){.sim = sim_of(loop),
	                                .loop = loop,
	                                .member = sim_member_of(loop),
	                                .config = config,
	                                .events = events,
	                                .owner = owner};
	source->lanes = calloc((size_t)config->lanes, sizeof *source->lanes);
	assert(source->lanes);
	for (int i = 0; i < config->lanes; i++) {
		struct lane *lane = &source->lanes[i];
		*lane = (struct lane){.source = source, .index = i};
		STAILQ_INIT(&lane->entries);
		lane->tell = timer_new(loop, on_tell, lane);
	}
	source->heartbeat = timer_new(loop, on_heartbeat, source);
	source->fetch = timer_new(loop, on_fetch, source);
	source->give = timer_new(loop, on_give, source);
	source->resolve = timer_new(loop, on_resolve, source);
	source->brokers = timer_new(loop, on_brokers, source);
	return source;
}

static void join(struct kafka_source *source)
{
	source->state = SOURCE_JOINING;
	coordinator_join(source->sim, source, source->member, source->config->session_timeout_us);
}

bool kafka_source_open(struct kafka_source *source)
{
	timer_arm(source->heartbeat, sim_delay(source->sim, HEARTBEAT_US));
	return true;
}

static void drop(struct lane *lane)
{
	struct entry *entry;
	while ((entry = STAILQ_FIRST(&lane->entries))) {
		STAILQ_REMOVE_HEAD(&lane->entries, link);
		free(entry);
	}
	lane->n = 0;
}

/* What was fetched is outdated, but stays in the lanes, which do not become empty by it. */
static void stop_fetching(struct kafka_source *source)
{
	struct entry *entry;
	memset(source->fetchers, 0, sizeof source->fetchers);
	for (int i = 0; i < source->config->lanes; i++)
		STAILQ_FOREACH (entry, &source->lanes[i].entries, link)
			entry->outdated = true;
}

void kafka_source_free(struct kafka_source *source)
{
	if (!source)
		return;
	for (int i = 0; i < source->config->lanes; i++)
		drop(&source->lanes[i]);
	if (sim_loop_is_crashed(source->loop))
		coordinator_forget(source->sim, source);
	else
		coordinator_leave(source->sim, source);
	for (int i = 0; i < source->config->lanes; i++)
		timer_free(source->lanes[i].tell);
	timer_free(source->heartbeat);
	timer_free(source->fetch);
	timer_free(source->give);
	timer_free(source->resolve);
	timer_free(source->brokers);
	free(source->resolution.list);
	free(source->lanes);
	free(source);
}

/* ---- the group ---- */

/* The answer is on its way; the member may be stopped, or the group be on again by then. */
void source_give(struct kafka_source *source, int generation, const int *logs, int n)
{
	source->given_generation = generation;
	source->n_given = n;
	memcpy(source->given, logs, (size_t)n * sizeof *logs);
	timer_arm(source->give, sim_delay(source->sim, 500 * MS));
}

static void tell_given(struct kafka_source *source)
{
	struct kafka_position list[SIM_LOGS];
	for (int i = 0; i < source->n_given; i++) {
		const struct sim_log *log = &source->sim->logs->logs[source->given[i]];
		list[i] = (struct kafka_position){log->topic, log->partition, KAFKA_OFFSET_UNKNOWN};
	}
	source->state = SOURCE_GIVEN;
	say(source->sim, source->member, "is given %d partitions", source->n_given);
	source->events->on_assigned(source->owner, list, (size_t)source->n_given);
}

static void on_give(void *arg)
{
	struct kafka_source *source = arg;
	if (source->state != SOURCE_JOINING)
		return;
	/* Of a generation that is over: mostly the broker says so at once. */
	if (source->given_generation != source->sim->cluster->generation &&
	    sim_chance(source->sim, 70)) {
		join(source);
		return;
	}
	tell_given(source);
}

static void revoke(struct kafka_source *source, const char *why)
{
	say(source->sim, source->member, "is to give its partitions back: %s", why);
	source->state = SOURCE_REVOKING;
	source->events->on_revoked(source->owner, NULL);
}

static void on_heartbeat(void *arg)
{
	struct kafka_source *source = arg;
	struct sim *sim = source->sim;
	timer_arm(source->heartbeat, HEARTBEAT_US / 2 + sim_random(sim, HEARTBEAT_US));
	if (sim->now < sim->cluster->away_until)
		return;
	const struct seat *seat = coordinator_hear(sim, source);
	if (source->state == SOURCE_OUT)
		join(source);
	else if (source->state == SOURCE_GIVEN && !seat)
		revoke(source, "no longer a member");
	else if (source->state == SOURCE_GIVEN && sim->cluster->rebalancing && !seat->joined)
		revoke(source, "the group begins anew");
	else if (source->state == SOURCE_GIVEN && !sim_random(sim, 50))
		tell_given(source); /* anew, without taking them back first */
	else if (source->state == SOURCE_JOINING && !(seat && seat->joined) &&
	         !timer_is_armed(source->give))
		join(source);
}

static void on_brokers(void *arg)
{
	struct kafka_source *source = arg;
	int64_t left = source->sim->cluster->away_until - source->sim->now;
	source->brokers_away = left > 0;
	if (left > 0) {
		timer_arm(source->brokers, left + 1);
		source->events->on_brokers(source->owner, "all brokers are away");
	} else {
		source->events->on_brokers(source->owner, NULL);
		source->events->on_doubt(source->owner);
		source_wake(source);
	}
}

/* ---- fetching ---- */

static void put(struct kafka_source *source, int log, enum kafka_kind kind, int64_t offset,
                const struct sim_record *record)
{
	int32_t partition = source->sim->logs->logs[log].partition;
	struct lane *lane = &source->lanes[partition % source->config->lanes];
	struct entry *entry = calloc(1, sizeof *entry);
	assert(entry);
	*entry = (struct entry){.kind = kind, .log = log, .offset = offset, .record = record};
	STAILQ_INSERT_TAIL(&lane->entries, entry, link);
	if (lane->n++ == 0)
		timer_arm(lane->tell, sim_delay(source->sim, 10 * MS));
}

static void on_tell(void *arg)
{
	struct lane *lane = arg;
	lane->source->events->on_messages(lane->source->owner, lane->index);
}

/* The first record at or behind the position; NULL: none yet. */
static const struct sim_record *next_record(const struct sim_log *log, int64_t position)
{
	for (int i = 0; i < log->n; i++)
		if (log->records[i].offset >= position)
			return &log->records[i];
	return NULL;
}

static bool is_full(const struct kafka_source *source, int log)
{
	int32_t partition = source->sim->logs->logs[log].partition;
	return source->lanes[partition % source->config->lanes].n >= LANE_MAX;
}

/* What was delivered comes once more, in order. */
static void go_back(struct kafka_source *source, struct fetcher *fetcher, const struct sim_log *log)
{
	if (fetcher->position <= log->begin + 1 ||
	    !sim_fault(source->sim, FAULT_AGAIN, source->member))
		return;
	fetcher->position -= sim_between(source->sim, 1, 5);
	if (fetcher->position < log->begin)
		fetcher->position = log->begin;
}

static void fetch(struct kafka_source *source, int number)
{
	struct fetcher *fetcher = &source->fetchers[number];
	const struct sim_log *log = &source->sim->logs->logs[number];
	const struct sim_record *record;
	if (!fetcher->active || is_full(source, number))
		return;
	if (fetcher->position < log->begin || fetcher->position > log->end) {
		if (!fetcher->told_range)
			put(source, number, KAFKA_LOST, fetcher->position, NULL);
		fetcher->told_range = true;
		return;
	}
	go_back(source, fetcher, log);
	for (int n = sim_between(source->sim, 1, 12);
	     n && (record = next_record(log, fetcher->position)); n--) {
		put(source, number, KAFKA_MESSAGE, record->offset, record);
		fetcher->position = record->offset + 1;
		fetcher->told_end = false;
	}
	if (next_record(log, fetcher->position) || fetcher->told_end)
		return;
	fetcher->position = log->end;
	fetcher->told_end = true;
	put(source, number, KAFKA_END, log->end, NULL);
}

static bool has_more(const struct kafka_source *source)
{
	for (int i = 0; i < source->sim->logs->n; i++) {
		const struct fetcher *fetcher = &source->fetchers[i];
		if (fetcher->active && !is_full(source, i) &&
		    (!fetcher->told_end ||
		     next_record(&source->sim->logs->logs[i], fetcher->position)))
			return true;
	}
	return false;
}

void source_wake(struct kafka_source *source)
{
	if (!timer_is_armed(source->fetch) && has_more(source))
		timer_arm(source->fetch, sim_delay(source->sim, 100 * MS));
}

static void on_fetch(void *arg)
{
	struct kafka_source *source = arg;
	struct sim *sim = source->sim;
	if (sim_fault(sim, FAULT_BROKERS, source->member))
		sim->cluster->away_until = sim->now + sim_delay(sim, 20 * SEC);
	if (sim->now < sim->cluster->away_until) {
		if (!timer_is_armed(source->brokers))
			timer_arm(source->brokers, sim_delay(sim, SEC));
		return;
	}
	if (sim_fault(sim, FAULT_DOUBT, source->member))
		source->events->on_doubt(source->owner);
	for (int i = 0; i < sim->logs->n; i++)
		if (sim_chance(sim, 60))
			fetch(source, i);
	source_wake(source);
}

static struct fetcher *fetcher_of(struct kafka_source *source,
                                  const struct kafka_position *position, int *log)
{
	*log = sim_log_find(source->sim, position->topic, position->partition);
	if (*log < 0)
		sim_abort(source->sim, "no such partition");
	return &source->fetchers[*log];
}

static bool is_given(const struct kafka_source *source, int log)
{
	for (int i = 0; i < source->n_given; i++)
		if (source->given[i] == log)
			return true;
	return false;
}

bool kafka_source_start(struct kafka_source *source, const struct kafka_position *list, size_t n)
{
	int log;
	if (source->state != SOURCE_GIVEN)
		sim_abort(source->sim, "kafka_source_start() without on_assigned()");
	stop_fetching(source);
	for (size_t i = 0; i < n; i++) {
		struct fetcher *fetcher = fetcher_of(source, &list[i], &log);
		if (!is_given(source, log))
			sim_abort(source->sim, "begins to fetch what it was not given");
		*fetcher = (struct fetcher){.active = true, .position = list[i].offset};
		if (list[i].offset < 0)
			sim_abort(source->sim, "begins to fetch at %d", (int)list[i].offset);
	}
	source_wake(source);
	return true;
}

void kafka_source_stop(struct kafka_source *source, const struct kafka_position *position)
{
	int log;
	fetcher_of(source, position, &log)->active = false;
}

void kafka_source_release(struct kafka_source *source)
{
	if (source->state != SOURCE_REVOKING)
		sim_abort(source->sim, "kafka_source_release() without on_revoked()");
	stop_fetching(source);
	join(source);
}

/* ---- messages ---- */

static void lend(struct kafka_source *source, const struct entry *entry, struct kafka_message *out)
{
	const struct sim_log *log = &source->sim->logs->logs[entry->log];
	*out = (struct kafka_message){.topic = log->topic,
	                              .kind = entry->kind,
	                              .message = {.topic = source->config->topics[log->topic],
	                                          .partition = log->partition,
	                                          .offset = entry->offset}};
	if (entry->kind != KAFKA_MESSAGE)
		return;
	int len = entry->record->len;
	struct loan *loan = malloc(sizeof *loan);
	assert(loan);
	loan->sim = source->sim;
	loan->record = entry->record;
	memcpy(loan->value, entry->record->value, (size_t)len);
	source->sim->cluster->loans++;
	out->handle = loan;
	out->message.value = len ? loan->value : NULL;
	out->message.value_len = (size_t)len;
}

int kafka_source_take(struct kafka_source *source, int number, struct kafka_message *out, int max)
{
	struct lane *lane = &source->lanes[number];
	struct entry *entry;
	int n = 0;
	if (sim_chance(source->sim, 30))
		max = sim_between(source->sim, 1, max < 8 ? max : 8);
	while (n < max && (entry = STAILQ_FIRST(&lane->entries))) {
		STAILQ_REMOVE_HEAD(&lane->entries, link);
		lane->n--;
		if (!entry->outdated)
			lend(source, entry, &out[n++]);
		free(entry);
	}
	source_wake(source); /* there is room, also of what was outdated */
	return n;
}

bool kafka_message_headers(const struct kafka_message *msg, struct cqrs_header **headers, size_t *n)
{
	const struct loan *loan = msg->handle;
	const struct sim_record *record = loan->record;
	*headers = NULL;
	*n = 0;
	if (!record->command)
		return true;
	struct cqrs_header *list = calloc(2, sizeof *list);
	assert(list);
	list[0] = (struct cqrs_header){"command-id", record->id, strlen(record->id)};
	list[1] = (struct cqrs_header){"prefer", "wait", 4};
	*headers = list;
	*n = record->waited ? 2 : 1;
	return true;
}

void kafka_message_free(struct kafka_message *msg)
{
	struct loan *loan = msg->handle;
	msg->handle = NULL;
	if (!loan)
		return;
	loan->sim->cluster->loans--;
	free(loan);
}

/* ---- where they begin and end ---- */

static bool ask(struct kafka_source *source, const struct kafka_position *list, size_t n)
{
	if (timer_is_armed(source->resolve))
		return false;
	source->resolution = (struct resolution){.n = n};
	source->resolution.list = calloc(n + 1, sizeof *list);
	assert(source->resolution.list);
	memcpy(source->resolution.list, list, n * sizeof *list);
	timer_arm(source->resolve, sim_delay(source->sim, 2 * SEC));
	return true;
}

bool kafka_source_resolve(struct kafka_source *source, const struct kafka_position *list, size_t n,
                          int64_t start_us, kafka_resolved_fn *done)
{
	(void)start_us;
	if (!ask(source, list, n))
		return false;
	source->resolution.resolved = done;
	return true;
}

bool kafka_source_ask_ranges(struct kafka_source *source, const struct kafka_position *list,
                             size_t n, kafka_ranges_fn *done)
{
	if (!ask(source, list, n))
		return false;
	source->resolution.ranged = done;
	return true;
}

static void on_resolve(void *arg)
{
	struct kafka_source *source = arg;
	struct sim *sim = source->sim;
	struct resolution r = source->resolution;
	bool failed =
	    sim->now < sim->cluster->away_until || sim_fault(sim, FAULT_RESOLVE, source->member);
	struct kafka_range *ranges = calloc(r.n + 1, sizeof *ranges);
	assert(ranges);
	source->resolution.list = NULL;
	for (size_t i = 0; i < r.n; i++) {
		const struct sim_log *log =
		    &sim->logs->logs[sim_log_find(sim, r.list[i].topic, r.list[i].partition)];
		ranges[i] = (struct kafka_range){.position = r.list[i],
		                                 .first = log->begin,
		                                 .end = log->end,
		                                 .error = {failed ? '?' : '\0'}};
		r.list[i].offset = log->begin;
	}
	if (r.resolved)
		r.resolved(source->owner, r.list, r.n, failed ? "no answer" : NULL);
	else
		r.ranged(source->owner, ranges, r.n);
	free(ranges);
	free(r.list);
}

void kafka_source_report(struct kafka_source *source, const struct kafka_position *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int log = sim_log_find(source->sim, list[i].topic, list[i].partition);
		if (list[i].offset > source->sim->logs->logs[log].stored)
			sim_fail(source->sim,
			         "wrong: Kafka is told of offset %d, which is not stored",
			         (int)list[i].offset);
	}
}

int64_t kafka_source_end(struct kafka_source *source, const struct kafka_position *position)
{
	int log = sim_log_find(source->sim, position->topic, position->partition);
	return log < 0 ? -1 : source->sim->logs->logs[log].end;
}
