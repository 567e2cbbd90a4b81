/* SPDX-License-Identifier: MIT */
/*
 * A command module to copy: notes, {"text": "…"}, from a topic into the table
 * notes(part int, pos bigint, text text, PRIMARY KEY (part, pos)).
 *
 *   cc -shared -fPIC -o MODULE_PATH/command/note.so example_command.c
 */
#include <cqrs/command.h>
#include <jansson.h>
#include <stdlib.h>

struct options {
	const char *topic;
};

struct note {
	const struct options *options;
	struct cqrs_table *table;
};

static void handle(void *self, const struct cqrs_message *msg, struct cqrs_batch *batch)
{
	const struct note *note = self;
	json_t *json = cqrs_message_json(batch, msg);
	const char *text = json_string_value(json_object_get(json, "text"));
	if (json && !text)
		cqrs_refuse(batch, "a note is {\"text\": \"…\"}");
	else if (json)
		cqrs_append(batch, note->table,
		            (struct cqrs_value[]){cqrs_int4(msg->partition), cqrs_int8(msg->offset),
		                                  cqrs_text(text)});
	json_decref(json);
}

static const struct cqrs_column columns[] = {{.name = "part", .type = CQRS_INT4, .key = true},
                                             {.name = "pos", .type = CQRS_INT8, .key = true},
                                             {.name = "text", .type = CQRS_TEXT},
                                             {.name = NULL}};
static const struct cqrs_table_def table = {"notes", columns, CQRS_DUPLICATE_REFUSE};

static void *start(struct cqrs_setup *setup, const void *options)
{
	struct note *note = malloc(sizeof *note);
	if (!note)
		return NULL;
	*note = (struct note){.options = options, .table = cqrs_setup_table(setup, &table)};
	cqrs_setup_topic(setup, note->options->topic, handle);
	return note;
}

static const struct cqrs_option options[] = {{.name = "topic",
                                              .type = CQRS_OPTION_STRING,
                                              .offset = offsetof(struct options, topic),
                                              .initial = "notes",
                                              .help = "where notes come from"},
                                             CQRS_OPTIONS_END};

CQRS_COMMAND_MODULE(note, .summary = "stores notes", .options = options,
                    .options_size = sizeof(struct options), .start = start, .stop = free);
