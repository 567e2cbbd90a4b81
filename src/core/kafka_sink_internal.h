/* SPDX-License-Identifier: MIT */
/*
 * What the two files of the Kafka sink share.
 */
#ifndef KAFKA_SINK_INTERNAL_H
#define KAFKA_SINK_INTERNAL_H

#include "kafka_sink.h"

#include <librdkafka/rdkafka.h>

/* A producer whose reports, errors and log lines come as events; NULL after logging why. */
rd_kafka_t *kafka_sink_producer(const struct kafka_sink_config *config);

#endif
