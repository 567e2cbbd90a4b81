/* SPDX-License-Identifier: MIT */
/*
 * The products system, the write model: requests become commands, and
 * products.decide() decides them by what is stored.
 *
 * Commands over HTTP go through one topic, so those of a product come in their
 * order.  The original's producers have a topic for each command; there an
 * update may overtake its create, and waits for it.
 */
#include "../product/product_message.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

struct product_options {
	const char *commands, *create, *update, *delete;
	const char *created, *updated, *deleted;
	int64_t reorder_wait, reorder_max;
};

#define OPTION(member, named, of_type, ...)                                     \
	{                                                                       \
		.name = named, .type = CQRS_OPTION_##of_type,                   \
		.offset = offsetof(struct product_options, member), __VA_ARGS__ \
	}

static const struct cqrs_option options[] = {
    OPTION(commands, "topics.commands", STRING, .initial = "product_commands",
           .help = "topic of the commands that come over HTTP"),
    OPTION(create, "topics.create", STRING, .initial = "product_create",
           .help = "topic of other producers: products to be created"),
    OPTION(update, "topics.update", STRING, .initial = "product_update",
           .help = "topic of other producers: products to be changed"),
    OPTION(delete, "topics.delete", STRING, .initial = "product_delete",
           .help = "topic of other producers: products to be deleted"),
    OPTION(created, "topics.created", STRING, .initial = "product_created",
           .help = "topic for the events of products that were created"),
    OPTION(updated, "topics.updated", STRING, .initial = "product_updated",
           .help = "topic for the events of products that were changed"),
    OPTION(deleted, "topics.deleted", STRING, .initial = "product_deleted",
           .help = "topic for the events of products that were deleted"),
    OPTION(reorder_wait, "reorder_wait", DURATION, .initial = "5s", .min = 0,
           .max = INT64_C(600000000),
           .help = "how long a change of another producer waits for its product to be created"),
    OPTION(reorder_max, "reorder_max", INTEGER, .initial = "10000", .min = 1, .max = 1000000,
           .help = "so many may wait; more are refused at once"),
    CQRS_OPTIONS_END,
};

#define EXPIRE_US INT64_C(1000000)

enum verb { CREATE, UPDATE, PATCH, DELETE, N_VERBS };

static const char *const verbs[N_VERBS] = {"create", "update", "patch", "delete"};

struct product_module {
	const struct product_options *options;
	struct cqrs_decision *apply, *apply_or_wait;
	struct product product; /* of the message or request at hand */
};

/* The rules of what a command must say; more is not looked at. */
static bool is_right(const struct product *p, enum verb verb, struct product_mistake *mistake)
{
	if (verb == CREATE || verb == UPDATE)
		return product_is_whole(p, mistake);
	return verb == DELETE || product_is_any(p, mistake);
}

/* ---- messages ---- */

#define HEADERS_MAX 512

/* Whether a header's value can stand in JSON as it is. */
static bool is_plain(const struct cqrs_header *header)
{
	const char *text = header->value;
	for (size_t i = 0; i < header->value_len; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("-_./+", text[i]))
			return false;
	return header->value_len < 100;
}

/* Appends `"as":"value"` to the object in `json`, if the message has the header. */
static void pass_header(char json[HEADERS_MAX], const struct cqrs_message *msg, const char *name,
                        const char *as)
{
	const struct cqrs_header *header = product_header(msg, name);
	size_t len = strlen(json);
	if (header && is_plain(header))
		snprintf(json + len - 1, HEADERS_MAX - len, "%s\"%s\":\"%.*s\"}",
		         len > 2 ? "," : "", as, (int)header->value_len,
		         (const char *)header->value);
}

static struct cqrs_value text_or_null(enum cqrs_type type, const char *text)
{
	return *text ? cqrs_bytes(type, text, strlen(text)) : cqrs_null(type);
}

/* A version that no product can have is one that it has not. */
static struct cqrs_value expected_version(const struct cqrs_message *msg)
{
	const struct cqrs_header *header = product_header(msg, "if-match");
	const char *text = header ? header->value : "*";
	int64_t n = 0;
	if (!header || (header->value_len == 1 && *text == '*'))
		return cqrs_null(CQRS_INT8);
	for (size_t i = 0; i < header->value_len; i++) {
		if (!isdigit((unsigned char)text[i]) || n > (INT64_MAX - 9) / 10)
			return cqrs_int8(0);
		n = n * 10 + (text[i] - '0');
	}
	return cqrs_int8(n);
}

