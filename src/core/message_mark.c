/* SPDX-License-Identifier: MIT */
/* A fingerprint of a message. */
#include "message_mark.h"

#include <endian.h>
#include <string.h>

#define LONGEST 4096 /* at each end; a message of megabytes must not cost more */

/* A multiplication by an odd number and a shift lose nothing and spread every bit. */
static uint64_t mix(uint64_t mark, uint64_t word)
{
	mark = (mark ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return mark ^ mark >> 29;
}

static uint64_t mix_bytes(uint64_t mark, const char *bytes, size_t len)
{
	uint64_t word;
	for (; len >= sizeof word; bytes += sizeof word, len -= sizeof word) {
		memcpy(&word, bytes, sizeof word);
		mark = mix(mark, le64toh(word));
	}
	word = 0;
	if (len)
		memcpy(&word, bytes, len);
	return mix(mark, le64toh(word));
}

static uint64_t mix_field(uint64_t mark, const char *bytes, size_t len)
{
	/* Null is another thing than empty. */
	if (!bytes)
		return mix(mark, 0);
	mark = mix(mark, len + 1);
	if (len <= 2 * LONGEST)
		return mix_bytes(mark, bytes, len);
	return mix_bytes(mix_bytes(mark, bytes, LONGEST), bytes + len - LONGEST, LONGEST);
}

int64_t message_mark(const struct cqrs_message *msg)
{
	uint64_t mark = mix(0, (uint64_t)msg->timestamp_us);
	mark = mix_field(mark, msg->key, msg->key_len);
	return (int64_t)mix_field(mark, msg->value, msg->value_len);
}
