/* SPDX-License-Identifier: MIT */
/* A Kafka broker inside the process, to try things out without one. */
#include "kafka_embedded.h"

#include "log.h"

#include <librdkafka/rdkafka.h>
/* Needs the one above it. */
#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>

struct kafka_embedded {
	rd_kafka_t *rk; /* talks to nobody; the cluster wants one for its bookkeeping */
	rd_kafka_mock_cluster_t *cluster;
};

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	(void)rk;
	(level <= 3 ? log_warning : log_debug)("embedded kafka: %s: %s", facility, text);
}

struct kafka_embedded *kafka_embedded_new(void)
{
	char text[256];
	struct kafka_embedded *broker = calloc(1, sizeof *broker);
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	if (!broker)
		goto fail;
	rd_kafka_conf_set_log_cb(conf, on_log);
	broker->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
	if (!broker->rk) {
		log_error("embedded kafka: %s", text);
		goto fail;
	}
	conf = NULL;
	broker->cluster = rd_kafka_mock_cluster_new(broker->rk, 1);
	if (!broker->cluster) {
		log_error("embedded kafka: cannot listen on a port of 127.0.0.1");
		goto fail;
	}
	return broker;
fail:
	if (conf)
		rd_kafka_conf_destroy(conf);
	kafka_embedded_free(broker);
	return NULL;
}

void kafka_embedded_free(struct kafka_embedded *broker)
{
	if (!broker)
		return;
	if (broker->cluster)
		rd_kafka_mock_cluster_destroy(broker->cluster);
	if (broker->rk)
		rd_kafka_destroy(broker->rk);
	free(broker);
}

const char *kafka_embedded_brokers(const struct kafka_embedded *broker)
{
	return rd_kafka_mock_cluster_bootstraps(broker->cluster);
}

bool kafka_embedded_add_topic(struct kafka_embedded *broker, const char *topic)
{
	rd_kafka_resp_err_t err =
	    rd_kafka_mock_topic_create(broker->cluster, topic, KAFKA_EMBEDDED_PARTITIONS, 1);
	if (err && err != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
		log_error("embedded kafka: cannot make topic %s: %s", topic, rd_kafka_err2str(err));
		return false;
	}
	return true;
}
