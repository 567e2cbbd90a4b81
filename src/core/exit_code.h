/* SPDX-License-Identifier: MIT */
/*
 * What the process says to whoever started it; --help lists them.
 */
#ifndef EXIT_CODE_H
#define EXIT_CODE_H

enum exit_code {
	EXIT_CODE_OK = 0,            /* done, or stopped as asked */
	EXIT_CODE_FAILED = 1,        /* could not do it: the log says why */
	EXIT_CODE_CONFIGURATION = 2, /* mistakes in the configuration file, each in a line */
	EXIT_CODE_SCHEMA = 3,        /* the schema is too old, too new or changed */
	EXIT_CODE_USAGE = 64,        /* the command line is wrong (EX_USAGE of sysexits.h) */
};

#endif
