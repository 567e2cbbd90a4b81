/* SPDX-License-Identifier: MIT */
/* Subcommands: what they print when they say that all is fine is right; otherwise they say why not.
 */
#include "injection.h"

#include "../unit/pg_server.h"
#include "broker.h"
#include "command_line.h"
#include "kafka_sink.h"
#include "schema.h"
#include "text.h"
#include "turn.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define OUT_MAX 60000

static char config_path[] = "/tmp/cqrsd-inject-XXXXXX", lines_path[] = "/tmp/cqrsd-inject-XXXXXX";

/* ---- one command ---- */

static off_t told(void)
{
	fflush(stderr);
	return lseek(STDERR_FILENO, 0, SEEK_END);
}

/* What it prints, without numbers if they change; false: it failed and said so. */
static bool command(int which, bool changes, char *arguments)
{
	static char out[OUT_MAX];
	char *argv[16] = {"cqrsd"};
	int argc = 1, file = memfd_create("stdout", 0), saved = dup(STDOUT_FILENO);
	off_t before = told();
	for (char *word; (word = strtok(argc > 1 ? NULL : arguments, " ")); argc++)
		argv[argc] = word;
	fflush(stdout);
	dup2(file, STDOUT_FILENO);
	int code = command_line_run(argc, argv);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	ssize_t len = pread(file, out, sizeof out - 1, 0);
	close(file);
	close(saved);
	MUST(len >= 0);
	out[len] = '\0';
	bool has_told = before < 0 || told() > before;
	if (code) {
		fprintf(stderr, "%d is exit code %d: %.1000s\n", which, code, out);
		MUST(has_told || strstr(out, "\"error\": \""));
		return false;
	}
	size_t kept = changes ? text_without_numbers(out) : (size_t)len;
	/* What could not be found out is said, or stands in the document. */
	if (injection_is_trouble() && (has_told || strstr(out, "\"kafka\": \"")))
		return true;
	if (!injection_is_same(which, out, kept)) {
		fprintf(stderr, "%.1000s\n", out);
		MUST(!"what it printed is right");
	}
	return true;
}

/* `format` has one %s for the path of the configuration. */
static bool say(int which, bool changes, const char *format)
{
	char arguments[300];
	snprintf(arguments, sizeof arguments, format, config_path);
	return command(which, changes, arguments);
}

/* ---- scenarios ---- */

static bool looks_at_the_configuration(void)
{
	bool ok = say(0, false, "-c %s -t");
	ok &= say(1, false, "-c %s -T");
	ok &= say(2, false, "-h");
	return ok;
}

static bool probes(void)
{
	return say(0, false, "-c %s -t --probe");
}

static bool migrates(void)
{
	return say(0, false, "migrate -c %s");
}

static bool shows_offsets(void)
{
	bool ok = say(0, true, "offsets show -c %s");
	ok &= say(1, true, "offsets show -c %s --json");
	return ok;
}

static bool sets_an_offset(void)
{
	pg_server_exec("UPDATE cqrs.offsets SET next_offset = 0 WHERE partition = 3");
	bool ok = say(0, false, "offsets set logger.sensor.ts 1 earliest --yes -c %s");
	/* Not if it says that it failed, unless it said that it does not know. */
	MUST(pg_server_number("SELECT next_offset FROM cqrs.offsets WHERE partition = 1") == 0);
	return ok;
}

static bool shows_dead_letters(void)
{
	bool ok = say(0, false, "dead-letters list -c %s");
	ok &= say(1, false, "dead-letters list --topic logger.sensor.ts -c %s --json");
	ok &= say(2, false, "dead-letters show 1 -c %s");
	ok &= say(3, false, "dead-letters redrive 2 --dry-run -c %s");
	return ok;
}

static bool audits(void)
{
	return say(0, false, "audit -c %s");
}

static bool audits_for_programs(void)
{
	return say(0, false, "audit --json -c %s");
}

static bool produces(void)
{
	int saved = dup(STDIN_FILENO), lines = open(lines_path, O_RDONLY);
	dup2(lines, STDIN_FILENO);
	bool ok = say(0, true, "produce -c %s sent");
	dup2(saved, STDIN_FILENO);
	close(saved);
	close(lines);
	return ok;
}

/* ---- what there is ---- */

static const char *const messages[] = {
    "[{\"ts\":\"2022-03-04T15:00:00Z\",\"sensor_id\":1,\"temperature\":20.5,\"cpu\":1},"
    "{\"ts\":\"2022-03-04T15:00:00Z\",\"sensor_id\":2,\"temperature\":\"a long text, \\u00e9\"}]",
    "{\"ts\":\"2022-03-04T15:00:01Z\",\"sensor_id\":1,\"temperature\":20.5,\"cpu\":1}",
};

