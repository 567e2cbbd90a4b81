/* SPDX-License-Identifier: MIT */
/*
 * What the files of the command bus share, and nobody else.
 */
#ifndef COMMAND_BUS_INTERNAL_H
#define COMMAND_BUS_INTERNAL_H

#include "batch.h"
#include "command_bus.h"
#include "command_route.h"
#include "kafka_source.h"
#include "partition.h"
#include "pg_conn.h"
#include "pg_writer.h"

#define COMMAND_TABLES_MAX 64
#define COMMAND_TOPICS_MAX 64
#define LANE_PENDING       256

struct bus_module {
	const struct cqrs_command_module *module;
	void *self;
	bool publishes;
};

struct bus_topic {
	cqrs_handle_fn *handle;
	int module; /* in command_bus.modules */
	struct metric *messages;
};

struct bus_periodic {
	struct command_bus *bus;
	char *sql;
	int64_t period_us;
	struct timer *timer;
	struct pg_request request;
	bool running;
	struct bus_periodic *next;
};

struct bus_lane {
	struct command_bus *bus;
	int index;
	struct pg_writer_config writer_config;
	char name[32];
	struct pg_writer *writer;
	struct cqrs_batch *open;                    /* fills */
	struct cqrs_batch *storing;                 /* the writer's, or empty */
	struct kafka_message pending[LANE_PENDING]; /* taken, not decided */
	int n_pending, next_pending;
	size_t mean_bytes;   /* of the messages that were taken last */
	struct timer *timer; /* to flush, or to go on */
};

struct command_bus {
	struct loop *loop;
	const struct command_bus_config *config;
	struct metrics *metrics;
	struct health *health;
	struct bus_module modules[COMMAND_TOPICS_MAX];
	int n_modules;
	bool projects;         /* one of them does */
	bool views_registered; /* in the database */
	const char *topic_names[COMMAND_TOPICS_MAX];
	struct bus_topic topics[COMMAND_TOPICS_MAX];
	int n_topics;
	struct cqrs_table *tables[COMMAND_TABLES_MAX];
	int n_tables;
	struct cqrs_statement **statements;
	size_t n_statements, cap_statements;
	struct cqrs_decision **decisions;
	size_t n_decisions, cap_decisions;
	char **shadows; /* texts about the shadow of a view */
	size_t n_shadows, cap_shadows;
	struct bus_periodic *periodics;
	struct command_routes routes; /* that nobody has taken */
	struct cqrs_setup *setups;

	struct kafka_source_config source_config;
	struct kafka_source *source;
	struct bus_lane *lanes;
	struct batch_peers batches; /* two for each lane, and those of guests */
	size_t batch_bytes;         /* a batch that has more is full */
	size_t pending_bytes;       /* about as much may be taken and not decided, by a lane */
	struct bus_lane *alone; /* waits with a large message until the others have ended theirs */
	bool is_left;           /* some lane did not take what it could have taken */
	loop_fn *on_events, *on_drained;
	void *events_arg, *drained_arg;
	bool draining;

	/* positions: command_positions.c */
	struct partition *partitions; /* ours; while the group takes them back, the old ones */
	size_t n_partitions;
	struct kafka_position *assigned; /* given, not yet adopted */
	size_t n_assigned;
	bool has_assigned, owned, started, revoking, asking;
	bool locate_again;   /* some have to be located anew */
	bool fetch_again;    /* not all of them could be fetched */
	bool forget_offsets; /* they are of another broker */
	int64_t start_us;
	struct pg_conn_config control_config;
	struct buf control_setup;
	struct pg_conn *control;
	struct pg_request request; /* about offsets and gaps; one at a time */
	struct buf sql;
	struct timer *locate_timer, *report_timer, *revoke_timer;
	int locate_tries;
	struct health_check *kafka, *control_health;

	/* command_gaps.c */
	struct timer *doubt_timer;
	struct kafka_position recording; /* the gap that the request is about */
	bool recorded_anew;
	bool gap_is_blocked; /* a member that sleeps has the offset */
	struct health_check *gaps;
	struct metric *gaps_found[GAP_REASONS];
	struct metric *gap_messages;
	struct metric *evictions[2]; /* "session", "poll" */
};

/* command_bus.c */
void lane_pump(struct bus_lane *lane);
/* Forgets what was taken and not stored, but for the batch that is being stored. */
void lane_forget(struct bus_lane *lane);
/* Forgets what was taken of one partition and not decided. */
void lane_drop(struct bus_lane *lane, const struct partition *partition);
struct bus_lane *bus_lane(const struct command_bus *bus, const struct partition *partition);
struct partition *bus_partition(const struct command_bus *bus, int topic, int32_t partition);

/* command_room.c */
void room_init(struct command_bus *bus);
/* How many messages to take at once, 0: not now, the lane is woken; then tell of it. */
int room_for_messages(const struct bus_lane *lane);
void room_took(struct bus_lane *lane);
/* False: what the lane has is to be stored first, or what others have. */
bool room_for_next(struct bus_lane *lane);
/* Something of this lane is stored, or dropped: then it may not have the large one any more. */
void room_was_made(struct bus_lane *lane, bool dropped);

/* command_positions.c */
bool positions_init(struct command_bus *bus);
/* Before the group is joined: it can be told what is away. */
bool positions_start(struct command_bus *bus);
void positions_release(struct command_bus *bus);
/* Finds out where the partitions stand that we do not know of. */
void positions_locate(struct command_bus *bus);
bool writers_are_idle(const struct command_bus *bus);
/* The fence was lost: find out where the lane's partitions stand. */
void positions_lost(struct command_bus *bus, const struct bus_lane *lane);
/* Sends `sql` over the control connection. */
void positions_ask(struct command_bus *bus, pg_result_fn *on_result, pg_done_fn *done);
/* Tries again what could not be done, after a while. */
void positions_retry(struct command_bus *bus);
/* Fetches the partitions that are to be read, from where they are. */
void positions_fetch(struct command_bus *bus);

/* command_gaps.c */
bool gaps_init(struct command_bus *bus);
bool gaps_start(struct command_bus *bus);
void gaps_release(struct command_bus *bus);
/* What came out of a lane: true if it is a message to be decided, that is next or later. */
bool gaps_admit(struct command_bus *bus, struct partition *partition,
                const struct kafka_message *item);
/* All that is read may be of other logs from now on. */
void gaps_doubt_all(struct command_bus *bus);
/* Records the next gap that was found, if there is one and the connection is free. */
void gaps_record(struct command_bus *bus);
/* Says which partitions are halted. */
void gaps_tell(struct command_bus *bus);

/* command_group.c */
extern const struct kafka_source_events positions_events;
/* A writer has become idle: go on with what waited for it. */
void positions_writer_idle(struct command_bus *bus);
void positions_on_revoke_timer(void *bus);

/* command_setup.c */
void setup_release(struct command_bus *bus);
/* Begins with the statements that modules want run from time to time. */
bool periodics_start(struct command_bus *bus);

/* command_status.c */
void status_init(struct command_bus *bus);

#endif
