/* SPDX-License-Identifier: MIT */
/* The module registry: what it loads, and what it refuses with which sentence. */
#include "module.h"

#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/cqrsd-modules-XXXXXX";
static char include[PATH_MAX];
static struct module_set *set;
static struct buf why;

/* Linked into this program, as the shipped ones are into the daemon. */
static int started, stopped, order[8], n_order;

static void *start_linked(struct cqrs_setup *setup, const void *options)
{
	(void)setup;
	(void)options;
	started++;
	return &started;
}

static void *start_none(struct cqrs_setup *setup, const void *options)
{
	(void)setup;
	(void)options;
	return NULL;
}

static void stop_linked(void *self)
{
	ck_assert_ptr_eq(self, &started);
	stopped++;
	order[n_order++] = 1;
}

static int query_self;

static void *start_query(struct cqrs_routes *routes, const void *options)
{
	(void)routes;
	(void)options;
	return &query_self;
}

static void stop_query(void *self)
{
	(void)self;
	order[n_order++] = 2;
}

CQRS_COMMAND_MODULE(linked, .summary = "linked in", .start = start_linked, .stop = stop_linked);
CQRS_COMMAND_MODULE(fails, .summary = "never starts", .start = start_none, .stop = stop_linked);
CQRS_COMMAND_MODULE(half, .summary = "no stop", .start = start_linked);
CQRS_QUERY_MODULE(asked, .summary = "linked in", .start = start_query, .stop = stop_query);

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

/* Builds DIR/`to` from C text, as a person would who has only the installed headers. */
static void build(const char *to, const char *text)
{
	char source[PATH_MAX], command[3 * PATH_MAX];
	const char *cc = getenv("CC");
	snprintf(source, sizeof source, "%s/source.c", dir);
	write_file(source, text);
	snprintf(command, sizeof command,
	         "%s -shared -fPIC -I%s -I/usr/include/postgresql -o %s/%s %s", cc ? cc : "gcc",
	         include, dir, to, source);
	ck_assert_int_eq(system(command), 0);
}

#define COMMAND(name)                                                                      \
	"#include <cqrs/command.h>\n"                                                      \
	"static void *start(struct cqrs_setup *s, const void *o) { (void)o; return s; }\n" \
	"static void stop(void *self) { (void)self; }\n"                                   \
	"CQRS_COMMAND_MODULE(" name                                                        \
	", .summary = \"from a file\", .start = start, .stop = stop);\n"
#define QUERY(name)                                                                         \
	"#include <cqrs/query.h>\n"                                                         \
	"static void *start(struct cqrs_routes *r, const void *o) { (void)o; return r; }\n" \
	"static void stop(void *self) { (void)self; }\n"                                    \
	"CQRS_QUERY_MODULE(" name ", .summary = \"from a file\", .start = start, .stop = stop);\n"

static void setup(void)
{
	set = module_set_new(dir);
	buf_clear(&why);
}

static void teardown(void)
{
	module_set_free(set);
	buf_release(&why);
}

static void refuses(enum module_kind kind, const char *name, const char *sentence)
{
	buf_clear(&why);
	ck_assert_ptr_null(module_set_add(set, kind, name, &why));
	ck_assert_msg(strstr(buf_str(&why), sentence) != NULL, "\"%s\" is not in \"%s\"", sentence,
	              buf_str(&why));
	ck_assert_ptr_null(strchr(buf_str(&why), '\n'));
	ck_assert_int_eq((int)module_set_count(set), 0);
}

START_TEST(loads_a_linked_in_module)
{
	struct module *module = module_set_add(set, MODULE_COMMAND, "linked", &why);
	ck_assert_msg(module != NULL, "%s", buf_str(&why));
	ck_assert_str_eq(module->name, "linked");
	ck_assert_str_eq(module->summary, "linked in");
	ck_assert_str_eq(module->origin, "linked in");
	ck_assert_ptr_eq(module->command, &cqrs_command_linked);
}
END_TEST

START_TEST(loads_a_command_and_a_query_of_one_name_from_files)
{
	build("command/both.so", COMMAND("both"));
	build("query/both.so", QUERY("both"));
	struct module *command = module_set_add(set, MODULE_COMMAND, "both", &why);
	struct module *query = module_set_add(set, MODULE_QUERY, "both", &why);
	ck_assert_msg(command && query, "%s", buf_str(&why));
	ck_assert_str_eq(command->summary, "from a file");
	ck_assert_ptr_nonnull(strstr(command->origin, "/command/both.so"));
	ck_assert_ptr_nonnull(strstr(query->origin, "/query/both.so"));
	ck_assert_int_eq((int)module_set_count(set), 2);
}
END_TEST

