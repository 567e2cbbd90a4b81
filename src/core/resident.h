/* SPDX-License-Identifier: MIT */
/* What of the process is resident, beyond what it uses. */
#ifndef RESIDENT_H
#define RESIDENT_H

/*
 * Once, before memory is asked for.  What Kafka sends comes in buffers of megabytes.
 * The C library keeps those that are freed, and ever larger ones the more it has seen,
 * unless the size is fixed from which on memory goes back to the system.
 */
void resident_give_large_memory_back(void);

/*
 * Lets go of the pages of code and tables of all shared libraries.  Loading and
 * relocating some forty of them touched most of their tables, which nobody reads
 * again; what is still needed comes back from the page cache by itself.  (So do
 * the original instructions where a debugger had put a breakpoint; the program's
 * own code is left alone.)
 */
void resident_release_libraries(void);

#endif
