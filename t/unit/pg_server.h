/* SPDX-License-Identifier: MIT */
/*
 * A throw-away PostgreSQL for a test program: pg_server_start() in main(),
 * pg_server_stop() at its end.
 *
 * It lives in a temporary directory, listens on a Unix socket there and on
 * nothing else, and dies with the test.  With CQRSD_TEST_DSN in the environment
 * that server is used instead, in a database named after the test program.
 * Everything is static: a test program is one file.
 */
#ifndef PG_SERVER_H
#define PG_SERVER_H

#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef PG_BINDIR
#define PG_BINDIR "/usr/lib/postgresql/15/bin"
#endif

static char pg_server_dsn[512];
static char pg_server_dir[64];
static pid_t pg_server_pid;

static inline void pg_server_die(const char *what)
{
	fprintf(stderr, "test PostgreSQL: %s\n", what);
	exit(1);
}

static inline void pg_server_sleep(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

/* Runs a program as somebody whom PostgreSQL accepts: not root. */
static inline pid_t pg_server_spawn(char *const argv[], const char *log)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	if (geteuid() == 0) {
		struct passwd *user = getpwnam("postgres");
		if (!user || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
			_exit(126);
	}
	prctl(PR_SET_PDEATHSIG, SIGQUIT);
	if (chdir("/") != 0 || !freopen("/dev/null", "r", stdin) || !freopen(log, "a", stdout) ||
	    dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
		_exit(126);
	execv(argv[0], argv);
	_exit(127);
}

/* One statement over a connection of its own; the first field of its answer, malloced, or NULL. */
static inline char *pg_server_query(const char *sql)
{
	PGconn *pg = PQconnectdb(pg_server_dsn);
	PGresult *result = PQexec(pg, sql);
	ExecStatusType status = PQresultStatus(result);
	char *text = NULL;
	if (status == PGRES_TUPLES_OK && PQntuples(result))
		text = strdup(PQgetvalue(result, 0, 0));
	else if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		fprintf(stderr, "%s: %s", sql, PQerrorMessage(pg));
	PQclear(result);
	PQfinish(pg);
	return text;
}

static inline void pg_server_exec(const char *sql)
{
	free(pg_server_query(sql));
}

static inline long pg_server_number(const char *sql)
{
	char *text = pg_server_query(sql);
	long n = text ? strtol(text, NULL, 10) : -1;
	free(text);
	return n;
}

static inline void pg_server_launch(void)
{
	char data[128], log[128];
	snprintf(data, sizeof data, "%s/data", pg_server_dir);
	snprintf(log, sizeof log, "%s/log", pg_server_dir);
	char *argv[] = {PG_BINDIR "/postgres",
	                "-D",
	                data,
	                "-k",
	                pg_server_dir,
	                "-h",
	                "",
	                "-c",
	                "fsync=off",
	                "-c",
	                "max_connections=40",
	                "-c",
	                "shared_buffers=16MB",
	                "-c",
	                "autovacuum=off",
	                NULL};
	pg_server_pid = pg_server_spawn(argv, log);
	for (int i = 0; i < 1000 && PQping(pg_server_dsn) != PQPING_OK; i++)
		pg_server_sleep();
	if (PQping(pg_server_dsn) != PQPING_OK)
		pg_server_die("did not start");
}

static inline void pg_server_init(void)
{
	char data[128], log[128];
	int status = -1;
	snprintf(pg_server_dir, sizeof pg_server_dir, "/tmp/cqrsd-pg-XXXXXX");
	if (!mkdtemp(pg_server_dir))
		pg_server_die("no temporary directory");
	struct passwd *user = geteuid() == 0 ? getpwnam("postgres") : NULL;
	if (user && chown(pg_server_dir, user->pw_uid, user->pw_gid) != 0)
		pg_server_die("cannot give the directory to postgres");
	snprintf(data, sizeof data, "%s/data", pg_server_dir);
	snprintf(log, sizeof log, "%s/log", pg_server_dir);
	char *argv[] = {PG_BINDIR "/initdb", "-D", data,   "-A",         "trust",     "-U",
	                "postgres",          "-E", "UTF8", "--locale=C", "--no-sync", NULL};
	waitpid(pg_server_spawn(argv, log), &status, 0);
	if (status != 0)
		pg_server_die("initdb failed");
	snprintf(pg_server_dsn, sizeof pg_server_dsn, "host=%s user=postgres dbname=postgres",
	         pg_server_dir);
}

/* `name` names the database on a server that is not ours. */
static inline void pg_server_start(const char *name)
{
	const char *dsn = getenv("CQRSD_TEST_DSN");
	char sql[256];
	if (!dsn) {
		pg_server_init();
		pg_server_launch();
		return;
	}
	snprintf(pg_server_dsn, sizeof pg_server_dsn, "%s", dsn);
	snprintf(sql, sizeof sql, "DROP DATABASE IF EXISTS %s WITH (FORCE)", name);
	pg_server_exec(sql);
	snprintf(sql, sizeof sql, "CREATE DATABASE %s", name);
	pg_server_exec(sql);
	snprintf(pg_server_dsn, sizeof pg_server_dsn, "%s dbname=%s", dsn, name);
}

/* A backend that a failed test has left stopped does not hold up the shutdown for ever. */
static inline void pg_server_wait(void)
{
	int status;
	for (int i = 0; i < 1000; i++) {
		if (waitpid(pg_server_pid, &status, WNOHANG) != 0)
			return;
		if (i == 250)
			kill(pg_server_pid, SIGQUIT);
		pg_server_sleep();
	}
	fprintf(stderr, "test PostgreSQL: process %d does not end\n", (int)pg_server_pid);
}

static inline void pg_server_stop(void)
{
	char command[128];
	if (!pg_server_pid)
		return;
	kill(pg_server_pid, SIGINT);
	pg_server_wait();
	snprintf(command, sizeof command, "rm -rf '%s'", pg_server_dir);
	if (system(command) != 0)
		fprintf(stderr, "test PostgreSQL: %s is left behind\n", pg_server_dir);
}

#endif
