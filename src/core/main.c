/* SPDX-License-Identifier: MIT */
/* Where the program begins; daemon.c has the order in which things start. */
#include "command_line.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where stdin, stdout or stderr was closed, no socket and no file may take its number. */
static void occupy_standard_descriptors(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

int main(int argc, char **argv)
{
	occupy_standard_descriptors();
	/* Sockets with a path are for us and our group. */
	umask(S_IRWXO);
	return command_line_run(argc, argv);
}
