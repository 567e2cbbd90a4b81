/* SPDX-License-Identifier: MIT */
/* What the brokers say of a consumer group and of partitions. */
#include "kafka_group.h"

#include "kafka_sink_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct kafka_group {
	const struct kafka_group_config *config;
	struct kafka_sink_config sink_config;
	rd_kafka_t *rk;
	const struct rd_kafka_metadata *metadata;
};

static int timeout_ms(const struct kafka_group *group)
{
	return (int)(group->config->timeout_us / 1000);
}

struct kafka_group *kafka_group_new(const struct kafka_group_config *config, struct buf *why)
{
	struct kafka_group *group = calloc(1, sizeof *group);
	rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR__FAIL;
	if (!group) {
		buf_puts(why, "kafka: out of memory");
		return NULL;
	}
	group->config = config;
	group->sink_config = (struct kafka_sink_config){.brokers = config->brokers,
	                                                .queue_bytes = 1048576,
	                                                .delivery_timeout_us = config->timeout_us,
	                                                .properties = config->properties};
	group->rk = kafka_sink_producer(&group->sink_config);
	/* All topics, because asking for one by name may create it. */
	if (group->rk)
		err = rd_kafka_metadata(group->rk, 1, NULL, &group->metadata, timeout_ms(group));
	if (!err)
		return group;
	buf_printf(why, "kafka: %s cannot be reached: %s", config->brokers, rd_kafka_err2str(err));
	kafka_group_free(group);
	return NULL;
}

void kafka_group_free(struct kafka_group *group)
{
	if (!group)
		return;
	if (group->metadata)
		rd_kafka_metadata_destroy(group->metadata);
	if (group->rk)
		rd_kafka_destroy(group->rk);
	free(group);
}

int kafka_group_members(struct kafka_group *group, struct buf *why)
{
	const struct rd_kafka_group_list *list;
	int members = 0;
	rd_kafka_resp_err_t err =
	    rd_kafka_list_groups(group->rk, group->config->group, &list, timeout_ms(group));
	if (!err) {
		for (int i = 0; i < list->group_cnt && !err; i++) {
			err = list->groups[i].err;
			members += list->groups[i].member_cnt;
		}
		rd_kafka_group_list_destroy(list);
	}
	if (!err)
		return members;
	buf_printf(why, "kafka: the group cannot be looked at: %s", rd_kafka_err2str(err));
	return -1;
}

static bool has_partition(const struct kafka_group *group, const char *topic, int32_t partition)
{
	for (int i = 0; i < group->metadata->topic_cnt; i++) {
		const struct rd_kafka_metadata_topic *t = &group->metadata->topics[i];
		if (!strcmp(t->topic, topic))
			return !t->err && partition < t->partition_cnt;
	}
	return false;
}

bool kafka_group_log(struct kafka_group *group, const char *topic, int32_t partition,
                     int64_t *begin, int64_t *end, struct buf *why)
{
	if (!has_partition(group, topic, partition))
		return false;
	rd_kafka_resp_err_t err = rd_kafka_query_watermark_offsets(group->rk, topic, partition,
	                                                           begin, end, timeout_ms(group));
	if (err)
		buf_printf(why, "kafka: %s [%" PRId32 "]: %s", topic, partition,
		           rd_kafka_err2str(err));
	return !err;
}
