/* SPDX-License-Identifier: MIT */
/* What a command module makes of a request. */
#include "forward.h"

#include "json_text.h"

#include <stdarg.h>
#include <stdio.h>

static const struct forward_piece none = {FORWARD_NONE, 0};

void forward_clear(struct cqrs_forward *f)
{
	buf_clear(&f->data);
	f->state = FORWARD_EMPTY;
	f->topic = f->key = f->value = f->location = f->json = none;
	f->n_headers = 0;
	f->code = "";
	f->why = (struct param_error){.no_memory = false};
}

void forward_release(struct cqrs_forward *f)
{
	buf_release(&f->data);
}

const char *forward_text(const struct cqrs_forward *f, struct forward_piece piece)
{
	return piece.at == FORWARD_NONE || f->data.failed ? NULL : f->data.data + piece.at;
}

bool forward_is_whole(const struct cqrs_forward *f)
{
	return !f->data.failed && !f->why.no_memory;
}

size_t forward_headers(const struct cqrs_forward *f, struct cqrs_header out[FORWARD_HEADERS_MAX])
{
	for (size_t i = 0; i < f->n_headers; i++)
		out[i] = (struct cqrs_header){forward_text(f, f->headers[i].name),
		                              forward_text(f, f->headers[i].value),
		                              f->headers[i].value.len};
	return f->n_headers;
}

static struct forward_piece add(struct cqrs_forward *f, const void *data, size_t len)
{
	struct forward_piece piece = {f->data.len, len};
	if (!data)
		return none;
	buf_add(&f->data, data, len);
	buf_putc(&f->data, '\0');
	return piece;
}

static void broken(struct cqrs_forward *f, const char *why)
{
	f->state = FORWARD_BROKEN;
	snprintf(f->why.text, sizeof f->why.text, "%s", why);
}

/* ---- for modules ---- */

void cqrs_forward(struct cqrs_forward *f, const char *topic, const void *key, size_t key_len,
                  const void *value, size_t len)
{
	if (f->state == FORWARD_SENT)
		broken(f, "it forwarded two messages");
	if (f->state != FORWARD_EMPTY)
		return;
	if (key_len > FORWARD_MAX || len > FORWARD_MAX - key_len) {
		cqrs_forward_refuse(f, 413, "command_too_large", NULL,
		                    "as a message of Kafka this has %zu bytes, and %d are allowed: "
		                    "send it in parts",
		                    key_len + len, FORWARD_MAX);
		return;
	}
	f->state = FORWARD_SENT;
	f->topic = add(f, topic, strlen(topic));
	f->key = add(f, key, key_len);
	f->value = add(f, value, len);
}

void cqrs_forward_json(struct cqrs_forward *f, const char *topic, const void *key, size_t key_len,
                       const json_t *value)
{
	struct buf text = BUF_INIT;
	json_text(&text, value, JSON_COMPACT | JSON_ENCODE_ANY);
	if (text.failed)
		cqrs_forward_no_memory(f);
	else
		cqrs_forward(f, topic, key, key_len, text.data, text.len);
	buf_release(&text);
}

void cqrs_forward_header(struct cqrs_forward *f, const char *name, const char *value)
{
	if (f->n_headers == FORWARD_HEADERS_MAX) {
		broken(f, "its message has too many headers");
		return;
	}
	f->headers[f->n_headers].name = add(f, name, strlen(name));
	f->headers[f->n_headers++].value = add(f, value, strlen(value));
}

void cqrs_forward_answer(struct cqrs_forward *f, const char *location, const char *json)
{
	f->location = add(f, location, location ? strlen(location) : 0);
	f->json = add(f, json, json ? strlen(json) : 0);
}

void cqrs_forward_no_memory(struct cqrs_forward *f)
{
	f->why.no_memory = true;
}

void cqrs_forward_refuse(struct cqrs_forward *f, int status, const char *code, const char *param,
                         const char *fmt, ...)
{
	va_list ap;
	/* The first reason stands. */
	if (f->state == FORWARD_REFUSED || f->state == FORWARD_BROKEN)
		return;
	if (status < 400 || status > 499) {
		broken(f, "it refused with a status that is not 400 to 499");
		return;
	}
	f->state = FORWARD_REFUSED;
	f->status = status;
	f->code = code;
	snprintf(f->why.param, sizeof f->why.param, "%s", param ? param : "");
	va_start(ap, fmt);
	vsnprintf(f->why.text, sizeof f->why.text, fmt, ap);
	va_end(ap);
}
