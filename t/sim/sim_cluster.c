/* SPDX-License-Identifier: MIT */
/* The coordinator of a simulated consumer group. */
#include "sim_kafka.h"

#define CHECK_US (500 * MS)

static struct seat *find_seat(struct sim_cluster *cluster, const struct kafka_source *source)
{
	for (int i = 0; i < cluster->n_seats; i++)
		if (cluster->seats[i].source == source)
			return &cluster->seats[i];
	return NULL;
}

/* ---- dealing out ---- */

static void deal_out(struct sim *sim)
{
	struct sim_cluster *cluster = sim->cluster;
	int logs[SIM_SEATS][SIM_LOGS], n[SIM_SEATS] = {0};
	cluster->rebalancing = false;
	cluster->generation++;
	for (int i = 0; i < sim->logs->n; i++) {
		if (!sim->logs->logs[i].exists)
			continue;
		int who = (int)sim_random(sim, (uint32_t)cluster->n_seats);
		logs[who][n[who]++] = i;
	}
	for (int i = 0; i < cluster->n_seats; i++) {
		struct seat *seat = &cluster->seats[i];
		say(sim, seat->member, "generation %d: %d partitions", cluster->generation, n[i]);
		seat->joined = false;
		if (seat->source)
			source_give(seat->source, cluster->generation, logs[i], n[i]);
	}
}

static void deal_out_if_all_are_there(struct sim *sim)
{
	struct sim_cluster *cluster = sim->cluster;
	for (int i = 0; i < cluster->n_seats; i++)
		if (!cluster->seats[i].joined)
			return;
	if (cluster->rebalancing && cluster->n_seats)
		deal_out(sim);
}

void sim_cluster_rebalance(struct sim *sim, const char *why)
{
	struct sim_cluster *cluster = sim->cluster;
	if (!cluster->rebalancing) {
		say(sim, -1, "group: %s, begins anew", why);
		cluster->rebalance_until = sim->now + sim_between(sim, 5000, 15000) * MS;
	}
	cluster->rebalancing = true;
	deal_out_if_all_are_there(sim);
}

/* ---- members ---- */

static void put_out(struct sim *sim, struct seat *seat, const char *why)
{
	struct sim_cluster *cluster = sim->cluster;
	say(sim, seat->member, "is out of the group: %s", why);
	*seat = cluster->seats[--cluster->n_seats];
}

void coordinator_join(struct sim *sim, struct kafka_source *source, int member,
                      int64_t session_timeout)
{
	struct sim_cluster *cluster = sim->cluster;
	struct seat *seat = find_seat(cluster, source);
	if (!seat) {
		if (cluster->n_seats == SIM_SEATS)
			sim_abort(sim, "more than %d members", SIM_SEATS);
		seat = &cluster->seats[cluster->n_seats++];
	}
	*seat = (struct seat){source, member, sim->now, session_timeout, true};
	sim_cluster_rebalance(sim, "somebody joins");
}

void coordinator_leave(struct sim *sim, struct kafka_source *source)
{
	struct seat *seat = find_seat(sim->cluster, source);
	if (!seat)
		return;
	put_out(sim, seat, "it left");
	sim_cluster_rebalance(sim, "somebody left");
}

void coordinator_forget(struct sim *sim, struct kafka_source *source)
{
	struct seat *seat = find_seat(sim->cluster, source);
	if (seat)
		seat->source = NULL;
}

const struct seat *coordinator_hear(struct sim *sim, struct kafka_source *source)
{
	struct seat *seat = find_seat(sim->cluster, source);
	if (seat)
		seat->heard = sim->now;
	return seat;
}

static void on_check(void *arg)
{
	struct sim *sim = arg;
	struct sim_cluster *cluster = sim->cluster;
	bool any = false;
	for (int i = cluster->n_seats; i-- > 0;) {
		struct seat *seat = &cluster->seats[i];
		bool silent = sim->now - seat->heard > seat->session_timeout;
		bool late =
		    cluster->rebalancing && sim->now > cluster->rebalance_until && !seat->joined;
		if (silent || late)
			put_out(sim, seat, silent ? "silent for too long" : "too late");
		any |= silent || late;
	}
	if (any || sim_fault(sim, FAULT_REBALANCE, -1))
		sim_cluster_rebalance(sim, any ? "somebody is gone" : "it pleases");
	timer_arm(cluster->check, CHECK_US);
}

void sim_cluster_wake(struct sim *sim)
{
	for (int i = 0; i < sim->cluster->n_seats; i++)
		if (sim->cluster->seats[i].source)
			source_wake(sim->cluster->seats[i].source);
}

void sim_cluster_init(struct sim *sim)
{
	sim->cluster->check = timer_new(sim->outside, on_check, sim);
	timer_arm(sim->cluster->check, CHECK_US);
}

void sim_cluster_release(struct sim *sim)
{
	timer_free(sim->cluster->check);
}
