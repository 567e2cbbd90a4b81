/* SPDX-License-Identifier: MIT */
/* Tests of src/core/config_file.c and of the ${…} that it expands. */
#include "config_expand.h"
#include "config_file.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct arena *arena;
static struct mistakes *mistakes;
static struct buf out;
static char directory[] = "/tmp/check_config_file.XXXXXX";
static char path[64];

static void set_up(void)
{
	strcpy(directory + strlen(directory) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/c.yaml", directory);
	arena = arena_new();
	mistakes = mistakes_new("c.yaml");
}

static void tear_down(void)
{
	arena_free(arena);
	mistakes_free(mistakes);
	buf_release(&out);
	unlink(path);
	snprintf(path, sizeof path, "%s/secret", directory);
	unlink(path);
	rmdir(directory);
}

static struct config_node *parse_bytes(const char *text, size_t len)
{
	return config_file_parse(arena, path, text, len, mistakes);
}

static struct config_node *parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

/* All the mistakes of a text. */
static const char *complain(const char *text)
{
	mistakes_free(mistakes);
	mistakes = mistakes_new("c.yaml");
	parse(text);
	buf_clear(&out);
	mistakes_write(mistakes, &out);
	return buf_str(&out);
}

static const char *value(const char *text)
{
	struct config_node *root = parse(text);
	ck_assert_ptr_nonnull(root);
	ck_assert_int_eq(root->children->kind, CONFIG_SCALAR);
	return root->children->text;
}

static void write_file(const char *name, const char *text, size_t len)
{
	char full[128];
	snprintf(full, sizeof full, "%s/%s", directory, name);
	int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
	close(fd);
}

START_TEST(reads_a_tree_with_places)
{
	struct config_node *root = parse("a: 1\nb:\n  c: [x, 'y']\n  d: {e: }\nf: ~\n");
	ck_assert_ptr_nonnull(root);
	const struct config_node *a = config_node_child(root, "a"), *c, *e;
	ck_assert_int_eq(a->kind, CONFIG_SCALAR);
	ck_assert_str_eq(a->text, "1");
	ck_assert_int_eq(a->line, 1);
	ck_assert_int_eq(a->column, 4);
	c = config_node_find(root, "b.c");
	ck_assert_int_eq(c->kind, CONFIG_SEQUENCE);
	ck_assert_int_eq(c->key_line, 3);
	ck_assert_int_eq(c->key_column, 3);
	ck_assert_str_eq(c->children->next->text, "y");
	ck_assert_ptr_null(c->children->next->next);
	e = config_node_find(root, "b.d.e");
	ck_assert_int_eq(e->kind, CONFIG_NULL);
	ck_assert_int_eq(config_node_child(root, "f")->kind, CONFIG_NULL);
	ck_assert_ptr_null(config_node_find(root, "b.d.x.y"));
	ck_assert_ptr_null(config_node_find(root, "a.b"));
	ck_assert_uint_eq(mistakes_count(mistakes), 0);
}
END_TEST

START_TEST(nothing_in_quotes_is_a_text)
{
	ck_assert_str_eq(value("a: \"\""), "");
	ck_assert_str_eq(value("a: 'null'"), "null");
	ck_assert_str_eq(value("a: \"~\""), "~");
}
END_TEST

START_TEST(an_empty_file_is_an_empty_mapping)
{
	static const char *const empty[] = {"", "\n\n", "# nothing\n", "---\n", "---\n...\n"};
	for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
		struct config_node *root = parse(empty[i]);
		ck_assert_ptr_nonnull(root);
		ck_assert_int_eq(root->kind, CONFIG_MAPPING);
		ck_assert_ptr_null(root->children);
	}
}
END_TEST

