/* SPDX-License-Identifier: MIT */
/*
 * The products system, the read model: what events tell becomes rows of
 * product_view.product, which knows what is older than what it has.
 */
#include "../product/product_message.h"

#include <stdlib.h>

struct product_view_options {
	const char *created, *updated, *deleted;
};

#define OPTION(member, named, of_type, ...)                                          \
	{                                                                            \
		.name = named, .type = CQRS_OPTION_##of_type,                        \
		.offset = offsetof(struct product_view_options, member), __VA_ARGS__ \
	}

static const struct cqrs_option options[] = {
    OPTION(created, "topics.created", STRING, .initial = "product_created",
           .help = "topic of the events of products that were created"),
    OPTION(updated, "topics.updated", STRING, .initial = "product_updated",
           .help = "topic of the events of products that were changed"),
    OPTION(deleted, "topics.deleted", STRING, .initial = "product_deleted",
           .help = "topic of the events of products that were deleted"),
    CQRS_OPTIONS_END,
};

struct product_view {
	struct cqrs_statement *project;
	struct product product; /* of the message at hand */
};

static struct cqrs_value text_or_null(enum cqrs_type type, const char *text)
{
	return *text ? cqrs_bytes(type, text, strlen(text)) : cqrs_null(type);
}

static struct cqrs_value time_or_null(int64_t us)
{
	return us ? cqrs_timestamptz(us) : cqrs_null(CQRS_TIMESTAMPTZ);
}

/* An event without a time is as old as its message. */
static void project(struct product_view *self, const struct cqrs_message *msg,
                    struct cqrs_batch *batch)
{
	const struct product *p = &self->product;
	bool is_deleted = !p->name[0];
	int64_t updated_us = p->updated_us ? p->updated_us : msg->timestamp_us;
	int64_t created_us = p->created_us ? p->created_us : updated_us;
	struct cqrs_value params[] = {
	    text_or_null(CQRS_UUID, p->id),
	    text_or_null(CQRS_TEXT, p->name),
	    text_or_null(CQRS_TEXT, p->description),
	    text_or_null(CQRS_NUMERIC, p->price),
	    is_deleted ? cqrs_null(CQRS_TIMESTAMPTZ) : time_or_null(created_us),
	    time_or_null(updated_us),
	    p->version ? cqrs_int8(p->version) : cqrs_null(CQRS_INT8),
	};
	cqrs_execute(batch, self->project, params, CQRS_ANY_ROWS, NULL);
}

static void refuse(const struct product_mistake *mistake, struct cqrs_batch *batch)
{
	if (mistake->no_memory)
		cqrs_no_memory(batch);
	else
		cqrs_refuse(batch, "%s", mistake->text);
}

static void handle_changed(void *arg, const struct cqrs_message *msg, struct cqrs_batch *batch)
{
	struct product_view *self = arg;
	struct product_mistake mistake;
	if (product_read_message(&self->product, msg, PRODUCT_EVENT, &mistake) &&
	    product_is_whole(&self->product, &mistake))
		project(self, msg, batch);
	else
		refuse(&mistake, batch);
}

/* The original's event of a deletion is, like its command, an id and nothing else. */
static void handle_deleted(void *arg, const struct cqrs_message *msg, struct cqrs_batch *batch)
{
	struct product_view *self = arg;
	struct product *p = &self->product;
	struct product_mistake mistake;
	if (!product_read_message(p, msg, PRODUCT_COMMAND, &mistake)) {
		refuse(&mistake, batch);
		return;
	}
	p->name[0] = p->description[0] = p->price[0] = '\0';
	project(self, msg, batch);
}

static void *start(struct cqrs_setup *setup, const void *arg)
{
	static const enum cqrs_type types[] = {CQRS_UUID,    CQRS_TEXT,        CQRS_TEXT,
	                                       CQRS_NUMERIC, CQRS_TIMESTAMPTZ, CQRS_TIMESTAMPTZ,
	                                       CQRS_INT8};
	const struct product_view_options *chosen = arg;
	struct product_view *self = calloc(1, sizeof *self);
	if (!self) {
		cqrs_setup_fail(setup, "out of memory");
		return NULL;
	}
	self->project = cqrs_setup_statement(
	    setup, "SELECT product_view.project($1, $2, $3, $4, $5, coalesce($6, now()), $7)",
	    types, sizeof types / sizeof *types);
	cqrs_setup_projects(setup);
	cqrs_setup_topic(setup, chosen->created, handle_changed);
	cqrs_setup_topic(setup, chosen->updated, handle_changed);
	cqrs_setup_topic(setup, chosen->deleted, handle_deleted);
	return self;
}

static void stop(void *self)
{
	free(self);
}

CQRS_COMMAND_MODULE(product_view, .summary = "keeps the view of products that is asked",
                    .options = options, .options_size = sizeof(struct product_view_options),
                    .start = start, .stop = stop);
