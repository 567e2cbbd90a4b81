/* SPDX-License-Identifier: MIT */
/* The librdkafka properties that a source sets, and why. */
#include "kafka_source_internal.h"

#include "log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <syslog.h>

#define FETCH_BYTES_MIN    262144
#define FETCH_BYTES_MAX    536870912
#define QUEUE_KB_MAX       2097151 /* as librdkafka has it */
#define QUEUE_MESSAGES_MAX 100000  /* messages: its default */

/*
 * A topic that was deleted and made again has lost its leader for a moment, or
 * its broker was away.  librdkafka 2.0 goes on at the same offset and tells
 * nobody but its log, in the thread that will fetch again.
 */
static bool is_sign(const char *facility, const char *text)
{
	return !strcmp(facility, "BROKERUA") ||
	       (!strcmp(facility, "FAIL") && strstr(text, "in state UP"));
}

/* Called from librdkafka's threads; log_write() is one write(2). */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	struct kafka_source *source = rd_kafka_opaque(rk);
	if (is_sign(facility, text)) {
		atomic_store(&source->doubt, true);
		eventfd_write(source->consumer.fd, 1);
	}
	if (level <= LOG_ERR)
		log_warning("kafka: %s: %s", facility, text);
	else if (level < LOG_DEBUG || source->is_verbose)
		log_debug("kafka: %s: %s", facility, text);
}

static bool set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char error[256];
	if (rd_kafka_conf_set(conf, name, value, error, sizeof error) == RD_KAFKA_CONF_OK)
		return true;
	log_error("kafka: property %s: %s", name, error);
	return false;
}

static bool set_number(rd_kafka_conf_t *conf, const char *name, int64_t number)
{
	char text[24];
	snprintf(text, sizeof text, "%" PRId64, number);
	return set(conf, name, text);
}

/* What may be overridden by `kafka.properties`. */
static bool set_defaults(rd_kafka_conf_t *conf)
{
	return set(conf, "client.id", "cqrsd") && set(conf, "socket.keepalive.enable", "true") &&
	       set(conf, "reconnect.backoff.max.ms", "2000") &&
	       /* Topics made and partitions added later are found within seconds. */
	       set(conf, "topic.metadata.refresh.interval.ms", "5000") &&
	       set(conf, "fetch.wait.max.ms", "100") &&
	       /* After an error of one partition, such as a change of its leader. */
	       set(conf, "fetch.error.backoff.ms", "20");
}

static int64_t within(int64_t n, int64_t low, int64_t high)
{
	return n < low ? low : n > high ? high : n;
}

/* What may wait in librdkafka: a share of memory. */
static bool set_bounds(rd_kafka_conf_t *conf, const struct kafka_source_config *config)
{
	/* It comes compressed, by 5 and more: what is let in must fit when it is unpacked.  What is
	 * larger than that comes alone. */
	int64_t fetch = within(config->queue_bytes / 16, FETCH_BYTES_MIN, FETCH_BYTES_MAX);
	int64_t bytes = config->queue_bytes / config->lanes;
	return set_number(conf, "queued.max.messages.kbytes",
	                  within(bytes / 1024, 0, QUEUE_KB_MAX)) &&
	       /* librdkafka counts values alone; small messages are bounded by their number. */
	       set_number(conf, "queued.min.messages",
	                  within(bytes / KAFKA_MESSAGE_OVERHEAD, 0, QUEUE_MESSAGES_MAX)) &&
	       /* librdkafka wants it to be no larger than the next one; it is a producer's. */
	       set_number(conf, "message.max.bytes", FETCH_BYTES_MIN) &&
	       set_number(conf, "fetch.max.bytes", fetch) &&
	       set_number(conf, "fetch.message.max.bytes", fetch / 2);
}

/* What the write path depends on. */
static bool set_ours(rd_kafka_conf_t *conf, const struct kafka_source_config *config)
{
	int64_t session_ms = config->session_timeout_us / 1000;
	return set(conf, "bootstrap.servers", config->brokers) &&
	       set(conf, "group.id", config->group) &&
	       set_number(conf, "session.timeout.ms", session_ms) &&
	       set_number(conf, "heartbeat.interval.ms", session_ms / 3 ? session_ms / 3 : 1) &&
	       /* Who does not poll is stuck: polled it is by a timer, whatever else happens. */
	       set_number(conf, "max.poll.interval.ms", 3 * session_ms) &&
	       /* Positions live in PostgreSQL; a lost one is never replaced without a word. */
	       set(conf, "enable.auto.commit", "false") &&
	       set(conf, "enable.auto.offset.store", "false") &&
	       set(conf, "auto.offset.reset", "error") &&
	       set(conf, "isolation.level", "read_committed") &&
	       set(conf, "enable.partition.eof", "true") &&
	       set(conf, "partition.assignment.strategy", "range,roundrobin") &&
	       set(conf, "allow.auto.create.topics", "false") && set_bounds(conf, config) &&
	       /* To learn that a broker is back, see kafka_source_on_stats(). */
	       set(conf, "statistics.interval.ms", "2000");
}

rd_kafka_conf_t *kafka_source_conf(struct kafka_source *source)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	const struct cqrs_option_pair *pair = source->config->properties;
	char debug[256] = "topic"; /* for is_sign() */
	bool ok = set_defaults(conf);
	for (; ok && pair && pair->name; pair++) {
		ok = set(conf, pair->name, pair->value);
		if (!strcmp(pair->name, "debug")) {
			source->is_verbose = true;
			snprintf(debug, sizeof debug, "topic,%s", pair->value);
		}
	}
	if (!ok || !set_ours(conf, source->config) || !set(conf, "debug", debug)) {
		rd_kafka_conf_destroy(conf);
		return NULL;
	}
	rd_kafka_conf_set_opaque(conf, source);
	rd_kafka_conf_set_log_cb(conf, on_log);
	rd_kafka_conf_set_rebalance_cb(conf, kafka_source_on_rebalance);
	rd_kafka_conf_set_error_cb(conf, kafka_source_on_error);
	rd_kafka_conf_set_stats_cb(conf, kafka_source_on_stats);
	return conf;
}
