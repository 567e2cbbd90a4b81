/* SPDX-License-Identifier: MIT */
/* Tests of src/core/config.c, and of what it reads files by: the tables of options. */
#include "config.h"
#include "config_check.h"
#include "config_node.h"
#include "log.h"
#include "module.h"
#include "option.h"
#include "section.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/check_config.XXXXXX";
static struct buf errors, printed;
static struct config *config;

static void set_up(void)
{
	strcpy(path + strlen(path) - 6, "XXXXXX");
	close(mkstemp(path));
}

static void tear_down(void)
{
	unlink(path);
	config_free(config);
	config = NULL;
	buf_release(&errors);
	buf_release(&printed);
}

static void write_file(const char *text)
{
	FILE *file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

/* Loads a text that is right. */
static const struct core_options *load(const char *text)
{
	write_file(text);
	config_free(config);
	buf_clear(&errors);
	config = config_load(path, &errors);
	ck_assert_str_eq(buf_str(&errors), "");
	ck_assert_ptr_nonnull(config);
	return &config->core;
}

/* Everything in `errors` without the path, which is another each time: "1:9: …". */
static const char *without_path(void)
{
	struct buf lines = BUF_INIT;
	char *save = NULL;
	buf_str(&errors);
	for (char *line = strtok_r(errors.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		ck_assert_int_eq(strncmp(line, path, strlen(path)), 0);
		buf_printf(&lines, "%s\n", line + strlen(path) + 1);
	}
	buf_release(&errors);
	errors = lines;
	return buf_str(&errors);
}

/* The mistakes of a text that is wrong. */
static const char *complain(const char *text)
{
	write_file(text);
	buf_clear(&errors);
	ck_assert_ptr_null(config_load(path, &errors));
	return without_path();
}

static const char *print(void)
{
	buf_clear(&printed);
	config_print(config, &printed);
	return buf_str(&printed);
}

START_TEST(an_empty_file_is_all_defaults)
{
	const struct core_options *core = load("");
	ck_assert_int_eq(core->memory, 67108864);
	ck_assert_int_eq(core->shutdown_timeout, 10000000);
	ck_assert_int_eq(core->log.level, LOG_LEVEL_INFO);
	ck_assert_int_eq(core->log.format, LOG_FORMAT_TEXT);
	ck_assert_str_eq(core->kafka.brokers, "127.0.0.1:9092");
	ck_assert_str_eq(core->kafka.group, "cqrsd");
	ck_assert_str_eq(core->kafka.start, "earliest");
	ck_assert_int_eq(core->kafka.session_timeout, 10000000);
	ck_assert_ptr_null(core->kafka.properties->name);
	ck_assert_str_eq(core->postgres.dsn, "host=/run/postgresql dbname=cqrs");
	ck_assert_int_eq(core->postgres.migrate, 0);
	ck_assert_str_eq(core->postgres.read.dsn, "");
	ck_assert_int_eq(core->postgres.read.connections, 4);
	ck_assert_int_eq(core->postgres.read.streams, 2);
	ck_assert_int_eq(core->postgres.read.timeout, 5000000);
	ck_assert_int_eq(core->postgres.write.connections, 2);
	ck_assert_int_eq(core->postgres.write.max_rows, 30000);
	ck_assert_int_eq(core->postgres.write.max_delay, 20000);
	ck_assert_int_eq(core->postgres.write.timeout, 10000000);
	ck_assert_str_eq(core->http.listen, "127.0.0.1:8080");
	ck_assert_int_eq(core->http.header_timeout, 10000000);
	ck_assert_int_eq(core->http.body_timeout, 30000000);
	ck_assert_int_eq(core->http.idle_timeout, 60000000);
	ck_assert_int_eq(core->http.max_body, 1048576);
	ck_assert_int_eq(core->http.max_connections, 10000);
	ck_assert_str_eq(core->admin.listen, "127.0.0.1:8081");
	ck_assert_str_eq(core->module_path, "/usr/local/lib/cqrsd");
	ck_assert_uint_eq(config->n_commands + config->n_queries, 0);
}
END_TEST

/* In the form in which it is printed, and no value is its default. */
static const char everything[] = "memory: 1GiB\n"
                                 "shutdown_timeout: 1m\n"
                                 "log:\n"
                                 "  level: debug\n"
                                 "  format: json\n"
                                 "kafka:\n"
                                 "  brokers: \"a:1,b:2\"\n"
                                 "  group: \"g\"\n"
                                 "  start: \"2024-01-31T00:00:00Z\"\n"
                                 "  on_gap: continue\n"
                                 "  session_timeout: 6s\n"
                                 "  progress: \"p\"\n"
                                 "  properties:\n"
                                 "    client.id: \"cqrs$$1\"\n"
                                 "    fetch.wait.max.ms: \"10\"\n"
                                 "postgres:\n"
                                 "  dsn: \"dbname=x\"\n"
                                 "  network_timeout: 4s\n"
                                 "  migrate: auto\n"
                                 "  read:\n"
                                 "    dsn: \"host=replica\"\n"
                                 "    connections: 3\n"
                                 "    streams: 4\n"
                                 "    timeout: 1500ms\n"
                                 "  write:\n"
                                 "    connections: 1\n"
                                 "    max_rows: 500\n"
                                 "    max_delay: 0s\n"
                                 "    timeout: 1h\n"
                                 "    keep_outcomes: 2h\n"
                                 "http:\n"
                                 "  listen: \"[::1]:0\"\n"
                                 "  header_timeout: 1s\n"
                                 "  body_timeout: 2s\n"
                                 "  idle_timeout: 3s\n"
                                 "  write_timeout: 4s\n"
                                 "  command_timeout: 1500ms\n"
                                 "  max_wait: 8s\n"
                                 "  cache_ttl: 9s\n"
                                 "  max_body: 3KiB\n"
                                 "  max_connections: 7\n"
                                 "  max_connections_per_client: 5\n"
                                 "  rate_limit: 6\n"
                                 "admin:\n"
                                 "  listen: \"unix:/run/a.sock\"\n"
                                 "module_path: \"/m\"\n";

START_TEST(prints_what_loads_again)
{
	load(everything);
	ck_assert_str_eq(print(), everything);
	ck_assert_str_eq(config->core.kafka.properties[0].value, "cqrs$1");
	ck_assert_ptr_null(config->core.kafka.properties[2].name);
	load("");
	char *defaults = strdup(print());
	load(defaults);
	ck_assert_str_eq(print(), defaults);
	free(defaults);
}
END_TEST

START_TEST(never_prints_a_password)
{
	setenv("CHECK_PASSWORD", "swordfish", 1);
	load("postgres: { dsn: 'host=a password=${CHECK_PASSWORD}', read: { dsn: "
	     "'postgres://u:${CHECK_PASSWORD}@h/d' } }\n"
	     "kafka: { properties: { sasl.username: u, sasl.password: '${CHECK_PASSWORD}', "
	     "ssl.key.pem: '${CHECK_PASSWORD}', sasl.oauthbearer.client.secret: swordfish } }\n");
	ck_assert_str_eq(config->core.postgres.dsn, "host=a password=swordfish");
	ck_assert_ptr_null(strstr(print(), "swordfish"));
	ck_assert_ptr_nonnull(strstr(print(), "\n  dsn: \"host=a password=(hidden)\"\n"));
	ck_assert_ptr_nonnull(strstr(print(), "\n    dsn: \"postgres://u:(hidden)@h/d\"\n"));
	ck_assert_ptr_nonnull(strstr(print(), "\n    sasl.username: \"u\"\n"));
	ck_assert_ptr_nonnull(strstr(print(), "\n    sasl.password: \"(hidden)\"\n"));
	load(print());
	ck_assert_str_eq(complain("kafka: { start: '${CHECK_PASSWORD}' }\n"
	                          "log: { level: '${CHECK_PASSWORD}' }\n"),
	                 "1:17: kafka.start must be earliest, latest or a time such as "
	                 "2024-01-31T00:00:00Z\n"
	                 "2:15: log.level must be debug, info, warning or error\n");
}
END_TEST

START_TEST(tells_all_mistakes_in_the_order_of_lines)
{
	unsetenv("CHECK_UNSET");
	ck_assert_str_eq(
	    complain("memory: 1MiB\n"
	             "memori: 3\n"
	             "log: { level: warn, format: xml }\n"
	             "kafka:\n"
	             "  start: yesterday\n"
	             "  group: ''\n"
	             "  properties:\n"
	             "    group.id: x\n"
	             "    sasl.password: ${CHECK_UNSET}\n"
	             "    list: [1, 2]\n"
	             "  session_timeout: 0s\n"
	             "postgres:\n"
	             "  dsn: [a]\n"
	             "  write: { max_row: 5, max_delay: 5, connections: many }\n"
	             "  write: 7\n"
	             "  read:\n"
	             "http: { listen: '8080', max_body: 64, colour: red, max_connections: }\n"
	             "admin: x\n"
	             "log.level: info\n"
	             "module_path:\n"
	             "commands: [sensor]\n"
	             "queries: sensor\n"),
	    "1:9: memory must be 16MiB to 64GiB, not 1MiB\n"
	    "2:1: unknown option \"memori\", did you mean \"memory\"?\n"
	    "3:15: log.level must be debug, info, warning or error, not \"warn\"\n"
	    "3:29: log.format must be text or json, not \"xml\"\n"
	    "5:10: kafka.start must be earliest, latest or a time such as 2024-01-31T00:00:00Z, "
	    "not \"yesterday\"\n"
	    "6:10: kafka.group must be the name of a consumer group, not \"\"\n"
	    "8:5: the property \"group.id\" cannot be set here: say kafka.group instead\n"
	    "9:20: the environment variable CHECK_UNSET is not set; set it, or write "
	    "${CHECK_UNSET:-default}\n"
	    "10:11: kafka.properties.list must be a value, not a sequence\n"
	    "11:20: kafka.session_timeout must be 1s to 5m, not 0s\n"
	    "13:8: postgres.dsn must be a value, not a sequence\n"
	    "14:12: unknown option \"max_row\", did you mean \"max_rows\"?\n"
	    "14:35: postgres.write.max_delay must be a duration such as 20ms, 5s or 12h, not "
	    "\"5\"\n"
	    "14:51: postgres.write.connections must be a whole number, not \"many\"\n"
	    "15:3: \"write\" stands here for the second time, first at 14:3\n"
	    "15:10: postgres.write must be a mapping of options, not a value\n"
	    "17:17: http.listen must be an address such as 127.0.0.1:8080, [::1]:8080 or "
	    "unix:/run/cqrsd.sock, or empty for none, not \"8080\"\n"
	    "17:35: http.max_body must be a size such as 512B, 64KiB or 1GiB, not \"64\"\n"
	    "17:39: unknown option \"colour\", known here: listen, header_timeout, body_timeout, "
	    "idle_timeout, write_timeout, command_timeout, max_wait, cache_ttl, max_body, "
	    "max_connections, "
	    "max_connections_per_client, "
	    "rate_limit\n"
	    "17:69: http.max_connections has no value\n"
	    "18:8: admin must be a mapping of options, not a value\n"
	    "19:1: unknown option \"log.level\", write sections in each other instead of dots\n"
	    "20:13: module_path has no value, write \"\" for an empty text\n"
	    "21:11: commands must be a mapping of command modules to their options, such as "
	    "{ sensor: {} }, not a sequence\n"
	    "22:10: queries must be a mapping of query modules to their options, such as "
	    "{ sensor: {} }, not a value\n");
}
END_TEST

START_TEST(suggests_names_of_its_own_at_the_top)
{
	ck_assert_str_eq(complain("command: {}\n"),
	                 "1:1: unknown option \"command\", did you mean \"commands\"?\n");
	ck_assert_str_eq(complain("kafka: { commands: {} }\n"),
	                 "1:10: unknown option \"commands\", known here: brokers, group, start, "
	                 "on_gap, session_timeout, progress, properties\n");
}
END_TEST

START_TEST(says_why_there_is_no_configuration)
{
	char expected[100];
	unlink(path);
	ck_assert_ptr_null(config_load(path, &errors));
	snprintf(expected, sizeof expected, "%s: cannot be read: No such file or directory\n",
	         path);
	ck_assert_str_eq(buf_str(&errors), expected);
	ck_assert_str_eq(complain("a: [\n"), "2:1: did not find expected node content while "
	                                     "parsing a flow node\n");
}
END_TEST

START_TEST(refuses_properties_that_we_depend_on)
{
	static const char *const needed[] = {
	    "group.id",
	    "bootstrap.servers",
	    "metadata.broker.list",
	    "enable.auto.commit",
	    "enable.auto.offset.store",
	    "auto.offset.reset",
	    "isolation.level",
	    "enable.partition.eof",
	    "partition.assignment.strategy",
	    "max.poll.interval.ms",
	    "session.timeout.ms",
	    "queued.max.messages.kbytes",
	    "queued.min.messages",
	    "enable.idempotence",
	    "acks",
	    "transactional.id",
	};
	for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
		char text[100], expected[200];
		const char *why = config_property_refused(needed[i]);
		ck_assert_msg(why != NULL, "%s is not refused", needed[i]);
		snprintf(text, sizeof text, "kafka:\n  properties: { %s: '1' }\n", needed[i]);
		snprintf(expected, sizeof expected,
		         "2:17: the property \"%s\" cannot be set here: %s\n", needed[i], why);
		ck_assert_str_eq(complain(text), expected);
	}
	ck_assert_str_eq(config_property_refused("session.timeout.ms"),
	                 "say kafka.session_timeout instead");
	load("kafka: { properties: { group.instance.id: a, security.protocol: sasl_ssl, "
	     "sasl.mechanisms: PLAIN, ssl.ca.location: /ca.pem, client.id: c } }\n");
}
END_TEST

START_TEST(knows_an_address_when_it_sees_one)
{
	static const char *const good[] = {"127.0.0.1:0", "0.0.0.0:65535", "[::]:80", "[fe80::1]:1",
	                                   "unix:/run/x.sock"};
	static const char *const bad[] = {
	    "",
	    "8080",
	    ":8080",
	    "localhost:8080",
	    "127.0.0.1",
	    "127.0.0.1:",
	    "::1:80",
	    "[::1]",
	    "[::1:80",
	    "1.2.3.4:65536",
	    "1.2.3.4:+80",
	    "1.2.3:80",
	    "[1.2.3.4]:1",
	    "unix:",
	    "1.2.3.4: 80",
	    "1.2.3.4:000080",
	    "[::1]x:80",
	    "[]:80",
	};
	char text[200];
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		snprintf(text, sizeof text, "http: { listen: '%s' }\n", good[i]);
		ck_assert_str_eq(load(text)->http.listen, good[i]);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char expected[200];
		snprintf(text, sizeof text, "admin: { listen: '%s' }\n", bad[i]);
		snprintf(expected, sizeof expected,
		         "1:18: admin.listen must be an address such as 127.0.0.1:8081, "
		         "[::1]:8081 or unix:/run/cqrsd-admin.sock, not \"%s\"\n",
		         bad[i]);
		ck_assert_str_eq(complain(text), expected);
	}
	snprintf(text, sizeof text, "http: { listen: 'unix:/%0120d' }\n", 0);
	ck_assert_ptr_nonnull(strstr(complain(text), "1:17: http.listen must be an address"));
}
END_TEST