START_TEST(tells_where_the_syntax_is_wrong)
{
	static const char *const wrong[][2] = {
	    {"a: b: c", "c.yaml:1:5: mapping values are not allowed in this context\n"},
	    {"a: [1\n",
	     "c.yaml:2:1: did not find expected ',' or ']' while parsing a flow sequence\n"},
	    {"a:\n\t- b", "c.yaml:2:1: found character that cannot start any token while scanning "
	                  "for the next token\n"},
	    {"a: 1\nb: x\x01y", "c.yaml:2:5: control characters are not allowed\n"},
	    {"a: \"\\0\"", "c.yaml:1:4: a value must not have a NUL character in it\n"},
	    {"? [a]\n", "c.yaml:1:3: a name is expected here\n"},
	    {"\"\": 1", "c.yaml:1:1: a name must not be empty or have a NUL character in it\n"},
	    {"- a", "c.yaml:1:1: the file must be a mapping of options, such as "
	            "\"memory: 64MiB\"\n"},
	    {"a: 1\n---\nb: 2", "c.yaml:2:1: a second document begins here, one is allowed\n"},
	};
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		ck_assert_str_eq(complain(wrong[i][0]), wrong[i][1]);
}
END_TEST

START_TEST(refuses_anchors_aliases_and_tags)
{
	ck_assert_str_eq(complain("a: &x 1"), "c.yaml:1:4: anchors (&name) are not supported\n");
	ck_assert_str_eq(complain("a: &x {}"), "c.yaml:1:4: anchors (&name) are not supported\n");
	ck_assert_str_eq(complain("a: &x []"), "c.yaml:1:4: anchors (&name) are not supported\n");
	ck_assert_str_eq(complain("&x a: 1"), "c.yaml:1:1: anchors (&name) are not supported\n");
	ck_assert_str_eq(complain("\na: *x"), "c.yaml:2:4: aliases (*name) are not supported, "
	                                      "write the value out\n");
	ck_assert_str_eq(complain("a: !!str 1"), "c.yaml:1:4: tags (!name) are not supported\n");
}
END_TEST

START_TEST(tells_both_places_of_a_name_that_is_there_twice)
{
	ck_assert_str_eq(complain("a: 1\nb:\n  c: 2\n  c: 3\na: 4\n"),
	                 "c.yaml:4:3: \"c\" stands here for the second time, first at 3:3\n"
	                 "c.yaml:5:1: \"a\" stands here for the second time, first at 1:1\n");
}
END_TEST

START_TEST(is_bounded)
{
	char deep[64] = "a: ";
	memset(deep + 3, '[', CONFIG_DEPTH_MAX);
	memset(deep + 3 + CONFIG_DEPTH_MAX, ']', CONFIG_DEPTH_MAX);
	ck_assert_str_eq(complain(deep), "c.yaml:1:19: too many sections in each other\n");
	deep[3] = deep[3 + 2 * CONFIG_DEPTH_MAX - 1] = ' ';
	ck_assert_str_eq(complain(deep), "");

	struct buf wide = BUF_INIT;
	buf_puts(&wide, "a: [");
	for (int i = 0; i < CONFIG_NODES_MAX - 2; i++)
		buf_puts(&wide, "x,\n");
	buf_puts(&wide, "]");
	ck_assert_str_eq(complain(buf_str(&wide)), "");
	wide.data[wide.len - 1] = 'y';
	buf_puts(&wide, "]");
	ck_assert_str_eq(complain(buf_str(&wide)), "c.yaml:9999:1: the file has too many values\n");
	buf_release(&wide);
}
END_TEST

START_TEST(refuses_a_file_that_is_too_long)
{
	char *text = malloc(CONFIG_FILE_MAX + 2);
	memset(text, '\n', CONFIG_FILE_MAX + 1);
	text[CONFIG_FILE_MAX + 1] = '\0';
	ck_assert_str_eq(complain(text), "c.yaml: the file is longer than 1048576 bytes\n");
	ck_assert_str_eq(complain(text + 1), "");
	write_file("c.yaml", text, CONFIG_FILE_MAX + 1);
	ck_assert_ptr_null(config_file_read(arena, path, mistakes));
	free(text);
}
END_TEST

START_TEST(says_why_a_file_cannot_be_read)
{
	ck_assert_ptr_null(config_file_read(arena, path, mistakes));
	mistakes_write(mistakes, &out);
	ck_assert_str_eq(buf_str(&out), "c.yaml: cannot be read: No such file or directory\n");
}
END_TEST

