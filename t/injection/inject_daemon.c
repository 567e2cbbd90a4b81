/* SPDX-License-Identifier: MIT */
/* The daemon as a whole, from its start to SIGTERM: it gives up with a message, or drains and ends.
 */
#include "injection.h"

#include "../unit/pg_server.h"
#include "command_line.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define WORK_MS 1500 /* between the start and SIGTERM, at least */

static char directory[] = "/tmp/cqrsd-inject-XXXXXX";

static off_t told(void)
{
	fflush(stderr);
	return lseek(STDERR_FILENO, 0, SEEK_END);
}

/* SIGTERM, and again in case that nobody was there yet: who is in a hurry loses nothing. */
static void *stop_daemon(void *arg)
{
	atomic_bool *is_over = arg;
	for (int i = 0; !*is_over; i++) {
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
		if (i % 3000 == WORK_MS / 10)
			kill(getpid(), SIGTERM);
	}
	return NULL;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	MUST(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* With sockets and a group of its own: several are at work. */
static void write_config(char path[200])
{
	char text[1000];
	int pid = (int)getpid();
	snprintf(path, 200, "%s/%d.yaml", directory, pid);
	snprintf(text, sizeof text,
	         "shutdown_timeout: 2s\nlog: { level: warning }\n"
	         "kafka: { brokers: embedded, group: g%d }\n"
	         "postgres: { dsn: '${file:%s/dsn}', migrate: auto }\n"
	         "http: { listen: 'unix:%s/%d.http' }\nadmin: { listen: 'unix:%s/%d.admin' }\n"
	         "commands: { sensor: {} }\nqueries: { sensor: {} }\n",
	         pid, directory, directory, pid, directory, pid);
	write_file(path, text);
}

static bool runs(void)
{
	char path[200];
	char *argv[] = {"cqrsd", "-c", path, NULL};
	atomic_bool is_over = false;
	pthread_t stopper;
	write_config(path);
	off_t before = told();
	/* Who gives up may have gone before it comes. */
	signal(SIGTERM, SIG_IGN);
	MUST(pthread_create(&stopper, NULL, stop_daemon, &is_over) == 0);
	int code = command_line_run(3, argv);
	is_over = true;
	pthread_join(stopper, NULL);
	MUST(code == EXIT_CODE_OK || before < 0 || told() > before || injection_is_lasting());
	return code == EXIT_CODE_OK;
}

static void start(void)
{
	char path[200];
	pg_server_start("inject_daemon");
	MUST(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/dsn", directory);
	write_file(path, pg_server_dsn);
}

static void stop(void)
{
	char command[100];
	snprintf(command, sizeof command, "rm -rf '%s'", directory);
	MUST(system(command) == 0);
	pg_server_stop();
}

static const struct injection_scenario scenarios[] = {
    {.name = "runs", .run = runs, .is_start = true, .has_threads = true, .jobs = 6, .every = 41},
    {.name = NULL},
};

const struct injection injection = {
    .name = "daemon", .scenarios = scenarios, .start = start, .stop = stop};