START_TEST(wants_two_addresses)
{
	ck_assert_str_eq(complain("http: { listen: 127.0.0.1:8081 }\n"),
	                 "1:17: http.listen and admin.listen are the same, administration needs an "
	                 "address of its own\n");
	ck_assert_str_eq(complain("http: { listen: 'unix:/a' }\nadmin: { listen: 'unix:/a' }\n"),
	                 "2:18: http.listen and admin.listen are the same, administration needs an "
	                 "address of its own\n");
	load("http: { listen: '127.0.0.1:0' }\nadmin: { listen: '127.0.0.1:0' }\n");
	ck_assert_str_eq(load("http: { listen: '' }\n")->http.listen, "");
}
END_TEST

START_TEST(knows_brokers_and_starting_points)
{
	load("kafka: { brokers: embedded, start: latest }");
	load("kafka: { brokers: 'ssl://a:9093,b,[::1]:1', start: '2024-01-31T00:00:00.5+01:00' }");
	static const char *const bad[] = {"", "a,", ",a", "a b", "a,,b", ":9092"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char text[100], expected[200];
		snprintf(text, sizeof text, "kafka: { brokers: '%s' }", bad[i]);
		snprintf(expected, sizeof expected,
		         "1:19: kafka.brokers must be host:port, several with commas between them, "
		         "or embedded, not \"%s\"\n",
		         bad[i]);
		ck_assert_str_eq(complain(text), expected);
	}
}
END_TEST

