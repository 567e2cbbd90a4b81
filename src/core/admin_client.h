/* SPDX-License-Identifier: MIT */
/*
 * Asks the admin listener of a running cqrsd.  Blocks: for the command line.
 */
#ifndef ADMIN_CLIENT_H
#define ADMIN_CLIENT_H

#include "buf.h"
#include <jansson.h>

/*
 * GETs `path` from the listener at `listen` (as in the configuration:
 * "127.0.0.1:8081", "[::1]:8081", "unix:/run/cqrsd.sock") and parses the
 * answer; a new reference.  NULL, with a sentence in `why`, unless that is 200
 * and JSON within 5 seconds and 1 MiB.
 */
json_t *admin_client_get(const char *listen, const char *path, struct buf *why);

#endif
