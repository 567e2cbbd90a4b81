/* SPDX-License-Identifier: MIT */
/* How long to wait before trying again. */
#include "backoff.h"

int64_t backoff_us(struct loop *loop, unsigned failures, int64_t least_us, int64_t most_us)
{
	int64_t delay = least_us;
	for (unsigned i = 1; i < failures && delay < most_us; i++)
		delay *= 2;
	if (delay > most_us)
		delay = most_us;
	return delay / 2 + loop_random(loop, (uint32_t)(delay - delay / 2) + 1);
}