/* ---- modules ---- */

struct module_options {
	const char *readings, *sensors, *token;
	int64_t width;
};

#define MEMBER(m) .offset = offsetof(struct module_options, m)
static const struct cqrs_option table[] = {
    {.name = "topics.readings",
     .type = CQRS_OPTION_STRING,
     MEMBER(readings),
     .initial = "r",
     .help = "h"},
    {.name = "topics.sensors",
     .type = CQRS_OPTION_STRING,
     MEMBER(sensors),
     .help = "where the sensors come from"},
    {.name = "token",
     .type = CQRS_OPTION_STRING,
     MEMBER(token),
     .initial = "",
     .secret = true,
     .help = "h"},
    {.name = "width",
     .type = CQRS_OPTION_DURATION,
     MEMBER(width),
     .initial = "1d",
     .min = 1,
     .max = INT64_MAX,
     .help = "h"},
    CQRS_OPTIONS_END,
};

static const struct module_options *options(const struct config_module *module)
{
	return config_module_options(config, module, table, sizeof(struct module_options), &errors);
}

START_TEST(lists_modules_and_reads_their_options_later)
{
	load("commands:\n"
	     "  a: { topics: { sensors: s }, token: t, width: 2h }\n"
	     "  b:\n"
	     "queries:\n"
	     "  a: {}\n");
	ck_assert_uint_eq(config->n_commands, 2);
	ck_assert_uint_eq(config->n_queries, 1);
	ck_assert_str_eq(config->commands[0].name, "a");
	ck_assert_str_eq(config->commands[1].name, "b");
	ck_assert_int_eq(config->commands[1].line, 3);
	ck_assert_int_eq(config->commands[1].column, 3);
	ck_assert_str_eq(config->queries[0].name, "a");
	const struct module_options *o = options(&config->commands[0]);
	ck_assert_ptr_nonnull(o);
	ck_assert_str_eq(o->readings, "r");
	ck_assert_str_eq(o->sensors, "s");
	ck_assert_str_eq(o->token, "t");
	ck_assert_int_eq(o->width, INT64_C(7200000000));
	buf_clear(&printed);
	config_print_options(table, o, 4, &printed);
	ck_assert_str_eq(buf_str(&printed), "    topics:\n"
	                                    "      readings: \"r\"\n"
	                                    "      sensors: \"s\"\n"
	                                    "    token: \"(hidden)\"\n"
	                                    "    width: 2h\n");
	ck_assert_ptr_nonnull(config_module_options(config, &config->queries[0], NULL, 0, &errors));
	ck_assert_ptr_null(options(&config->commands[1]));
	ck_assert_str_eq(without_path(), "3:3: the option topics.sensors is missing: where the "
	                                 "sensors come from\n");
}
END_TEST