START_TEST(reads_a_file)
{
	write_file("c.yaml", "a: 1\n", 5);
	struct config_node *root = config_file_read(arena, path, mistakes);
	ck_assert_ptr_nonnull(root);
	ck_assert_str_eq(config_node_child(root, "a")->text, "1");
}
END_TEST

START_TEST(refuses_what_everybody_can_write)
{
	char secret[80];
	FILE *file = fopen(path, "w");
	fputs("dsn: \"password=${file:secret}\"\n", file);
	fclose(file);
	snprintf(secret, sizeof secret, "%s/secret", directory);
	file = fopen(secret, "w");
	fputs("hunter2\n", file);
	fclose(file);
	chmod(path, 0666);
	chmod(secret, 0600);
	ck_assert_ptr_null(config_file_read(arena, path, mistakes));
	mistakes_write(mistakes, &out);
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "can be written by everybody: chmod o-w"));
	chmod(path, 0660);
	ck_assert_ptr_nonnull(config_file_read(arena, path, mistakes));
	ck_assert_uint_eq(mistakes_count(mistakes), 1);
	chmod(secret, 0622);
	buf_clear(&out);
	config_file_read(arena, path, mistakes);
	mistakes_write(mistakes, &out);
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "/secret: everybody can write it, chmod o-w"));
}
END_TEST

START_TEST(expands_environment_variables)
{
	setenv("CHECK_FULL", "x: y # z", 1);
	setenv("CHECK_EMPTY", "", 1);
	unsetenv("CHECK_UNSET");
	ck_assert_str_eq(value("a: <${CHECK_FULL}>"), "<x: y # z>");
	ck_assert_str_eq(value("a: '${CHECK_FULL:-d}${CHECK_EMPTY}'"), "x: y # z");
	ck_assert_str_eq(value("a: ${CHECK_UNSET:-d e}"), "d e");
	ck_assert_str_eq(value("a: ${CHECK_EMPTY:-d}"), "d");
	ck_assert_str_eq(value("a: \"${CHECK_UNSET:-}\""), "");
	ck_assert_str_eq(value("a: $${CHECK_FULL} $$ $5 $"), "${CHECK_FULL} $ $5 $");
	ck_assert(parse("a: ${CHECK_FULL}")->children->expanded);
	ck_assert_str_eq(parse("${CHECK_FULL}: 1")->children->key, "${CHECK_FULL}");
	/* What comes out is not looked at again. */
	setenv("CHECK_FULL", "${CHECK_EMPTY}", 1);
	ck_assert_str_eq(value("a: ${CHECK_FULL}"), "${CHECK_EMPTY}");
}
END_TEST

START_TEST(tells_what_cannot_be_expanded_and_reads_on)
{
	unsetenv("CHECK_UNSET");
	ck_assert_str_eq(complain("a: ${CHECK_UNSET}\nb: ${\nc: ${1}\nd: ${A:?x}\n"),
	                 "c.yaml:1:4: the environment variable CHECK_UNSET is not set; set it, or "
	                 "write ${CHECK_UNSET:-default}\n"
	                 "c.yaml:2:4: \"${\" without \"}\"; write $$ for a dollar sign\n"
	                 "c.yaml:3:4: \"${1}\" is not understood, write ${NAME}, "
	                 "${NAME:-default}, ${file:PATH}, or $$ for a dollar sign\n"
	                 "c.yaml:4:4: \"${A:?x}\" is not understood, write ${NAME}, "
	                 "${NAME:-default}, ${file:PATH}, or $$ for a dollar sign\n");
}
END_TEST

START_TEST(expands_the_contents_of_files)
{
	char text[128], expected[160];
	write_file("secret", "swordfish\r\n", 11);
	ck_assert_str_eq(value("a: p=${file:secret}"), "p=swordfish");
	snprintf(text, sizeof text, "a: ${file:%s/secret}", directory);
	write_file("secret", "two\nlines\n\n", 11);
	ck_assert_str_eq(value(text), "two\nlines\n");
	write_file("secret", "", 0);
	ck_assert_str_eq(value(text), "");

	write_file("secret", "a\0b", 3);
	snprintf(expected, sizeof expected, "c.yaml:1:4: %s/secret has a NUL byte in it\n",
	         directory);
	ck_assert_str_eq(complain(text), expected);
	snprintf(expected, sizeof expected, "c.yaml:1:4: cannot read %s/none: %s\n", directory,
	         strerror(ENOENT));
	ck_assert_str_eq(complain("a: ${file:none}"), expected);
	ck_assert_str_eq(complain("a: ${file:/tmp}"),
	                 "c.yaml:1:4: cannot read /tmp: Is a directory\n");
}
END_TEST