static const char stored[] =
    "SELECT sensor_data_partition('2022-03-04', '2022-03-05');"
    "INSERT INTO sensors (id) VALUES (1);"
    "INSERT INTO sensor_data (time, sensor_id, temperature, cpu) VALUES"
    " ('2022-03-04 15:00:00Z', 1, 20.5, 1), ('2022-03-04 15:00:01Z', 1, 20.5, 1);"
    "INSERT INTO cqrs.offsets SELECT 'cqrsd', t, p, CASE WHEN p = 0 AND t = 'logger.sensor.ts'"
    " THEN 2 ELSE 0 END, '2022-03-04' FROM generate_series(0, 3) p,"
    " unnest(ARRAY['logger.sensor.ts', 'logger.sensor.instance']) t;"
    "INSERT INTO cqrs.dead_letters (consumer_group, topic, partition, \"offset\", part_index, key,"
    " headers, payload, reason, created_at) VALUES ('cqrsd', 'logger.sensor.ts', 0, 0, 1, '\\xff',"
    " '{\"h\": \"a header\"}', '{\"ts\":5}', 'temperature must be a number', '2022-03-04'),"
    " ('cqrsd', 'logger.sensor.ts', 3, 7, NULL, NULL, NULL,"
    " '{\"ts\":\"2022-03-04T16:00:00Z\",\"sensor_id\":1,\"cpu\":1}', 'at noon', '2022-03-04')";

static int n_sent;

static void on_sent(struct kafka_record *record, int32_t partition, int64_t offset,
                    const char *error)
{
	(void)record;
	(void)partition;
	(void)offset;
	MUST(!error);
	n_sent++;
}

static bool all_sent(void *arg)
{
	(void)arg;
	return n_sent == 2;
}

static bool fill(void)
{
	static const struct kafka_sink_config config = {.brokers = brokers, .queue_bytes = 1 << 20};
	static struct kafka_record records[2];
	struct loop *loop = loop_new();
	struct kafka_sink *sink = kafka_sink_new(loop, &config, NULL);
	for (int i = 0; i < 2; i++) {
		records[i] = (struct kafka_record){.topic = "logger.sensor.ts",
		                                   .partition = 0,
		                                   .value = messages[i],
		                                   .value_len = strlen(messages[i]),
		                                   .done = on_sent};
		MUST(kafka_sink_send(sink, &records[i]));
	}
	MUST(turn_until(loop, all_sent, NULL, PATIENCE_US));
	kafka_sink_free(sink);
	loop_free(loop);
	return true;
}

static void write_file(char *path, const char *text)
{
	int fd = mkstemp(path);
	MUST(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void start(void)
{
	static const char *const topics[] = {"logger.sensor.ts", "logger.sensor.instance", "sent",
	                                     NULL};
	char text[1000];
	broker_start(topics, fill);
	pg_server_start("inject_cmd");
	pg_server_exec("SET client_min_messages = error; CREATE SCHEMA cqrs");
	snprintf(text, sizeof text,
	         "kafka: { brokers: '%s' }\npostgres: { dsn: '%s' }\ncommands: { sensor: {} }\n"
	         "queries: { sensor: {} }\n",
	         brokers, pg_server_dsn);
	write_file(config_path, text);
	write_file(lines_path, "one\ntwo\n");
	char *argv[] = {"cqrsd", "migrate", "-c", config_path, NULL};
	pid_t pid = fork();
	if (pid == 0)
		_exit(command_line_run(4, argv));
	int status = 1;
	MUST(waitpid(pid, &status, 0) == pid && status == 0);
	pg_server_exec(stored);
}

static void stop(void)
{
	unlink(config_path);
	unlink(lines_path);
	pg_server_stop();
	broker_stop();
}

#define COMMAND(text, function, steps)                                                           \
	{                                                                                        \
		.name = text, .run = function, .is_start = true, .has_threads = true, .jobs = 6, \
		.every = steps,                                                                  \
	}

static const struct injection_scenario scenarios[] = {
    COMMAND("looks at the configuration", looks_at_the_configuration, 3),
    COMMAND("probes", probes, 23),
    COMMAND("migrates", migrates, 13),
    COMMAND("shows offsets", shows_offsets, 23),
    COMMAND("sets an offset", sets_an_offset, 23),
    COMMAND("shows dead letters", shows_dead_letters, 61),
    COMMAND("audits", audits, 23),
    COMMAND("audits for programs", audits_for_programs, 23),
    COMMAND("produces", produces, 11),
    {.name = NULL},
};

const struct injection injection = {
    .name = "cmd", .scenarios = scenarios, .start = start, .stop = stop};
