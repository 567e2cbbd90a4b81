/* SPDX-License-Identifier: MIT */
/*
 * The command line: `cqrsd [-c FILE]` runs the daemon, everything else is a row
 * in a table (command_line.c): an option or a subcommand.
 */
#ifndef COMMAND_LINE_H
#define COMMAND_LINE_H

#include "exit_code.h"

/* The whole program; returns an enum exit_code. */
int command_line_run(int argc, char **argv);

#endif
