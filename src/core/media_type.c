/* SPDX-License-Identifier: MIT */
/* Which of the formats that we can write a client would like best. */
#include "media_type.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

static const struct {
	const char *name, *content_type;
} types[MEDIA_TYPES] = {
    [MEDIA_JSON] = {"application/json", "application/json"},
    [MEDIA_NDJSON] = {"application/x-ndjson", "application/x-ndjson"},
    [MEDIA_CSV] = {"text/csv", "text/csv; charset=utf-8; header=present"},
};

const char *media_type_name(enum media_type type)
{
	return types[type].name;
}

const char *media_type_content_type(enum media_type type)
{
	return types[type].content_type;
}

/* How exactly a range like "text/<star>" names a type: 3 exactly, 2 by its half, 1 by all, 0 not.
 */
static int specificity(const char *range, size_t len, const char *name)
{
	size_t half = (size_t)(strchr(name, '/') - name) + 1;
	if (len == strlen(name) && !strncasecmp(range, name, len))
		return 3;
	if (len == half + 1 && range[half] == '*' && !strncasecmp(range, name, half))
		return 2;
	return len == 3 && !memcmp(range, "*/*", 3);
}

static const char *skip_space(const char *s, const char *end)
{
	while (s < end && (*s == ' ' || *s == '\t'))
		s++;
	return s;
}

/* "0.25" as 250; -1 if it is no weight (RFC 9110, 12.4.2). */
static int parse_weight(const char *s, const char *end)
{
	if (s == end || (*s != '0' && *s != '1'))
		return -1;
	int weight = (*s++ - '0') * 1000;
	if (s < end && *s++ != '.')
		return -1;
	for (int unit = 100; s < end; s++, unit /= 10) {
		if (*s < '0' || *s > '9' || !unit)
			return -1;
		weight += (*s - '0') * unit;
	}
	return weight <= 1000 ? weight : -1;
}

/* The weight in the parameters that follow a range; other parameters say nothing to us. */
static int find_weight(const char *s, const char *end)
{
	while ((s = memchr(s, ';', (size_t)(end - s)))) {
		s = skip_space(s + 1, end);
		const char *stop = memchr(s, ';', (size_t)(end - s));
		const char *last = stop ? stop : end;
		if (end - s >= 2 && (*s == 'q' || *s == 'Q') && s[1] == '=') {
			while (last > s && (last[-1] == ' ' || last[-1] == '\t'))
				last--;
			return parse_weight(s + 2, last);
		}
	}
	return 1000;
}

/* The weight that an Accept header gives to a type; 0: not acceptable. */
static int weigh(const char *accept, const char *name)
{
	int best = 0, weight = 0;
	for (const char *s = accept, *end; *s; s = *end ? end + 1 : end) {
		end = s + strcspn(s, ",");
		s = skip_space(s, end);
		size_t len = 0;
		while (s + len < end && !strchr("; \t", s[len]))
			len++;
		int exact = specificity(s, len, name), w = find_weight(s, end);
		if (exact > best && w >= 0) { /* a range that cannot be read says nothing */
			best = exact;
			weight = w;
		}
	}
	return weight;
}

enum media_type media_type_choose(const char *accept)
{
	enum media_type best = MEDIA_NONE;
	int most = 0;
	if (!accept || !accept[strspn(accept, " \t")])
		return MEDIA_JSON;
	for (int type = 0; type < MEDIA_TYPES; type++) {
		int weight = weigh(accept, types[type].name);
		if (weight > most) {
			most = weight;
			best = (enum media_type)type;
		}
	}
	return best;
}
