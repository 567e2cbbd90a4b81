/* SPDX-License-Identifier: MIT */
/*
 * A listening socket, from the way people write addresses.
 */
#ifndef HTTP_LISTEN_H
#define HTTP_LISTEN_H

#include <stddef.h>

#define HTTP_ADDRESS_MAX 160

/*
 * Listens on "HOST:PORT", "[IPV6]:PORT", "*:PORT" or "unix:PATH"; nonblocking.
 * Returns the descriptor, or -1 with a sentence in `error`.  `address` becomes
 * what was listened on, with the port that was chosen for 0.
 */
int http_listen(const char *where, char address[HTTP_ADDRESS_MAX], char *error, size_t error_size);
/* Closes, and removes the file of a unix socket. */
void http_unlisten(int fd, const char *address);

#endif
