/* SPDX-License-Identifier: MIT */
/* A configuration file in YAML, read into a tree: the only file that knows libyaml. */
#include "config_file.h"

#include "buf.h"
#include "config_expand.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

struct reader {
	yaml_parser_t parser;
	struct arena *arena;
	const char *path, *text;
	size_t len;
	struct mistakes *mistakes;
	int nodes;
	size_t expanded; /* bytes of all values with ${…} */
};

static int line_of(yaml_mark_t mark)
{
	return (int)mark.line + 1;
}

static int column_of(yaml_mark_t mark)
{
	return (int)mark.column + 1;
}

/* libyaml's reader, below its scanner, knows a byte alone. */
static yaml_mark_t mark_of_byte(const struct reader *r, size_t offset)
{
	yaml_mark_t mark = {0};
	for (size_t i = 0; i < offset && i < r->len; i++) {
		mark.column++;
		if (r->text[i] == '\n')
			mark = (yaml_mark_t){.line = mark.line + 1};
	}
	return mark;
}

static bool syntax_error(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	yaml_mark_t at =
	    p->error == YAML_READER_ERROR ? mark_of_byte(r, p->problem_offset) : p->problem_mark;
	mistakes_add(r->mistakes, line_of(at), column_of(at), "%s%s%s",
	             p->problem ? p->problem : "out of memory", p->context ? " " : "",
	             p->context ? p->context : "");
	return false;
}

static bool next_event(struct reader *r, yaml_event_t *event)
{
	return yaml_parser_parse(&r->parser, event) ? true : syntax_error(r);
}

static bool refuse(struct reader *r, const yaml_event_t *event, const char *why)
{
	mistakes_add(r->mistakes, line_of(event->start_mark), column_of(event->start_mark), "%s",
	             why);
	return false;
}

/* What we leave out of YAML. */
static bool is_allowed(struct reader *r, const yaml_event_t *event)
{
	const void *anchor = NULL, *tag = NULL;
	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return refuse(r, event, "aliases (*name) are not supported, write the value out");
	case YAML_SCALAR_EVENT:
		anchor = event->data.scalar.anchor;
		tag = event->data.scalar.tag;
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
		break;
	default:
		break;
	}
	if (anchor)
		return refuse(r, event, "anchors (&name) are not supported");
	if (tag)
		return refuse(r, event, "tags (!name) are not supported");
	return true;
}

static struct config_node *new_node(struct reader *r, const yaml_event_t *event,
                                    enum config_kind kind)
{
	if (++r->nodes > CONFIG_NODES_MAX) {
		refuse(r, event, "the file has too many values");
		return NULL;
	}
	struct config_node *node = arena_alloc(r->arena, sizeof *node);
	node->kind = kind;
	node->line = line_of(event->start_mark);
	node->column = column_of(event->start_mark);
	return node;
}

/* A value that cannot be expanded is told once, here, and reading goes on. */
static void expand(struct reader *r, struct config_node *node)
{
	struct buf text = BUF_INIT, why = BUF_INIT;
	node->expanded = true;
	if (!config_expand(node->text, r->path, &text, &why)) {
		mistakes_add(r->mistakes, node->line, node->column, "%s", buf_str(&why));
		node->kind = CONFIG_BROKEN;
	} else if ((r->expanded += text.len) > CONFIG_FILE_MAX) {
		mistakes_add(r->mistakes, node->line, node->column,
		             "all expanded values together are longer than %d bytes",
		             CONFIG_FILE_MAX);
		node->kind = CONFIG_BROKEN;
	} else {
		node->text = arena_copy(r->arena, text.data, text.len);
	}
	buf_release(&text);
	buf_release(&why);
}

