/* SPDX-License-Identifier: MIT */
/* librdkafka, failing as its header says of each function. */
#include "injection.h"

#include <librdkafka/rdkafka.h>
/* After rdkafka.h, which it needs. */
#include <librdkafka/rdkafka_mock.h>
#include <stdarg.h>

#define REFUSED RD_KAFKA_RESP_ERR__FAIL

static void say(char *error, size_t size)
{
	snprintf(error, size, "injected");
}

INJECT(rd_kafka_t *, rd_kafka_new,
       (rd_kafka_type_t type, rd_kafka_conf_t *conf, char *error, size_t size),
       (type, conf, error, size), (say(error, size), NULL))
INJECT(rd_kafka_conf_res_t, rd_kafka_conf_set,
       (rd_kafka_conf_t * conf, const char *name, const char *value, char *error, size_t size),
       (conf, name, value, error, size), (say(error, size), RD_KAFKA_CONF_INVALID))
INJECT(rd_kafka_resp_err_t, rd_kafka_set_log_queue, (rd_kafka_t * rk, rd_kafka_queue_t *queue),
       (rk, queue), REFUSED)

/* ---- a consumer ---- */

INJECT(rd_kafka_resp_err_t, rd_kafka_poll_set_consumer, (rd_kafka_t * rk), (rk), REFUSED)
INJECT(rd_kafka_resp_err_t, rd_kafka_subscribe,
       (rd_kafka_t * rk, const rd_kafka_topic_partition_list_t *topics), (rk, topics), REFUSED)
/* Partitions can always be given back, and librdkafka waits for ever for who does not. */
rd_kafka_resp_err_t injected_rd_kafka_assign(rd_kafka_t *rk,
                                             const rd_kafka_topic_partition_list_t *partitions);
rd_kafka_resp_err_t injected_rd_kafka_assign(rd_kafka_t *rk,
                                             const rd_kafka_topic_partition_list_t *partitions)
{
	if (injection_decides("rd_kafka_assign", __builtin_return_address(0), partitions))
		return REFUSED;
	return rd_kafka_assign(rk, partitions);
}

INJECT(rd_kafka_resp_err_t, rd_kafka_pause_partitions,
       (rd_kafka_t * rk, rd_kafka_topic_partition_list_t *partitions), (rk, partitions), REFUSED)
INJECT(rd_kafka_resp_err_t, rd_kafka_resume_partitions,
       (rd_kafka_t * rk, rd_kafka_topic_partition_list_t *partitions), (rk, partitions), REFUSED)
INJECT(rd_kafka_error_t *, rd_kafka_seek_partitions,
       (rd_kafka_t * rk, rd_kafka_topic_partition_list_t *partitions, int timeout_ms),
       (rk, partitions, timeout_ms), rd_kafka_error_new(REFUSED, "injected"))
INJECT(rd_kafka_error_t *, rd_kafka_sasl_set_credentials,
       (rd_kafka_t * rk, const char *username, const char *password), (rk, username, password),
       rd_kafka_error_new(REFUSED, "injected"))
INJECT(rd_kafka_resp_err_t, rd_kafka_commit,
       (rd_kafka_t * rk, const rd_kafka_topic_partition_list_t *offsets, int async),
       (rk, offsets, async), REFUSED)
INJECT(rd_kafka_queue_t *, rd_kafka_queue_get_consumer, (rd_kafka_t * rk), (rk), NULL)
INJECT(rd_kafka_queue_t *, rd_kafka_queue_get_partition,
       (rd_kafka_t * rk, const char *topic, int32_t partition), (rk, topic, partition), NULL)
INJECT(ssize_t, rd_kafka_consume_batch_queue,
       (rd_kafka_queue_t * queue, int timeout_ms, rd_kafka_message_t **messages, size_t n),
       (queue, timeout_ms, messages, n), -1)
INJECT(rd_kafka_error_t *, rd_kafka_consumer_close_queue,
       (rd_kafka_t * rk, rd_kafka_queue_t *queue), (rk, queue),
       rd_kafka_error_new(REFUSED, "injected"))
/* ---- asking a broker ---- */

INJECT(rd_kafka_resp_err_t, rd_kafka_metadata,
       (rd_kafka_t * rk, int all, rd_kafka_topic_t *topic, const struct rd_kafka_metadata **out,
        int timeout_ms),
       (rk, all, topic, out, timeout_ms), RD_KAFKA_RESP_ERR__TIMED_OUT)
INJECT(rd_kafka_resp_err_t, rd_kafka_offsets_for_times,
       (rd_kafka_t * rk, rd_kafka_topic_partition_list_t *times, int timeout_ms),
       (rk, times, timeout_ms), RD_KAFKA_RESP_ERR__TIMED_OUT)
INJECT(rd_kafka_resp_err_t, rd_kafka_query_watermark_offsets,
       (rd_kafka_t * rk, const char *topic, int32_t partition, int64_t *low, int64_t *high,
        int timeout_ms),
       (rk, topic, partition, low, high, timeout_ms), RD_KAFKA_RESP_ERR__TIMED_OUT)