#define APPLY_PARAMS 8
#define WAIT_PARAMS  9

static const char *event_topic(const struct product_module *self, enum verb verb)
{
	const struct product_options *o = self->options;
	return verb == CREATE ? o->created : verb == DELETE ? o->deleted : o->updated;
}

/* The parameters of products.decide(), for one; `headers` are those of the event. */
static void describe(const struct product_module *self, enum verb verb,
                     const struct cqrs_message *msg, const char *headers,
                     struct cqrs_value params[APPLY_PARAMS])
{
	const struct product *p = &self->product;
	bool has_content = verb != DELETE;
	struct cqrs_value list[APPLY_PARAMS] = {
	    cqrs_text(verbs[verb]),
	    text_or_null(CQRS_UUID, p->id),
	    text_or_null(CQRS_TEXT, has_content ? p->name : ""),
	    text_or_null(CQRS_TEXT, has_content ? p->description : ""),
	    text_or_null(CQRS_NUMERIC, has_content ? p->price : ""),
	    expected_version(msg),
	    cqrs_text(event_topic(self, verb)),
	    cqrs_bytes(CQRS_JSONB, headers, strlen(headers)),
	};
	memcpy(params, list, sizeof list);
}

/* False after refusing. */
static bool read_command(struct product_module *self, enum verb verb,
                         const struct cqrs_message *msg, struct cqrs_batch *batch)
{
	struct product_mistake mistake;
	if (product_read_message(&self->product, msg, PRODUCT_COMMAND, &mistake) &&
	    is_right(&self->product, verb, &mistake))
		return true;
	if (mistake.no_memory)
		cqrs_no_memory(batch);
	else
		cqrs_refuse(batch, "%s", mistake.text);
	return false;
}

static void event_headers(char json[HEADERS_MAX], const struct cqrs_message *msg)
{
	strcpy(json, "{\"content-type\":\"application/json\"}");
	pass_header(json, msg, "traceparent", "traceparent");
	pass_header(json, msg, "command-id", "causation-id");
}

static void handle_command(void *arg, const struct cqrs_message *msg, struct cqrs_batch *batch)
{
	struct product_module *self = arg;
	const struct cqrs_header *command = product_header(msg, "command");
	struct cqrs_value params[APPLY_PARAMS];
	char headers[HEADERS_MAX];
	enum verb verb = CREATE;
	while (command && verb < N_VERBS &&
	       (strlen(verbs[verb]) != command->value_len ||
	        memcmp(verbs[verb], command->value, command->value_len) != 0))
		verb++;
	if (!command || verb == N_VERBS) {
		cqrs_refuse(batch,
		            "the header \"command\" must be create, update, patch or delete");
		return;
	}
	if (!read_command(self, verb, msg, batch))
		return;
	event_headers(headers, msg);
	describe(self, verb, msg, headers, params);
	cqrs_decide(batch, self->apply, params);
}

/* A command that may have to wait, with all that its dead letter will say. */
static void handle_original(struct product_module *self, enum verb verb,
                            const struct cqrs_message *msg, struct cqrs_batch *batch)
{
	struct cqrs_value params[APPLY_PARAMS + WAIT_PARAMS];
	char headers[HEADERS_MAX], kept[HEADERS_MAX] = "{}";
	if (!read_command(self, verb, msg, batch))
		return;
	event_headers(headers, msg);
	pass_header(kept, msg, "content-type", "content-type");
	pass_header(kept, msg, "traceparent", "traceparent");
	pass_header(kept, msg, "if-match", "if-match");
	describe(self, verb, msg, headers, params);
	struct cqrs_value wait[WAIT_PARAMS] = {
	    cqrs_int8(self->options->reorder_wait),
	    cqrs_int8(self->options->reorder_max),
	    msg->timestamp_us ? cqrs_timestamptz(msg->timestamp_us) : cqrs_null(CQRS_TIMESTAMPTZ),
	    cqrs_text(msg->topic),
	    cqrs_int4(msg->partition),
	    cqrs_int8(msg->offset),
	    msg->key ? cqrs_bytes(CQRS_BYTEA, msg->key, msg->key_len) : cqrs_null(CQRS_BYTEA),
	    cqrs_bytes(CQRS_JSONB, kept, strlen(kept)),
	    msg->value ? cqrs_bytes(CQRS_BYTEA, msg->value, msg->value_len) : cqrs_null(CQRS_BYTEA),
	};
	memcpy(params + APPLY_PARAMS, wait, sizeof wait);
	cqrs_decide(batch, self->apply_or_wait, params);
}

