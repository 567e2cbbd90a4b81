/* SPDX-License-Identifier: MIT */
/* ${…} in the values of a configuration file. */
#include "config_expand.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t name_length(const char *p)
{
	size_t n = 0;
	while (isalpha((unsigned char)p[n]) || p[n] == '_' || (n && isdigit((unsigned char)p[n])))
		n++;
	return n;
}

/* Up to CONFIG_EXPANDED_MAX bytes; false with errno set. */
static bool read_all(int fd, struct buf *text)
{
	ssize_t n;
	do {
		char *at = buf_reserve(text, 4096);
		n = at ? read(fd, at, 4096) : 0;
		if (n > 0)
			text->len += (size_t)n;
	} while (n > 0 && text->len <= CONFIG_EXPANDED_MAX);
	if (n > 0 || text->failed)
		errno = EFBIG;
	return n == 0 && !text->failed;
}

/* NULL, or why it is not to be read. */
static const char *read_file(const char *path, struct buf *text)
{
	struct stat st;
	const char *why = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return strerror(errno);
	if (fstat(fd, &st))
		why = strerror(errno);
	else if (!S_ISREG(st.st_mode)) /* a pipe or a terminal could keep us waiting for ever */
		why = strerror(S_ISDIR(st.st_mode) ? EISDIR : EINVAL);
	else if (st.st_mode & S_IWOTH)
		why = "everybody can write it, chmod o-w";
	else if (!read_all(fd, text))
		why = strerror(errno);
	close(fd);
	return why;
}

static bool expand_file(const char *name, size_t len, const char *path, struct buf *out,
                        struct buf *why)
{
	struct buf full = BUF_INIT, text = BUF_INIT;
	const char *slash = strrchr(path, '/');
	if (name[0] != '/' && slash)
		buf_add(&full, path, (size_t)(slash + 1 - path));
	buf_add(&full, name, len);
	const char *reason = read_file(buf_str(&full), &text);
	bool ok = !reason;
	if (!ok) {
		buf_printf(why, "cannot read %s: %s", buf_str(&full), reason);
	} else if (text.len && memchr(text.data, '\0', text.len)) {
		buf_printf(why, "%s has a NUL byte in it", buf_str(&full));
		ok = false;
	}
	if (text.len && text.data[text.len - 1] == '\n')
		text.len--;
	if (text.len && text.data[text.len - 1] == '\r')
		text.len--;
	buf_add(out, text.data, ok ? text.len : 0);
	buf_release(&full);
	buf_release(&text);
	return ok;
}

static bool expand_variable(const char *p, size_t len, struct buf *out, struct buf *why)
{
	size_t name_len = name_length(p);
	bool has_default = len - name_len >= 2 && strncmp(p + name_len, ":-", 2) == 0;
	if (name_len == 0 || (name_len < len && !has_default)) {
		buf_printf(why,
		           "\"${%.*s}\" is not understood, write ${NAME}, ${NAME:-default}, "
		           "${file:PATH}, or $$ for a dollar sign",
		           (int)len, p);
		return false;
	}
	char *name = strndup(p, name_len);
	if (!name) {
		buf_puts(why, "out of memory");
		return false;
	}
	const char *value = getenv(name);
	free(name);
	if (has_default && (!value || !*value)) {
		buf_add(out, p + name_len + 2, len - name_len - 2);
		return true;
	}
	if (!value) {
		buf_printf(why,
		           "the environment variable %.*s is not set; set it, or write "
		           "${%.*s:-default}",
		           (int)name_len, p, (int)name_len, p);
		return false;
	}
	buf_puts(out, value);
	return true;
}

static bool expand_one(const char *p, size_t len, const char *path, struct buf *out,
                       struct buf *why)
{
	if (len > 5 && strncmp(p, "file:", 5) == 0)
		return expand_file(p + 5, len - 5, path, out, why);
	return expand_variable(p, len, out, why);
}

bool config_expand(const char *text, const char *path, struct buf *out, struct buf *why)
{
	size_t before = out->len;
	while (*text) {
		size_t plain = strcspn(text, "$");
		buf_add(out, text, plain);
		text += plain;
		if (text[0] == '$' && text[1] == '{') {
			const char *end = strchr(text, '}');
			if (!end) {
				buf_puts(why, "\"${\" without \"}\"; write $$ for a dollar sign");
				return false;
			}
			if (!expand_one(text + 2, (size_t)(end - text) - 2, path, out, why))
				return false;
			text = end + 1;
		} else if (text[0] == '$') {
			buf_putc(out, '$');
			text += text[1] == '$' ? 2 : 1;
		}
		if (out->failed || out->len - before > CONFIG_EXPANDED_MAX) {
			buf_printf(why, "the value is longer than %d bytes", CONFIG_EXPANDED_MAX);
			return false;
		}
	}
	return true;
}

void config_unexpand(const char *text, struct buf *out)
{
	for (; *text; text++) {
		if (*text == '$')
			buf_putc(out, '$');
		buf_putc(out, *text);
	}
}