INJECT(rd_kafka_resp_err_t, rd_kafka_get_watermark_offsets,
       (rd_kafka_t * rk, const char *topic, int32_t partition, int64_t *low, int64_t *high),
       (rk, topic, partition, low, high), REFUSED)
INJECT(rd_kafka_resp_err_t, rd_kafka_assignment,
       (rd_kafka_t * rk, rd_kafka_topic_partition_list_t **out), (rk, out), REFUSED)
INJECT(rd_kafka_resp_err_t, rd_kafka_committed,
       (rd_kafka_t * rk, rd_kafka_topic_partition_list_t *partitions, int timeout_ms),
       (rk, partitions, timeout_ms), RD_KAFKA_RESP_ERR__TIMED_OUT)
INJECT(rd_kafka_resp_err_t, rd_kafka_list_groups,
       (rd_kafka_t * rk, const char *group, const struct rd_kafka_group_list **out, int timeout_ms),
       (rk, group, out, timeout_ms), RD_KAFKA_RESP_ERR__TIMED_OUT)
INJECT(rd_kafka_topic_t *, rd_kafka_topic_new,
       (rd_kafka_t * rk, const char *name, rd_kafka_topic_conf_t *conf), (rk, name, conf), NULL)

/* ---- a producer ---- */

INJECT(rd_kafka_resp_err_t, rd_kafka_header_add,
       (rd_kafka_headers_t * headers, const char *name, ssize_t name_len, const void *value,
        ssize_t len),
       (headers, name, name_len, value, len), RD_KAFKA_RESP_ERR__READ_ONLY)
INJECT(rd_kafka_resp_err_t, rd_kafka_flush, (rd_kafka_t * rk, int timeout_ms), (rk, timeout_ms),
       RD_KAFKA_RESP_ERR__TIMED_OUT)
INJECT(rd_kafka_resp_err_t, rd_kafka_purge, (rd_kafka_t * rk, int flags), (rk, flags), REFUSED)

/* One argument of rd_kafka_producev() as rd_kafka_produceva() takes it; those that the core uses.
 */
static void take_argument(rd_kafka_vu_t *out, va_list *ap)
{
	switch (out->vtype) {
	case RD_KAFKA_VTYPE_TOPIC:
		out->u.cstr = va_arg(*ap, const char *);
		break;
	case RD_KAFKA_VTYPE_RKT:
		out->u.rkt = va_arg(*ap, rd_kafka_topic_t *);
		break;
	case RD_KAFKA_VTYPE_PARTITION:
		out->u.i32 = va_arg(*ap, int32_t);
		break;
	case RD_KAFKA_VTYPE_VALUE:
	case RD_KAFKA_VTYPE_KEY:
		out->u.mem.ptr = va_arg(*ap, void *);
		out->u.mem.size = va_arg(*ap, size_t);
		break;
	case RD_KAFKA_VTYPE_OPAQUE:
		out->u.ptr = va_arg(*ap, void *);
		break;
	case RD_KAFKA_VTYPE_MSGFLAGS:
		out->u.i = va_arg(*ap, int);
		break;
	case RD_KAFKA_VTYPE_TIMESTAMP:
		out->u.i64 = va_arg(*ap, int64_t);
		break;
	case RD_KAFKA_VTYPE_HEADERS:
		out->u.headers = va_arg(*ap, rd_kafka_headers_t *);
		break;
	default:
		MUST(!"an argument that the core did not use when this was written");
	}
}

rd_kafka_resp_err_t injected_rd_kafka_producev(rd_kafka_t *rk, ...);
rd_kafka_resp_err_t injected_rd_kafka_producev(rd_kafka_t *rk, ...)
{
	rd_kafka_vu_t arguments[16];
	size_t n = 0;
	va_list ap;
	if (injection_fails("rd_kafka_producev"))
		return RD_KAFKA_RESP_ERR__QUEUE_FULL;
	va_start(ap, rk);
	for (int type; (type = va_arg(ap, int)) != RD_KAFKA_VTYPE_END; n++) {
		MUST(n < 16);
		arguments[n] = (rd_kafka_vu_t){.vtype = (rd_kafka_vtype_t)type};
		take_argument(&arguments[n], &ap);
	}
	va_end(ap);
	rd_kafka_error_t *error = rd_kafka_produceva(rk, arguments, n);
	rd_kafka_resp_err_t code = error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;
	rd_kafka_error_destroy(error);
	return code;
}

/* ---- the embedded broker ---- */

INJECT(rd_kafka_mock_cluster_t *, rd_kafka_mock_cluster_new, (rd_kafka_t * rk, int n), (rk, n),
       NULL)
INJECT(rd_kafka_resp_err_t, rd_kafka_mock_topic_create,
       (rd_kafka_mock_cluster_t * cluster, const char *topic, int partitions, int replication),
       (cluster, topic, partitions, replication), REFUSED)