static void handle_create(void *self, const struct cqrs_message *msg, struct cqrs_batch *batch)
{
	handle_original(self, CREATE, msg, batch);
}

static void handle_update(void *self, const struct cqrs_message *msg, struct cqrs_batch *batch)
{
	handle_original(self, UPDATE, msg, batch);
}

static void handle_delete(void *self, const struct cqrs_message *msg, struct cqrs_batch *batch)
{
	handle_original(self, DELETE, msg, batch);
}

/* ---- requests ---- */

static void refuse(struct cqrs_forward *out, const struct product_mistake *mistake)
{
	if (mistake->no_memory)
		return; /* what forwards nothing is answered as a fault of ours */
	cqrs_forward_refuse(out, mistake->member ? 422 : 400,
	                    mistake->member ? "invalid_product" : "invalid_body", mistake->member,
	                    "%s", mistake->text);
}

/* Reads the body; the product is the one of the path or, created, of the command's id. */
static bool read_request(struct product_module *self, enum verb verb,
                         const struct cqrs_request *req, const char *id, size_t id_len,
                         struct product_mistake *mistake)
{
	struct product *p = &self->product;
	size_t len;
	const void *body = cqrs_request_body(req, &len);
	product_clear(p);
	if (verb != DELETE && !product_read_json(p, body, len, true, mistake))
		return false;
	if (p->id[0] && (strlen(p->id) != id_len || memcmp(p->id, id, id_len) != 0))
		return product_wrong(mistake, "productId",
		                     verb == CREATE ? "the productId of a new product is made here"
		                                    : "productId is not the one in the path");
	return product_set_id(p, id, id_len, mistake) && is_right(p, verb, mistake);
}

/* The answer is the product as it was sent, or its id alone. */
static void answer(const struct product *p, enum verb verb, const char *json,
                   struct cqrs_forward *out)
{
	char location[64], id[64];
	snprintf(location, sizeof location, "/products/%s", p->id);
	snprintf(id, sizeof id, "{\"productId\":\"%s\"}", p->id);
	cqrs_forward_answer(out, verb == CREATE ? location : NULL,
	                    verb == CREATE || verb == DELETE ? id : json);
}

static void accept(struct product_module *self, enum verb verb, const struct cqrs_request *req,
                   const char *id, size_t id_len, struct cqrs_forward *out)
{
	const struct product *p = &self->product;
	struct product_mistake mistake;
	if (!read_request(self, verb, req, id, id_len, &mistake)) {
		refuse(out, &mistake);
		return;
	}
	char *json = product_write_json(p);
	if (!json)
		return;
	cqrs_forward(out, self->options->commands, p->id, strlen(p->id), json, strlen(json));
	cqrs_forward_header(out, "command", verbs[verb]);
	answer(p, verb, json, out);
	free(json);
}

static void accept_create(void *self, const struct cqrs_request *req, struct cqrs_forward *out)
{
	const char *id = cqrs_request_id(req);
	accept(self, CREATE, req, id, strlen(id), out);
}

static void accept_for(void *self, enum verb verb, const struct cqrs_request *req,
                       struct cqrs_forward *out)
{
	const struct cqrs_value *id = cqrs_param(req, "id");
	accept(self, verb, req, id->s.data, id->s.len, out);
}

static void accept_update(void *self, const struct cqrs_request *req, struct cqrs_forward *out)
{
	accept_for(self, UPDATE, req, out);
}

static void accept_patch(void *self, const struct cqrs_request *req, struct cqrs_forward *out)
{
	accept_for(self, PATCH, req, out);
}

static void accept_delete(void *self, const struct cqrs_request *req, struct cqrs_forward *out)
{
	accept_for(self, DELETE, req, out);
}

#define ID_SCHEMA   "\"productId\":{\"type\":\"string\",\"format\":\"uuid\"}"
#define NAME_SCHEMA "\"name\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":250}"
#define TEXT_SCHEMA "\"description\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":5000}"
#define PRICE_SCHEMA                                                              \
	"\"price\":{\"type\":\"number\",\"minimum\":0,\"exclusiveMaximum\":1e15," \
	"\"description\":\"of at most two decimal places\"}"
