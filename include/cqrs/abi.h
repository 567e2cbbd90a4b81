/* SPDX-License-Identifier: MIT */
/*
 * The number that a module and the daemon must agree on.
 *
 * It changes with every change of a header in this folder that a compiled
 * module could notice, and is the first member of every module descriptor.
 */
#ifndef CQRS_ABI_H
#define CQRS_ABI_H

#define CQRS_ABI 4u

/* What one side exports to the other; everything else stays hidden. */
#define CQRS_EXPORT __attribute__((visibility("default")))

#if defined(__GNUC__)
#define CQRS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define CQRS_PRINTF(fmt, args)
#endif

#endif
