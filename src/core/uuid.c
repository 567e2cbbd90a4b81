/* SPDX-License-Identifier: MIT */
/* UUIDs that sort by the time they were made. */
#include "uuid.h"

#include "pg_value.h"

#include <sys/random.h>

bool uuid_v7(char out[UUID_TEXT], int64_t wall_us)
{
	unsigned char b[16];
	/* Once the system has booted, so few bytes come at once and whole. */
	if (getrandom(b, sizeof b, GRND_NONBLOCK) != sizeof b)
		return false;
	uint64_t ms = (uint64_t)wall_us / 1000;
	/* The fraction of the millisecond before chance: 6.2, method 3. */
	unsigned fraction = (unsigned)((uint64_t)wall_us % 1000 * 4096 / 1000);
	for (int i = 0; i < 6; i++)
		b[i] = (unsigned char)(ms >> (40 - 8 * i));
	b[6] = (unsigned char)(0x70 | fraction >> 8);
	b[7] = (unsigned char)fraction;
	b[8] = (unsigned char)(0x80 | (b[8] & 0x3f));
	pg_uuid_format(out, (const char *)b);
	out[36] = '\0';
	return true;
}