START_TEST(tells_the_mistakes_in_the_options_of_a_module)
{
	load("commands:\n"
	     "  a: { topics: { sensor: s, sensors: }, width: 0s, more: 1 }\n"
	     "  b: 7\n"
	     "  c: { x: 1 }\n");
	ck_assert_ptr_null(options(&config->commands[0]));
	ck_assert_str_eq(without_path(),
	                 "2:18: unknown option \"sensor\", did you mean \"sensors\"?\n"
	                 "2:38: topics.sensors has no value, write \"\" for an empty text\n"
	                 "2:48: width must be at least 1us, not 0s\n"
	                 "2:52: unknown option \"more\", known here: topics, token, width\n");
	buf_clear(&errors);
	ck_assert_ptr_null(config_module_options(config, &config->commands[1], NULL, 0, &errors));
	ck_assert_ptr_null(config_module_options(config, &config->commands[2], NULL, 0, &errors));
	ck_assert_str_eq(without_path(),
	                 "3:6: this section must be a mapping of options, not a value\n"
	                 "4:8: unknown option \"x\", there are no options here\n");
}
END_TEST

START_TEST(refuses_a_table_that_does_not_fit)
{
	static const struct cqrs_option wrong[] = {
	    {.name = "n", .type = CQRS_OPTION_INTEGER, .initial = "x", .help = "h"},
	    CQRS_OPTIONS_END};
	load("commands: { a: }\n");
	ck_assert_ptr_null(config_module_options(config, config->commands, table,
	                                         sizeof(struct module_options) - 1, &errors));
	ck_assert_ptr_null(config_module_options(config, config->commands, wrong, 8, &errors));
	ck_assert_str_eq(without_path(),
	                 "1:13: module a: the option width lies outside of .options_size, correct "
	                 "the module\n"
	                 "1:13: wrong default, correct the module: n must be a whole number, not "
	                 "\"x\"\n");
}
END_TEST

