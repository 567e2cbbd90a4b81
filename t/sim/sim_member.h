/* SPDX-License-Identifier: MIT */
/*
 * A member: the write path of one cqrsd process, with a module of its own.
 *
 *   DOWN ─(start)─► UP ─(leave)─► LEAVING ─► DOWN
 *                   │                │
 *                   └── kill -9 ─────┴─► DOWN
 */
#ifndef SIM_MEMBER_H
#define SIM_MEMBER_H

#include "sim.h"
#include <cqrs/command.h>

enum member_state { MEMBER_DOWN, MEMBER_UP, MEMBER_LEAVING };

struct member;

struct member *member_new(struct sim *sim, int number);
/* It is down. */
void member_free(struct member *member);
enum member_state member_state(const struct member *member);
void member_start(struct member *member);
/* SIGTERM. */
void member_leave(struct member *member);
/* kill -9. */
void member_crash(struct member *member);
/* SIGSTOP until then. */
void member_stop(struct member *member, int64_t until);

/* What it says of itself, onto the timeline. */
void member_describe(const struct member *member);

/* ---- sim_module.c ---- */

struct sim_module;
extern const struct cqrs_command_module sim_module;
struct sim_module *sim_module_new(struct sim *sim, struct cqrs_setup *setup);
void sim_module_free(struct sim_module *module);

#endif
