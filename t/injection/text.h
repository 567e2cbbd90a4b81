/* SPDX-License-Identifier: MIT */
/* What is the same in two texts but for times, ports and counts. */
#ifndef TEXT_H
#define TEXT_H

#include <ctype.h>
#include <stddef.h>

/* Makes each number of it 0; its length then. */
static inline size_t text_without_numbers(char *text)
{
	char *to = text;
	for (const char *p = text; *p; p++)
		if (!isdigit((unsigned char)*p))
			*to++ = *p;
		else if (to == text || to[-1] != '0')
			*to++ = '0';
	*to = '\0';
	return (size_t)(to - text);
}

#endif
