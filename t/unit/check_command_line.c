/* SPDX-License-Identifier: MIT */
/* The command line: what it understands, what it says, and how it exits. */
#include "command_line.h"

#include "module.h"

#include <check.h>
#include <cqrs/abi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 16

static char dir[] = "/tmp/cqrsd-command-XXXXXX";
static char out[65536], err[65536];

static void slurp(FILE *file, char *text, size_t size)
{
	rewind(file);
	size_t n = fread(text, 1, size - 1, file);
	text[n] = '\0';
	fclose(file);
}

/* Runs the program in a child, with `input` on stdin; its exit code, and `out` and `err`. */
static int run_with(const char *input, const char *arguments)
{
	char line[1024], *rest = line, *argv[ARGUMENTS_MAX] = {"cqrsd"}, *word;
	int argc = 1, status;
	FILE *in = tmpfile(), *o = tmpfile(), *e = tmpfile();
	snprintf(line, sizeof line, "%s", arguments);
	while ((word = strsep(&rest, " ")) && argc < ARGUMENTS_MAX - 1)
		if (*word)
			argv[argc++] = word;
	fputs(input, in);
	rewind(in);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(fileno(in), STDIN_FILENO);
		dup2(fileno(o), STDOUT_FILENO);
		dup2(fileno(e), STDERR_FILENO);
		int code = chdir(dir) ? 99 : command_line_run(argc, argv);
		fflush(NULL);
		_exit(code);
	}
	fclose(in);
	waitpid(pid, &status, 0);
	slurp(o, out, sizeof out);
	slurp(e, err, sizeof err);
	ck_assert_msg(WIFEXITED(status), "killed by %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

static int run(const char *arguments)
{
	return run_with("", arguments);
}

static void says(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "\"%s\" is not in:\n%.2000s", part, text);
}

static void write_file(const char *name, const char *text)
{
	char path[256];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

START_TEST(prints_its_version_and_abi)
{
	char abi[64];
	snprintf(abi, sizeof abi, "(module ABI %u)", CQRS_ABI);
	ck_assert_int_eq(run("--version"), EXIT_CODE_OK);
	says(out, "cqrsd ");
	says(out, abi);
	ck_assert_str_eq(err, "");
}
END_TEST

START_TEST(helps_with_every_option_of_core_and_modules)
{
	ck_assert_int_eq(run("--help"), EXIT_CODE_OK);
	says(out, "cqrsd [-c FILE] migrate");
	says(out, "cqrsd [-c FILE] produce");
	says(out, "postgres.write.max_rows");
	says(out, "64 wrong usage");
	if (strstr(module_linked(MODULE_COMMAND), "sensor"))
		says(out, "\ncommand sensor: ");
}
END_TEST

START_TEST(helps_who_asks_behind_a_command)
{
	ck_assert_int_eq(run("audit --help"), EXIT_CODE_OK);
	says(out, "cqrsd [-c FILE] audit");
	ck_assert_int_eq(run("offsets -h"), EXIT_CODE_OK);
	says(out, "64 wrong usage");
}
END_TEST

START_TEST(refuses_what_it_does_not_know)
{
	static const struct {
		const char *arguments, *sentence;
	} wrong[] = {
	    {"frobnicate", "unknown command \"frobnicate\""},
	    {"-x", "unknown option -x"},
	    {"--frob", "unknown option --frob"},
	    {"-c", "option -c needs a value"},
	    {"--config", "option -c needs a value"},
	    {"--probe", "--probe belongs to -t"},
	    {"-t migrate", "-t and -T do not go with \"migrate\""},
	    {"migrate now", "migrate takes no arguments"},
	    {"migrate -x", "unknown option -x"},
	    {"produce", "produce wants one topic"},
	    {"produce a b", "produce wants one topic"},
	    {"produce t -p x", "-p wants the number of a partition"},
	    {"produce t -p -1", "-p wants the number of a partition"},
	    {"produce t -p 2147483648", "-p wants the number of a partition"},
	    {"produce t --rate 0", "--rate wants messages per second"},
	    {"produce t -H novalue", "-H wants NAME=VALUE"},
	    {"produce t -H", "option -H needs a value"},
	};
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		ck_assert_int_eq(run(wrong[i].arguments), EXIT_CODE_USAGE);
		says(err, wrong[i].sentence);
		says(err, "`cqrsd --help` lists what there is");
		ck_assert_str_eq(out, "");
	}
}
END_TEST

