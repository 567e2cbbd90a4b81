/* SPDX-License-Identifier: MIT */
/*
 * Decimal numbers and the doubles next to them, in whatever locale.
 */
#ifndef DECIMAL_H
#define DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A decimal number cut into its parts: mantissa * 10^exponent. */
struct decimal {
	const char *digits, *end; /* of the mantissa, with at most one point among them */
	uint64_t mantissa;        /* valid if n_digits <= DECIMAL_EXACT */
	size_t n_digits;
	int64_t exponent;
	bool negative;
};

#define DECIMAL_EXACT 19 /* digits that always fit into `mantissa` */

/* The nearest double, ties to even; an infinity if it is too large. */
double decimal_to_double(const struct decimal *d);

/*
 * A decimal text of `f` that reads back as `f`, not terminated; how many
 * bytes.  The shortest between 10^-11 and 10^16 in size; beyond, the first of
 * 15, 16 and 17 significant digits that will do.  0 for NaN and infinities.
 */
size_t decimal_from_double(char out[32], double f);
/* The same for floats; beyond, with 6 to 9 digits. */
size_t decimal_from_float(char out[32], float f);
size_t decimal_from_integer(char out[24], int64_t i);

#endif
