/* SPDX-License-Identifier: MIT */
/* Where the program begins; daemon.c has the order in which things start. */
#include "command_line.h"

int main(int argc, char **argv)
{
	return command_line_run(argc, argv);
}
