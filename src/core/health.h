/* SPDX-License-Identifier: MIT */
/*
 * What keeps the process from doing its work right now, and since when.
 *
 * Each part owns one check per thing that can be away; /readyz answers 200
 * when all are fine and lists the reasons otherwise.
 */
#ifndef HEALTH_H
#define HEALTH_H

#include "loop.h"
#include <jansson.h>

struct health;
struct health_check;

struct health *health_new(struct loop *loop);
void health_free(struct health *health);

/* `name` ("kafka", "postgres write") is copied.  A new check fails with "starting". */
struct health_check *health_add(struct health *health, const char *name);
/* Both log the change, and do nothing when there is none.  `reason` is copied. */
void health_ok(struct health_check *check);
void health_fail(struct health_check *check, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

bool health_is_ready(const struct health *health);
/* {"ready": false, "reasons": [{"check","reason","since"}, …]}; a new reference; NULL: no memory.
 */
json_t *health_json(const struct health *health);

#endif