START_TEST(tells_the_mistakes_of_modules_together_with_those_of_the_core)
{
	write_file("commands:\n"
	           "  a: { topics: { sensors: s }, widht: 1d }\n"
	           "  b:\n"
	           "memory: x\n");
	config = config_open(path, &errors);
	ck_assert_ptr_nonnull(config);
	ck_assert_ptr_null(config_module_options(config, &config->commands[0], table,
	                                         sizeof(struct module_options), NULL));
	config_module_mistake(config, &config->commands[1], NULL, "no module %s.so", "b");
	ck_assert_uint_eq(errors.len, 0);
	ck_assert(!config_report(config, &errors));
	ck_assert_str_eq(without_path(),
	                 "2:32: unknown option \"widht\", did you mean \"width\"?\n"
	                 "3:3: no module b.so\n"
	                 "4:9: memory must be a size such as 512B, 64KiB or 1GiB, not \"x\"\n");
}
END_TEST

START_TEST(beside_command_modules_the_core_has_options)
{
	ck_assert(load("commands: { a: {} }\n")->commands.consume);
	ck_assert(load("queries: { a: {} }\n")->commands.consume);
	load("commands: { a: { x: 1 }, consume: false, b: {} }\n");
	ck_assert(!config->core.commands.consume);
	ck_assert_uint_eq(config->n_commands, 2);
	ck_assert_str_eq(config->commands[0].name, "a");
	ck_assert_str_eq(config->commands[1].name, "b");
	load("queries: { consume: {} }\n");
	ck_assert_str_eq(config->queries[0].name, "consume");
	ck_assert_str_eq(complain("commands: { consume: 7 }\n"),
	                 "1:22: consume must be true or false, not \"7\"\n");
	ck_assert_str_eq(complain("commands: { consume: {} }\n"),
	                 "1:22: consume must be a value, not a mapping\n");
}
END_TEST

