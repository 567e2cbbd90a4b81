/* SPDX-License-Identifier: MIT */
/*
 * One parameter's text as a value of its type and range, or why it is none.
 */
#ifndef PARAM_VALUE_H
#define PARAM_VALUE_H

#include "param.h"

/*
 * `text` is UTF-8 without NUL and must live as long as `value`; `now_us` is
 * wall-clock time.  For a repeatable parameter: one of its elements.
 */
bool param_value_parse(const struct cqrs_param *param, const char *text, size_t len, int64_t now_us,
                       struct cqrs_value *value, struct param_error *error);

/* Appends what is allowed, as in "an integer from 1 to 1000". */
void param_value_describe(const struct cqrs_param *param, struct buf *out);

/* "30m": the duration in the largest unit that needs no fraction. */
void param_value_duration(struct buf *out, int64_t us);

#endif
