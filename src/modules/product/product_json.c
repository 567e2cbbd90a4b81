/* SPDX-License-Identifier: MIT */
/* Products in JSON, and which format a message has. */
#include "product_message.h"

#include <cqrs/json.h>
#include <cqrs/time.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- reading ---- */

enum member { ID, NAME, DESCRIPTION, PRICE, CREATED_AT, UPDATED_AT, VERSION, N_MEMBERS };

static const char *const members[N_MEMBERS] = {
    "productId", "name", "description", "price", "createdAt", "updatedAt", "version",
};

static enum member member_named(const char *text, size_t len)
{
	enum member m = ID;
	while (m < N_MEMBERS && (strlen(members[m]) != len || memcmp(members[m], text, len) != 0))
		m++;
	return m;
}

/* A number is kept as its text, from `at` on behind space: no double could have all of them. */
static bool read_price(struct product *p, const struct cqrs_json_reader *r,
                       enum cqrs_json_kind kind, const char *at, struct product_mistake *mistake)
{
	if (kind != CQRS_JSON_INTEGER && kind != CQRS_JSON_REAL)
		return product_wrong(mistake, "price", "price must be a number");
	while (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')
		at++;
	return product_set_price(p, at, (size_t)(r->p - at), mistake);
}

static bool read_version(struct product *p, const struct cqrs_json_reader *r,
                         enum cqrs_json_kind kind, struct product_mistake *mistake)
{
	if (kind != CQRS_JSON_INTEGER || r->integer < 1)
		return product_wrong(mistake, "version", "version must be a whole number from 1");
	p->version = r->integer;
	return true;
}

static bool read_time(int64_t *us, const struct cqrs_json_reader *r, const char *member,
                      struct product_mistake *mistake)
{
	return cqrs_time_from_rfc3339(r->text, r->text_len, us) ||
	       product_wrong(mistake, member,
	                     "%s is not an RFC 3339 time of the years 1970 to 2200", member);
}

static bool read_member(struct product *p, enum member m, const struct cqrs_json_reader *r,
                        enum cqrs_json_kind kind, const char *at, struct product_mistake *mistake)
{
	if (m == PRICE)
		return read_price(p, r, kind, at, mistake);
	if (m == VERSION)
		return read_version(p, r, kind, mistake);
	if (kind != CQRS_JSON_STRING)
		return product_wrong(mistake, members[m], "%s must be a string", members[m]);
	switch (m) {
	case ID:
		return product_set_id(p, r->text, r->text_len, mistake);
	case NAME:
		return product_set_name(p, r->text, r->text_len, mistake);
	case DESCRIPTION:
		return product_set_description(p, r->text, r->text_len, mistake);
	case CREATED_AT:
		return read_time(&p->created_us, r, members[m], mistake);
	default:
		return read_time(&p->updated_us, r, members[m], mistake);
	}
}

static bool not_json(struct product_mistake *mistake, const struct cqrs_json_reader *r)
{
	product_wrong(mistake, NULL, "not JSON: %s at byte %zu",
	              r->error ? r->error : "an object was expected", cqrs_json_offset(r));
	mistake->no_memory = r->no_memory;
	return false;
}

/* The members of an object whose '{' was just read. */
static bool read_members(struct product *p, struct cqrs_json_reader *r, bool closed,
                         struct product_mistake *mistake)
{
	unsigned seen = 0;
	enum cqrs_json_kind kind;
	while ((kind = cqrs_json_next(r)) == CQRS_JSON_STRING) {
		enum member m = member_named(r->text, r->text_len);
		if (m == N_MEMBERS && closed)
			return product_wrong(mistake, "body",
			                     "there is no member \"%.*s\" in a product",
			                     r->text_len < 60 ? (int)r->text_len : 60, r->text);
		if (seen & 1u << m && m < N_MEMBERS)
			return product_wrong(mistake, members[m], "%s is there twice", members[m]);
		seen |= 1u << m;
		const char *at = r->p;
		kind = cqrs_json_next(r);
		if (kind == CQRS_JSON_ERROR)
			break;
		if (m < N_MEMBERS && !read_member(p, m, r, kind, at, mistake))
			return false;
		if (!cqrs_json_skip(r, kind))
			break;
	}
	return (kind == CQRS_JSON_END && cqrs_json_next(r) == CQRS_JSON_DONE) ||
	       not_json(mistake, r);
}

bool product_read_json(struct product *p, const void *text, size_t len, bool closed,
                       struct product_mistake *mistake)
{
	struct cqrs_json_reader r;
	cqrs_json_reader_init(&r, text, len);
	bool ok = cqrs_json_next(&r) == CQRS_JSON_OBJECT ? read_members(p, &r, closed, mistake)
	                                                 : not_json(mistake, &r);
	cqrs_json_reader_release(&r);
	return ok;
}

/* ---- writing ---- */

#define ESCAPED 6 /* bytes that one byte of a text may take: \u001f */

/* A string and its quotes; the text is UTF-8. */
static char *put_string(char *out, const char *text)
{
	*out++ = '"';
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20) {
			out += sprintf(out, "\\u%04x", (unsigned)*text);
			continue;
		}
		if (*text == '"' || *text == '\\')
			*out++ = '\\';
		*out++ = *text;
	}
	*out++ = '"';
	return out;
}

/* A member, unless it has no text. */
static char *put_member(char *out, const char *begin, enum member m, const char *text)
{
	if (!*text)
		return out;
	*out = out == begin ? '{' : ',';
	out = put_string(out + 1, members[m]);
	*out++ = ':';
	return m == PRICE ? stpcpy(out, text) : put_string(out, text);
}

char *product_write_json(const struct product *p)
{
	size_t size = sizeof "{\"productId\":\"\",\"name\":\"\",\"description\":\"\",\"price\":}" +
	              sizeof p->id + sizeof p->price +
	              ESCAPED * (strlen(p->name) + strlen(p->description));
	char *begin = malloc(size), *out = begin;
	if (!begin)
		return NULL;
	out = put_member(out, begin, ID, p->id);
	out = put_member(out, begin, NAME, p->name);
	out = put_member(out, begin, DESCRIPTION, p->description);
	out = put_member(out, begin, PRICE, p->price);
	strcpy(out, out == begin ? "{}" : "}");
	return begin;
}

/* ---- messages ---- */

const struct cqrs_header *product_header(const struct cqrs_message *msg, const char *name)
{
	for (size_t i = 0; i < msg->n_headers; i++) {
		if (!strcmp(msg->headers[i].name, name) && msg->headers[i].value)
			return &msg->headers[i];
	}
	return NULL;
}

static bool is_protobuf(const struct cqrs_message *msg)
{
	static const char type[] = "application/x-protobuf";
	const struct cqrs_header *given = product_header(msg, "content-type");
	return (given && given->value_len == sizeof type - 1 &&
	        !memcmp(given->value, type, sizeof type - 1)) ||
	       *(const char *)msg->value != '{';
}

bool product_read_message(struct product *p, const struct cqrs_message *msg,
                          enum product_shape shape, struct product_mistake *mistake)
{
	bool ok = true;
	product_clear(p);
	if (msg->value_len && is_protobuf(msg))
		ok = product_read_protobuf(p, msg->value, msg->value_len, shape, mistake);
	else if (msg->value_len)
		ok = product_read_json(p, msg->value, msg->value_len, false, mistake);
	if (!ok || p->id[0])
		return ok;
	if (!msg->key)
		return product_wrong(mistake, "productId", "productId is missing");
	return product_set_id(p, msg->key, msg->key_len, mistake);
}