START_TEST(does_not_wait_for_a_pipe)
{
	char expected[160];
	snprintf(path, sizeof path, "%s/secret", directory);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	snprintf(expected, sizeof expected, "c.yaml:1:4: cannot read %s: Invalid argument\n", path);
	ck_assert_str_eq(complain("a: ${file:secret}"), expected);
}
END_TEST

START_TEST(bounds_what_is_expanded)
{
	char *big = malloc(CONFIG_EXPANDED_MAX + 1);
	memset(big, 'x', CONFIG_EXPANDED_MAX + 1);
	write_file("secret", big, CONFIG_EXPANDED_MAX);
	ck_assert_str_eq(complain("a: ${file:secret}"), "");
	ck_assert_str_eq(complain("a: ${file:secret}x"),
	                 "c.yaml:1:4: the value is longer than 65536 bytes\n");
	struct buf many = BUF_INIT;
	for (int i = 0; i < 17; i++)
		buf_printf(&many, "a%d: ${file:secret}\n", i);
	ck_assert_str_eq(complain(buf_str(&many)), "c.yaml:17:6: all expanded values together are "
	                                           "longer than 1048576 bytes\n");
	buf_release(&many);
	write_file("secret", big, CONFIG_EXPANDED_MAX + 1);
	ck_assert_ptr_nonnull(strstr(complain("a: ${file:secret}"), "File too large"));
	free(big);
}
END_TEST

START_TEST(what_is_unexpanded_expands_again)
{
	static const char *const texts[] = {"", "$", "$$", "${A}", "a$b$$${", "x"};
	struct buf again = BUF_INIT;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		buf_clear(&out);
		buf_clear(&again);
		config_unexpand(texts[i], &out);
		ck_assert(config_expand(buf_str(&out), path, &again, &again));
		ck_assert_str_eq(buf_str(&again), texts[i]);
	}
	buf_release(&again);
}
END_TEST

START_TEST(tells_a_hundred_mistakes_and_counts_the_others)
{
	struct buf many = BUF_INIT;
	for (int i = 0; i < 105; i++)
		buf_puts(&many, "a: 1\n");
	const char *all = complain(buf_str(&many));
	int lines = 0;
	for (const char *p = all; (p = strchr(p, '\n')); p++)
		lines++;
	ck_assert_int_eq(lines, 101);
	ck_assert_ptr_nonnull(strstr(all, "\nc.yaml: and 4 more mistakes\n"));
	buf_release(&many);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config_file");
	TCase *tc = tcase_create("config_file");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, reads_a_tree_with_places);
	tcase_add_test(tc, nothing_in_quotes_is_a_text);
	tcase_add_test(tc, an_empty_file_is_an_empty_mapping);
	tcase_add_test(tc, tells_where_the_syntax_is_wrong);
	tcase_add_test(tc, refuses_anchors_aliases_and_tags);
	tcase_add_test(tc, tells_both_places_of_a_name_that_is_there_twice);
	tcase_add_test(tc, is_bounded);
	tcase_add_test(tc, refuses_a_file_that_is_too_long);
	tcase_add_test(tc, says_why_a_file_cannot_be_read);
	tcase_add_test(tc, reads_a_file);
	tcase_add_test(tc, refuses_what_everybody_can_write);
	tcase_add_test(tc, expands_environment_variables);
	tcase_add_test(tc, tells_what_cannot_be_expanded_and_reads_on);
	tcase_add_test(tc, expands_the_contents_of_files);
	tcase_add_test(tc, does_not_wait_for_a_pipe);
	tcase_add_test(tc, bounds_what_is_expanded);
	tcase_add_test(tc, what_is_unexpanded_expands_again);
	tcase_add_test(tc, tells_a_hundred_mistakes_and_counts_the_others);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
