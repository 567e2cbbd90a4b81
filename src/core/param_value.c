/* SPDX-License-Identifier: MIT */
/* One parameter's text as a value of its type and range, or why it is none. */
#include "param_value.h"

#include "timestamp.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

enum cqrs_type param_value_type(const struct cqrs_param *param)
{
	bool limited = param->min || param->max;
	switch (param->type) {
	case CQRS_PARAM_INTEGER:
		if (!limited || param->min < INT32_MIN || param->max > INT32_MAX)
			return CQRS_INT8;
		return param->repeatable ? CQRS_INT4_ARRAY : CQRS_INT4;
	case CQRS_PARAM_TEXT:
		return param->repeatable ? CQRS_TEXT_ARRAY : CQRS_TEXT;
	case CQRS_PARAM_CHOICE:
		return CQRS_TEXT;
	case CQRS_PARAM_TIME:
		return CQRS_TIMESTAMPTZ;
	case CQRS_PARAM_UUID:
		return CQRS_UUID;
	case CQRS_PARAM_DURATION:
		break;
	}
	return CQRS_INT8;
}

size_t param_choice_next(const char **choices, const char **choice)
{
	size_t len = strcspn(*choices, "|");
	*choice = *choices;
	*choices += len + ((*choices)[len] == '|');
	return len;
}

void param_value_duration(struct buf *out, int64_t us)
{
	static const struct {
		int64_t us;
		const char *unit;
	} units[] = {
	    {INT64_C(86400000000), "d"},
	    {INT64_C(3600000000), "h"},
	    {60000000, "m"},
	    {1000000, "s"},
	    {1000, "ms"},
	};
	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		if (us && us % units[i].us == 0) {
			buf_printf(out, "%" PRId64 "%s", us / units[i].us, units[i].unit);
			return;
		}
	}
	buf_printf(out, "%" PRId64 "us", us);
}

static void describe_choices(const struct cqrs_param *param, struct buf *out)
{
	const char *rest = param->choices, *choice;
	buf_puts(out, "one of ");
	for (size_t i = 0, len; (len = param_choice_next(&rest, &choice)); i++)
		buf_printf(out, "%s\"%.*s\"", i ? ", " : "", (int)len, choice);
}

void param_value_describe(const struct cqrs_param *param, struct buf *out)
{
	bool limited = param->min || param->max;
	switch (param->type) {
	case CQRS_PARAM_INTEGER:
		buf_puts(out, "an integer");
		if (limited)
			buf_printf(out, " from %" PRId64 " to %" PRId64, param->min, param->max);
		break;
	case CQRS_PARAM_TEXT:
		buf_puts(out, "text");
		if (limited)
			buf_printf(out, " of %" PRId64 " to %" PRId64 " characters", param->min,
			           param->max);
		break;
	case CQRS_PARAM_CHOICE:
		describe_choices(param, out);
		break;
	case CQRS_PARAM_TIME:
		buf_puts(out, "a time from 1970 to 2200, as in 2022-03-04T16:00:00Z, 1646409600 or "
		              "now-6h");
		break;
	case CQRS_PARAM_DURATION:
		buf_puts(out, "a duration");
		if (limited) {
			buf_puts(out, " from ");
			param_value_duration(out, param->min);
			buf_puts(out, " to ");
			param_value_duration(out, param->max);
		}
		buf_puts(out, ", as in 30m");
		break;
	case CQRS_PARAM_UUID:
		buf_puts(out, "a UUID, as in 0f8fad5b-d9cb-469f-a165-70867728950e");
		break;
	}
}

static bool parse_integer(const char *text, size_t len, int64_t *i)
{
	bool negative = len && *text == '-';
	size_t at = negative;
	if (at == len)
		return false;
	*i = 0;
	for (; at < len; at++) {
		int digit = text[at] - '0';
		if (digit < 0 || digit > 9 || __builtin_mul_overflow(*i, 10, i) ||
		    __builtin_sub_overflow(*i, digit, i)) /* downwards: INT64_MIN has no opposite */
			return false;
	}
	return negative || !__builtin_sub_overflow(0, *i, i);
}

static int64_t count_characters(const char *text, size_t len)
{
	int64_t n = 0;
	for (size_t i = 0; i < len; i++)
		n += (text[i] & 0xc0) != 0x80;
	return n;
}

static bool is_choice(const struct cqrs_param *param, const char *text, size_t len)
{
	const char *rest = param->choices, *choice;
	size_t n;
	while ((n = param_choice_next(&rest, &choice))) {
		if (n == len && !memcmp(choice, text, n))
			return true;
	}
	return false;
}

static bool in_range(const struct cqrs_param *param, int64_t i)
{
	return (!param->min && !param->max) || (i >= param->min && i <= param->max);
}

/* RFC 9562, 4: five groups of hex digits, of whatever version. */
static bool is_uuid(const char *text, size_t len)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	for (size_t i = 0; i < len && i < sizeof form; i++)
		if (form[i] == 'x' ? !isxdigit((unsigned char)text[i]) : form[i] != text[i])
			return false;
	return len == sizeof form - 1;
}

static bool parse(const struct cqrs_param *param, const char *text, size_t len, int64_t now_us,
                  struct cqrs_value *value)
{
	switch (param->type) {
	case CQRS_PARAM_INTEGER:
		value->type = param_value_type(param) == CQRS_INT8 ? CQRS_INT8 : CQRS_INT4;
		return parse_integer(text, len, &value->i) && in_range(param, value->i);
	case CQRS_PARAM_TEXT:
		*value = cqrs_bytes(CQRS_TEXT, text, len);
		return in_range(param, count_characters(text, len));
	case CQRS_PARAM_CHOICE:
		*value = cqrs_bytes(CQRS_TEXT, text, len);
		return is_choice(param, text, len);
	case CQRS_PARAM_TIME:
		value->type = CQRS_TIMESTAMPTZ;
		return timestamp_parse(text, len, now_us, &value->i);
	case CQRS_PARAM_DURATION:
		value->type = CQRS_INT8;
		return duration_parse(text, len, &value->i) && in_range(param, value->i);
	case CQRS_PARAM_UUID:
		*value = cqrs_bytes(CQRS_UUID, text, len);
		return is_uuid(text, len);
	}
	return false;
}

bool param_value_parse(const struct cqrs_param *param, const char *text, size_t len, int64_t now_us,
                       struct cqrs_value *value, struct param_error *error)
{
	value->is_null = false;
	if (parse(param, text, len, now_us, value))
		return true;
	struct buf allowed = BUF_INIT;
	param_value_describe(param, &allowed);
	snprintf(error->param, sizeof error->param, "%s", param->name);
	snprintf(error->text, sizeof error->text, "%s must be %s, not \"%.80s%s\"", param->name,
	         buf_str(&allowed), text, len > 80 ? "…" : "");
	buf_release(&allowed);
	return false;
}
