/* SPDX-License-Identifier: MIT */
/*
 * A schedule: what one seed makes of a world, from the first message to the
 * last member's end, and the oracle's verdict on it.
 */
#ifndef SIM_SCHEDULE_H
#define SIM_SCHEDULE_H

#include "sim.h"

struct sim_verdict {
	bool failed;
	char failure[400];
	unsigned lost, doubled;
	uint64_t turns, digest;
	unsigned elements; /* that a commit went past */
	unsigned faults[N_FAULTS];
};

/* Runs it; `traced`: with its timeline on stderr. */
void sim_schedule_run(uint64_t seed, bool traced, struct sim_verdict *verdict);

#endif