START_TEST(loads_a_file_that_lies_in_the_path_itself)
{
	build("flat.so", QUERY("flat"));
	ck_assert_msg(module_set_add(set, MODULE_QUERY, "flat", &why) != NULL, "%s", buf_str(&why));
}
END_TEST

START_TEST(refuses_another_abi)
{
	build("command/old.so",
	      "#include <cqrs/abi.h>\n#undef CQRS_ABI\n#define CQRS_ABI 7u\n" COMMAND("old"));
	refuses(MODULE_COMMAND, "old",
	        "module old.so was built for another cqrsd (ABI 7, this is 4), rebuild it");
}
END_TEST

START_TEST(looks_at_nothing_but_the_number_of_another_abi)
{
	build("query/tiny.so", "__attribute__((visibility(\"default\"))) "
	                       "const unsigned cqrs_query_tiny = 99;\n");
	refuses(MODULE_QUERY, "tiny", "ABI 99, this is 4");
}
END_TEST

START_TEST(refuses_a_file_without_the_symbol)
{
	build("command/empty.so", "int x;\n");
	refuses(MODULE_COMMAND, "empty",
	        "module empty.so does not export cqrs_command_empty: end it with "
	        "CQRS_COMMAND_MODULE(empty, ...)");
}
END_TEST

START_TEST(refuses_what_is_no_library)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/command/text.so", dir);
	write_file(path, "hello\n");
	refuses(MODULE_COMMAND, "text", "module text: cannot be loaded: ");
}
END_TEST

START_TEST(refuses_a_module_twice)
{
	ck_assert_ptr_nonnull(module_set_add(set, MODULE_COMMAND, "linked", &why));
	ck_assert_ptr_null(module_set_add(set, MODULE_COMMAND, "linked", &why));
	ck_assert_str_eq(buf_str(&why),
	                 "module linked is loaded already: list it once under commands:");
	ck_assert_int_eq((int)module_set_count(set), 1);
}
END_TEST

START_TEST(refuses_a_module_on_the_wrong_side)
{
	refuses(MODULE_QUERY, "linked",
	        "module linked is a command module: list it under commands:, not under queries:");
	refuses(MODULE_COMMAND, "asked",
	        "module asked is a query module: list it under queries:, not under commands:");
	build("command/side.so", COMMAND("side"));
	refuses(MODULE_QUERY, "side", "list it under commands:, not under queries:");
	build("plain.so", COMMAND("plain"));
	refuses(MODULE_QUERY, "plain", "list it under commands:, not under queries:");
}
END_TEST

START_TEST(says_where_it_looked)
{
	char sentence[PATH_MAX];
	snprintf(sentence, sizeof sentence, "neither %s/command/nowhere.so nor %s/nowhere.so", dir,
	         dir);
	refuses(MODULE_COMMAND, "nowhere", sentence);
}
END_TEST

START_TEST(refuses_names_that_are_none)
{
	static const char *const names[] = {"",     "Sensor", "1st",   "../evil", "a/b",
	                                    "a.so", "a-b",    "_lead", "sensör"};
	char longest[100];
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		refuses(MODULE_COMMAND, names[i], "a name is a small letter");
	memset(longest, 'a', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	refuses(MODULE_COMMAND, longest, "a name is a small letter");
}
END_TEST

START_TEST(refuses_a_file_that_calls_itself_otherwise)
{
	build("command/alias.so",
	      COMMAND("real") "extern const struct cqrs_command_module "
	                      "cqrs_command_alias __attribute__((alias(\"cqrs_command_real\"), "
	                      "visibility(\"default\")));\n");
	refuses(MODULE_COMMAND, "alias", "module alias.so calls itself \"real\"");
}
END_TEST

START_TEST(refuses_a_descriptor_with_something_missing)
{
	refuses(MODULE_COMMAND, "half", "module half has no .stop");
}
END_TEST

START_TEST(refuses_what_others_can_write)
{
	char file[PATH_MAX], directory[PATH_MAX];
	snprintf(directory, sizeof directory, "%s/command", dir);
	snprintf(file, sizeof file, "%s/command/open.so", dir);
	build("command/open.so", COMMAND("open"));
	chmod(file, 0666);
	refuses(MODULE_COMMAND, "open", "can be written by everybody: chmod o-w");
	chmod(file, 0644);
	chmod(directory, 0777);
	refuses(MODULE_COMMAND, "open", "can be written by everybody: chmod o-w");
	chmod(directory, 0755);
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(file, 65534, 0), 0);
		refuses(MODULE_COMMAND, "open", "belongs to another user: chown it to root");
		ck_assert_int_eq(chown(file, 0, 65534), 0);
		chmod(file, 0664);
		refuses(MODULE_COMMAND, "open", "can be written by another group: chmod g-w");
		chmod(file, 0644);
	}
	ck_assert_ptr_nonnull(module_set_add(set, MODULE_COMMAND, "open", &why));
}
END_TEST

