/* SPDX-License-Identifier: MIT */
/*
 * The daemon: everything started in order, run until told to stop, and stopped
 * in reverse.
 */
#ifndef DAEMON_H
#define DAEMON_H

#include "config.h"
#include "module.h"

/*
 * Runs until SIGTERM or SIGINT.  The modules are loaded, have their options
 * and are not started; both arguments are borrowed.  Returns an enum exit_code.
 */
int daemon_run(struct config *config, struct module_set *modules);

#endif