/* What was read can be sent back; nobody can set it. */
#define STAMPS_SCHEMA                                                   \
	"\"createdAt\":{\"type\":\"string\",\"format\":\"date-time\"}," \
	"\"updatedAt\":{\"type\":\"string\",\"format\":\"date-time\"}," \
	"\"version\":{\"type\":\"integer\",\"minimum\":1,"              \
	"\"maximum\":9223372036854775807}"
#define MEMBERS_SCHEMA NAME_SCHEMA "," TEXT_SCHEMA "," PRICE_SCHEMA "," STAMPS_SCHEMA
#define CLOSED         "\"type\":\"object\",\"additionalProperties\":false"
#define WHOLE          CLOSED ",\"required\":[\"name\",\"description\",\"price\"]"

static const char new_schema[] = "{" WHOLE ",\"properties\":{" MEMBERS_SCHEMA "}}";
static const char whole_schema[] = "{" WHOLE ",\"properties\":{" ID_SCHEMA "," MEMBERS_SCHEMA "}}";
static const char part_schema[] =
    "{" CLOSED ",\"anyOf\":[{\"required\":[\"name\"]},{\"required\":[\"description\"]},"
    "{\"required\":[\"price\"]}],\"properties\":{" ID_SCHEMA "," MEMBERS_SCHEMA "}}";
static const char id_schema[] =
    "{\"type\":\"object\",\"required\":[\"productId\"],\"properties\":{" ID_SCHEMA "}}";
/* As it was sent; or, with Prefer: wait, as it is. */
static const char sent_schema[] =
    "{\"type\":\"object\",\"required\":[\"productId\"],\"properties\":{" ID_SCHEMA
    "," MEMBERS_SCHEMA "}}";

static const struct cqrs_param id_params[] = {
    {.name = "id", .type = CQRS_PARAM_UUID, .help = "the product's id"},
    {.name = NULL},
};

static const struct cqrs_command_route routes[] = {
    {"POST", "/products", "Create a product", NULL, new_schema, id_schema, 201, accept_create},
    {"PUT", "/products/{id}", "Change all of a product", id_params, whole_schema, sent_schema, 200,
     accept_update},
    {"PATCH", "/products/{id}", "Change some of a product", id_params, part_schema, sent_schema,
     200, accept_patch},
    {"DELETE", "/products/{id}", "Delete a product, if it is there", id_params, NULL, id_schema,
     200, accept_delete},
};

/* ---- life ---- */

static void *start(struct cqrs_setup *setup, const void *arg)
{
	static const enum cqrs_type types[APPLY_PARAMS + WAIT_PARAMS] = {
	    CQRS_TEXT, CQRS_UUID,  CQRS_TEXT,        CQRS_TEXT, CQRS_NUMERIC,
	    CQRS_INT8, CQRS_TEXT,  CQRS_JSONB, /* and for those that wait: */
	    CQRS_INT8, CQRS_INT8,  CQRS_TIMESTAMPTZ, CQRS_TEXT, CQRS_INT4,
	    CQRS_INT8, CQRS_BYTEA, CQRS_JSONB,       CQRS_BYTEA};
	const struct product_options *chosen = arg;
	struct product_module *self = calloc(1, sizeof *self);
	if (!self) {
		cqrs_setup_fail(setup, "out of memory");
		return NULL;
	}
	self->options = chosen;
	self->apply = cqrs_setup_decisions(setup, "products.decide", types, APPLY_PARAMS);
	self->apply_or_wait =
	    cqrs_setup_decision(setup, "products.apply_or_wait", types, APPLY_PARAMS + WAIT_PARAMS);
	cqrs_setup_topic(setup, chosen->commands, handle_command);
	cqrs_setup_topic(setup, chosen->create, handle_create);
	cqrs_setup_topic(setup, chosen->update, handle_update);
	cqrs_setup_topic(setup, chosen->delete, handle_delete);
	cqrs_setup_publishes(setup);
	cqrs_setup_periodic(setup, EXPIRE_US, "SELECT products.expire()");
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
		cqrs_setup_route(setup, &routes[i]);
	return self;
}

static void stop(void *self)
{
	free(self);
}

CQRS_COMMAND_MODULE(product, .summary = "decides what becomes of products", .options = options,
                    .options_size = sizeof(struct product_options), .start = start, .stop = stop);
