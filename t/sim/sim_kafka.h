/* SPDX-License-Identifier: MIT */
/*
 * A Kafka cluster of one group: kafka_source.h on the logs of sim_log.h.
 *
 * The coordinator knows who is a member, by its heartbeats.  When that changes
 * it waits until all have given their partitions back, or have been silent for
 * too long, and then deals the partitions out anew, as chance has it.
 */
#ifndef SIM_KAFKA_H
#define SIM_KAFKA_H

#include "kafka_source.h"
#include "sim.h"
#include "sim_log.h"

#define SIM_SEATS 40

/* What the coordinator knows of a member. */
struct seat {
	struct kafka_source *source; /* NULL: killed, which only its silence tells */
	int member;
	int64_t heard, session_timeout;
	bool joined; /* has given its partitions back, and waits for new ones */
};

struct sim_cluster {
	struct seat seats[SIM_SEATS];
	int n_seats;
	int generation;
	bool rebalancing;
	int64_t rebalance_until; /* who has not come back by then is out */
	int64_t away_until;      /* no broker can be reached */
	struct timer *check;
	int loans; /* messages that nobody has given back yet */
};

void sim_cluster_init(struct sim *sim);
void sim_cluster_release(struct sim *sim);
void sim_cluster_rebalance(struct sim *sim, const char *why);
/* There is more to fetch. */
void sim_cluster_wake(struct sim *sim);

/* ---- between the coordinator and its members ---- */

void coordinator_join(struct sim *sim, struct kafka_source *source, int member,
                      int64_t session_timeout);
void coordinator_leave(struct sim *sim, struct kafka_source *source);
/* It was killed. */
void coordinator_forget(struct sim *sim, struct kafka_source *source);
/* What a heartbeat is answered; NULL: that one is no member. */
const struct seat *coordinator_hear(struct sim *sim, struct kafka_source *source);

/* sim_source.c: the answer to joining; there is more to fetch. */
void source_give(struct kafka_source *source, int generation, const int *logs, int n);
void source_wake(struct kafka_source *source);

#endif
