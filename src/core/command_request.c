/* SPDX-License-Identifier: MIT */
/* A request with a command: its parameters, its body, and its headers. */
#include "command_request.h"

#include "http_syntax.h"
#include "json_tree.h"

#include <stdio.h>
#include <string.h>

static bool refuse(struct http_request *http, int status, const char *code, const char *header,
                   const char *text)
{
	http_respond_problem(http, status, code, header, "%s", text);
	return false;
}

/* application/json, or a type of its family (RFC 6839), whatever its parameters. */
static bool is_json(const char *type)
{
	size_t len = strcspn(type, "; \t");
	return http_is_word(type, len, "application/json") ||
	       (len > 5 && http_is_word(type + len - 5, 5, "+json"));
}

static bool check_type(struct http_request *http)
{
	const char *type = http_request_header(http, "Content-Type");
	size_t len;
	http_request_body(http, &len);
	if (!len || !type || is_json(type))
		return true;
	return refuse(http, 415, "unsupported_media_type", NULL,
	              "the body of a command is JSON: send it as Content-Type: application/json");
}

/* RFC 9110, 13.1.1; our entity tags are versions, and strong. */
static bool read_if_match(struct command_request *req)
{
	const char *tag = http_request_header(req->http, "If-Match");
	size_t len = tag ? strlen(tag) : 0, digits;
	req->if_match[0] = '\0';
	if (!tag)
		return true;
	if (strchr(tag, ','))
		return refuse(req->http, 400, "invalid_header", "If-Match",
		              "If-Match may name one version here");
	if (!strcmp(tag, "*")) {
		strcpy(req->if_match, "*");
		return true;
	}
	digits = len > 2 ? http_run(tag + 1, len - 2, HTTP_DIGIT) : 0;
	if (!digits || digits != len - 2 || digits > 18 || tag[0] != '"' || tag[len - 1] != '"')
		return refuse(req->http, 412, "precondition_failed", "If-Match",
		              "nothing has this entity tag: a version is its number in quotes, "
		              "as ETag says");
	memcpy(req->if_match, tag + 1, digits);
	req->if_match[digits] = '\0';
	return true;
}

/* draft-ietf-httpapi-idempotency-key-header, 2.1: a string in quotes (RFC 8941); we take it bare,
 * too. */
static bool read_key(struct command_request *req)
{
	const char *text = http_request_header(req->http, "Idempotency-Key");
	size_t len = text ? strlen(text) : 0, n = 0;
	bool quoted = len > 1 && text[0] == '"' && text[len - 1] == '"', fine = true;
	req->key[0] = '\0';
	if (!text)
		return true;
	for (size_t i = quoted; fine && i < len - quoted; i++) {
		if (quoted && text[i] == '\\' && i + 1 < len - 1 && strchr("\"\\", text[i + 1]))
			i++;
		else if (quoted && strchr("\"\\", text[i]))
			fine = false;
		/* A bare one is no list and has no parameters. */
		fine = fine && text[i] > 0x20 - quoted && text[i] < 0x7f &&
		       (quoted || !strchr("\",;\\", text[i])) && n < COMMAND_KEY_MAX;
		if (fine)
			req->key[n++] = text[i];
	}
	req->key[fine ? n : 0] = '\0';
	if (fine && n)
		return true;
	return refuse(req->http, 400, "invalid_header", "Idempotency-Key",
	              "Idempotency-Key is 1 to 255 visible ASCII characters, best in quotes; a "
	              "UUID will do");
}

bool command_request_read(struct command_request *req, const struct command_route *route,
                          struct http_request *http, const struct param_text *path, int64_t now_us)
{
	struct param_error error = {.param = ""};
	req->http = http;
	req->prefer = prefer_parse(http_request_header(http, "Prefer"));
	if (!param_parse(&route->base.params, &req->params, path, http_request_query(http), now_us,
	                 &error)) {
		if (error.no_memory)
			http_respond_no_memory(http);
		else
			refuse(http, 400, "invalid_parameter", *error.param ? error.param : NULL,
			       error.text);
		return false;
	}
	return check_type(http) && read_if_match(req) && read_key(req);
}

void command_request_release(struct command_request *req)
{
	param_release(&req->params);
}

/* ---- for modules ---- */

static const struct command_request *own(const struct cqrs_request *req)
{
	return (const struct command_request *)req;
}

const void *cqrs_request_body(const struct cqrs_request *req, size_t *len)
{
	return http_request_body(own(req)->http, len);
}

json_t *cqrs_request_json(const struct cqrs_request *req, struct cqrs_forward *out)
{
	json_error_t error;
	size_t len;
	const char *text = http_request_body(own(req)->http, &len);
	if (!len) {
		cqrs_forward_refuse(out, 400, "invalid_body", NULL,
		                    "the body is missing: it is JSON");
		return NULL;
	}
	json_t *json = json_tree_load(text, len, &error);
	if (!json && *error.text)
		cqrs_forward_refuse(out, 400, "invalid_body", NULL,
		                    "the body is not JSON: %s at byte %d", error.text,
		                    error.position);
	else if (!json)
		cqrs_forward_no_memory(out);
	return json;
}

const char *cqrs_request_id(const struct cqrs_request *req)
{
	return own(req)->id;
}

const char *cqrs_request_if_match(const struct cqrs_request *req)
{
	return own(req)->if_match[0] ? own(req)->if_match : NULL;
}
