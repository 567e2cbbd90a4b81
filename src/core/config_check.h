/* SPDX-License-Identifier: MIT */
/*
 * What a table of options cannot say about the core's options.
 */
#ifndef CONFIG_CHECK_H
#define CONFIG_CHECK_H

#include "config.h"
#include "config_node.h"
#include "mistakes.h"

/* `root` tells where an option stands; one that is not in the file has a good default. */
void config_check(const struct core_options *core, const struct config_node *root,
                  struct mistakes *mistakes);

/* Why a librdkafka property cannot be set under kafka.properties; NULL: it can. */
const char *config_property_refused(const char *name);

#endif
