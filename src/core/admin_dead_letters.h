/* SPDX-License-Identifier: MIT */
/*
 * Dead letters over the admin listener.
 *
 *   GET  /dead-letters?topic=&reason=&sqlstate=&since=&before=&limit=&all=
 *   GET  /dead-letters/{id}
 *   POST /dead-letters/redrive, /dead-letters/discard
 *        {"ids": [1, 2]}, or conditions as above, or {"all_open": true};
 *        "dry_run", "by", "limit"
 */
#ifndef ADMIN_DEAD_LETTERS_H
#define ADMIN_DEAD_LETTERS_H

#include "admin.h"
#include "dead_letters.h"

struct admin_dead_letters;

/* Adds the routes; borrows everything for good.  NULL: no memory. */
struct admin_dead_letters *admin_dead_letters_new(struct loop *loop, struct admin *admin,
                                                  const struct dead_letters_config *config);
/* Takes the routes out.  Requests that are not answered yet are left without an answer. */
void admin_dead_letters_free(struct admin_dead_letters *dead_letters);

#endif
