/* SPDX-License-Identifier: MIT */
/* "Did you mean …?": the known name that is nearest to a wrong one. */
#include "suggest.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define LENGTH_MAX   64 /* nobody mistypes a longer name so that we could tell */
#define MISTAKES_MAX 3

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static int fold(char c)
{
	return tolower((unsigned char)c);
}

/*
 * The optimal string alignment distance: Levenshtein's, and a swap of two
 * neighbours counts one.  Both lengths are at most LENGTH_MAX.
 */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t rows[3][LENGTH_MAX + 1];
	for (size_t j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *row = rows[i % 3];
		const size_t *above = rows[(i - 1) % 3];
		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			bool same = fold(a[i - 1]) == fold(b[j - 1]);
			row[j] = least(above[j] + 1, row[j - 1] + 1);
			row[j] = least(row[j], above[j - 1] + !same);
			if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
			    fold(a[i - 2]) == fold(b[j - 1]))
				row[j] = least(row[j], rows[(i - 2) % 3][j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}

const char *suggest(const char *wrong, const char *const *names, size_t n)
{
	size_t len = strnlen(wrong, LENGTH_MAX + 1);
	const char *nearest = NULL;
	size_t best = MISTAKES_MAX + 1;
	for (size_t i = 0; i < n && len <= LENGTH_MAX; i++) {
		size_t name_len = strnlen(names[i], LENGTH_MAX + 1);
		if (name_len > LENGTH_MAX)
			continue;
		size_t shorter = least(len, name_len);
		size_t d = distance(wrong, len, names[i], name_len);
		/* Something must be right about it, or "a" would mean "b". */
		if (d < best && d < shorter && d <= (shorter + 2) / 3) {
			best = d;
			nearest = names[i];
		}
	}
	return nearest;
}
