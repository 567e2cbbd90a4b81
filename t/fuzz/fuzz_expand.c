/* SPDX-License-Identifier: MIT */
/*
 * ${…} in any text against a second implementation, and any bytes as a file
 * that ${file:…} names.
 */
#include "config_expand.h"

#include <assert.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static regex_t variable;
static int file;
static char fd_path[40];

/* An environment of our own, so that the same bytes always mean the same. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static char big[CONFIG_EXPANDED_MAX / 2 + 1];
	(void)argc, (void)argv;
	memset(big, 'x', sizeof big - 1);
	clearenv();
	setenv("A", "value", 1);
	setenv("EMPTY", "", 1);
	setenv("_d2", "${A}$$", 1);
	setenv("BIG", big, 1);
	file = memfd_create("fuzz", MFD_CLOEXEC);
	assert(file >= 0 && fchmod(file, 0600) == 0);
	snprintf(fd_path, sizeof fd_path, "${file:%d}", file);
	return regcomp(&variable, "^\\$\\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\\}", REG_EXTENDED);
}

/* One ${…} at `text`, of which there is no file; how long it is, 0: it is none. */
static size_t reference_variable(const char *text, struct buf *out)
{
	regmatch_t m[4];
	if (strncmp(text, "${file:", 7) == 0 || regexec(&variable, text, 4, m, 0) != 0)
		return 0;
	char *name = strndup(text + m[1].rm_so, (size_t)(m[1].rm_eo - m[1].rm_so));
	const char *value = getenv(name);
	free(name);
	if (m[2].rm_so >= 0 && (!value || !*value))
		buf_add(out, text + m[3].rm_so, (size_t)(m[3].rm_eo - m[3].rm_so));
	else if (value)
		buf_puts(out, value);
	else
		return 0;
	return (size_t)m[0].rm_eo;
}

static bool reference(const char *text, struct buf *out)
{
	while (*text) {
		size_t n = 1;
		if (strncmp(text, "${", 2) != 0) {
			buf_putc(out, *text);
			n += strncmp(text, "$$", 2) == 0;
		} else if (!(n = reference_variable(text, out))) {
			return false;
		}
		text += n;
	}
	return out->len <= CONFIG_EXPANDED_MAX;
}

static void expands(const char *text, const char *path, bool expected, const char *to, size_t len)
{
	struct buf out = BUF_INIT, why = BUF_INIT;
	assert(config_expand(text, path, &out, &why) == expected);
	assert(expected == (why.len == 0));
	assert(!expected || (out.len == len && (!len || memcmp(out.data, to, len) == 0)));
	buf_release(&out);
	buf_release(&why);
}

/* Without the end of its last line, the file is the value. */
static void check_file(const uint8_t *data, size_t size)
{
	assert(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
	bool ok = size <= CONFIG_EXPANDED_MAX && (!size || !memchr(data, 0, size));
	size_t len = size;
	len -= len && data[len - 1] == '\n';
	len -= len && data[len - 1] == '\r';
	expands(fd_path, "/proc/self/fd/0", ok, (const char *)data, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Not the files of whoever runs this. */
	if (memmem(data, size, "file:/", 6))
		return -1;
	char *text = strndup((const char *)data, size);
	struct buf expected = BUF_INIT, literal = BUF_INIT;
	bool ok = reference(text, &expected);
	expands(text, "/nonexistent/cqrs.yaml", ok, expected.data, expected.len);
	config_unexpand(text, &literal);
	expands(buf_str(&literal), "x", strlen(text) <= CONFIG_EXPANDED_MAX, text, strlen(text));
	check_file(data, size);
	buf_release(&expected);
	buf_release(&literal);
	free(text);
	return 0;
}
