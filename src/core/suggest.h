/* SPDX-License-Identifier: MIT */
/*
 * "Did you mean …?": the known name that is nearest to a wrong one.
 */
#ifndef SUGGEST_H
#define SUGGEST_H

#include <stddef.h>

/*
 * One of the `n` names, the first of the nearest ones; NULL if none is near.
 * Letters changed, missing, too many or swapped count one each, upper and
 * lower case nothing; about a third of a name may be wrong, three letters at most.
 */
const char *suggest(const char *wrong, const char *const *names, size_t n);

#endif
