/* SPDX-License-Identifier: MIT */
/*
 * ${…} in the values of a configuration file.
 *
 *	${NAME}           the environment variable; it must be there
 *	${NAME:-default}  the default if it is not there or empty
 *	${file:PATH}      what is in the file, without a newline at the end;
 *	                  a path that is not absolute begins where the configuration is
 *	$$                a dollar sign; one before anything but { and $ is itself
 */
#ifndef CONFIG_EXPAND_H
#define CONFIG_EXPAND_H

#include "buf.h"

#define CONFIG_EXPANDED_MAX 65536 /* bytes that one value may become */

/*
 * Appends the expanded `text`; false, with the reason in `why`, if something
 * cannot be expanded.  `path` is the configuration file's.
 */
bool config_expand(const char *text, const char *path, struct buf *out, struct buf *why);

/* Appends `text` so that config_expand() would give it back. */
void config_unexpand(const char *text, struct buf *out);

#endif
