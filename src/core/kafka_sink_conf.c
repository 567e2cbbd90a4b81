/* SPDX-License-Identifier: MIT */
/* How the producer is configured, and whether its brokers are there. */
#include "kafka_sink_internal.h"

#include "log.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <string.h>

struct property {
	const char *name, *value;
};

/* What users may change. */
static const struct property defaults[] = {
    {"client.id", "cqrsd"}, {"compression.codec", "lz4"},      {"partitioner", "murmur2_random"},
    {"linger.ms", "2"},     {"log.connection.close", "false"},
};

/* What they may not (config_check.c refuses it): the promises in the header stand on it. */
static const struct property fixed[] = {
    {"enable.idempotence", "true"},
    {"acks", "all"},
    {"log.queue", "true"},
    {"queue.buffering.max.messages", "1000000"},
};

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static bool add_properties(rd_kafka_conf_t *conf, const struct cqrs_option_pair *properties,
                           struct buf *errors)
{
	bool fine = true;
	char text[512];
	for (; properties && properties->name; properties++) {
		if (!rd_kafka_conf_set(conf, properties->name, properties->value, text,
		                       sizeof text))
			continue;
		buf_printf(errors, "kafka.properties: %s: %s\n", properties->name, text);
		fine = false;
	}
	return fine;
}

bool kafka_sink_check_properties(const struct cqrs_option_pair *properties, struct buf *errors)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	bool fine = add_properties(conf, properties, errors);
	rd_kafka_conf_destroy(conf);
	return fine;
}

static bool set_all(rd_kafka_conf_t *conf, const struct property *list, size_t n)
{
	char text[256];
	for (size_t i = 0; i < n; i++)
		if (rd_kafka_conf_set(conf, list[i].name, list[i].value, text, sizeof text)) {
			log_error("kafka: %s", text);
			return false;
		}
	return true;
}

static bool fill_conf(rd_kafka_conf_t *conf, const struct kafka_sink_config *config)
{
	char kbytes[32], timeout[32];
	/* Our own count refuses first; librdkafka's is only to be out of the way. */
	int64_t kib = config->queue_bytes / 512 + 16384;
	int64_t ms = config->delivery_timeout_us / 1000;
	snprintf(kbytes, sizeof kbytes, "%lld", (long long)(kib > 2097151 ? 2097151 : kib));
	snprintf(timeout, sizeof timeout, "%lld", (long long)(ms > 2147483647 ? 2147483647 : ms));
	const struct property own[] = {{"bootstrap.servers", config->brokers},
	                               {"queue.buffering.max.kbytes", kbytes},
	                               {"message.timeout.ms", timeout}};
	struct buf errors = BUF_INIT;
	bool fine = set_all(conf, defaults, COUNT(defaults)) &&
	            add_properties(conf, config->properties, &errors) &&
	            set_all(conf, fixed, COUNT(fixed)) && set_all(conf, own, COUNT(own));
	if (errors.len)
		log_error("%s", buf_str(&errors));
	buf_release(&errors);
	return fine;
}

/* A producer whose events come as rd_kafka_event_t; NULL after logging why. */
rd_kafka_t *kafka_sink_producer(const struct kafka_sink_config *config)
{
	char text[512];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_conf_set_events(conf,
	                         RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG);
	rd_kafka_t *rk = NULL;
	if (fill_conf(conf, config)) {
		/* It owns the conf when it succeeds, and only then. */
		rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
		if (rk)
			return rk;
		log_error("kafka: cannot make a producer: %s", text);
	}
	rd_kafka_conf_destroy(conf);
	return NULL;
}

static const struct rd_kafka_metadata_topic *find_topic(const struct rd_kafka_metadata *metadata,
                                                        const char *name)
{
	for (int i = 0; i < metadata->topic_cnt; i++)
		if (!strcmp(metadata->topics[i].topic, name))
			return &metadata->topics[i];
	return NULL;
}

bool kafka_sink_probe(const struct kafka_sink_config *config, const char *const *topics,
                      int n_topics, int64_t timeout_us, struct buf *problems)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_t *rk = kafka_sink_producer(config);
	size_t before = problems->len;
	if (!rk) {
		buf_puts(problems, "kafka: the configuration is not usable, see above\n");
		return false;
	}
	/* All topics, because asking for one by name may create it. */
	rd_kafka_resp_err_t err =
	    rd_kafka_metadata(rk, 1, NULL, &metadata, (int)(timeout_us / 1000));
	if (err)
		buf_printf(problems, "kafka: %s cannot be reached: %s\n", config->brokers,
		           rd_kafka_err2str(err));
	for (int i = 0; !err && i < n_topics; i++) {
		const struct rd_kafka_metadata_topic *topic = find_topic(metadata, topics[i]);
		if (!topic)
			buf_printf(
			    problems,
			    "kafka: topic %s does not exist, or may not be seen: create it\n",
			    topics[i]);
		else if (topic->err)
			buf_printf(problems, "kafka: topic %s: %s\n", topics[i],
			           rd_kafka_err2str(topic->err));
	}
	if (!err)
		rd_kafka_metadata_destroy(metadata);
	rd_kafka_destroy(rk);
	return problems->len == before;
}
