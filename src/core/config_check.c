/* SPDX-License-Identifier: MIT */
/* What a table of options cannot say about the core's options. */
#include "config_check.h"

#include <arpa/inet.h>
#include <cqrs/time.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static const struct {
	const char *name, *why;
} refused[] = {
    {"bootstrap.servers", "say kafka.brokers instead"},
    {"metadata.broker.list", "say kafka.brokers instead"},
    {"group.id", "say kafka.group instead"},
    {"session.timeout.ms", "say kafka.session_timeout instead"},
    {"heartbeat.interval.ms", "it is a third of kafka.session_timeout"},
    {"max.poll.interval.ms", "it follows from kafka.session_timeout"},
    {"auto.offset.reset", "say kafka.start instead; later losses are never skipped in silence"},
    {"enable.auto.commit", "positions are stored in PostgreSQL, with the rows"},
    {"auto.commit.enable", "positions are stored in PostgreSQL, with the rows"},
    {"auto.commit.interval.ms", "positions are stored in PostgreSQL, with the rows"},
    {"enable.auto.offset.store", "positions are stored in PostgreSQL, with the rows"},
    {"offset.store.method", "positions are stored in PostgreSQL, with the rows"},
    {"isolation.level", "it stays read_committed, messages of aborted transactions never count"},
    {"enable.partition.eof", "the end of a partition tells a hole in the offsets from a lag"},
    {"partition.assignment.strategy", "a partition must be given up before another gets it"},
    {"allow.auto.create.topics", "a mistyped topic must be seen, not made"},
    {"queued.max.messages.kbytes", "it is a share of memory"},
    {"queued.min.messages", "it is a share of memory"},
    {"fetch.max.bytes", "it is a share of memory"},
    {"fetch.message.max.bytes", "it is a share of memory"},
    {"max.partition.fetch.bytes", "it is a share of memory"},
    {"queue.buffering.max.messages", "it is a share of memory"},
    {"queue.buffering.max.kbytes", "it is a share of memory"},
    {"enable.idempotence", "events must not be stored twice"},
    {"acks", "an event counts as sent when all in-sync replicas have it"},
    {"request.required.acks", "an event counts as sent when all in-sync replicas have it"},
    {"message.timeout.ms", "giving up would let later events of the same key overtake"},
    {"delivery.timeout.ms", "giving up would let later events of the same key overtake"},
    {"transactional.id", "transactions are PostgreSQL's"},
    {"statistics.interval.ms", "cqrsd learns from them which brokers are there"},
    {"log.queue", "cqrsd writes the log"},
    {"test.mock.num.brokers", "say kafka.brokers: embedded instead"},
};

const char *config_property_refused(const char *name)
{
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
		if (strcmp(refused[i].name, name) == 0)
			return refused[i].why;
	return NULL;
}

static void check_properties(const struct config_node *root, struct mistakes *mistakes)
{
	const struct config_node *node = config_node_find(root, "kafka.properties");
	if (!node || node->kind != CONFIG_MAPPING)
		return;
	for (node = node->children; node; node = node->next) {
		const char *why = config_property_refused(node->key);
		if (why)
			mistakes_add(mistakes, node->key_line, node->key_column,
			             "the property \"%s\" cannot be set here: %s", node->key, why);
	}
}

/* The node of an option whose value can be checked; NULL: it is not there, or wrong already. */
static const struct config_node *find(const struct config_node *root, const char *name)
{
	const struct config_node *node = config_node_find(root, name);
	return node && node->kind == CONFIG_SCALAR ? node : NULL;
}

static void wrong(const struct config_node *node, const char *name, const char *expected,
                  struct mistakes *mistakes)
{
	if (node->expanded)
		mistakes_add(mistakes, node->line, node->column, "%s must be %s", name, expected);
	else
		mistakes_add(mistakes, node->line, node->column, "%s must be %s, not \"%.100s\"",
		             name, expected, node->text);
}

static bool is_start(const char *text)
{
	int64_t us;
	return strcmp(text, "earliest") == 0 || strcmp(text, "latest") == 0 ||
	       cqrs_time_from_rfc3339(text, strlen(text), &us);
}

static bool is_port(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	return digits >= 1 && digits <= 5 && text[digits] == '\0' && atoi(text) <= 65535;
}

/* "127.0.0.1:8080", "[::1]:8080" or "unix:/run/cqrsd.sock". */
static bool is_address(const char *text)
{
	char host[INET6_ADDRSTRLEN + 2];
	struct in6_addr address;
	const char *colon = strrchr(text, ':');
	if (strncmp(text, "unix:", 5) == 0)
		return text[5] && strlen(text + 5) < sizeof((struct sockaddr_un *)0)->sun_path;
	if (!colon || !is_port(colon + 1) || (size_t)(colon - text) >= sizeof host)
		return false;
	size_t len = (size_t)(colon - text);
	*(char *)mempcpy(host, text, len) = '\0';
	if (host[0] != '[')
		return inet_pton(AF_INET, host, &address) == 1;
	if (host[len - 1] != ']')
		return false;
	host[len - 1] = '\0';
	return inet_pton(AF_INET6, host + 1, &address) == 1;
}

static bool is_address_or_none(const char *text)
{
	return !*text || is_address(text);
}

/* host:port with commas between; librdkafka takes host alone and proto://host:port as well. */
static bool is_brokers(const char *text)
{
	for (;;) {
		size_t len = strcspn(text, ",");
		if (len == 0 || strcspn(text, " \t\n") < len || text[0] == ':')
			return false;
		if (!text[len])
			return true;
		text += len + 1;
	}
}

static bool is_not_empty(const char *text)
{
	return *text != '\0';
}

static const struct {
	const char *name;
	bool (*is_fine)(const char *text);
	const char *expected;
} rules[] = {
    {"kafka.brokers", is_brokers, "host:port, several with commas between them, or embedded"},
    {"kafka.group", is_not_empty, "the name of a consumer group"},
    {"kafka.start", is_start, "earliest, latest or a time such as 2024-01-31T00:00:00Z"},
    {"http.listen", is_address_or_none,
     "an address such as 127.0.0.1:8080, [::1]:8080 or unix:/run/cqrsd.sock, or empty for none"},
    {"admin.listen", is_address,
     "an address such as 127.0.0.1:8081, [::1]:8081 or unix:/run/cqrsd-admin.sock"},
};

static void check_listeners(const struct core_options *core, const struct config_node *root,
                            struct mistakes *mistakes)
{
	const struct config_node *node = find(root, "admin.listen");
	const char *address = core->admin.listen;
	size_t len = strlen(address);
	/* Port 0 is another port each time. */
	if (strcmp(address, core->http.listen) != 0 ||
	    (len > 2 && strcmp(address + len - 2, ":0") == 0))
		return;
	if (!node)
		node = find(root, "http.listen");
	if (node && is_address(address))
		mistakes_add(mistakes, node->line, node->column,
		             "http.listen and admin.listen are the same, administration needs an "
		             "address of its own");
}

void config_check(const struct core_options *core, const struct config_node *root,
                  struct mistakes *mistakes)
{
	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
		const struct config_node *node = find(root, rules[i].name);
		if (node && !rules[i].is_fine(node->text))
			wrong(node, rules[i].name, rules[i].expected, mistakes);
	}
	check_listeners(core, root, mistakes);
	check_properties(root, mistakes);
}
