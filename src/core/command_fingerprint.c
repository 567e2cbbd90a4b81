/* SPDX-License-Identifier: MIT */
/* By what a repeated request is told from another one with the same key. */
#include "command_request.h"

#include <openssl/evp.h>
#include <string.h>

/* With its length, so that no two lists of pieces look the same. */
static bool add(EVP_MD_CTX *digest, const void *data, size_t len)
{
	uint64_t length = len;
	return EVP_DigestUpdate(digest, &length, sizeof length) &&
	       EVP_DigestUpdate(digest, data, len);
}

static bool add_text(EVP_MD_CTX *digest, const char *text)
{
	return add(digest, text, strlen(text));
}

bool command_request_fingerprint(const struct command_request *req, char out[32])
{
	size_t len;
	const char *body = http_request_body(req->http, &len);
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	bool ok = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) &&
	          add_text(digest, http_request_method_name(req->http)) &&
	          add_text(digest, http_request_path(req->http)) &&
	          add_text(digest, http_request_query(req->http)) &&
	          add_text(digest, req->if_match) && add(digest, body, len) &&
	          EVP_DigestFinal_ex(digest, (unsigned char *)out, NULL);
	EVP_MD_CTX_free(digest);
	return ok;
}