/* ---- the tables, and etc/cqrs.yaml ---- */

static void check_row(const struct cqrs_option *rows, const struct cqrs_option *row)
{
	struct buf help = BUF_INIT;
	ck_assert_msg(row->help && *row->help && row->help[strlen(row->help) - 1] != '.',
	              "%s wants one line of help, without a full stop", row->name);
	for (const struct cqrs_option *o = rows; o < row; o++) {
		ck_assert_str_ne(o->name, row->name);
		ck_assert_uint_ne(o->offset, row->offset);
		ck_assert_msg(o == row - 1 || section_shared(row->name, o->name) <=
		                                  section_shared(row->name, row[-1].name),
		              "%s stands apart from its section", row->name);
	}
	config_print_help(rows, &help);
	ck_assert_ptr_nonnull(strstr(buf_str(&help), row->help));
	buf_release(&help);
}

START_TEST(the_tables_are_well_made)
{
	for (const struct cqrs_option *row = config_options; row->name; row++)
		check_row(config_options, row);
	for (const struct cqrs_option *row = table; row->name; row++)
		check_row(table, row);
	config_print_help(table, &printed);
	ck_assert_str_eq(buf_str(&printed), "  topics.readings  r   h\n"
	                                    "  topics.sensors       where the sensors come from, "
	                                    "required\n"
	                                    "  token            \"\"  h\n"
	                                    "  width            1d  h (at least 1us)\n");
}
END_TEST

static const char shipped[] = "etc/cqrs.yaml";
static char *lines[1000];
static int n_lines;
static bool explained[1000]; /* the comments that belong to an option */

static void read_shipped(void)
{
	static char text[65536];
	FILE *file = fopen(shipped, "r");
	ck_assert_msg(file != NULL, "run this from the root of the project");
	text[fread(text, 1, sizeof text - 1, file)] = '\0';
	fclose(file);
	for (char *p = text; *p && n_lines < 1000; n_lines++) {
		lines[n_lines] = p;
		p += strcspn(p, "\n");
		if (*p)
			*p++ = '\0';
	}
}

