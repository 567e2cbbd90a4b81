/* SPDX-License-Identifier: MIT */
/* Every option of the core, one row each. */
#include "config.h"

#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define MS  INT64_C(1000)
#define S   (1000 * MS)
#define MIN (60 * S)

#define STRING(n, m, d, h)                                                                         \
	{                                                                                          \
		.name = n, .type = CQRS_OPTION_STRING, .offset = offsetof(struct core_options, m), \
		.initial = d, .help = h                                                            \
	}
#define CHOICE(n, m, c, d, h)                                                                      \
	{                                                                                          \
		.name = n, .type = CQRS_OPTION_CHOICE, .offset = offsetof(struct core_options, m), \
		.choices = c, .initial = d, .help = h                                              \
	}
#define NUMBER(t, n, m, lo, hi, d, h)                                                           \
	{                                                                                       \
		.name = n, .type = CQRS_OPTION_##t, .offset = offsetof(struct core_options, m), \
		.min = lo, .max = hi, .initial = d, .help = h                                   \
	}

/* In the order of etc/cqrs.yaml; levels, formats in the order of log.h. */
const struct cqrs_option config_options[] = {
    NUMBER(SIZE, "memory", memory, 16 * MIB, 64 * GIB, "64MiB",
           "one budget for the process; every queue is a share of it"),
    NUMBER(DURATION, "shutdown_timeout", shutdown_timeout, 0, 60 * MIN, "10s",
           "how long SIGTERM waits for what is in flight"),

    CHOICE("log.level", log.level, "debug|info|warning|error", "info",
           "the least that is worth a line"),
    CHOICE("log.format", log.format, "text|json", "text", "lines for people or for machines"),

    STRING(
        "kafka.brokers", kafka.brokers, "127.0.0.1:9092",
        "host:port, several with commas; or embedded: a broker in this process to try things out"),
    STRING("kafka.group", kafka.group, "cqrsd", "the consumer group, also in cqrs.offsets"),
    STRING("kafka.start", kafka.start, "earliest",
           "where a partition never read before begins: earliest, latest or an RFC 3339 time"),
    CHOICE("kafka.on_gap", kafka.on_gap, "halt|continue", "halt",
           "what if Kafka no longer has what is to be read next: wait for a person, or skip it"),
    NUMBER(DURATION, "kafka.session_timeout", kafka.session_timeout, 1 * S, 5 * MIN, "10s",
           "how long the group waits for a silent member"),
    STRING("kafka.progress", kafka.progress, "cqrs.progress",
           "topic that tells how far events have come, for views of them"),
    {.name = "kafka.properties",
     .type = CQRS_OPTION_MAP,
     .offset = offsetof(struct core_options, kafka.properties),
     .initial = "{}",
     .help = "any other librdkafka property; those that cqrsd depends on are refused"},

    STRING("postgres.dsn", postgres.dsn, "host=/run/postgresql dbname=cqrs",
           "the database, as a connection string or URI of libpq"),
    NUMBER(DURATION, "postgres.network_timeout", postgres.network_timeout, 1 * S, 10 * MIN, "10s",
           "how long the network may be silent, and a server may take to accept a connection"),
    CHOICE("postgres.migrate", postgres.migrate, "manual|auto", "manual",
           "who brings the schema up to date: \"cqrsd migrate\", or each start"),
    STRING("postgres.read.dsn", postgres.read.dsn, "",
           "another database to read from, a replica; empty: the one above"),
    NUMBER(INTEGER, "postgres.read.connections", postgres.read.connections, 1, 64, "4",
           "pipelined connections that answer queries"),
    NUMBER(INTEGER, "postgres.read.streams", postgres.read.streams, 1, 64, "2",
           "further connections for CSV and NDJSON, one answer at a time each"),
    NUMBER(DURATION, "postgres.read.timeout", postgres.read.timeout, 1 * MS, 10 * MIN, "5s",
           "how long a query may take, waiting included"),
    NUMBER(INTEGER, "postgres.write.connections", postgres.write.connections, 1, 16, "2",
           "writers; partition p belongs to writer p modulo this"),
    NUMBER(INTEGER, "postgres.write.max_rows", postgres.write.max_rows, 1, 1000000, "30000",
           "rows in one transaction"),
    NUMBER(DURATION, "postgres.write.max_delay", postgres.write.max_delay, 0, 10 * S, "20ms",
           "how long a batch that is not full waits for more"),
    NUMBER(DURATION, "postgres.write.timeout", postgres.write.timeout, 1 * S, 60 * MIN, "10s",
           "time a transaction may take, and hold its locks"),
    NUMBER(DURATION, "postgres.write.keep_outcomes", postgres.write.keep_outcomes, 0,
           INT64_C(366) * 24 * 60 * MIN, "1d",
           "how long it is kept what became of a command; 0s: for ever"),

    STRING("http.listen", http.listen, "127.0.0.1:8080",
           "address:port, or unix:/path; port 0: any that is free; empty: nowhere"),
    NUMBER(DURATION, "http.header_timeout", http.header_timeout, 100 * MS, 10 * MIN, "10s",
           "how long a client may take to send the headers of a request"),
    NUMBER(DURATION, "http.body_timeout", http.body_timeout, 100 * MS, 60 * MIN, "30s",
           "how long a client may take to send the body of a request"),
    NUMBER(DURATION, "http.idle_timeout", http.idle_timeout, 100 * MS, 60 * MIN, "60s",
           "how long a connection may stay open between requests"),
    NUMBER(DURATION, "http.write_timeout", http.write_timeout, 100 * MS, 60 * MIN, "20s",
           "how long a client may take to read the next 64 KiB of an answer"),
    NUMBER(DURATION, "http.command_timeout", http.command_timeout, 100 * MS, 60 * S, "5s",
           "how long Kafka may take to acknowledge a command, and then 503"),
    NUMBER(DURATION, "http.max_wait", http.max_wait, 1 * S, 10 * MIN, "60s",
           "how long a client may wait for the outcome of a command, whatever it prefers"),
    NUMBER(DURATION, "http.cache_ttl", http.cache_ttl, 0, 60 * MIN, "5s",
           "how long an answer about one object may be kept that did not change; 0s: not at all"),
    NUMBER(SIZE, "http.max_body", http.max_body, 1 * KIB, 64 * MIB, "1MiB",
           "size of the body of a request"),
    NUMBER(INTEGER, "http.max_connections", http.max_connections, 1, 1000000, "10000",
           "clients at the same time; more are refused"),
    NUMBER(INTEGER, "http.max_connections_per_client", http.max_connections_per_client, 0, 1000000,
           "0", "connections of one address (IPv6: of one /64); 0: any number"),
    NUMBER(INTEGER, "http.rate_limit", http.rate_limit, 0, 1000000, "0",
           "requests a second of one address (IPv6: of one /64); 0: any number"),

    STRING("admin.listen", admin.listen, "127.0.0.1:8081",
           "where health, metrics and status are answered"),

    STRING("module_path", module_path, "/usr/local/lib/cqrsd",
           "where modules that are not built in are: command/NAME.so, query/NAME.so"),
    CQRS_OPTIONS_END,
};

const struct cqrs_option config_command_options[] = {
    {.name = "consume",
     .type = CQRS_OPTION_BOOLEAN,
     .offset = offsetof(struct core_options, commands.consume),
     .initial = "true",
     .help = "whether to store what is in Kafka; false: only takes commands over HTTP"},
    CQRS_OPTIONS_END,
};