START_TEST(checks_the_file_that_a_link_leads_to)
{
	char file[PATH_MAX], link[PATH_MAX];
	snprintf(file, sizeof file, "%s/elsewhere.so", dir);
	snprintf(link, sizeof link, "%s/command/linkto.so", dir);
	build("elsewhere.so", COMMAND("linkto"));
	ck_assert_int_eq(symlink(file, link), 0);
	chmod(file, 0666);
	refuses(MODULE_COMMAND, "linkto", "elsewhere.so can be written by everybody");
}
END_TEST

START_TEST(starts_and_stops_in_reverse)
{
	struct module *first = module_set_add(set, MODULE_COMMAND, "linked", &why);
	struct module *second = module_set_add(set, MODULE_QUERY, "asked", &why);
	started = stopped = n_order = 0;
	ck_assert(module_start_command(first, NULL));
	ck_assert(module_start_query(second, NULL));
	module_set_stop(set);
	ck_assert_int_eq(n_order, 2);
	ck_assert_int_eq(order[0], 2);
	ck_assert_int_eq(order[1], 1);
	/* Once is enough. */
	module_set_stop(set);
	ck_assert_int_eq(n_order, 2);
}
END_TEST

START_TEST(does_not_stop_what_did_not_start)
{
	struct module *module = module_set_add(set, MODULE_COMMAND, "fails", &why);
	stopped = 0;
	ck_assert(!module_start_command(module, NULL));
	module_set_stop(set);
	ck_assert_int_eq(stopped, 0);
}
END_TEST

START_TEST(tells_all_mistakes_of_a_configuration_in_one_go)
{
	char path[PATH_MAX], text[PATH_MAX];
	snprintf(path, sizeof path, "%s/cqrs.yaml", dir);
	snprintf(text, sizeof text,
	         "module_path: %s\ncommands:\n  linked: {}\n  nowhere: {}\nqueries:\n"
	         "  linked: {}\n  asked: { colour: red }\n",
	         dir);
	write_file(path, text);
	struct config *config = config_open(path, &why);
	ck_assert_ptr_nonnull(config);
	ck_assert(!module_set_load(set, config, NULL));
	ck_assert(!config_report(config, &why));
	ck_assert_ptr_nonnull(strstr(buf_str(&why), "cqrs.yaml:4:3: module nowhere is not"));
	ck_assert_ptr_nonnull(strstr(buf_str(&why), "cqrs.yaml:6:3: module linked is a command"));
	ck_assert_ptr_nonnull(strstr(buf_str(&why), "cqrs.yaml:7:12: unknown option \"colour\""));
	config_free(config);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("module");
	TCase *cases = tcase_create("module");
	char path[PATH_MAX];
	if (!mkdtemp(dir) || !realpath("include", include))
		return EXIT_FAILURE;
	snprintf(path, sizeof path, "%s/command", dir);
	mkdir(path, 0755);
	snprintf(path, sizeof path, "%s/query", dir);
	mkdir(path, 0755);
	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, loads_a_linked_in_module);
	tcase_add_test(cases, loads_a_command_and_a_query_of_one_name_from_files);
	tcase_add_test(cases, loads_a_file_that_lies_in_the_path_itself);
	tcase_add_test(cases, refuses_another_abi);
	tcase_add_test(cases, looks_at_nothing_but_the_number_of_another_abi);
	tcase_add_test(cases, refuses_a_file_without_the_symbol);
	tcase_add_test(cases, refuses_what_is_no_library);
	tcase_add_test(cases, refuses_a_module_twice);
	tcase_add_test(cases, refuses_a_module_on_the_wrong_side);
	tcase_add_test(cases, says_where_it_looked);
	tcase_add_test(cases, refuses_names_that_are_none);
	tcase_add_test(cases, refuses_a_file_that_calls_itself_otherwise);
	tcase_add_test(cases, refuses_a_descriptor_with_something_missing);
	tcase_add_test(cases, refuses_what_others_can_write);
	tcase_add_test(cases, checks_the_file_that_a_link_leads_to);
	tcase_add_test(cases, starts_and_stops_in_reverse);
	tcase_add_test(cases, does_not_stop_what_did_not_start);
	tcase_add_test(cases, tells_all_mistakes_of_a_configuration_in_one_go);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int bad = srunner_ntests_failed(runner);
	srunner_free(runner);
	snprintf(path, sizeof path, "rm -rf '%s'", dir);
	return system(path) != 0 || bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