START_TEST(tells_the_mistakes_of_a_file)
{
	write_file("wrong.yaml", "memory: much\nqueries: { nowhere: {} }\ncolour: red\n");
	const char *const arguments[] = {"-c wrong.yaml -t", "-c wrong.yaml -T", "-c wrong.yaml"};
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(run(arguments[i]), EXIT_CODE_CONFIGURATION);
		says(err, "wrong.yaml:1:9: ");
		says(err, "wrong.yaml:2:12: module nowhere is not linked in");
		says(err, "wrong.yaml:3:1: unknown option \"colour\"");
		ck_assert_str_eq(out, "");
	}
}
END_TEST

START_TEST(tells_the_mistakes_of_kafka_properties)
{
	write_file("kafka.yaml", "kafka: { properties: { linger.ms: many } }\n");
	ck_assert_int_eq(run("-c kafka.yaml -t"), EXIT_CODE_CONFIGURATION);
	says(err, "kafka.properties: linger.ms: ");
}
END_TEST

START_TEST(says_that_a_file_is_missing)
{
	ck_assert_int_eq(run("-c missing.yaml -t"), EXIT_CODE_CONFIGURATION);
	says(err, "missing.yaml");
	ck_assert_int_eq(run("migrate -c missing.yaml"), EXIT_CODE_CONFIGURATION);
	ck_assert_int_eq(run("produce t -c missing.yaml"), EXIT_CODE_CONFIGURATION);
}
END_TEST

START_TEST(accepts_a_file_that_is_fine)
{
	write_file("fine.yaml", "memory: 32MiB\n");
	ck_assert_int_eq(run("-c fine.yaml -t"), EXIT_CODE_OK);
	ck_assert_str_eq(out, "fine.yaml: the configuration is fine\n");
}
END_TEST

START_TEST(prints_a_configuration_that_loads_again)
{
	char first[sizeof out];
	write_file("print.yaml", "memory: 32MiB\nkafka: { properties: { linger.ms: 7 } }\n"
	                         "postgres: { dsn: \"host=db password=hush\" }\n");
	ck_assert_int_eq(run("-c print.yaml -T"), EXIT_CODE_OK);
	says(out, "memory: 32MiB\n");
	says(out, "linger.ms: ");
	says(out, "commands: {}\n");
	ck_assert_ptr_null(strstr(out, "hush"));
	memcpy(first, out, sizeof first);
	write_file("again.yaml", out);
	ck_assert_int_eq(run("-c again.yaml -T"), EXIT_CODE_OK);
	ck_assert_str_eq(out, first);
}
END_TEST

START_TEST(says_that_the_database_is_away)
{
	write_file("away.yaml", "postgres: { dsn: \"host=/nonexistent\" }\n");
	ck_assert_int_eq(run("migrate -c away.yaml"), EXIT_CODE_FAILED);
	says(err, "postgres cannot be reached: ");
}
END_TEST

START_TEST(asks_the_admin_listener_for_the_embedded_broker)
{
	write_file("embedded.yaml",
	           "kafka: { brokers: embedded }\nadmin: { listen: \"unix:/nonexistent.sock\" }\n");
	ck_assert_int_eq(run("-c embedded.yaml produce t"), EXIT_CODE_FAILED);
	says(err, "admin.listen (unix:/nonexistent.sock): No such file or directory");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command_line");
	TCase *cases = tcase_create("command_line");
	char command[128];
	if (!mkdtemp(dir))
		return EXIT_FAILURE;
	tcase_set_timeout(cases, 60);
	tcase_add_test(cases, prints_its_version_and_abi);
	tcase_add_test(cases, helps_with_every_option_of_core_and_modules);
	tcase_add_test(cases, helps_who_asks_behind_a_command);
	tcase_add_test(cases, refuses_what_it_does_not_know);
	tcase_add_test(cases, tells_the_mistakes_of_a_file);
	tcase_add_test(cases, tells_the_mistakes_of_kafka_properties);
	tcase_add_test(cases, says_that_a_file_is_missing);
	tcase_add_test(cases, accepts_a_file_that_is_fine);
	tcase_add_test(cases, prints_a_configuration_that_loads_again);
	tcase_add_test(cases, says_that_the_database_is_away);
	tcase_add_test(cases, asks_the_admin_listener_for_the_embedded_broker);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int bad = srunner_ntests_failed(runner);
	srunner_free(runner);
	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	return system(command) != 0 || bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