static bool is_null(const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

static struct config_node *read_scalar(struct reader *r, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	if (memchr(text, '\0', len)) {
		refuse(r, event, "a value must not have a NUL character in it");
		return NULL;
	}
	struct config_node *node = new_node(r, event, is_null(event) ? CONFIG_NULL : CONFIG_SCALAR);
	if (!node || node->kind == CONFIG_NULL)
		return node;
	node->text = arena_copy(r->arena, text, len);
	if (strchr(node->text, '$'))
		expand(r, node);
	return node;
}

static struct config_node *read_node(struct reader *r, const yaml_event_t *event, int depth);

/* Reads the next node into `node`; true and NULL at the event `end`. */
static bool read_next(struct reader *r, yaml_event_type_t end, int depth, struct config_node **node)
{
	yaml_event_t event;
	*node = NULL;
	if (!next_event(r, &event))
		return false;
	bool at_end = event.type == end;
	if (!at_end)
		*node = read_node(r, &event, depth);
	yaml_event_delete(&event);
	return at_end || *node;
}

static bool read_sequence(struct reader *r, struct config_node *sequence, int depth)
{
	struct config_node **tail = &sequence->children;
	while (read_next(r, YAML_SEQUENCE_END_EVENT, depth, tail)) {
		if (!*tail)
			return true;
		tail = &(*tail)->next;
	}
	return false;
}

/* The name, not expanded; NULL, with a mistake, if it cannot be one. */
static const char *read_key(struct reader *r, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	if (event->type != YAML_SCALAR_EVENT)
		refuse(r, event, "a name is expected here");
	else if (!is_allowed(r, event))
		return NULL;
	else if (memchr(text, '\0', event->data.scalar.length) || !*text)
		refuse(r, event, "a name must not be empty or have a NUL character in it");
	else
		return arena_copy(r->arena, text, event->data.scalar.length);
	return NULL;
}

static void check_duplicate(struct reader *r, const struct config_node *mapping, const char *key,
                            const yaml_event_t *event)
{
	const struct config_node *first = config_node_child(mapping, key);
	if (first)
		mistakes_add(r->mistakes, line_of(event->start_mark), column_of(event->start_mark),
		             "\"%s\" stands here for the second time, first at %d:%d", key,
		             first->key_line, first->key_column);
}

static bool read_mapping(struct reader *r, struct config_node *mapping, int depth)
{
	struct config_node **tail = &mapping->children;
	for (;;) {
		yaml_event_t event;
		if (!next_event(r, &event))
			return false;
		bool at_end = event.type == YAML_MAPPING_END_EVENT;
		const char *key = at_end ? NULL : read_key(r, &event);
		if (key)
			check_duplicate(r, mapping, key, &event);
		yaml_mark_t mark = event.start_mark;
		yaml_event_delete(&event);
		if (at_end || !key)
			return at_end;
		struct config_node *value;
		if (!read_next(r, YAML_NO_EVENT, depth, &value))
			return false;
		value->key = key;
		value->key_line = line_of(mark);
		value->key_column = column_of(mark);
		*tail = value;
		tail = &value->next;
	}
}

/* NULL, with a mistake, when reading cannot go on. */
static struct config_node *read_node(struct reader *r, const yaml_event_t *event, int depth)
{
	if (!is_allowed(r, event))
		return NULL;
	if (event->type == YAML_SCALAR_EVENT)
		return read_scalar(r, event);
	bool is_mapping = event->type == YAML_MAPPING_START_EVENT;
	if (depth == CONFIG_DEPTH_MAX) {
		refuse(r, event, "too many sections in each other");
		return NULL;
	}
	struct config_node *node =
	    new_node(r, event, is_mapping ? CONFIG_MAPPING : CONFIG_SEQUENCE);
	if (!node)
		return NULL;
	bool ok = is_mapping ? read_mapping(r, node, depth + 1) : read_sequence(r, node, depth + 1);
	return ok ? node : NULL;
}

/* Stands for an empty file. */
static struct config_node *empty_mapping(struct reader *r)
{
	struct config_node *node = arena_alloc(r->arena, sizeof *node);
	*node = (struct config_node){.kind = CONFIG_MAPPING, .line = 1, .column = 1};
	return node;
}

static struct config_node *read_document(struct reader *r)
{
	struct config_node *root = NULL;
	for (;;) {
		yaml_event_t event;
		if (!next_event(r, &event))
			return NULL;
		yaml_event_type_t type = event.type;
		bool ok = true;
		if (type == YAML_DOCUMENT_START_EVENT && root)
			ok = refuse(r, &event, "a second document begins here, one is allowed");
		else if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT &&
		         type != YAML_DOCUMENT_END_EVENT && type != YAML_STREAM_END_EVENT)
			ok = (root = read_node(r, &event, 0)) != NULL;
		yaml_event_delete(&event);
		if (!ok)
			return NULL;
		if (type == YAML_STREAM_END_EVENT)
			return root && root->kind != CONFIG_NULL ? root : empty_mapping(r);
	}
}

struct config_node *config_file_parse(struct arena *arena, const char *path, const char *text,
                                      size_t len, struct mistakes *mistakes)
{
	struct reader r = {
	    .arena = arena, .path = path, .text = text, .len = len, .mistakes = mistakes};
	if (len > CONFIG_FILE_MAX) {
		mistakes_add(mistakes, 0, 0, "the file is longer than %d bytes", CONFIG_FILE_MAX);
		return NULL;
	}
	if (!yaml_parser_initialize(&r.parser)) {
		mistakes_add(mistakes, 0, 0, "out of memory");
		return NULL;
	}
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
	struct config_node *root = read_document(&r);
	yaml_parser_delete(&r.parser);
	if (root && root->kind != CONFIG_MAPPING) {
		mistakes_add(mistakes, root->line, root->column,
		             "the file must be a mapping of options, such as \"memory: 64MiB\"");
		return NULL;
	}
	return root;
}

/* It has passwords, and says which code is run. */
static bool is_open_to_all(FILE *file)
{
	struct stat st;
	return fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode) && st.st_mode & S_IWOTH;
}

struct config_node *config_file_read(struct arena *arena, const char *path,
                                     struct mistakes *mistakes)
{
	struct buf text = {.max = CONFIG_FILE_MAX + 8192};
	struct config_node *root = NULL;
	FILE *file = fopen(path, "re");
	size_t n = 0;
	do {
		char *at = file ? buf_reserve(&text, 4096) : NULL;
		n = at ? fread(at, 1, 4096, file) : 0;
		text.len += n;
	} while (n > 0 && text.len <= CONFIG_FILE_MAX);
	if (text.failed)
		errno = ENOMEM;
	if (!file || ferror(file) || text.failed)
		mistakes_add(mistakes, 0, 0, "cannot be read: %s", strerror(errno));
	else if (is_open_to_all(file))
		mistakes_add(mistakes, 0, 0, "can be written by everybody: chmod o-w %s", path);
	else
		root =
		    config_file_parse(arena, path, text.len ? text.data : "", text.len, mistakes);
	if (file)
		fclose(file);
	buf_release(&text);
	return root;
}
