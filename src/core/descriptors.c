/* SPDX-License-Identifier: MIT */
/* How many descriptors the process may have open, and how many of them clients get. */
#include "descriptors.h"

#include "log.h"

#include <inttypes.h>
#include <sys/resource.h>

/* For connections to PostgreSQL (80 at most) and to brokers, the admin listener's clients (128),
 * and clients that are only told that they are too many (64). */
#define RESERVED 512

int64_t descriptors_for_clients(int64_t clients)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return clients;
	rlim_t wanted = (rlim_t)clients + RESERVED;
	if (limit.rlim_cur < wanted) {
		limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur >= wanted)
		return clients;
	/* A very low limit is shared evenly. */
	rlim_t reserved = limit.rlim_cur / 2 < RESERVED ? limit.rlim_cur / 2 : RESERVED;
	int64_t possible = (int64_t)(limit.rlim_cur - reserved);
	log_warning("http: the process may open %" PRIu64 " files (RLIMIT_NOFILE), which is enough "
	            "for %" PRId64 " clients, not for max_connections: %" PRId64,
	            (uint64_t)limit.rlim_cur, possible, clients);
	return possible;
}
