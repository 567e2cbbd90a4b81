/* SPDX-License-Identifier: MIT */
/* Where an audit begins and ends in each partition: cqrs.offsets, Kafka, and what was asked for. */
#include "audit_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void resolve(struct audit *audit);

/* The positions of the group: only below them there is something to compare. */
void audit_read_positions(struct audit *audit, const PGresult *answer)
{
	struct audit_result *result = audit->result;
	result->partitions = calloc((size_t)PQntuples(answer) + 1, sizeof *result->partitions);
	if (!result->partitions) {
		audit->out_of_memory = true;
		return;
	}
	for (int i = 0; i < PQntuples(answer); i++) {
		int topic = command_bus_find_topic(audit->bus, PQgetvalue(answer, i, 0));
		if (topic < 0 || (audit->config->topic &&
		                  strcmp(audit->config->topic, PQgetvalue(answer, i, 0)) != 0))
			continue;
		struct audit_partition *p = &result->partitions[result->n_partitions++];
		p->partition = (struct partition){
		    .position = {topic, atoi(PQgetvalue(answer, i, 1)), 0},
		    .topic = audit->source_config.topics[topic],
		};
		p->limit = strtoll(PQgetvalue(answer, i, 2), NULL, 10);
		if (audit->config->to_offset >= 0 && p->limit > audit->config->to_offset)
			p->limit = audit->config->to_offset;
	}
}

static int compare_partitions(const void *left, const void *right)
{
	const struct kafka_position *a =
	    &((const struct audit_partition *)left)->partition.position;
	const struct kafka_position *b =
	    &((const struct audit_partition *)right)->partition.position;
	if (a->topic != b->topic)
		return a->topic - b->topic;
	return a->partition < b->partition ? -1 : a->partition > b->partition;
}

void audit_resolve(struct audit *audit)
{
	struct audit_result *result = audit->result;
	if (!result->n_partitions) {
		audit_fail(audit, "group %s has stored nothing of %s yet", audit->config->group,
		           audit->config->topic ? audit->config->topic
		                                : "the topics of its modules");
		return;
	}
	qsort(result->partitions, result->n_partitions, sizeof *result->partitions,
	      compare_partitions);
	resolve(audit);
}

static void begin(struct audit *audit)
{
	struct audit_result *result = audit->result;
	struct kafka_position *list = calloc(result->n_partitions + 1, sizeof *list);
	size_t n = 0;
	for (size_t i = 0; list && i < result->n_partitions; i++) {
		struct audit_partition *p = &result->partitions[i];
		if (p->partition.position.offset < p->limit)
			list[n++] = p->partition.position;
		else
			p->is_done = true;
	}
	if (!list)
		audit_fail(audit, "out of memory");
	else if (n && !kafka_source_start(audit->source, list, n))
		audit_fail(audit, "kafka: the log cannot be fetched");
	free(list);
	audit_begin(audit);
}

/* What is asked of Kafka, one after the other. */
enum { RESOLVE_EARLIEST, RESOLVE_FROM, RESOLVE_TO, RESOLVED };

static void take_resolved(struct audit *audit, const struct kafka_position *where)
{
	struct audit_partition *p = audit_find(audit, where->topic, where->partition);
	int64_t *offset = &p->partition.position.offset;
	if (audit->resolved == RESOLVE_TO) {
		if (p->limit > where->offset)
			p->limit = where->offset;
	} else if (*offset < where->offset) {
		*offset = where->offset;
	}
	if (audit->resolved == RESOLVE_EARLIEST && *offset < audit->config->from_offset)
		*offset = audit->config->from_offset;
}

static void on_resolved(void *owner, const struct kafka_position *list, size_t n, const char *error)
{
	struct audit *audit = owner;
	if (error) {
		audit_fail(audit, "kafka: cannot find out where the partitions begin: %s", error);
		return;
	}
	for (size_t i = 0; i < n; i++)
		take_resolved(audit, &list[i]);
	audit->resolved++;
	resolve(audit);
}

static void resolve(struct audit *audit)
{
	const struct audit_config *config = audit->config;
	struct audit_result *result = audit->result;
	int64_t start = KAFKA_OFFSET_EARLIEST;
	if (audit->resolved == RESOLVE_FROM && config->from_us < 0)
		audit->resolved++;
	if (audit->resolved == RESOLVE_TO && config->to_us < 0)
		audit->resolved++;
	if (audit->resolved == RESOLVED) {
		begin(audit);
		return;
	}
	if (audit->resolved != RESOLVE_EARLIEST)
		start = audit->resolved == RESOLVE_FROM ? config->from_us : config->to_us;
	struct kafka_position *list = calloc(result->n_partitions + 1, sizeof *list);
	for (size_t i = 0; list && i < result->n_partitions; i++)
		list[i] = result->partitions[i].partition.position;
	if (!list ||
	    !kafka_source_resolve(audit->source, list, result->n_partitions, start, on_resolved))
		audit_fail(audit, "out of memory");
	free(list);
}
