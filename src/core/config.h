/* SPDX-License-Identifier: MIT */
/*
 * The configuration: what etc/cqrs.yaml says, checked, with defaults filled in.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "buf.h"
#include <cqrs/option.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The part of it that the core understands; filled from config_options[]. */
struct core_options {
	int64_t memory;           /* bytes; every queue is a share of it */
	int64_t shutdown_timeout; /* us */
	struct {
		int level;  /* enum log_level */
		int format; /* enum log_format */
	} log;
	struct {
		const char *brokers; /* host:port,… or "embedded" */
		const char *group;
		const char *start;       /* earliest | latest | an RFC 3339 time */
		int on_gap;              /* enum gap_policy */
		int64_t session_timeout; /* us */
		const char *progress;    /* a topic */
		const struct cqrs_option_pair *properties;
	} kafka;
	struct {
		const char *dsn;
		int64_t network_timeout; /* us */
		int migrate;             /* index in manual|auto */
		struct {
			const char *dsn;                       /* "": as postgres.dsn */
			int64_t connections, streams, timeout; /* timeout in us */
		} read;
		struct {
			int64_t connections, max_rows, max_delay, timeout, keep_outcomes; /* us */
		} write;
	} postgres;
	struct {
		const char *listen;
		int64_t header_timeout, body_timeout, idle_timeout, write_timeout; /* us */
		int64_t command_timeout, max_wait, cache_ttl;                      /* us */
		int64_t max_body, max_connections;
		int64_t max_connections_per_client, rate_limit; /* 0: any number */
	} http;
	struct {
		const char *listen;
	} admin;
	const char *module_path;
	struct {
		bool consume;
	} commands; /* filled from config_command_options[] */
};

extern const struct cqrs_option config_options[]; /* ends with name NULL */
/* What may stand below `commands:` beside the modules. */
extern const struct cqrs_option config_command_options[];

/* A module named under `commands:` or `queries:`. */
struct config_module {
	const char *name;                  /* letters, digits and _ */
	int line, column;                  /* where it is named */
	const struct config_node *section; /* its options as written; see config_module_options() */
};

struct config {
	struct core_options core;
	struct config_module *commands, *queries;
	size_t n_commands, n_queries;
	const char *path;
	struct config_node *root;
	/* further members are config.c's own */
	struct arena *arena;
	struct mistakes *mistakes;
};

/*
 * Reads a file.  All mistakes are appended to `errors`, a line each
 * ("etc/cqrs.yaml:12:3: …"); NULL if there was any.
 */
struct config *config_load(const char *path, struct buf *errors);
void config_free(struct config *config);

/*
 * To tell the mistakes of all modules together with those of the core: open,
 * look at the modules with `errors` NULL, then report.  config_open() gives
 * NULL only for what is no YAML at all; config_report() appends every mistake
 * in the order of lines and is true if there was none.
 */
struct config *config_open(const char *path, struct buf *errors);
bool config_report(struct config *config, struct buf *errors);

/*
 * A module's options, parsed into zeroed memory of `size` that lives as long
 * as the configuration; NULL, with lines in `errors`, if something is wrong.
 * `options` may be NULL: the module has none.
 */
void *config_module_options(struct config *config, const struct config_module *module,
                            const struct cqrs_option *options, size_t size, struct buf *errors);
/* Something else is wrong with a module: "no module order.so in /usr/local/lib/cqrsd". */
void config_module_mistake(struct config *config, const struct config_module *module,
                           struct buf *errors, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/*
 * The effective configuration as YAML that loads again, secrets hidden: the
 * core's part, and below it a table of options of whomever, indented by so
 * many spaces ("commands:", "  sensor:", then the table at 4).
 */
void config_print(const struct config *config, struct buf *out);
void config_print_options(const struct cqrs_option *options, const void *values, int indent,
                          struct buf *out);
/* The table as lines for --help: name, default, help and range. */
void config_print_help(const struct cqrs_option *options, struct buf *out);

#endif