/* The option has a line of its own with the default, below a comment with its help. */
static void check_shipped(const struct config_node *section, const struct cqrs_option *row)
{
	const struct config_node *node = config_node_find(section, row->name);
	ck_assert_msg(node != NULL, "%s does not have the option %s", shipped, row->name);
	if (row->type == CQRS_OPTION_MAP)
		ck_assert_msg(node->kind == CONFIG_MAPPING && !node->children,
		              "%s:%d: %s must be {}", shipped, node->line, row->name);
	else
		ck_assert_msg(node->kind == CONFIG_SCALAR && row->initial &&
		                  strcmp(node->text, row->initial) == 0,
		              "%s:%d: the default of %s is %s", shipped, node->line, row->name,
		              row->initial);
	struct buf comment = BUF_INIT, range = BUF_INIT;
	option_print_range(row, &range);
	buf_printf(&comment, "%*s# %s", node->key_column - 1, "", row->help);
	if (range.len)
		buf_printf(&comment, " (%s)", buf_str(&range));
	ck_assert_int_ge(node->key_line, 2);
	ck_assert_msg(strcmp(lines[node->key_line - 2], buf_str(&comment)) == 0,
	              "%s:%d: the comment must be\n%s", shipped, node->key_line - 1,
	              buf_str(&comment));
	explained[node->key_line - 2] = true;
	buf_release(&comment);
	buf_release(&range);
}

/* Comments indented like options belong to one; those at the margin may be about all of it. */
static void check_comments(void)
{
	for (int i = 0; i < n_lines; i++)
		ck_assert_msg(lines[i][0] != ' ' || lines[i][strspn(lines[i], " ")] != '#' ||
		                  explained[i],
		              "%s:%d: no option has this help", shipped, i + 1);
}

static void check_modules(struct module_set *set, enum module_kind kind,
                          const struct config_module *list, size_t n)
{
	char linked[1000];
	char *save = NULL;
	snprintf(linked, sizeof linked, "%s", module_linked(kind));
	for (char *name = strtok_r(linked, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
		size_t i = 0;
		while (i < n && strcmp(list[i].name, name) != 0)
			i++;
		ck_assert_msg(i < n, "%s does not have the %s module %s", shipped,
		              module_kind_name(kind), name);
	}
	for (size_t i = 0; i < n; i++) {
		struct module *module = module_set_add(set, kind, list[i].name, &errors);
		ck_assert_msg(module != NULL, "%s", buf_str(&errors));
		config_module_options(config, &list[i], module->options, module->options_size,
		                      &errors);
		ck_assert_str_eq(buf_str(&errors), "");
		for (const struct cqrs_option *o = module->options; o && o->name; o++) {
			check_row(module->options, o);
			check_shipped(list[i].section, o);
		}
	}
}

START_TEST(the_shipped_file_has_every_option_and_nothing_else)
{
	read_shipped();
	config = config_load(shipped, &errors);
	ck_assert_str_eq(buf_str(&errors), "");
	for (const struct cqrs_option *o = config_options; o->name; o++)
		check_shipped(config->root, o);
	for (const struct cqrs_option *o = config_command_options; o->name; o++)
		check_shipped(config_node_child(config->root, "commands"), o);
	struct module_set *set = module_set_new("/nonexistent");
	check_modules(set, MODULE_COMMAND, config->commands, config->n_commands);
	check_modules(set, MODULE_QUERY, config->queries, config->n_queries);
	check_comments();
	module_set_free(set);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config");
	TCase *tc = tcase_create("config");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, an_empty_file_is_all_defaults);
	tcase_add_test(tc, prints_what_loads_again);
	tcase_add_test(tc, never_prints_a_password);
	tcase_add_test(tc, tells_all_mistakes_in_the_order_of_lines);
	tcase_add_test(tc, suggests_names_of_its_own_at_the_top);
	tcase_add_test(tc, says_why_there_is_no_configuration);
	tcase_add_test(tc, refuses_properties_that_we_depend_on);
	tcase_add_test(tc, knows_an_address_when_it_sees_one);
	tcase_add_test(tc, wants_two_addresses);
	tcase_add_test(tc, knows_brokers_and_starting_points);
	tcase_add_test(tc, lists_modules_and_reads_their_options_later);
	tcase_add_test(tc, tells_the_mistakes_in_the_options_of_a_module);
	tcase_add_test(tc, refuses_a_table_that_does_not_fit);
	tcase_add_test(tc, tells_the_mistakes_of_modules_together_with_those_of_the_core);
	tcase_add_test(tc, beside_command_modules_the_core_has_options);
	tcase_add_test(tc, the_tables_are_well_made);
	tcase_add_test(tc, the_shipped_file_has_every_option_and_nothing_else);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
